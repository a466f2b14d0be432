//! `capsule attach`: records a process that runs already. It is let go at Ctrl-C, and never killed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use capsule_core::{Backend, Pid, exit};
use capsule_enrich::system;
use capsule_trace::{DEFAULT_BUFFER_BYTES, Launch, Linger, TraceOptions};

use super::run::{exit_code, signing_key, summary, trace_problem};
use crate::args::AttachArgs;
use crate::error::{Outcome, Problem};
use crate::recording::{Attach, Recording, record};

pub(super) fn exec(args: AttachArgs) -> Outcome {
    let quiet = args.quiet;
    let recording = prepare(args).map_err(|problem| problem.code(exit::CAPSULE_FAILED))?;
    let runtime = super::runtime()?;
    let finished = runtime.block_on(record(recording)).map_err(|problem| problem.code(exit::CAPSULE_FAILED))?;
    if !quiet {
        summary(&finished);
    }
    // A process that was let go lives: there is no status but that all went well.
    let lives = finished.failure.is_none() && finished.outcome.as_ref().is_ok_and(|outcome| outcome.root.is_none());
    if lives { Ok(exit::OK) } else { exit_code(finished) }
}

fn prepare(args: AttachArgs) -> Result<Recording, Problem> {
    let after = args.until.as_deref().map(time).transpose()?;
    let rules = super::deferred_rules(&args.rules)?;
    let choice = capsule_trace::choose(Some(Backend::Ptrace)).map_err(trace_problem)?;
    let options = TraceOptions { linger: Linger::Detach, ..TraceOptions::default() };
    let tracer = capsule_trace::open(choice.backend, options).map_err(trace_problem)?;
    let pid = args.pid;
    let Ok(arguments) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return Err(Problem::usage(format!("there is no process {pid}")));
    };
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
    let mut launch = Launch::new(arguments.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())));
    // Another user's directory is not ours to know; the records say so.
    launch.cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
    Ok(Recording {
        tracer,
        because: format!("attached to process {pid}, which ran already"),
        launch,
        attach: Some(Attach { pid: Pid(pid), after }),
        rules,
        procs: system(),
        keep_secrets: args.keep_secrets,
        reads: false,
        compare: false,
        buffer: DEFAULT_BUFFER_BYTES,
        forward_signals: false,
        imported: None,
        key: args.key,
        sign: args.sign.as_deref().map(signing_key).transpose()?,
        alone: None,
    })
}

/// A length of time like `30s`, `10m`, `2h`.
fn time(text: &str) -> Result<Duration, Problem> {
    let wrong =
        || Problem::usage(format!("`{}` is no time", text.escape_debug())).hint("a time is like 30s, 10m or 2h");
    let unit = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}
