//! One session from its creation to its seal: create, trace, pipeline, join, decide, seal.
//!
//! A session is *incomplete* from its first byte. Only here, after every task has been joined, is it said how it ended.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use capsule_classify::{Classifier, Rules};
use capsule_core::redact::Redactor;
use capsule_core::{
    Argv, ByteString, Coverage, ExitStatus, FORMAT_VERSION, GitDiff, GitState, LeftRunning, Life, Pid, ProcSource,
    SessionId, SessionMetadata, SessionStatus, Severity, Timestamp, TracerInfo, UserInfo, exit,
};
use capsule_enrich::Enricher;
use capsule_io::{Disturbance, INTERVAL, SealingKey, SigningKey, Store};
use capsule_parse::Parser;
use capsule_report::SessionView;
use capsule_trace::handoff::Recorder;
use capsule_trace::{Control, Keeper, Launch, Outcome, TraceError, Tracer};
use capsule_track::Tracker;
use tokio::sync::watch;

use crate::attached::Attach;
use crate::deferred::{Deferred, Late};
use crate::error::{Problem, chain};
use crate::gitview;
use crate::on_risk::{self, OnRisk};
use crate::output;
use crate::pipeline::signals::{Root, Signals};
use crate::pipeline::{self, Failure, Listeners, Stages};
use crate::undo;
use crate::worktree;

/// How many changed files' contents are looked at in the end.
const CHANGED: usize = 5_000;

/// Everything a session needs to begin.
pub struct Recording {
    /// Watches the command.
    pub tracer: Box<dyn Tracer>,
    /// Why this tracer.
    pub because: String,
    /// The command.
    pub launch: Launch,
    /// A process that runs already, to be recorded in the command's place; the command then says what it is.
    pub attach: Option<Attach>,
    /// What classification knows. Compiled while the command starts.
    pub rules: Deferred<Rules>,
    /// Who can say what a live process is.
    pub procs: Box<dyn ProcSource>,
    /// Whether secrets stay as they are.
    pub keep_secrets: bool,
    /// Whether files that were only read are told.
    pub reads: bool,
    /// Whether the work tree is compared before and after.
    pub compare: bool,
    /// What keeps contents for `capsule undo`, where that is asked for.
    pub snapshots: Option<Arc<Keeper>>,
    /// How many bytes of captures may wait.
    pub buffer: usize,
    /// Whether signals to Capsule are passed on; not for imports.
    pub forward_signals: bool,
    /// Where an imported recording came from.
    pub imported: Option<String>,
    /// The file of the evolving key to seal with.
    pub key: Option<PathBuf>,
    /// The key to sign the sealed session with.
    pub sign: Option<SigningKey>,
    /// What to run for findings.
    pub on_risk: Option<OnRisk>,
    /// Told which session it is, once it is there.
    pub begun: Option<std::sync::mpsc::Sender<SessionId>>,
    /// How to go on without the terminal when descendants are recorded for longer than the command runs.
    pub alone: Option<GoOnAlone>,
}

/// When and how the terminal is given back before the recording ends.
pub struct GoOnAlone {
    /// Who holds the terminal for us.
    pub recorder: Recorder,
    /// How long after the command's end.
    pub after: Duration,
    /// Whether to say nothing.
    pub quiet: bool,
}

/// A session that is over.
pub struct Finished {
    /// What it says of itself, as sealed.
    pub metadata: SessionMetadata,
    /// Its fold, where that worked.
    pub view: Option<SessionView>,
    /// How tracing ended.
    pub outcome: Result<Outcome, TraceError>,
    /// The first part of Capsule that failed.
    pub failure: Option<Failure>,
    /// What happened to the session's files that Capsule did not do.
    pub disturbances: Vec<Disturbance>,
    /// What runs for findings, and may run still.
    pub on_risk: Option<on_risk::Running>,
}

