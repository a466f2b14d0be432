//! What `run` and `attach` have in common: how it is watched, and how the session is kept.

use std::ffi::OsString;
use std::path::PathBuf;

use capsule_core::Backend;
use capsule_trace::EffectLevel;
use clap::{Args, ValueEnum};

use super::RuleArgs;

/// Which tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TracerArg {
    /// The best that works here
    Auto,
    /// Built in, no privileges needed
    Ptrace,
    /// Kernel programs, needs privileges
    Ebpf,
    /// The strace program
    Strace,
    /// eslogger of macOS 13 and newer, needs root
    Eslogger,
    /// dtrace of macOS, needs root
    Dtrace,
}

impl TracerArg {
    /// The backend of that name; `None` for whichever is best here.
    pub const fn backend(self) -> Option<Backend> {
        match self {
            Self::Auto => None,
            Self::Ptrace => Some(Backend::Ptrace),
            Self::Ebpf => Some(Backend::Ebpf),
            Self::Strace => Some(Backend::Strace),
            Self::Eslogger => Some(Backend::Eslogger),
            Self::Dtrace => Some(Backend::Dtrace),
        }
    }
}

/// Which effects to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EffectsArg {
    /// None: processes only
    Off,
    /// What changes something: files, connections, privileges
    Writes,
    /// Reads too
    All,
}

impl EffectsArg {
    /// The same as the tracer is told it.
    pub const fn level(self) -> EffectLevel {
        match self {
            Self::Off => EffectLevel::Off,
            Self::Writes => EffectLevel::Writes,
            Self::All => EffectLevel::All,
        }
    }
}

/// How a live session is watched and kept.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// How to watch
    #[arg(long, value_enum, default_value_t = TracerArg::Auto, env = "CAPSULE_TRACER")]
    pub tracer: TracerArg,
    /// Which effects to record: files, connections, privileges [default: writes under ebpf, else off, and `run` compares the
    /// work tree before and after]
    #[arg(long, value_enum)]
    pub effects: Option<EffectsArg>,
    /// Seal every second with this evolving key (made by `capsule key new`)
    #[arg(long, value_name = "FILE", env = "CAPSULE_KEY")]
    pub key: Option<PathBuf>,
    /// Sign the sealed session with this Ed25519 key (made by `capsule key sign`)
    #[arg(long, value_name = "FILE")]
    pub sign: Option<PathBuf>,
    /// Say nothing about the recording
    #[arg(short, long)]
    pub quiet: bool,
    /// Keep secrets in arguments and environment as they are
    #[arg(long)]
    pub keep_secrets: bool,
    /// Run CMD (by sh) for each finding of this severity or worse: low, medium, high, critical; it gets the finding as JSON
    /// on stdin
    #[arg(long, num_args = 2, value_names = ["LEVEL", "CMD"])]
    pub on_risk: Vec<OsString>,
    /// More rules.
    #[command(flatten)]
    pub more: RuleArgs,
}
