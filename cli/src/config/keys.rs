//! Which settings there are. A setting is the default of one option, or of the same option of several commands: what it may be
//! is what the option may be, so this table and the command line cannot disagree.

use std::any::TypeId;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};
use toml_edit::Value;

use crate::error::Problem;

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, `table.key`.
    pub name: &'static str,
    /// The commands whose option it is the default of; the option is the name's second part.
    pub commands: &'static [&'static str],
    /// Whether the command reads it from the file itself, because it matters to it who said so.
    pub own: bool,
}

const fn key(name: &'static str, commands: &'static [&'static str]) -> Key {
    Key { name, commands, own: false }
}

const fn own(name: &'static str, commands: &'static [&'static str]) -> Key {
    Key { name, commands, own: true }
}

/// All settings. What would leave more in a session than was asked for (`--keep-secrets`) is none of them.
pub const KEYS: &[Key] = &[
    key("run.tracer", &["run", "attach"]),
    key("run.effects", &["run", "attach"]),
    key("run.snapshots", &["run"]),
    key("run.snapshot_size", &["run"]),
    key("run.linger", &["run"]),
    key("run.failed_execs", &["run"]),
    key("run.buffer", &["run"]),
    key("run.key", &["run", "attach"]),
    key("run.sign", &["run", "attach"]),
    key("run.quiet", &["run", "attach"]),
    key("report.format", &["report"]),
    key("report.color", &["report", "explain"]),
    key("report.width", &["report"]),
    key("report.depth", &["report"]),
    key("report.all", &["report"]),
    key("report.max_tokens", &["report", "export"]),
    key("report.no_user", &["report"]),
    key("report.no_host", &["report"]),
    own("chat.provider", &["chat"]),
    own("chat.model", &["chat"]),
    own("chat.base_url", &["chat"]),
    own("chat.key_env", &["chat"]),
    key("chat.timeout", &["chat"]),
    key("prune.keep", &["prune"]),
    key("prune.max_sessions", &["prune"]),
    key("prune.max_size", &["prune"]),
];

impl Key {
    /// The setting of this name.
    ///
    /// # Errors
    /// When there is none, with the one that may have been meant.
    pub fn named(name: &str) -> Result<&'static Self, Problem> {
        let found = KEYS.iter().find(|key| key.name == name);
        found.ok_or_else(|| {
            let near = KEYS.iter().map(|key| (strsim::jaro_winkler(name, key.name), key.name));
            let near = near.filter(|(near, _)| *near > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = near.map_or_else(
                || "capsule config list shows the settings there are".to_owned(),
                |(_, near)| format!("did you mean `{near}`?"),
            );
            Problem::usage(format!("there is no setting `{}`", name.escape_debug())).hint(hint)
        })
    }

    /// Its table and its name there; the latter names the option too.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// The option that it is the default of, in its first command.
    #[must_use]
    pub fn option<'a>(&self, line: &'a Command) -> Option<&'a Arg> {
        let command = line.find_subcommand(self.commands.first()?)?;
        command.get_arguments().find(|arg| arg.get_id() == self.parts().1)
    }

    /// The value that a text stands for, as the option itself reads it.
    ///
    /// # Errors
    /// When the option would refuse it.
    pub fn value(&self, line: &Command, text: &str) -> Result<String, Problem> {
        let wrong =
            |why: &str| Problem::usage(format!("`{}` is no value for `{}`{why}", text.escape_debug(), self.name));
        let Some(option) = self.option(line) else { return Err(Problem::usage("this setting has no option")) };
        if matches!(option.get_action(), ArgAction::SetTrue) {
            let is = matches!(text, "true" | "false");
            return if is { Ok(text.to_owned()) } else { Err(wrong("").hint("it is true or false")) };
        }
        let text = if option.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
            absolute(text).ok_or_else(|| wrong("").hint("a file is named by its whole path, or from ~/"))?
        } else {
            text.to_owned()
        };
        let id = option.get_id().to_string();
        let alone = Arg::new("value").value_parser(option.get_value_parser().clone()).allow_hyphen_values(true);
        let parsed =
            Command::new("config").no_binary_name(true).arg(alone.required(true)).try_get_matches_from([&text]);
        match parsed {
            Ok(_) if !text.is_empty() => Ok(text),
            Ok(_) => Err(wrong("")),
            Err(error) => {
                use std::error::Error as _;
                let possible: Vec<String> =
                    option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
                let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
                let problem = wrong(&why);
                Err(match possible.as_slice() {
                    [] => problem.hint(format!("it is the default of --{}", id.replace('_', "-"))),
                    some => problem.hint(format!("it is one of {}", some.join(", "))),
                })
            }
        }
    }

    /// How a value is written in the file.
    #[must_use]
    pub fn toml(&self, line: &Command, value: &str) -> Value {
        let option = self.option(line);
        let flag = option.is_some_and(|option| matches!(option.get_action(), ArgAction::SetTrue));
        let kind = option.map(|option| option.get_value_parser().type_id());
        let numbers = [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
        match (flag, value.parse::<i64>()) {
            (true, _) => Value::from(value == "true"),
            (false, Ok(number)) if kind.is_some_and(|kind| numbers.iter().any(|is| kind == *is)) => Value::from(number),
            _ => Value::from(value),
        }
    }
}

/// A path that means the same wherever Capsule is started.
fn absolute(text: &str) -> Option<String> {
    if text.starts_with('/') {
        return Some(text.to_owned());
    }
    let home = std::env::var("HOME").ok().filter(|home| home.starts_with('/'))?;
    Some(format!("{home}/{}", text.strip_prefix("~/")?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Args;

    #[test]
    fn every_setting_is_the_default_of_an_option_of_each_of_its_commands() {
        let line = Args::command();
        for key in KEYS {
            for command in key.commands {
                let command = line.find_subcommand(command).unwrap();
                assert!(command.get_arguments().any(|arg| arg.get_id() == key.parts().1), "{} {command}", key.name);
            }
        }
    }

    #[test]
    fn values_are_what_the_option_takes() {
        let line = Args::command();
        let value = |key: &str, text: &str| Key::named(key).unwrap().value(&line, text);
        for (key, text) in [
            ("run.tracer", "ptrace"),
            ("run.quiet", "false"),
            ("run.buffer", "128"),
            ("run.key", "/k"),
            ("prune.keep", "30d"),
            ("report.max_tokens", "4000"),
        ] {
            assert_eq!(value(key, text).unwrap(), text);
        }
        for (key, text, hint) in [
            ("run.tracer", "gdb", "auto, ptrace, ebpf, strace"),
            ("run.quiet", "yes", "true or false"),
            ("run.buffer", "0", "--buffer"),
            ("run.buffer", "-1", "--buffer"),
            ("run.key", "seal.key", "whole path"),
            ("run.key", "", "whole path"),
            ("prune.keep", "30", "--keep"),
            ("report.max_tokens", "1", "--max-tokens"),
        ] {
            let problem = value(key, text).unwrap_err();
            assert!(problem.hint.as_deref().unwrap().contains(hint), "{key}: {problem:?}");
        }
    }

    #[test]
    fn a_setting_that_is_not_there_names_the_one_that_was_meant() {
        assert_eq!(Key::named("run.tracr").unwrap_err().hint.as_deref(), Some("did you mean `run.tracer`?"));
        assert!(Key::named("x").unwrap_err().hint.unwrap().contains("config list"));
        assert!(Key::named("run.keep_secrets").is_err(), "that is asked for each time");
    }
}
