//! `capsule classify` and `capsule rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `capsule classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// JSON lines `{"id", "argv", "cwd", "context"}`; `-` or nothing: stdin
    pub file: Option<PathBuf>,
    /// More classification rules (TOML); may be repeated
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
}

/// Arguments of `capsule rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// More classification rules (TOML); may be repeated
    #[arg(long, value_name = "FILE", global = true)]
    pub rules: Vec<PathBuf>,
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
    /// Check the embedded rules, your own, and the files named here
    Check {
        /// Rule files
        files: Vec<PathBuf>,
    },
    /// Say what a rule finds and why it matters
    Explain {
        /// The rule's name
        rule: String,
    },
    /// Judge one command, as if it had run
    Test {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<std::ffi::OsString>,
    },
}
