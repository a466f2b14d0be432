//! Settings become the defaults of the command line, so that precedence is clap's own: what was typed, then an option's
//! environment variable, then its default.

use std::ffi::OsString;

use capsule_core::exit;
use clap::{ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::file::Config;
use super::keys::Key;
use crate::args::Args;
use crate::commands;
use crate::error::Problem;

/// Why there are no arguments.
#[derive(Debug)]
pub enum Refused {
    /// What was typed is wrong, or asks for help.
    Line(clap::Error),
    /// A setting is wrong.
    Setting(Problem),
}

/// Reads a command line with the user's settings as the defaults of its options.
///
/// # Errors
/// When the line or a setting is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, Refused> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let typed = Args::command().try_get_matches_from(&arguments).map_err(Refused::Line)?;
    let args = Args::from_arg_matches(&typed).map_err(Refused::Line)?;
    if args.settings.is_empty() && !Config::is_there() {
        return Ok(args);
    }
    let line = Args::command();
    let command = typed.subcommand_name().unwrap_or_default();
    if !super::KEYS.iter().any(|key| key.commands.contains(&command)) {
        // Such as `config`, which must work where the file is wrong. A setting on the line is read in any case.
        typed_settings(&line, &args.settings).map_err(Refused::Setting)?;
        return Ok(args);
    }
    let failed = |problem: Problem| {
        let code = commands::code_of_a_failure(&args.command);
        Refused::Setting(if code == exit::FAILURE { problem } else { problem.code(code) })
    };
    let (defaults, over) = defaults(&line, &args.settings, command).map_err(failed)?;
    if defaults.is_empty() {
        return Ok(args);
    }
    let mut line = line;
    for (key, value) in defaults {
        line = with_default(line, command, key, value, over.contains(&key.name));
    }
    let matches: ArgMatches = line.try_get_matches_from(&arguments).map_err(Refused::Line)?;
    Args::from_arg_matches(&matches).map_err(Refused::Line)
}

type Defaults = (Vec<(&'static Key, String)>, Vec<&'static str>);

/// The settings that matter to a command, and which of them were typed.
fn defaults(line: &Command, typed: &[String], command: &str) -> Result<Defaults, Problem> {
    let typed = typed_settings(line, typed)?;
    let file = Config::load(line)?;
    let over: Vec<&'static str> = typed.iter().map(|(key, _)| key.name).collect();
    let from_file = file.settings.into_iter().filter(|setting| !setting.key.own);
    let from_file = from_file.map(|setting| (setting.key, setting.value));
    // Later ones win.
    let all = from_file.chain(typed).filter(|(key, _)| key.commands.contains(&command));
    Ok((all.collect(), over))
}

fn with_default(line: Command, command: &str, key: &'static Key, value: String, typed: bool) -> Command {
    line.mut_subcommand(command, |command| {
        command.mut_arg(key.parts().1, |option| {
            // A variable of the environment is weaker than what was typed.
            let option = if typed { option.env(None::<&'static str>) } else { option };
            match option.get_action() {
                ArgAction::SetTrue => option.default_value(if value == "true" { "true" } else { "false" }),
                _ => option.default_value(value),
            }
        })
    })
}

/// The settings of `-c KEY=VALUE`.
///
/// # Errors
/// When one is wrong.
pub fn typed_settings(line: &Command, typed: &[String]) -> Result<Vec<(&'static Key, String)>, Problem> {
    let read = |text: &String| {
        let wrong = || Problem::usage(format!("`{}` is no setting", text.escape_debug())).hint("-c KEY=VALUE");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let key = Key::named(name)?;
        Ok((key, key.value(line, value)?))
    };
    typed.iter().map(read).collect()
}
