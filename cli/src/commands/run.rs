//! `capsule run`: records a command, and ends as the command ended.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use capsule_classify::{CommandContext, Input, Rules, classify};
use capsule_core::{Backend, Label, Pid, SessionStatus, Severity, escape_terminal, exit};
use capsule_enrich::system;
use capsule_io::{SigningKey, Store};
use capsule_trace::handoff::{self, Part, Recorder};
use capsule_trace::{EffectLevel, Keeper, Launch, Linger, StayWith, TraceOptions, User};

use crate::args::{EffectsArg, LingerArg, RecordArgs, RunArgs, TracerArg};
use crate::error::{Outcome, Problem};
use crate::live::Live;
use crate::on_risk::OnRisk;
use crate::output;
use crate::recording::{Finished, GoOnAlone, Recording, record};

/// How long after the command's end the terminal is given back: longer than descendants are waited for before they are
/// let go, so that it is given back early only where the recording goes on.
const TERMINAL_BACK: Duration = Duration::from_millis(1500);
/// How many times the largest content all of them may have.
const SNAPSHOTS_IN_ALL: u64 = 64;

pub(super) fn exec(args: RunArgs) -> Outcome {
    let quiet = args.record.quiet;
    if args.live {
        return live(args);
    }
    // First: a process with threads cannot be parted.
    let recorder = match args.linger {
        LingerArg::Auto => match handoff::part() {
            Ok(Part::Waiter(code)) => return Ok(code),
            Ok(Part::Bereft { recorder, signal, left }) => return Ok(bereft(recorder, signal, left)),
            Ok(Part::Recorder(recorder)) => Some(recorder),
            // Then the terminal waits for the whole recording, as with the other choices.
            Err(_refused) => None,
        },
        LingerArg::Detach | LingerArg::Wait | LingerArg::Kill => None,
    };
    let recording = prepare(args, recorder).map_err(|problem| problem.code(exit::CAPSULE_FAILED))?;
    let runtime = super::recorder()?;
    let finished = runtime.block_on(record(recording)).map_err(|problem| problem.code(exit::CAPSULE_FAILED))?;
    finish(finished, quiet)
}

/// The recorder was killed: says so on the terminal and in the session, and gives the exit code.
fn bereft(recorder: Pid, signal: i32, left: Option<OwnedFd>) -> u8 {
    let mut said = format!("killed by signal {signal}");
    if let Some(killer) = left.and_then(|left| capsule_trace::killer(left, recorder, signal)) {
        // It may have ended meanwhile; the session knows what it executed.
        let name = std::fs::read(format!("/proc/{killer}/comm")).unwrap_or_default();
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        let name = if name.is_empty() { String::new() } else { format!(" ({})", escape_terminal(name)) };
        said.push_str(&format!(" of process {killer}{name} of the command's tree"));
    }
    output::say(&format!(
        "error: Capsule itself was {said} while it recorded: the command may run on unrecorded, and its session is not sealed"
    ));
    match Store::open().and_then(|store| store.recorder_gone(recorder, &said)) {
        Ok(Some(id)) => output::say(&format!("capsule report {id} shows what was recorded until then")),
        Ok(None) => output::say("no session of it is left"),
        Err(error) => output::say(&format!("its session could not be told: {}", crate::error::chain(&error))),
    }
    u8::try_from(i32::from(exit::SIGNAL_BASE) + signal).unwrap_or(exit::CAPSULE_FAILED)
}

/// Records with the live view around the command. Nobody parts from the terminal, which is the view's.
fn live(args: RunArgs) -> Outcome {
    let failed = |problem: Problem| problem.code(exit::CAPSULE_FAILED);
    let quiet = args.record.quiet;
    let mut recording = prepare(args, None).map_err(failed)?;
    let live = Live::begin().map_err(failed)?;
    let (tell, view) = live.show()?;
    recording.begun = Some(tell);
    let recorded = super::recorder().and_then(|runtime| runtime.block_on(record(recording)).map_err(failed));
    // The user may look at the whole of it for as long as he likes.
    let seen = view.join();
    live.end()?;
    match seen {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => output::problem(&problem),
        Err(_panic) => output::say("the view panicked; the recording is not affected"),
    }
    finish(recorded?, quiet)
}

fn finish(mut finished: Finished, quiet: bool) -> Outcome {
    if let Some(on_risk) = finished.on_risk.take() {
        on_risk.finish();
    }
    if !quiet {
        summary(&finished);
    }
    exit_code(finished)
}