/// Records one session to its seal.
///
/// # Errors
/// When the session could not be created or sealed. What goes wrong between is in [`Finished`].
pub async fn record(recording: Recording) -> Result<Finished, Problem> {
    // Whoever attaches is told to stop by the signals that would end any program.
    let detaching =
        recording.attach.map(|_| Signals::to_detach()).transpose().context("could not listen to signals")?;
    let signals =
        if recording.forward_signals { Some(Signals::listen().context("could not listen to signals")?) } else { None };
    let store = Store::open()?;
    let key = random::<32>()?;
    let mut redactor = if recording.keep_secrets { Redactor::off() } else { Redactor::new(key) };
    let started = now();
    let mut metadata = begin(&recording, &mut redactor, store.new_id(started)?, started);
    // Listed while the session is made, and before the command starts.
    let before = recording.compare.then(|| {
        let (root, own) = (directory(&metadata), store.home().to_owned());
        Deferred::start(move || worktree::Before::take(&root, &own))
    });
    let mut session = store.create(&metadata)?;
    if let Some(path) = &recording.key {
        session.seal_with_key(SealingKey::take_from(path, &metadata.id)?, INTERVAL, &metadata)?;
    }

    if let Some(keeper) = &recording.snapshots {
        keeper.keep_in(session.make_before()?);
    }
    let keeper = recording.snapshots;

    let enricher = Enricher::new(recording.procs).redacting(redactor.clone());
    let mut parser = Parser::new();
    if metadata.imported.is_none() {
        parser = parser.starting_in(metadata.cwd.clone());
    }
    if !recording.reads {
        parser = parser.without_reads();
    }
    let (sink, receiver) = capsule_trace::channel(recording.buffer, redactor);
    let (control, watched) = Control::new();
    let detach = watched.cancel.clone();
    let directory_of_session = session.path().to_owned();
    let rules = recording.rules.map(move |rules| Classifier::new(rules).recorded_in(&directory_of_session));
    let stages = Stages {
        parse: Box::new(parser),
        enrich: Box::new(enricher),
        track: Box::new(Tracker::new()),
        classify: Box::new(Late::new(rules)),
    };

    let (handing, on_risk) = match recording.on_risk {
        Some(on_risk) => {
            let started = on_risk.start(metadata.id.clone()).context("could not start a thread for --on-risk")?;
            (Some(started.0), Some(started.1))
        }
        None => (None, None),
    };
    if let Some(begun) = recording.begun {
        // Who listened may be gone.
        begun.send(metadata.id.clone()).unwrap_or(());
    }
    let interrupted = Arc::new(OnceLock::new());
    let root = follow_root(watched.started, watched.root_ended);
    let alone = recording.alone.map(|alone| tokio::spawn(go_on_alone(alone, root.clone(), metadata.id.clone())));
    let forwarding =
        signals.map(|signals| tokio::spawn(signals.forward(root.clone(), watched.cancel, Arc::clone(&interrupted))));
    let saying =
        recording.attach.map(|attach| tokio::spawn(attach.say(root, metadata.id.clone(), metadata.command.clone())));
    let letting_go = recording.attach.map(|attach| tokio::spawn(attach.let_go(detaching, detach)));
    let before = before.and_then(Deferred::wait);
    let (steps, ended_steps) = before.as_ref().and_then(worktree::Before::steps).unzip();
    let tracing = tokio::spawn(match recording.attach {
        Some(attach) => recording.tracer.attach(attach.pid, sink, control),
        None => recording.tracer.run(recording.launch, sink, control),
    });
    // The work tree is compared as soon as nobody changes it any more, beside what is still to be written.
    let tracing = tokio::spawn(async move {
        let outcome = tracing.await;
        outcome.map(|outcome| (outcome, before.map(|before| Deferred::start(move || before.compare()))))
    });
    let recorded =
        pipeline::run(stages, receiver, &mut session, metadata.clone(), Listeners { on_risk: handing, steps }).await?;
    let traced = tracing
        .await
        .flatten()
        .context("the tracer panicked")
        .map_err(|error| Problem::new(exit::CAPSULE_FAILED, error));
    for task in [forwarding, alone, saying, letting_go].into_iter().flatten() {
        task.abort();
    }

    let (outcome, failure) = match traced {
        Ok((outcome, comparing)) => {
            metadata.work_tree = comparing.map(|comparing| {
                let (mut tree, listing) = comparing.wait();
                if let Some(ended) = ended_steps {
                    ended.name_in(&mut tree, &listing);
                }
                tree
            });
            (outcome, recorded.failure)
        }
        Err(problem) => {
            let reason = format!("{:#}", problem.cause);
            let backend = metadata.tracer.backend;
            let failure = Failure { stage: "tracer".to_owned(), reason: reason.clone() };
            (Err(TraceError::BrokeOff { backend, because: reason }), Some(failure))
        }
    };
    metadata.snapshots = match (keeper, store.session(&metadata.id)) {
        (Some(keeper), Ok(session)) => Some(undo::snapshots(&keeper, &session)),
        _ => None,
    };
    end(&mut metadata, recorded.view.as_ref(), &outcome, failure.as_ref(), interrupted.get().copied());
    if let Some(view) = recorded.view.as_ref().filter(|_| metadata.imported.is_none()) {
        let (changed, more) = capsule_report::changed_files(view, CHANGED);
        metadata.git_diff = git_diff(&metadata, &changed);
        // With snapshots and with a comparison it is known already.
        if metadata.snapshots.is_none() && metadata.work_tree.is_none() && !changed.is_empty() {
            metadata.changed = Some(undo::changed(&changed, more));
        }
    }
    let mut failure = failure;
    let disturbances = match (&failure, &recorded.view) {
        (None, Some(view)) => match session.seal(metadata.clone(), recorded.seals, &view.tree) {
            Ok(sealed) => {
                let signed = recording
                    .sign
                    .as_ref()
                    .map(|key| store.session(&metadata.id).and_then(|it| capsule_io::sign(&it, key)));
                if let Some(Err(error)) = signed {
                    failure = Some(Failure { stage: "sign".to_owned(), reason: chain(&error) });
                }
                sealed.disturbances().to_vec()
            }
            // The command's result is its own, whatever became of the record.
            Err(error) => {
                failure = Some(Failure { stage: "seal".to_owned(), reason: chain(&error) });
                Vec::new()
            }
        },
        // Nobody vouches for a session of which a part of Capsule failed.
        _ => {
            let disturbances = session.disturbances();
            if let Err(error) = session.abandon(&metadata) {
                output::say(&format!("what failed could not be recorded: {}", chain(&error)));
            }
            disturbances
        }
    };
    if !disturbances.is_empty() {
        metadata.worst = Some(Severity::Critical);
    }
    Ok(Finished { metadata, view: recorded.view, outcome, failure, disturbances, on_risk })
}

