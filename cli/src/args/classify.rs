//! `capsule classify`.

use std::path::PathBuf;

use clap::Args;

use super::RuleArgs;

/// Arguments of `capsule classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// JSON lines `{"id", "argv", "cwd", "context"}`; `-` or nothing: stdin
    pub file: Option<PathBuf>,
    /// More rules.
    #[command(flatten)]
    pub more: RuleArgs,
}
