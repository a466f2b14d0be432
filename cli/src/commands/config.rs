//! `capsule config`: shows and changes the user's settings.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use capsule_core::exit;
use clap::{Command, CommandFactory as _};
use serde::Serialize;

use crate::args::{Args, ConfigArgs, ConfigCommand};
use crate::config::{Config, KEYS, Key, file};
use crate::error::{Outcome, Problem};
use crate::output;

/// What a new file says.
const NEW: &str = "\
# Settings of Capsule: defaults of its options. `capsule config list` names them all.
#
# [run]
# tracer = \"auto\"
# [report]
# color = \"auto\"
# [prune]
# keep = \"30d\"
";

pub(super) fn exec(args: &ConfigArgs) -> Outcome {
    let line = Args::command();
    match &args.command {
        ConfigCommand::List { json } => list(&line, *json),
        ConfigCommand::Get { key } => get(&line, Key::named(key)?),
        ConfigCommand::Set { key, value } => {
            let key = Key::named(key)?;
            // As it was typed: `~/` stays.
            key.value(&line, value)?;
            file::change(&line, &path()?, key, Some(value))?;
            Ok(exit::OK)
        }
        ConfigCommand::Unset { key } => {
            let key = Key::named(key)?;
            let changed = file::change(&line, &path()?, key, None)?;
            if !changed {
                output::say(&format!("`{}` is not set in `{}`", key.name, path()?.display()));
            }
            Ok(if changed { exit::OK } else { exit::FAILURE })
        }
        ConfigCommand::Path => {
            let mut out = output::data();
            writeln!(out, "{}", path()?.display())?;
            out.flush()?;
            Ok(exit::OK)
        }
        ConfigCommand::Edit => edit(&line),
    }
}

fn path() -> Result<PathBuf, Problem> {
    file::path().ok_or_else(|| Problem::usage("there is no file of settings").hint("set HOME or CAPSULE_CONFIG"))
}

/// A setting and what holds for it.
#[derive(Serialize)]
struct Held {
    key: &'static str,
    value: Option<String>,
    /// A variable, the file with the line, or `default`.
    origin: Option<String>,
}

fn held(line: &Command, config: &Config, key: &'static Key) -> Held {
    let option = key.option(line);
    let variable = option.and_then(|option| option.get_env());
    let variable = variable.and_then(|name| Some((name, std::env::var(name).ok()?)));
    let default = || {
        let values = option.map(clap::Arg::get_default_values).unwrap_or_default();
        values.first().map(|value| value.to_string_lossy().into_owned())
    };
    let (value, origin) = match (variable, config.get(key), &config.path) {
        (Some((name, value)), _, _) => (Some(value), Some(format!("${}", name.display()))),
        (None, Some(setting), Some(path)) => {
            (Some(setting.value.clone()), Some(format!("{}:{}", path.display(), setting.line)))
        }
        _ => {
            let value = default();
            let origin = value.as_ref().map(|_| "default".to_owned());
            (value, origin)
        }
    };
    Held { key: key.name, value, origin }
}

fn list(line: &Command, json: bool) -> Outcome {
    let config = Config::load(line)?;
    let all: Vec<Held> = KEYS.iter().map(|key| held(line, &config, key)).collect();
    if json {
        output::json(&serde_json::json!({ "schema": "capsule.config/1", "path": config.path, "settings": all }))?;
        return Ok(exit::OK);
    }
    let mut out = output::data();
    for Held { key, value, origin } in all {
        let value = capsule_core::escape_terminal(value.unwrap_or_else(|| "-".to_owned()).as_bytes());
        writeln!(out, "{}", format!("{key:<20} {value:<12} {}", origin.unwrap_or_default()).trim_end())?;
    }
    out.flush()?;
    Ok(exit::OK)
}

fn get(line: &Command, key: &'static Key) -> Outcome {
    let Some(value) = held(line, &Config::load(line)?, key).value else { return Ok(exit::FAILURE) };
    let mut out = output::data();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(exit::OK)
}

/// `$VISUAL`, `$EDITOR`, else `vi`; with arguments of its own, as git takes it.
fn edit(line: &Command) -> Outcome {
    let path = path()?;
    if !path.exists() {
        file::write(&path, NEW).with_context(|| format!("could not write `{}`", path.display()))?;
    }
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg("sh").arg(&path);
    let status = command.status().context("could not start a shell for the editor")?;
    if !status.success() {
        return Err(Problem::from(anyhow::anyhow!("the editor `{editor}` ended with {status}")));
    }
    Config::load(line)?;
    Ok(exit::OK)
}