/// What git would say of the files that the session changed, where it can be asked and there is anything to say.
fn git_diff(metadata: &SessionMetadata, changed: &[ByteString]) -> Option<GitDiff> {
    let commit = |state: &Option<GitState>| state.as_ref().and_then(|state| state.commit.clone());
    let (from, to) = (commit(&metadata.git_start)?, commit(&metadata.git_end));
    if changed.is_empty() && to.as_ref() == Some(&from) {
        return None;
    }
    let (directory, started, changed) = (metadata.cwd.clone(), metadata.started, changed.to_vec());
    gitview::ask(&gitview::Question { directory, from, to, started, changed })
}

/// The metadata of a session that begins now.
fn begin(recording: &Recording, redactor: &mut Redactor, id: SessionId, started: Timestamp) -> SessionMetadata {
    use std::os::unix::ffi::OsStrExt as _;

    let cwd = match &recording.launch.cwd {
        Some(cwd) => cwd.clone(),
        // A directory that was removed is no reason not to run: it is recorded as unknown.
        None => std::env::current_dir().unwrap_or_else(|_gone| PathBuf::new()),
    };
    let argv: Argv = recording.launch.argv.iter().map(|arg| arg.as_bytes()).collect();
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    SessionMetadata {
        format: FORMAT_VERSION,
        id,
        capsule: env!("CARGO_PKG_VERSION").to_owned(),
        status: SessionStatus::Incomplete,
        started,
        ended: None,
        command: redactor.argv(&argv),
        git_start: capsule_enrich::git_state(&cwd),
        git_end: None,
        cwd: ByteString::new(cwd.as_os_str().as_bytes()),
        host: capsule_enrich::host(),
        user: UserInfo { uid: uid.as_raw(), name: user.map(|user| user.name) },
        tracer: TracerInfo { backend: recording.tracer.backend(), because: recording.because.clone() },
        recorder: Pid(std::process::id()),
        coverage: None,
        exit_code: None,
        signal: None,
        processes: None,
        worst: None,
        left_running: Vec::new(),
        imported: recording.imported.clone(),
        streams: std::collections::BTreeMap::new(),
        tree: None,
        keyed: None,
        work_tree: None,
        snapshots: None,
        changed: None,
        git_diff: None,
        disturbances: Vec::new(),
    }
}

/// The session's directory.
fn directory(metadata: &SessionMetadata) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;

    PathBuf::from(std::ffi::OsStr::from_bytes(metadata.cwd.as_bytes()))
}

