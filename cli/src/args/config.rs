//! `capsule config`.

use clap::{Args, Subcommand};

use super::complete::settings;

/// Arguments of `capsule config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List every setting: its value, and where that comes from
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the value that holds for a setting; exit with 1 where there is none
    Get {
        /// The setting, like run.tracer
        #[arg(add = settings())]
        key: String,
    },
    /// Write a setting to the file; the rest of the file stays as it is
    Set {
        /// The setting, like run.tracer
        #[arg(add = settings())]
        key: String,
        /// Its value
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a setting from the file
    Unset {
        /// The setting, like run.tracer
        #[arg(add = settings())]
        key: String,
    },
    /// Print where the file is, or would be
    Path,
    /// Open the file in $VISUAL or $EDITOR, then check it
    Edit,
}
