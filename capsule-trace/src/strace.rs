//! The strace program as a tracer: for where strace is trusted, and as an oracle for the other backends.
//!
//! Capsule starts the command itself and lets strace attach to it before it runs (`-p`), so the command inherits
//! from Capsule and not from strace, its status is its own, and strace's messages stay apart from its output.
//!
//! What is not used: `--seccomp-bpf`. It works only for commands that strace starts; its filter strands every process that
//! outlives strace (their calls fail with ENOSYS), and it takes setuid programs' privileges away.

mod attach;

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use capsule_core::{Backend, Coverage, ExitStatus, Pid, SpawnKind, Timestamp};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::backend::Probe;
use crate::clock::now;
use crate::command::sys::Held;
use crate::command::{Inherited, Launch};
use crate::error::TraceError;
use crate::lines::{Clock, Lines};
use crate::root;
use crate::running::tracer_of;
use crate::sink::{CaptureBody, RawSink};
use crate::tracer::{Control, EffectLevel, Linger, Outcome, Running, TraceOptions, Tracer};

/// The calls that make, change and end processes, and those that move them to another directory.
const CALLS: &str = "execve,execveat,fork,vfork,clone,clone3,chdir,fchdir,exit,exit_group";
/// Beside them, where effects are wanted: what changes something. A `?` for calls that not every processor or strace has.
const EFFECTS: &str = "?open,openat,?openat2,?creat,open_by_handle_at,truncate,ftruncate,?mkdir,mkdirat,?mknod,mknodat,?link,linkat,\
                       ?symlink,symlinkat,?unlink,?rmdir,unlinkat,?rename,?renameat,?renameat2,?chmod,fchmod,fchmodat,?fchmodat2,\
                       ?chown,?lchown,fchown,fchownat,?utime,?utimes,?futimesat,utimensat,setxattr,lsetxattr,fsetxattr,removexattr,\
                       lremovexattr,fremovexattr,connect,sendto,sendmsg,sendmmsg,bind,listen,setuid,setgid,setreuid,setregid,\
                       setresuid,setresgid,setgroups,capset,setns,unshare,ptrace,process_vm_writev,mount,umount2,?move_mount,\
                       pivot_root,chroot,init_module,finit_module,delete_module,?io_uring_setup";
/// strace's largest string: as long as the kernel lets arguments be.
const STRING_LIMIT: &str = "2097152";
/// How long strace may take to attach.
const ATTACH_TAKES: Duration = Duration::from_secs(10);
/// How long killed processes may take to end before they are given up on.
const DEATH_TAKES: Duration = Duration::from_secs(5);
/// How much of strace's own messages is kept.
const MESSAGES: u64 = 4096;

/// Whether there is a strace that can trace.
pub(crate) fn probe() -> Probe {
    let asked = Command::new("strace").arg("-V").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match asked {
        Ok(output) if output.status.success() => {
            let version = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let version = String::from_utf8_lossy(version).into_owned();
            // It needs from the kernel what the built-in tracer needs.
            let kernel = crate::ptrace::probe();
            if kernel.usable {
                Probe::usable(Backend::Strace, version)
            } else {
                Probe { backend: Backend::Strace, ..kernel }
            }
        }
        _ => Probe::unusable(Backend::Strace, "no strace program in PATH", Some("install the package `strace`")),
    }
}

/// The strace backend.
#[derive(Debug)]
pub(crate) struct Strace {
    options: TraceOptions,
}

impl Strace {
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self { options }
    }
}

impl Tracer for Strace {
    fn backend(&self) -> Backend {
        Backend::Strace
    }

    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running {
        Box::pin(run(self.options, launch, sink, control))
    }

    fn may_attach(&self, pid: Pid) -> Result<(), TraceError> {
        crate::ptrace::attach::try_seize(Backend::Strace, pid.0)
    }

    fn attach(self: Box<Self>, pid: Pid, sink: RawSink, control: Control) -> Running {
        Box::pin(attach::attach(self.options, pid, sink, control))
    }
}

/// What the threads share with the task that watches over them.
#[derive(Debug, Default)]
struct Shared {
    strace: AtomicU32,
    /// Whether strace was told to end.
    let_go: AtomicBool,
    root_ended: Notify,
}

/// Ends the tree when nobody waits for it any more.
#[derive(Debug)]
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        for pid in traced_by(self.0.strace.load(Ordering::Relaxed)) {
            root::sys::kill(pid, libc::SIGKILL);
        }
    }
}

type Done = oneshot::Receiver<Result<Finished, TraceError>>;

struct Finished {
    /// Absent where it was let go.
    root: Option<ExitStatus>,
    messages: String,
}

