//! The built-in tracer: `ptrace(2)` on the kernel's own fork, exec and exit events, with no stop on any other call.
//!
//! It needs no privilege and no other program. Everything is done by one thread, because the kernel ties tracees to the
//! thread that attached; that thread captures and lets go on, and hands everything else to the pipeline. If it dies, with
//! Capsule or alone, the kernel detaches from every tracee and all of them live on.

mod arch;
pub(crate) mod attach;
mod before;
mod calls;
mod effects;
mod engine;
pub(crate) mod facts;
pub(crate) mod filter;
mod memory;
mod pace;
mod stop;
mod sys;

use std::sync::Arc;
use std::time::Duration;

use capsule_core::{Backend, Coverage, Pid};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::effects::Effects;
use self::engine::{Engine, Order, Shared, Summary};
use self::filter::Plan;
use crate::backend::Probe;
use crate::command::sys::Held;
use crate::command::{Inherited, Launch};
use crate::daemon;
use crate::error::TraceError;
use crate::keep::Keeper;
use crate::running;
use crate::sink::RawSink;
use crate::tracer::{Control, EffectLevel, Linger, Outcome, Running, StayWith, TraceOptions, Tracer};

/// How long killed processes may take to end before they are given up on.
const DEATH_TAKES: Duration = Duration::from_secs(5);
/// How often a thread that must hear an order is interrupted.
const NUDGE_EVERY: Duration = Duration::from_millis(5);

/// What an unprivileged tracer changes for the traced programs.
pub(crate) const SETUID_UNSEEN: &str = "setuid programs (sudo, su, ping) run without their privileges: the kernel \
                                        withholds them under an unprivileged tracer";

const REMEDY: &str = "allow ptrace: `sysctl kernel.yama.ptrace_scope` must be below 3 (2 needs CAP_SYS_PTRACE); in a \
                      container, run with `--cap-add=SYS_PTRACE` or a seccomp profile that allows ptrace";

/// Whether a child can be traced: found out by tracing one.
pub(crate) fn probe() -> Probe {
    let tried = std::thread::Builder::new().spawn(|| {
        let held = Held::fork(&Launch::new(["/nonexistent/capsule-probe"]))?;
        let seized = seize(held.pid().0, sys::FOLLOW);
        // Nobody opened the gate: the child ends by itself.
        drop(held);
        while sys::wait(true).is_ok() {}
        seized
    });
    let tried = match tried {
        Ok(thread) => thread.join(),
        Err(error) => return Probe::unusable(Backend::Ptrace, format!("there is no thread to try it: {error}"), None),
    };
    match tried {
        Ok(Ok(())) => Probe::usable(Backend::Ptrace, "built in, needs no privileges"),
        Ok(Err(error)) => {
            let because = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            Probe::unusable(Backend::Ptrace, because, error.remedy())
        }
        Err(_panic) => Probe::unusable(Backend::Ptrace, "the attempt to trace a child broke off", None),
    }
}

fn seize(pid: u32, options: i32) -> Result<(), TraceError> {
    sys::seize(pid, options).map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
            TraceError::NotPermitted { action: "trace a child", remedy: REMEDY.to_owned(), source }
        }
        _ => TraceError::System { action: "trace a child", source },
    })
}

/// The ptrace backend.
#[derive(Debug)]
pub(crate) struct Ptrace {
    options: TraceOptions,
}

impl Ptrace {
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self { options }
    }
}

impl Tracer for Ptrace {
    fn backend(&self) -> Backend {
        Backend::Ptrace
    }

    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running {
        Box::pin(run(self.options, launch, sink, control))
    }

    fn may_attach(&self, pid: Pid) -> Result<(), TraceError> {
        attach::try_seize(Backend::Ptrace, pid.0)
    }

    fn attach(self: Box<Self>, pid: Pid, sink: RawSink, control: Control) -> Running {
        Box::pin(attach_to(self.options, pid, sink, control))
    }
}

/// Gives the thread the last order when nobody waits for it any more.
#[derive(Debug)]
struct Guard(Arc<Shared>, Order);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.give(self.1);
        self.0.nudge();
    }
}

