//! What `run` and `attach` have in common: how a session is kept.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// How a live session is kept.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Seal every second with this evolving key (made by `capsule key new`)
    #[arg(long, value_name = "FILE", env = "CAPSULE_KEY")]
    pub key: Option<PathBuf>,
    /// Sign the sealed session with this Ed25519 key (made by `capsule key sign`)
    #[arg(long, value_name = "FILE")]
    pub sign: Option<PathBuf>,
    /// Say nothing at the end
    #[arg(short, long)]
    pub quiet: bool,
    /// Keep secrets in arguments and environment as they are
    #[arg(long)]
    pub keep_secrets: bool,
    /// Run CMD (by sh) for each finding of this severity or worse: low, medium, high, critical; it gets the finding as JSON
    /// on stdin
    #[arg(long, num_args = 2, value_names = ["LEVEL", "CMD"])]
    pub on_risk: Vec<OsString>,
    /// More classification rules (TOML); may be repeated
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
}