async fn run(
    options: TraceOptions,
    mut launch: Launch,
    sink: RawSink,
    control: Control,
) -> Result<Outcome, TraceError> {
    Inherited::remember();
    if launch.cwd.is_none() {
        // The child goes where it is already, and so the trace begins with its directory.
        launch.cwd = std::env::current_dir().ok();
    }
    let shared = Arc::new(Shared::default());
    let guard = Guard(Arc::clone(&shared));
    let cancel = control.cancel.clone();
    let (done_tx, mut done) = oneshot::channel();
    let (for_thread, to_thread, effects) = (Arc::clone(&shared), sink.clone(), options.effects);
    let thread = std::thread::Builder::new().name("capsule-strace".to_owned()).spawn(move || {
        let _unheard = done_tx.send(trace(&launch, effects, &for_thread, &to_thread, control));
    });
    let thread = thread.map_err(|source| TraceError::System { action: "start the tracer's threads", source })?;
    let broke_off = || TraceError::BrokeOff { backend: Backend::Strace, because: "a thread of it panicked".to_owned() };
    let mut left_running = Vec::new();
    let ended = watch_over(&shared, &options, &cancel, &mut done, &mut left_running).await;
    drop(guard);
    thread.join().map_err(|_panic| broke_off())?;
    let finished = ended.ok_or_else(broke_off)??;
    for pid in &left_running {
        sink.push(now(), CaptureBody::LeftRunning { pid: *pid });
    }
    Ok(outcome(finished, effects, left_running, sink.lost()))
}

/// Waits for the end and brings it about where time or the user demand it. `None`: a thread panicked.
async fn watch_over(
    shared: &Shared,
    options: &TraceOptions,
    cancel: &CancellationToken,
    done: &mut Done,
    left_running: &mut Vec<Pid>,
) -> Option<Result<Finished, TraceError>> {
    tokio::select! {
        ended = &mut *done => return ended.ok(),
        () = cancel.cancelled() => return kill_all(shared, done).await,
        () = shared.root_ended.notified() => {}
    }
    let grace = async {
        match options.linger {
            Linger::Wait => std::future::pending().await,
            _ => tokio::time::sleep(options.grace).await,
        }
    };
    let kill = tokio::select! {
        ended = &mut *done => return ended.ok(),
        () = cancel.cancelled() => true,
        () = grace => options.linger == Linger::Kill,
    };
    if kill {
        return kill_all(shared, done).await;
    }
    let strace = shared.strace.load(Ordering::Relaxed);
    left_running.extend(traced_by(strace).into_iter().map(Pid));
    // strace detaches from everybody and ends.
    shared.let_go.store(true, Ordering::Relaxed);
    root::sys::kill(strace, libc::SIGTERM);
    done.await.ok()
}

/// Kills everybody whom strace traces, again until strace has nobody left.
async fn kill_all(shared: &Shared, done: &mut Done) -> Option<Result<Finished, TraceError>> {
    let begun = Instant::now();
    loop {
        let strace = shared.strace.load(Ordering::Relaxed);
        for pid in traced_by(strace) {
            root::sys::kill(pid, libc::SIGKILL);
        }
        if begun.elapsed() > DEATH_TAKES && strace != 0 {
            shared.let_go.store(true, Ordering::Relaxed);
            root::sys::kill(strace, libc::SIGKILL);
        }
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(10), &mut *done).await {
            return ended.ok();
        }
    }
}

/// The processes whose tracer is `tracer`.
fn traced_by(tracer: u32) -> Vec<u32> {
    if tracer == 0 {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| tracer_of(*pid) == Some(tracer))
        .collect()
}

/// What the first thread does: starts both programs, waits for the root's end, then for strace's.
fn trace(
    launch: &Launch,
    effects: EffectLevel,
    shared: &Shared,
    sink: &RawSink,
    mut control: Control,
) -> Result<Finished, TraceError> {
    let failed = |action| move |source| TraceError::System { action, source };
    let held = Held::fork(launch)?;
    let root = held.pid();
    let forked = now();
    let mut strace = start(&[root.0], effects)?;
    let keep = |stderr| std::thread::Builder::new().spawn(move || keep_messages(stderr));
    let messages = strace.stderr.take().map(keep).transpose().map_err(failed("start a thread"))?;
    shared.strace.store(strace.id(), Ordering::Relaxed);
    if let Err(unattached) = wait_until_attached(root, &mut strace) {
        drop(held);
        let because = messages.and_then(|thread| thread.join().ok()).unwrap_or_default();
        // Both end by themselves; their ends are taken so that no zombie stays.
        let _gone = (root::wait_for_end(root), strace.wait());
        return Err(unattached.unwrap_or(TraceError::BrokeOff { backend: Backend::Strace, because }));
    }
    let output = strace.stdout.take();
    let released = held.release().map_err(failed("release the child"))?;
    if let Some(failure) = released.failure() {
        drop(output);
        let _gone = (root::wait_for_end(root), strace.wait());
        return Err(failure);
    }
    sink.push(forked, CaptureBody::Spawn { parent: None, child: root, how: SpawnKind::Root });
    control.tell_started(root);
    let to_reader = sink.clone();
    let reader = std::thread::Builder::new()
        .name("capsule-strace-read".to_owned())
        .spawn(move || output.map_or(Ok(()), |output| hand_over(output, &to_reader, forked, |_line| {})))
        .map_err(failed("start a thread"))?;
    let (status, _rusage) = root::wait_for_end(root).map_err(failed("wait for the command"))?;
    control.tell_root_ended(status);
    shared.root_ended.notify_one();
    let read = reader.join();
    let ended = strace.wait().map_err(failed("wait for strace"))?;
    let messages = messages.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if !matches!(read, Ok(Ok(()))) || !(ended.success() || shared.let_go.load(Ordering::Relaxed)) {
        sink.loss(now(), 0, None, format!("strace ended early ({ended}): {}", messages.trim()));
    }
    Ok(Finished { root: Some(status), messages })
}