/// Fills in what is known at the end only, and says how the session ended.
fn end(
    metadata: &mut SessionMetadata,
    view: Option<&SessionView>,
    outcome: &Result<Outcome, TraceError>,
    failure: Option<&Failure>,
    interrupted: Option<i32>,
) {
    metadata.ended = Some(now());
    metadata.git_end = capsule_enrich::git_state(&directory(metadata));
    if let Some(view) = view {
        metadata.processes = Some(view.tree.nodes.len() as u64);
        metadata.worst = view.tree.nodes.iter().filter_map(|node| node.worst).max();
        metadata.left_running = view
            .tree
            .nodes
            .iter()
            .filter(|node| matches!(node.life, Life::LeftRunning { .. }))
            .map(|node| LeftRunning { proc: node.proc, pid: node.pid, summary: node.summary.clone() })
            .collect();
    }
    match outcome {
        Ok(outcome) => {
            metadata.coverage = Some(Coverage {
                lost: view.map_or(outcome.coverage.lost, |view| view.lost),
                ..outcome.coverage.clone()
            });
            match outcome.root {
                Some(ExitStatus::Exited(code)) => metadata.exit_code = Some(code),
                Some(ExitStatus::Signaled { signal, .. }) => metadata.signal = Some(signal),
                None => {}
            }
        }
        Err(_) => metadata.coverage = None,
    }
    metadata.status = match (failure, outcome, interrupted) {
        (Some(failure), _, _) => SessionStatus::Failed { stage: failure.stage.clone(), reason: failure.reason.clone() },
        (None, Err(error), _) => SessionStatus::Failed { stage: "tracer".to_owned(), reason: chain(error) },
        (None, Ok(_), Some(signal)) => SessionStatus::Interrupted { signal },
        (None, Ok(_), None) => SessionStatus::Complete,
    };
}

/// Waits for the root's end and a little longer, then gives the terminal back and lets the recording go on.
async fn go_on_alone(alone: GoOnAlone, mut root: watch::Receiver<Root>, id: SessionId) {
    let ended = root.wait_for(|root| matches!(root, Root::Ended(_))).await.map(|root| *root);
    let Ok(Root::Ended(Some(status))) = ended else { return };
    tokio::time::sleep(alone.after).await;
    if !alone.quiet {
        output::say("the command has ended; processes that it left behind are recorded on, in the background");
        output::say(&format!("capsule report {id}"));
    }
    let code = u8::try_from(status.shell_code()).unwrap_or(exit::CAPSULE_FAILED);
    if let Err(error) = alone.recorder.go_on_alone(code) {
        output::say(&format!("could not give the terminal back: {error}"));
    }
}

/// The root's pid from its start to its end, so that no signal reaches a later holder of the pid.
fn follow_root(
    started: tokio::sync::oneshot::Receiver<Pid>,
    ended: tokio::sync::oneshot::Receiver<ExitStatus>,
) -> watch::Receiver<Root> {
    let (sender, receiver) = watch::channel(Root::Starting);
    tokio::spawn(async move {
        if let Ok(pid) = started.await {
            sender.send_replace(Root::Running(pid));
        }
        // Ended, or the tracer is gone: either way there is nobody to signal.
        sender.send_replace(Root::Ended(ended.await.ok()));
    });
    receiver
}

/// This moment.
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Random bytes of the operating system.
///
/// # Errors
/// When it has none to give.
pub fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(bytes)
}

/// Metadata of a session of tests.
#[cfg(test)]
pub(crate) fn tests_metadata(id: SessionId) -> SessionMetadata {
    let recording = Recording {
        tracer: capsule_trace::replay(std::iter::empty()),
        because: "a test".to_owned(),
        launch: Launch::new(["true"]),
        attach: None,
        rules: Deferred::start(Rules::builtin),
        procs: Box::new(capsule_core::NoProc),
        keep_secrets: true,
        reads: true,
        compare: false,
        snapshots: None,
        buffer: 1 << 20,
        forward_signals: false,
        imported: None,
        key: None,
        sign: None,
        on_risk: None,
        begun: None,
        alone: None,
    };
    begin(&recording, &mut Redactor::off(), id, Timestamp(1))
}

/// Ends a session of tests as a live one would be.
#[cfg(test)]
pub(crate) fn tests_end(metadata: &mut SessionMetadata, recorded: &pipeline::Recorded) {
    let coverage = Coverage { backend: metadata.tracer.backend, hooks: Vec::new(), lost: 0, not_seen: Vec::new() };
    let outcome = Ok(Outcome { root: Some(ExitStatus::Exited(0)), coverage, left_running: Vec::new() });
    end(metadata, recorded.view.as_ref(), &outcome, recorded.failure.as_ref(), None);
}
