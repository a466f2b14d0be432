//! The commands that read sessions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::RuleArgs;
use super::complete::sessions;

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, on a terminal
    Human,
    /// For models: AISynthesis, within a token budget
    Ai,
    /// For programs: everything
    Json,
    /// For a pull request or an issue: short
    Markdown,
    /// For a browser: one self-contained page
    Html,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Arguments of `capsule report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// In which form
    #[arg(short, long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Columns to fit into; the terminal's by default, `COLUMNS` or 100 elsewhere
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(20..))]
    pub width: Option<u16>,
    /// Show the tree down to this depth
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,
    /// Show wrappers, helpers and repeats too
    #[arg(short, long)]
    pub all: bool,
    /// Report on this process and what it started only (its number in the session)
    #[arg(long, value_name = "N")]
    pub proc: Option<u32>,
    /// Show only processes whose command has this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Token budget of the `ai` form
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub max_tokens: u32,
    /// Render by a template of your own (minijinja); `--format` says for which medium
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// Leave the user's name out
    #[arg(long)]
    pub no_user: bool,
    /// Leave the machine's name out
    #[arg(long)]
    pub no_host: bool,
}

/// Arguments of `capsule why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// A path, a host (with or without :PORT), a pid, or proc:N for a process's number in the session
    #[arg(value_name = "PATH|HOST|PID")]
    pub question: String,
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `capsule undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// Only what this process and what it started changed (its number in the session)
    #[arg(long, value_name = "N", conflicts_with = "redo")]
    pub proc: Option<u32>,
    /// Only this file, or what is below this directory
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Take the last undo of the session back
    #[arg(long)]
    pub redo: bool,
    /// Change files that are different since, too; what is replaced is kept in any case
    #[arg(long)]
    pub force: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `capsule diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier session
    #[arg(add = sessions())]
    pub before: String,
    /// The later session
    #[arg(default_value = "latest", add = sessions())]
    pub after: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 when there is a difference of this kind: new-risk, new-host, new-program, new-path
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub fail_on: Vec<String>,
}

/// Arguments of `capsule export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// The form that is made to be handed to a model
    #[arg(long, required = true)]
    pub ai_ready: bool,
    /// Token budget
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub max_tokens: u32,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `capsule list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// At most this many
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Arguments of `capsule verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The verification key: the session must be sealed with its pair
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A public key: its holder must have signed the session
    #[arg(long, value_name = "FILE")]
    pub signed_by: Option<PathBuf>,
}

/// Arguments of `capsule key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Make a pair for sealing: the sealing key evolves and stays here, the verification key goes elsewhere
    New {
        /// Where the sealing key goes; a new file
        sealing: PathBuf,
        /// Where the verification key goes; a new file, to be kept on another machine
        verification: PathBuf,
    },
    /// Make an Ed25519 pair for signing
    Sign {
        /// Where the private key goes (PEM); a new file
        private: PathBuf,
        /// Where the public key goes (PEM); a new file
        public: PathBuf,
    },
}

/// Arguments of `capsule prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Sessions older than this go: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = super::length::length)]
    pub keep: Option<Duration>,
    /// At most so many sessions stay
    #[arg(long, value_name = "N")]
    pub max_sessions: Option<usize>,
    /// At most so many MiB stay, the newest sessions first
    #[arg(long, value_name = "MIB")]
    pub max_size: Option<u64>,
    /// Say what would go, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Whose recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// Output of `strace -f -o FILE`, best with `-ttt -s 65536`
    Strace,
    /// A session's raw.jsonl
    Capsule,
}

/// Arguments of `capsule import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Whose recording it is
    #[arg(long, value_enum)]
    pub from: ImportFrom,
    /// The file, `-` for stdin
    pub file: PathBuf,
    /// More rules.
    #[command(flatten)]
    pub more: RuleArgs,
    /// Keep secrets as they are
    #[arg(long)]
    pub keep_secrets: bool,
    /// Say nothing at the end
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `capsule doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `capsule schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what; without it, the names there are
    pub name: Option<String>,
}

/// Arguments of `capsule man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `capsule completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: clap_complete::Shell,
}