fn prepare(args: RunArgs, recorder: Option<Recorder>) -> Result<Recording, Problem> {
    let (mut wanted, second) = tracers(args.record.tracer, args.witness)?;
    let keeper = keeper(&args, &mut wanted)?;
    let records = what_records(&args.record, recorder.is_some());
    let recorders = records.pids.clone();
    let rules = crate::rules::deferred(&args.record.more, Some(records))?;
    let choice = capsule_trace::choose(wanted).map_err(trace_problem)?;
    let effects = match effects_of(&args.record, choice.backend, second) {
        EffectLevel::Off if keeper.is_some() => EffectLevel::Writes,
        other => other,
    };
    let options = TraceOptions {
        linger: match args.linger {
            LingerArg::Auto => Linger::Auto,
            LingerArg::Detach => Linger::Detach,
            LingerArg::Wait => Linger::Wait,
            LingerArg::Kill => Linger::Kill,
        },
        grace: if args.linger == LingerArg::Detach { Duration::ZERO } else { TraceOptions::default().grace },
        effects,
        // The hook that sees effects sees them anyway.
        failed_execs: Some(args.failed_execs || effects != EffectLevel::Off),
        no_new_privs: args.no_new_privs,
        stay_with: Some(agents_daemons()),
        recorders,
        snapshots: keeper.clone(),
        ..TraceOptions::default()
    };
    let mut tracer = capsule_trace::open(choice.backend, options).map_err(trace_problem)?;
    let mut because = choice.because;
    if keeper.is_some() && args.record.tracer == TracerArg::Auto {
        because = "--snapshots needs calls to stop before they are done".to_owned();
    }
    if second {
        tracer = capsule_trace::witnessed(tracer).map_err(trace_problem)?;
        because.push_str(", with ebpf as the witness");
    }
    let sign = args.record.sign.as_deref().map(signing_key).transpose()?;
    let on_risk = OnRisk::new(args.record.on_risk)?;
    let mut launch = Launch::new(args.command);
    launch.program = args.program;
    launch.user = args.user.as_deref().map(user).transpose()?;
    launch.cwd = args.cwd.map(|cwd| std::path::absolute(&cwd).unwrap_or(cwd));
    Ok(Recording {
        tracer,
        because,
        launch,
        attach: None,
        rules,
        procs: system(),
        keep_secrets: args.record.keep_secrets,
        snapshots: keeper,
        reads: effects == EffectLevel::All,
        compare: effects == EffectLevel::Off && args.record.effects.is_none(),
        buffer: args.buffer as usize * (1 << 20),
        forward_signals: true,
        imported: None,
        key: args.record.key,
        sign,
        on_risk,
        begun: None,
        alone: recorder.map(|recorder| GoOnAlone { recorder, after: TERMINAL_BACK, quiet: args.record.quiet }),
    })
}

/// Which effects are recorded: those asked for, else what the backend can see at little cost.
///
/// eBPF sees what changes something at next to no cost. A filter of ptrace's would end the programs with Capsule, keep the
/// terminal until the last of them has ended, and without privileges break sudo: nothing to begin unasked.
pub(super) fn effects_of(record: &RecordArgs, backend: Backend, witnessed: bool) -> EffectLevel {
    match (record.effects, backend) {
        (Some(wanted), _) => wanted.level(),
        (None, Backend::Ebpf) if !witnessed => EffectLevel::Writes,
        (None, _) => EffectLevel::Off,
    }
}

/// What keeps contents, where that is asked for: only a tracer that stops calls before they are done can.
fn keeper(args: &RunArgs, wanted: &mut Option<Backend>) -> Result<Option<Arc<Keeper>>, Problem> {
    if !args.snapshots {
        return Ok(None);
    }
    if wanted.is_some_and(|wanted| wanted != Backend::Ptrace) {
        return Err(Problem::usage("only ptrace stops calls before they are done, as --snapshots needs")
            .hint("leave out --tracer, or use --tracer ptrace"));
    }
    if args.record.effects == Some(EffectsArg::Off) {
        return Err(Problem::usage("--snapshots needs effects").hint("leave out --effects off"));
    }
    if !nix::unistd::geteuid().is_root() && !args.no_new_privs {
        return Err(Problem::usage(
            "--snapshots needs a seccomp filter, and a filter root's privileges or --no-new-privs",
        )
        .hint("with --no-new-privs, set-user-id programs such as sudo fail"));
    }
    *wanted = Some(Backend::Ptrace);
    let largest = u64::from(args.snapshot_size) << 20;
    Ok(Some(Arc::new(Keeper::new(largest, largest.saturating_mul(SNAPSHOTS_IN_ALL)))))
}

/// What the command should keep its hands off.
pub(super) fn what_records(record: &RecordArgs, parted: bool) -> capsule_classify::Recorder {
    let mut pids = vec![Pid(std::process::id())];
    if parted {
        // The waiter, which holds the terminal for us.
        pids.extend(u32::try_from(nix::unistd::getppid().as_raw()).ok().map(Pid));
    }
    capsule_classify::Recorder {
        home: Store::open().ok().map(|store| store.home().to_owned()),
        keys: record.key.iter().chain(&record.sign).cloned().collect(),
        pids,
        settings: crate::config::file::path().into_iter().chain(crate::config::file::directory()).collect(),
        program: std::env::current_exe().ok(),
    }
}

