//! `capsule run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{RecordArgs, TracerArg};

/// What to do with processes that outlive the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LingerArg {
    /// Return after a short grace and let them go
    Auto,
    /// Return at once and let them go
    Detach,
    /// Record until the last one ended
    Wait,
    /// Kill them
    Kill,
}

/// Arguments of `capsule run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Record with ptrace and ebpf at once, and report every disagreement
    #[arg(long, value_enum, value_name = "TRACER")]
    pub witness: Option<TracerArg>,
    /// What to do with processes that outlive the command
    #[arg(long, value_enum, default_value_t = LingerArg::Auto)]
    pub linger: LingerArg,
    /// Keep what writing, truncating, renaming and deleting destroys, for `capsule undo`: contents as they are, secrets
    /// included. Records with ptrace
    #[arg(long)]
    pub snapshots: bool,
    /// The largest file that --snapshots keeps, in MiB; all contents of a session have at most 64 times that
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub snapshot_size: u32,
    /// Record execs that failed, too; under ebpf every system call then costs some nanoseconds
    #[arg(long)]
    pub failed_execs: bool,
    /// Allow a seccomp filter without privileges; set-user-id programs such as sudo then fail
    #[arg(long)]
    pub no_new_privs: bool,
    /// Run the command as this user; Capsule must be root, and the record stays root's
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// Show the live view meanwhile, for a command that needs no terminal: its stdin is empty, and its output is printed when
    /// the view is left
    #[arg(long)]
    pub live: bool,
    /// Run the command in this directory
    #[arg(short = 'C', long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// What is kept of it.
    #[command(flatten)]
    pub record: RecordArgs,
    /// How many MiB of captured records may wait before the command is slowed down
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub buffer: u32,
    /// Follow children: always so, accepted for those used to strace
    #[arg(short = 'f', hide = true)]
    pub follow: bool,
    /// The file to execute, where it is not what the command's first word finds.
    #[arg(skip)]
    pub program: Option<PathBuf>,
    /// The command and its arguments; options of `run` end here
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}
