//! `capsule attach`: records a process that runs already. It is let go at Ctrl-C, and never killed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use capsule_core::{Pid, exit};
use capsule_enrich::system;
use capsule_trace::{DEFAULT_BUFFER_BYTES, EffectLevel, Launch, Linger, TraceOptions};

use super::run::{effects_of, exit_code, signing_key, summary, trace_problem, what_records};
use crate::args::AttachArgs;
use crate::attached::Attach;
use crate::error::{Outcome, Problem};
use crate::on_risk::OnRisk;
use crate::recording::{Recording, record};

pub(super) fn exec(args: AttachArgs) -> Outcome {
    let quiet = args.record.quiet;
    let recording = prepare(args).map_err(|problem| problem.code(exit::CAPSULE_FAILED))?;
    let runtime = super::recorder()?;
    let mut finished = runtime.block_on(record(recording)).map_err(|problem| problem.code(exit::CAPSULE_FAILED))?;
    if let Some(on_risk) = finished.on_risk.take() {
        on_risk.finish();
    }
    if !quiet {
        summary(&finished);
    }
    // A process that was let go lives: there is no status but that all went well.
    let lives = finished.failure.is_none() && finished.outcome.as_ref().is_ok_and(|outcome| outcome.root.is_none());
    if lives { Ok(exit::OK) } else { exit_code(finished) }
}

fn prepare(args: AttachArgs) -> Result<Recording, Problem> {
    let records = what_records(&args.record, false);
    let recorders = records.pids.clone();
    let rules = crate::rules::deferred(&args.record.more, Some(records))?;
    let choice = capsule_trace::choose(args.record.tracer.backend()).map_err(trace_problem)?;
    let effects = effects_of(&args.record, choice.backend, false);
    let options = TraceOptions { linger: Linger::Detach, effects, recorders, ..TraceOptions::default() };
    let tracer = capsule_trace::open(choice.backend, options).map_err(trace_problem)?;
    let pid = args.pid;
    let on_risk = OnRisk::new(args.record.on_risk)?;
    // What is refused leaves no session behind.
    if Path::new(&format!("/proc/{pid}")).exists() {
        tracer.may_attach(Pid(pid)).map_err(trace_problem)?;
    }
    let Ok(arguments) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return Err(Problem::usage(format!("there is no process {pid}")));
    };
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
    let mut launch = Launch::new(arguments.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())));
    // Another user's directory is not ours to know; the records say so.
    launch.cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
    Ok(Recording {
        tracer,
        because: format!("{}; attached to process {pid}, which ran already", choice.because),
        launch,
        attach: Some(Attach { pid: Pid(pid), after: args.until, quiet: args.record.quiet }),
        rules,
        procs: system(),
        keep_secrets: args.record.keep_secrets,
        reads: effects == EffectLevel::All,
        compare: false,
        snapshots: None,
        buffer: DEFAULT_BUFFER_BYTES,
        forward_signals: false,
        imported: None,
        key: args.record.key,
        sign: args.record.sign.as_deref().map(signing_key).transpose()?,
        on_risk,
        begun: None,
        alone: None,
    })
}