/// The backend that records, and whether eBPF watches it. A process has one ptrace tracer at most, so of the two one is
/// eBPF: it is the witness, whichever of the two options names it. strace's lines are not compared yet.
fn tracers(tracer: TracerArg, witness: Option<TracerArg>) -> Result<(Option<Backend>, bool), Problem> {
    let Some(witness) = witness else { return Ok((tracer.backend(), false)) };
    match (tracer.backend(), witness.backend()) {
        (None | Some(Backend::Ptrace), None | Some(Backend::Ebpf))
        | (None | Some(Backend::Ebpf), Some(Backend::Ptrace))
        | (Some(Backend::Ebpf), None) => Ok((Some(Backend::Ptrace), true)),
        _ => Err(Problem::usage("these two tracers cannot watch one run").hint("the two are ptrace and ebpf")),
    }
}

/// Recognises an agent by its arguments. The rules are compiled only when somebody outlives the command.
fn agents_daemons() -> StayWith {
    let rules = OnceLock::new();
    StayWith(Arc::new(move |argv| {
        let rules = rules.get_or_init(Rules::builtin);
        let input = Input { argv: argv.clone(), cwd: None, context: CommandContext::default() };
        classify(rules, &input).label == Label::Agent
    }))
}

pub(super) fn signing_key(path: &Path) -> Result<SigningKey, Problem> {
    let pem = std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?;
    Ok(SigningKey::from_pem(&pem).with_context(|| format!("`{}` is no signing key", path.display()))?)
}

/// The credentials of a user of this machine.
fn user(name: &str) -> Result<User, Problem> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Problem::usage("--user needs root")
            .hint("run Capsule with sudo: the record then stays root's, out of the command's reach"));
    }
    let found = User::named(name).context("could not read the user and group databases")?;
    found.ok_or_else(|| Problem::usage(format!("there is no user `{}`", name.escape_debug())))
}

pub(super) fn trace_problem(error: capsule_trace::TraceError) -> Problem {
    let (code, remedy) = (error.exit_code(), error.remedy().map(str::to_owned));
    let problem = Problem::new(code, error);
    match remedy {
        Some(remedy) => problem.hint(remedy),
        None => problem,
    }
}

/// The command's exit code; never 0 when the record is not whole.
pub(super) fn exit_code(finished: Finished) -> Outcome {
    let code = match finished.outcome {
        Ok(outcome) => outcome.root.map_or(i32::from(exit::CAPSULE_FAILED), capsule_core::ExitStatus::shell_code),
        Err(error) => return Err(trace_problem(error)),
    };
    let code = u8::try_from(code).unwrap_or(exit::CAPSULE_FAILED);
    match finished.failure {
        Some(failure) if code == exit::OK => {
            let cause = anyhow::anyhow!("the record is not whole: {} {}", failure.stage, failure.reason);
            Err(Problem::new(exit::CAPSULE_FAILED, cause)
                .hint(format!("capsule report {} shows what there is", finished.metadata.id)))
        }
        Some(failure) => {
            output::say(&format!("error: the record is not whole: {} {}", failure.stage, failure.reason));
            Ok(code)
        }
        None => Ok(code),
    }
}

/// What happened, in one to three lines.
pub(super) fn summary(finished: &Finished) {
    let metadata = &finished.metadata;
    let Some(view) = &finished.view else { return };
    if finished.outcome.is_err() {
        return;
    }
    let count = view.tree.nodes.len();
    let plural = if count == 1 { "process" } else { "processes" };
    let duration = metadata.ended.map_or(0, |ended| ended.since(metadata.started));
    let mut line = format!("{count} {plural} in {}", capsule_report::duration(duration));
    match metadata.worst {
        Some(worst) if worst >= Severity::Low => line.push_str(&format!(" · worst risk: {worst}")),
        _ => line.push_str(" · nothing risky found"),
    }
    if view.lost > 0 || view.gaps.total > 0 {
        line.push_str(&format!(" · INCOMPLETE: {} records lost", view.lost));
    }
    if !matches!(metadata.status, SessionStatus::Complete | SessionStatus::Interrupted { .. }) {
        line.push_str(" · the record is NOT whole");
    }
    output::say(&line);
    if !metadata.left_running.is_empty() {
        let names: Vec<String> =
            metadata.left_running.iter().take(3).map(|left| format!("{} (PID {})", left.summary, left.pid)).collect();
        let more = metadata.left_running.len().saturating_sub(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        output::say(&format!("still running: {}{more}", names.join(", ")));
    }
    for disturbance in &finished.disturbances {
        output::say(&format!("WARNING: while it was recorded, {disturbance}"));
    }
    output::say(&format!("capsule report {}", metadata.id));
}
