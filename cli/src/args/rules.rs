//! Which rules of classification hold, and `capsule rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What is added to the embedded rules, the user's own, and the project's.
#[derive(Debug, Clone, Default, Args)]
pub struct RuleArgs {
    /// More classification rules: a TOML file, or a directory of them; may be repeated
    #[arg(long, value_name = "FILE", global = true)]
    pub rules: Vec<PathBuf>,
    /// Sigma rules about processes on Linux: a YAML file, or a directory of them; may be repeated
    #[arg(long, value_name = "DIR", global = true)]
    pub sigma: Vec<PathBuf>,
}

/// Arguments of `capsule rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// More rules.
    #[command(flatten)]
    pub more: RuleArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// List every rule that judges risk
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the embedded rules, your own, the project's, and the files named here
    Check {
        /// Rule files
        files: Vec<PathBuf>,
    },
    /// Say what a rule finds and why it matters
    Explain {
        /// The rule's name
        rule: String,
        /// Show how it is written
        #[arg(long)]
        toml: bool,
    },
    /// Judge the commands in files of tests, and say which come out otherwise than the file expects
    ///
    /// A file has [[test]] tables: `command` (for a shell) or `argv`, then any of label, workflow, severity, at-least, at-most,
    /// findings and without. docs/classification.md has an example. Exit code 1: not all came out as expected.
    Test {
        /// Files of tests (TOML)
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Judge one command, as if it had run
    Try {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<std::ffi::OsString>,
    },
    /// Let the rules of a project hold, as they are now
    ///
    /// A project's rules are the *.toml files in its .capsule/rules.d. They may silence findings, so none of them is read before
    /// you say so, nor after they changed.
    Trust {
        /// The project's directory
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    /// No longer let the rules of a project hold
    Distrust {
        /// The project's directory
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
}
