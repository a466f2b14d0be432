//! The commands that watch a session while it runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::RecordArgs;
use super::complete::{sessions, shims};

/// Arguments of `capsule tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Which session; the newest that runs by default, else the latest
    #[arg(add = sessions())]
    pub session: Option<String>,
    /// One JSON object a line: the record with its `stream`, and for events `proc`, `parent` and `depth`
    #[arg(long)]
    pub json: bool,
    /// Of the records that are there already, only the last N
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// End where the session has got to, instead of following it to its end
    #[arg(long)]
    pub no_follow: bool,
}

/// Arguments of `capsule watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Which session; the newest that runs by default, else the latest
    #[arg(add = sessions())]
    pub session: Option<String>,
}

/// Arguments of `capsule attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The process
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// Let it go after this time: 30s, 10m, 2h; otherwise at its end, or at Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = super::length::length)]
    pub until: Option<Duration>,
    /// What is kept of it.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Arguments of `capsule shim`.
#[derive(Debug, Args)]
pub struct ShimArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ShimCommand,
}

/// What to do with shims.
#[derive(Debug, Subcommand)]
pub enum ShimCommand {
    /// Make a wrapper that records every run of a program
    Install {
        /// The program's name on PATH
        name: String,
        /// Where the wrapper goes; $CAPSULE_HOME/bin by default
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Remove a wrapper
    Remove {
        /// The program's name
        #[arg(add = shims())]
        name: String,
        /// Where the wrapper is
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// List the wrappers there are, and what each records
    List {
        /// Where the wrappers are
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// What a wrapper runs
    #[command(hide = true)]
    Exec(ShimExecArgs),
}

/// What a shim hands over.
#[derive(Debug, Args)]
pub struct ShimExecArgs {
    /// The program's name
    pub name: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}