/// Starts strace on processes. Its output is its standard output; it is in a group of its own, where the
/// terminal's signals do not reach it.
fn start(pids: &[u32], effects: EffectLevel) -> Result<Child, TraceError> {
    let mut command = Command::new("strace");
    // `-yy` says what sockets are.
    let (describe, calls) = if effects >= EffectLevel::Writes {
        ("-yy", format!("trace={CALLS},{EFFECTS}"))
    } else {
        ("-y", format!("trace={CALLS}"))
    };
    command.args(["-f", "-q", "-ttt", describe, "-s", STRING_LIMIT, "-e"]).arg(calls);
    command.args(["-o", "/dev/stdout"]);
    for pid in pids {
        command.arg("-p").arg(pid.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.spawn().map_err(|error| TraceError::Unavailable {
        backend: Backend::Strace,
        because: format!("cannot start strace: {error}"),
        remedy: Some("install the package `strace`".to_owned()),
    })
}

/// Waits until strace holds the child. An error without content: strace ended and has said why.
fn wait_until_attached(root: Pid, strace: &mut Child) -> Result<(), Option<TraceError>> {
    let begun = Instant::now();
    while tracer_of(root.0) != Some(strace.id()) {
        let over = !matches!(strace.try_wait(), Ok(None));
        if over {
            return Err(None);
        }
        if begun.elapsed() > ATTACH_TAKES {
            root::sys::kill(strace.id(), libc::SIGKILL);
            let because = "strace did not attach in time".to_owned();
            return Err(Some(TraceError::BrokeOff { backend: Backend::Strace, because }));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Reads all that strace says of itself, so that it never waits for a reader, and keeps the beginning.
fn keep_messages(mut from: impl io::Read) -> String {
    let mut kept = Vec::new();
    let read = from.by_ref().take(MESSAGES).read_to_end(&mut kept).and_then(|_| io::copy(&mut from, &mut io::sink()));
    if let Err(error) = read {
        kept.extend_from_slice(error.to_string().as_bytes());
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Hands strace's lines over until it ends, each after `look` has seen it.
fn hand_over(
    mut output: impl io::Read,
    sink: &RawSink,
    begun: Timestamp,
    mut look: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut clock = Clock::new(begun);
    let mut push = |line: &[u8]| {
        look(line);
        sink.push(clock.at(line), CaptureBody::Line { source: Backend::Strace, text: line.to_vec() });
    };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => lines.feed(buffer.get(..length).unwrap_or_default(), &mut push),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let cut = lines.finish(push);
    if cut > 0 {
        sink.loss(now(), 1, None, format!("{cut} bytes of lines longer than strace writes were cut"));
    }
    Ok(())
}

fn outcome(finished: Finished, effects: EffectLevel, left_running: Vec<Pid>, lost: u64) -> Outcome {
    let mut not_seen = vec![
        "programs that use ptrace themselves (gdb, strace) are refused it while they are traced".to_owned(),
        "children made with CLONE_UNTRACED".to_owned(),
    ];
    if !nix::unistd::geteuid().is_root() {
        not_seen.push(crate::ptrace::SETUID_UNSEEN.to_owned());
    }
    if !finished.messages.trim().is_empty() {
        not_seen.push(format!("strace said: {}", finished.messages.trim()));
    }
    let mut hooks: Vec<String> = CALLS.split(',').map(str::to_owned).collect();
    if effects >= EffectLevel::Writes {
        hooks.extend(EFFECTS.split(',').map(|call| call.trim_start_matches('?').to_owned()));
        not_seen.push("what goes through io_uring, and what was written through open files".to_owned());
    } else {
        not_seen.push("file and network effects".to_owned());
    }
    let coverage = Coverage { backend: Backend::Strace, hooks, lost, not_seen };
    Outcome { root: finished.root, coverage, left_running }
}

#[cfg(test)]
mod tests;
