//! The command line. Types here say what was typed; commands work out what it means.

mod ask;
mod classify;
pub mod complete;
mod config;
mod length;
mod live;
mod read;
mod record;
mod rules;
mod run;

use clap::{Parser, Subcommand};

pub use ask::{ChatArgs, ExplainArgs, McpArgs};
pub use classify::ClassifyArgs;
pub use config::{ConfigArgs, ConfigCommand};
pub use live::{AttachArgs, ShimArgs, ShimCommand, ShimExecArgs, TailArgs, WatchArgs};
pub use read::{
    Color, CompletionsArgs, DiffArgs, DoctorArgs, ExportArgs, Format, ImportArgs, ImportFrom, KeyArgs, KeyCommand,
    ListArgs, ManArgs, PruneArgs, ReportArgs, SchemaArgs, UndoArgs, VerifyArgs, WhyArgs,
};
pub use record::{EffectsArg, RecordArgs, TracerArg};
pub use rules::{RuleArgs, RulesArgs, RulesCommand};
pub use run::{LingerArg, RunArgs};

/// Records what an AI agent, or any command, really does on this machine.
#[derive(Debug, Parser)]
#[command(name = "capsule", version, about, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Sessions live in $CAPSULE_HOME/runs, or ~/.capsule/runs. SESSION is an id, the unique beginning of one, `latest`, or \
`@{-N}` for the Nth before the latest. Settings are in $XDG_CONFIG_HOME/capsule/config.toml: see `capsule config`.

Exit codes: run: the command's own, or 128+n for a signal; 125 Capsule failed, 126 cannot execute, 127 not found.
verify: 0 whole, 1 could not check, 2 usage, 3 tampered, 4 unsealed or torn. Others: 0 well, 1 failed, 2 usage.")]
pub struct Args {
    /// Use this setting for once, whatever the configuration file says; may be repeated
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command and record every process of its tree
    Run(RunArgs),
    /// Record a process that runs already, with its descendants, and let it go at Ctrl-C
    Attach(AttachArgs),
    /// Record every run of a program, by a wrapper that comes first on PATH
    Shim(ShimArgs),
    /// Show what happened in a session
    Report(ReportArgs),
    /// Say who changed a file, contacted a host or ran as a process, and for whom
    Why(WhyArgs),
    /// Take back what a session changed in files, after saying what (needs run --snapshots)
    Undo(UndoArgs),
    /// Answer the standard questions about a session in plain words, without any model
    Explain(ExplainArgs),
    /// Talk with a model of your choice about a session
    Chat(ChatArgs),
    /// Serve sessions to a model's client: Model Context Protocol over stdin and stdout
    Mcp(McpArgs),
    /// Hand a session to another program or to a model
    Export(ExportArgs),
    /// Compare two sessions: what is new, what is gone
    Diff(DiffArgs),
    /// List sessions, the latest first
    List(ListArgs),
    /// Watch a session on this terminal: while it runs, and at any moment of it
    Watch(WatchArgs),
    /// Print a session's events as they come, one line each
    Tail(TailArgs),
    /// Check that nobody touched a session
    Verify(VerifyArgs),
    /// Make keys for sealing and signing
    Key(KeyArgs),
    /// Remove old sessions, after saying which
    Prune(PruneArgs),
    /// Make a session from a recording of another tool
    Import(ImportArgs),
    /// Judge commands given as JSON lines
    Classify(ClassifyArgs),
    /// List, check and explain classification rules
    Rules(RulesArgs),
    /// Say what works on this machine, and what to do about what does not
    Doctor(DoctorArgs),
    /// Print the JSON Schema of a record or report
    Schema(SchemaArgs),
    /// Show and change the settings of the configuration file
    Config(ConfigArgs),
    /// Print the manual page, or write one for each command
    Man(ManArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// What a recording asks of a process of its own: how a work tree differs from a commit; JSON in and out
    #[command(hide = true)]
    GitView,
}