async fn run(
    mut options: TraceOptions,
    launch: Launch,
    sink: RawSink,
    control: Control,
) -> Result<Outcome, TraceError> {
    Inherited::remember();
    let plan = filter::plan(&options);
    if plan.filter.is_some() && options.linger != Linger::Kill {
        // Calls of those that are let go would fail: the filter stays, and nobody would answer its stops.
        options.linger = Linger::Wait;
    }
    let shared = Arc::new(Shared::default());
    let guard = Guard(Arc::clone(&shared), Order::Kill);
    let cancel = control.cancel.clone();
    let (done_tx, mut done) = oneshot::channel();
    let for_thread = Arc::clone(&shared);
    let stay_with = daemon::wanted(&options).cloned();
    let recorders = options.recorders.clone();
    let keeper = options.snapshots.clone();
    let thread = std::thread::Builder::new()
        .name("capsule-ptrace".to_owned())
        .spawn(move || {
            let lost = sink.clone();
            let ended = trace(&launch, &plan, (&recorders, keeper), stay_with, for_thread, sink, control);
            let _unheard = done_tx.send(ended.map(|summary| outcome(summary, &plan, lost.lost())));
        })
        .map_err(|source| TraceError::System { action: "start the tracer's thread", source })?;
    let broke_off =
        || TraceError::BrokeOff { backend: Backend::Ptrace, because: "the tracer's thread panicked".to_owned() };
    let outcome = watch_over(&shared, &options, &cancel, &mut done).await.ok_or_else(broke_off)?;
    drop(guard);
    // It has said its last word: this waits for the kernel to detach, and not for the traced programs.
    thread.join().map_err(|_panic| broke_off())?;
    outcome
}

/// Records a process that runs already. Whatever happens, it is let go and never killed.
async fn attach_to(options: TraceOptions, pid: Pid, sink: RawSink, control: Control) -> Result<Outcome, TraceError> {
    let plan = Plan::default();
    let shared = Arc::new(Shared::default());
    let guard = Guard(Arc::clone(&shared), Order::Detach);
    let cancel = control.cancel.clone();
    let (done_tx, mut done) = oneshot::channel();
    let (for_thread, wanted) = (Arc::clone(&shared), options.effects);
    let thread = std::thread::Builder::new()
        .name("capsule-ptrace".to_owned())
        .spawn(move || {
            let lost = sink.clone();
            let ended = trace_attached(pid, for_thread, sink, control);
            let _unheard = done_tx.send(ended.map(|(summary, refused)| {
                let mut outcome = outcome(summary, &plan, lost.lost());
                outcome.coverage.not_seen.insert(0, running::BEFORE.to_owned());
                if wanted > EffectLevel::Off {
                    outcome.coverage.not_seen.push(NO_FILTER.to_owned());
                }
                if refused > 0 {
                    outcome.coverage.not_seen.push(format!("{refused} threads that could not be attached to"));
                }
                outcome
            }));
        })
        .map_err(|source| TraceError::System { action: "start the tracer's thread", source })?;
    let broke_off =
        || TraceError::BrokeOff { backend: Backend::Ptrace, because: "the tracer's thread panicked".to_owned() };
    let until = running::let_go_when(&shared.root_ended, &options, &cancel);
    let ended = tokio::select! {
        ended = &mut done => ended.ok(),
        () = until => insist(&shared, Order::Detach, &mut done).await,
    };
    let outcome = ended.ok_or_else(broke_off)?;
    drop(guard);
    thread.join().map_err(|_panic| broke_off())?;
    outcome
}

const NO_FILTER: &str =
    "effects, though asked for: the filter that ptrace needs for them is installed before a program starts";

/// What the tracer's thread does for a process that runs already; gives how many threads could not be taken in.
fn trace_attached(
    pid: Pid,
    shared: Arc<Shared>,
    sink: RawSink,
    control: Control,
) -> Result<(Summary, u64), TraceError> {
    sys::listen_to_nudges_only();
    let root = running::process_of(pid.0);
    let taken = attach::seize_tree(root)?;
    let engine = Engine::attached(Pid(root), &taken, shared, sink, control);
    let summary = engine.run().map_err(|source| TraceError::System { action: "wait for traced processes", source })?;
    Ok((summary, taken.refused))
}

type Done = oneshot::Receiver<Result<Outcome, TraceError>>;

/// Waits for the thread's end and gives it the orders that time and the user bring. `None`: it panicked.
async fn watch_over(
    shared: &Shared,
    options: &TraceOptions,
    cancel: &CancellationToken,
    done: &mut Done,
) -> Option<Result<Outcome, TraceError>> {
    tokio::select! {
        ended = &mut *done => return ended.ok(),
        () = cancel.cancelled() => return insist(shared, Order::Kill, done).await,
        () = shared.root_ended.notified() => {}
    }
    let order = match options.linger {
        Linger::Wait => None,
        Linger::Kill => Some(Order::Kill),
        Linger::Auto | Linger::Detach => Some(Order::Detach),
    };
    let grace = async {
        match order {
            Some(order) => {
                tokio::time::sleep(options.grace).await;
                order
            }
            None => std::future::pending().await,
        }
    };
    let mut order = tokio::select! {
        ended = &mut *done => return ended.ok(),
        () = cancel.cancelled() => Order::Kill,
        order = grace => order,
    };
    while order == Order::Detach && daemon::wanted(options).is_some() {
        // It may be declined, as long as somebody does the session's work.
        shared.give(order);
        while shared.is_ordered() {
            shared.nudge();
            if let Ok(ended) = tokio::time::timeout(NUDGE_EVERY, &mut *done).await {
                return ended.ok();
            }
        }
        order = tokio::select! {
            ended = &mut *done => return ended.ok(),
            () = cancel.cancelled() => Order::Kill,
            () = tokio::time::sleep(daemon::ASK_EVERY) => order,
        };
    }
    insist(shared, order, done).await
}

/// Gives an order and interrupts the thread until it has followed it.
async fn insist(shared: &Shared, order: Order, done: &mut Done) -> Option<Result<Outcome, TraceError>> {
    shared.give(order);
    let given = tokio::time::Instant::now();
    loop {
        shared.nudge();
        if let Ok(ended) = tokio::time::timeout(NUDGE_EVERY, &mut *done).await {
            return ended.ok();
        }
        if given.elapsed() > DEATH_TAKES {
            shared.give(Order::Abandon);
        }
    }
}

/// What the tracer's thread does, from the fork to the last wait.
fn trace(
    launch: &Launch,
    plan: &Plan,
    (recorders, keeper): (&[Pid], Option<Arc<Keeper>>),
    stay_with: Option<StayWith>,
    shared: Arc<Shared>,
    sink: RawSink,
    control: Control,
) -> Result<Summary, TraceError> {
    sys::listen_to_nudges_only();
    let held = Held::fork_filtered(launch, plan.filter.as_ref())?;
    let root = held.pid();
    let options = if plan.filter.is_some() { sys::FOLLOW | sys::FILTERED } else { sys::FOLLOW };
    if let Err(refused) = seize(root.0, options) {
        drop(held);
        while sys::wait(true).is_ok() {}
        return Err(refused);
    }
    let effects = plan.filter.as_ref().map(|_| Effects::new(&plan.calls, recorders).keeping(keeper));
    let engine = Engine::new(root, shared, sink, control, effects, stay_with);
    let released = held.release().map_err(|source| TraceError::System { action: "release the child", source })?;
    let summary = engine.run().map_err(|source| TraceError::System { action: "wait for traced processes", source })?;
    if !summary.executed
        && let Some(failure) = released.failure()
    {
        return Err(failure);
    }
    Ok(summary)
}

fn outcome(summary: Summary, plan: &Plan, lost: u64) -> Outcome {
    let mut not_seen = vec![
        "programs that use ptrace themselves (gdb, strace) are refused it while they are traced".to_owned(),
        "children made with CLONE_UNTRACED".to_owned(),
    ];
    let stops_at = |name: &str| plan.calls.iter().any(|call| call.name == name);
    if !stops_at("execve") {
        not_seen.push("failed execs: their capture needs a seccomp filter".to_owned());
    }
    if !stops_at("openat") {
        not_seen.push("file and network effects".to_owned());
    } else {
        not_seen.push("effects of 32-bit programs, of all but the first of several messages sent at once, and of what was written through open files".to_owned());
    }
    if let Some(why) = plan.why_not {
        not_seen.push(format!("what was asked for beyond processes: {why}"));
    }
    if plan.filter.as_ref().is_some_and(|filter| filter.no_new_privs) {
        not_seen.push("privileges that programs would have gained by exec: no_new_privs was set".to_owned());
    }
    if summary.rings > 0 {
        not_seen.push(format!("what went through {} rings of io_uring", summary.rings));
    }
    if !nix::unistd::geteuid().is_root() {
        not_seen.push(SETUID_UNSEEN.to_owned());
    }
    if summary.adopted > 0 {
        not_seen.push(format!("the parents of {} processes, killed before they could report them", summary.adopted));
    }
    if summary.unborn > 0 {
        not_seen.push(format!("{} processes or threads killed before their first instruction", summary.unborn));
    }
    if !summary.left_running.is_empty() {
        not_seen
            .push(format!("{} processes lived on; what they did later is not recorded", summary.left_running.len()));
    }
    let hooks = ["fork", "vfork", "clone", "exec", "exit"].into_iter().chain(plan.calls.iter().map(|call| call.name));
    let hooks = hooks.map(str::to_owned).collect();
    Outcome {
        root: summary.root,
        coverage: Coverage { backend: Backend::Ptrace, hooks, lost, not_seen },
        left_running: summary.left_running,
    }
}
