//! The tracer against the running kernel: real programs, every record. Needs root and BTF; says so where they are missing.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use capsule_core::redact::Redactor;
use capsule_core::{Argv, ExitStatus, Pid, RawBody, RawRecord, Snapshot, SpawnKind};

use super::Bpf;
use crate::command::Launch;
use crate::error::TraceError;
use crate::tracer::{Control, Linger, Outcome, TraceOptions, Tracer as _, Watch};

mod effects;
mod witness;

/// Whether the kernel programs can be loaded; says so loudly where not.
fn usable() -> bool {
    let probe = super::probe();
    if !probe.usable {
        println!("SKIPPED: the eBPF tracer cannot be tested here: {}", probe.because);
    }
    probe.usable
}

/// Not the first one in PATH, which may be a script of many processes.
const PYTHON: &str = "/usr/bin/python3";

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    if !found {
        println!("SKIPPED: `{program}` is not installed");
    }
    found
}

struct Recorded {
    outcome: Outcome,
    records: Vec<RawRecord>,
}

/// How a test reads: at once, or only when the command has ended.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Quick,
    Late,
}

fn record_with(
    bpf: Bpf,
    launch: Launch,
    reader: Reader,
    buffer: usize,
    meanwhile: impl AsyncFnOnce(Watch),
) -> Result<Recorded, TraceError> {
    let (sink, mut receiver) = crate::sink::channel(buffer, Redactor::off());
    let (control, watch) = Control::new();
    let Watch { cancel, started, root_ended } = watch;
    let (ended_tx, ended_rx) = tokio::sync::oneshot::channel();
    let (again_tx, again_rx) = tokio::sync::oneshot::channel();
    let watch = Watch { cancel, started, root_ended: again_rx };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let running = Box::new(bpf).run(launch, sink, control);
        let relay = async {
            if let Ok(status) = root_ended.await {
                let _unheard = ended_tx.send(());
                let _unheard = again_tx.send(status);
            }
        };
        let reading = async {
            if reader == Reader::Late {
                drop(ended_rx.await);
            }
            let mut records = Vec::new();
            while let Some(batch) = receiver.recv().await {
                records.extend(batch);
            }
            records
        };
        let all = async { tokio::join!(running, reading, relay, meanwhile(watch)) };
        let (outcome, records, (), ()) = tokio::time::timeout(Duration::from_secs(300), all).await.unwrap();
        outcome.map(|outcome| Recorded { outcome, records })
    })
}

fn record_launch(launch: Launch) -> Recorded {
    let bpf = Bpf::new(TraceOptions::default());
    record_with(bpf, launch, Reader::Quick, crate::sink::DEFAULT_BUFFER_BYTES, async |_| ()).unwrap()
}

fn record<A: Into<OsString>>(argv: impl IntoIterator<Item = A>) -> Recorded {
    record_launch(Launch::new(argv))
}

fn shell(script: &str) -> Recorded {
    record(["/bin/sh", "-c", script])
}

impl Recorded {
    fn execs(&self) -> Vec<(Pid, &Argv, &Snapshot)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Exec { pid, argv, snapshot: Some(snapshot), .. } => Some((*pid, argv, snapshot)),
                _ => None,
            })
            .collect()
    }

    fn arguments(&self) -> Vec<Vec<String>> {
        let text = |arg: &[u8]| String::from_utf8_lossy(arg).into_owned();
        self.execs().iter().map(|(_, argv, _)| argv.iter().map(text).collect()).collect()
    }

    fn spawns(&self) -> Vec<(Option<Pid>, Pid, SpawnKind)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Spawn { parent, child, how } => Some((*parent, *child, *how)),
                _ => None,
            })
            .collect()
    }

    fn exits(&self) -> Vec<(Pid, ExitStatus)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Exit { pid, status, .. } => Some((*pid, *status)),
                _ => None,
            })
            .collect()
    }

    fn failed(&self) -> Vec<(Option<Vec<u8>>, &Argv, i32)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::ExecFailed { filename, argv, errno, .. } => {
                    Some((filename.as_ref().map(|name| name.as_bytes().to_vec()), argv, *errno))
                }
                _ => None,
            })
            .collect()
    }

    fn lost(&self) -> u64 {
        self.records
            .iter()
            .map(|record| match &record.body {
                RawBody::Loss { count, .. } => *count,
                _ => 0,
            })
            .sum()
    }
}

/// Every process has one beginning before all else and one end after all else, and its parent began before it.
fn assert_well_formed(recorded: &Recorded) {
    let mut alive: HashSet<Pid> = HashSet::new();
    for record in &recorded.records {
        match &record.body {
            RawBody::Spawn { parent, child, .. } => {
                assert!(alive.insert(*child), "{child} began twice");
                assert!(parent.is_none_or(|parent| alive.contains(&parent)), "{child} has no parent");
            }
            RawBody::Exec { pid, .. } | RawBody::ExecFailed { pid, .. } => {
                assert!(alive.contains(pid), "{pid} did something before it began");
            }
            RawBody::Exit { pid, .. } => assert!(alive.remove(pid), "{pid} ended without having begun"),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(alive.is_empty(), "{alive:?} did not end");
    assert_eq!(recorded.outcome.coverage.lost, 0);
}

#[test]
fn a_command_is_recorded_from_its_beginning_to_its_end() {
    if !usable() {
        return;
    }
    let recorded = record(["/bin/sh", "-c", "/bin/true; exit 7"]);
    assert_well_formed(&recorded);
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(7)));
    assert_eq!(recorded.arguments(), [vec!["/bin/sh", "-c", "/bin/true; exit 7"], vec!["/bin/true"]]);
    let statuses: Vec<_> = recorded.exits().into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, [ExitStatus::Exited(0), ExitStatus::Exited(7)]);
}

#[test]
fn what_the_kernel_says_of_an_exec_is_what_proc_says() {
    if !usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/ü c");
    std::fs::create_dir_all(&deep).unwrap();
    let script = "readlink /proc/self/exe /proc/self/cwd; cat /proc/self/stat /proc/self/cgroup > out";
    let mut launch = Launch::new(["/bin/sh", "-c", script]);
    launch.cwd = Some(deep.clone());
    launch.env = Some(vec![("PATH".into(), "/usr/bin:/bin".into()), ("SECRET".into(), "hunter2".into())]);
    let recorded = record_launch(launch);
    let (_, _, snapshot) = recorded.execs().into_iter().find(|(_, argv, _)| argv.get(0) == Some(b"cat")).unwrap();
    assert_eq!(snapshot.cwd.as_ref().unwrap().as_bytes(), deep.canonicalize().unwrap().as_os_str().as_encoded_bytes());
    let cat = std::fs::canonicalize("/bin/cat").unwrap();
    assert_eq!(snapshot.exe.as_ref().unwrap().as_bytes(), cat.as_os_str().as_encoded_bytes());
    let out = std::fs::read_to_string(deep.join("out")).unwrap();
    let stat: Vec<&str> = out.lines().next().unwrap().rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(snapshot.pgid, stat[2].parse().ok());
    assert_eq!(snapshot.sid, stat[3].parse().ok());
    let cgroup = out.lines().find_map(|line| line.strip_prefix("0::")).map(str::as_bytes);
    assert_eq!(snapshot.cgroup.as_ref().map(|path| path.as_bytes()), cgroup);
    let uid = nix::unistd::getuid().as_raw();
    assert_eq!(snapshot.ids.map(|ids| (ids.uid, ids.euid)), Some((uid, uid)));
    let env = &snapshot.env.as_ref().unwrap().environment;
    let names: Vec<_> = env.names.iter().map(|name| name.to_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name == "SECRET"), "{names:?}");
    assert!(!format!("{:?}", recorded.records).contains("hunter2"));
}

#[test]
fn arguments_of_every_size_and_byte_are_exact() {
    if !usable() {
        return;
    }
    let longest = 131_071; // MAX_ARG_STRLEN without its NUL
    let mut argv: Vec<OsString> =
        vec!["/bin/true".into(), "".into(), OsString::from_vec(b"\xff\xfe\x01\n\x1b[2J".to_vec())];
    argv.extend((0..14_u8).map(|n| OsString::from_vec(vec![b'a' + n; longest])));
    argv.push("".into());
    argv.push("last".into());
    let recorded = record(argv.clone());
    assert_well_formed(&recorded);
    let wanted: Argv = argv.iter().map(|arg| arg.as_encoded_bytes()).collect();
    let execs = recorded.execs();
    assert_eq!(execs.len(), 1);
    assert!(*execs[0].1 == wanted, "{} arguments of {} bytes", execs[0].1.len(), execs[0].1.as_block().len());
}

#[test]
fn sizes_around_a_chunk_are_exact() {
    if !usable() {
        return;
    }
    let mut launch = Launch::new(["/bin/sh", "-c"]);
    launch.env = Some(Vec::new());
    for size in [32_700, 32_748, 32_749, 32_750, 32_751, 32_752, 32_753, 32_760, 32_767, 32_768, 32_769, 65_500, 65_536]
    {
        let mut launch = launch.clone();
        launch.argv = vec!["/bin/true".into(), OsString::from_vec(vec![b'x'; size])];
        let recorded = record_launch(launch);
        assert_well_formed(&recorded);
        let execs = recorded.execs();
        assert_eq!(execs[0].1.get(1).map(<[u8]>::len), Some(size));
        assert_eq!(execs[0].1.len(), 2);
    }
}

#[test]
fn failed_execs_have_their_arguments_and_errno() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import os
def attempt(path, argv):
    try: os.execv(path, argv)
    except OSError: pass
attempt('/nonexistent/x', ['a', 'b', 'c d'])
attempt('/tmp', ['dir'])
attempt('/nonexistent/big', ['n', 'y' * 100000, 'z' * 32767, 'w' * 32768, 'end'])
attempt('/bin/true', ['t', 'q' * 200000])
";
    let recorded = record([PYTHON, "-c", script]);
    assert_well_formed(&recorded);
    let failed: Vec<_> = recorded.failed();
    let of = |path: &str| failed.iter().find(|(name, ..)| name.as_deref() == Some(path.as_bytes())).unwrap();
    let (_, argv, errno) = of("/nonexistent/x");
    assert_eq!((argv.iter().collect::<Vec<_>>(), *errno), (vec![&b"a"[..], b"b", b"c d"], libc::ENOENT));
    assert_eq!(of("/tmp").2, libc::EACCES);
    let lengths: Vec<usize> = of("/nonexistent/big").1.iter().map(<[u8]>::len).collect();
    assert_eq!(lengths, [1, 100_000, 32_767, 32_768, 3]);
    assert_eq!(of("/bin/true").2, libc::E2BIG);
    assert_eq!(of("/bin/true").1.get(1).map(<[u8]>::len), Some(200_000));
}

#[test]
fn a_search_of_path_for_the_command_is_not_the_commands() {
    if !usable() {
        return;
    }
    let mut launch = Launch::new(["true"]);
    launch.env = Some(vec![("PATH".into(), "/nonexistent:/also/not:/bin".into())]);
    let recorded = record_launch(launch);
    assert_eq!(recorded.failed().len(), 0);
    assert_eq!(recorded.arguments(), [["true"]]);
}

#[test]
fn a_command_that_cannot_be_started_is_an_error() {
    if !usable() {
        return;
    }
    let start = |program: &str| {
        let bpf = Bpf::new(TraceOptions::default());
        record_with(bpf, Launch::new([program]), Reader::Quick, 1 << 20, async |_| ()).map(drop).unwrap_err()
    };
    assert_eq!(start("/nonexistent/program").exit_code(), 127);
    assert_eq!(start("/etc/passwd").exit_code(), 126);
}

fn storm(count: usize) {
    let script = format!("seq {count} | xargs -n 1 -P 8 /bin/true");
    let recorded = shell(&script);
    assert_eq!(recorded.lost(), 0);
    assert_well_formed(&recorded);
    let mut seen: HashMap<usize, Pid> = HashMap::new();
    for (pid, argv, _) in recorded.execs() {
        if argv.get(0) == Some(b"/bin/true") {
            let number = std::str::from_utf8(argv.get(1).unwrap()).unwrap().parse().unwrap();
            assert_eq!(argv.len(), 2);
            assert!(seen.insert(number, pid).is_none(), "{number} ran twice");
        }
    }
    assert_eq!(seen.len(), count);
    assert_eq!(recorded.spawns().len(), count + 3);
    assert!(recorded.exits().iter().all(|(_, status)| *status == ExitStatus::Exited(0)));
}

#[test]
fn a_storm_of_processes_is_recorded_without_loss() {
    if usable() {
        storm(10_000);
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_hundred_thousand_processes_are_recorded_without_loss() {
    if usable() {
        storm(100_000);
    }
}

#[test]
fn a_reader_that_does_not_keep_up_is_told_exactly_how_much_it_missed() {
    if !usable() {
        return;
    }
    let count = 4000;
    let mut bpf = Bpf::new(TraceOptions { ring_bytes: 256 << 10, ..TraceOptions::default() });
    bpf.batches = 1;
    let launch = Launch::new(["/bin/sh", "-c", &format!("seq {count} | xargs -n 1 -P 4 /bin/true")]);
    let recorded = record_with(bpf, launch, Reader::Late, 1, async |_| ()).unwrap();
    let told = recorded.lost();
    assert!(told > 0, "the ring was large enough for everything");
    assert_eq!(recorded.outcome.coverage.lost, told);
    let kept = recorded.spawns().len() + recorded.execs().len() + recorded.exits().len();
    // Each process has three records, and the shell, `seq` and `xargs` three more each.
    assert_eq!(kept as u64 + told, 3 * (count + 3));
}

#[test]
fn threads_are_no_processes_and_the_last_one_ends_theirs() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import threading, os, ctypes
for _ in range(50):
    t = threading.Thread(target=lambda: None); t.start(); t.join()
threading.Thread(target=lambda: os._exit(5)).start()
threading.Event().wait()
";
    let recorded = record([PYTHON, "-c", script]);
    assert_well_formed(&recorded);
    assert_eq!(recorded.spawns().len(), 1);
    assert_eq!(recorded.exits().into_iter().map(|(_, status)| status).collect::<Vec<_>>(), [ExitStatus::Exited(5)]);
}

#[test]
fn an_exec_by_a_thread_names_the_thread_and_keeps_the_process() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import threading, os
threading.Thread(target=lambda: os.execv('/bin/true', ['true', 'from a thread'])).start()
threading.Event().wait()
";
    let recorded = record([PYTHON, "-c", script]);
    assert_well_formed(&recorded);
    let from: Vec<_> = recorded
        .records
        .iter()
        .filter_map(|record| match &record.body {
            RawBody::Exec { pid, from_tid, argv, .. } => Some((*pid, from_tid.is_some(), argv.len())),
            _ => None,
        })
        .collect();
    assert_eq!(from.len(), 2);
    assert_eq!(from[0].0, from[1].0);
    assert_eq!((from[0].1, from[1].1), (false, super::load::names_threads()));
}

#[test]
fn forks_and_vforks_are_told_apart() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import os
if os.fork() == 0: os._exit(3)
os.wait()
os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
";
    let recorded = record([PYTHON, "-c", script]);
    assert_well_formed(&recorded);
    let how: Vec<_> = recorded.spawns().into_iter().map(|(_, _, how)| how).collect();
    assert_eq!(how, [SpawnKind::Root, SpawnKind::Fork, SpawnKind::Vfork]);
}

#[test]
fn signals_and_codes_are_the_kernels() {
    if !usable() {
        return;
    }
    let recorded = shell("sh -c 'kill -TERM $$'; sh -c 'kill -KILL $$'; sh -c 'exit 255'; true");
    let statuses: Vec<_> = recorded.exits().into_iter().map(|(_, status)| status).collect();
    let killed = |signal| ExitStatus::Signaled { signal, core_dumped: false };
    assert_eq!(statuses, [killed(15), killed(9), ExitStatus::Exited(255), ExitStatus::Exited(0)]);
}

#[test]
fn a_core_dump_is_told_as_the_parent_is_told() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import os, resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
pid = os.fork()
if pid == 0: os.abort()
os._exit(1 if os.WCOREDUMP(os.waitpid(pid, 0)[1]) else 0)
";
    let dir = tempfile::tempdir().unwrap();
    let mut launch = Launch::new([PYTHON, "-c", script]);
    launch.cwd = Some(dir.path().to_owned());
    let recorded = record_launch(launch);
    let core_dumped = recorded.outcome.root == Some(ExitStatus::Exited(1));
    assert_eq!(recorded.exits()[0].1, ExitStatus::Signaled { signal: 6, core_dumped });
}

#[test]
fn a_pid_namespace_shows_its_own_numbers_and_ours() {
    if !usable() || !installed("unshare") {
        return;
    }
    let recorded = record(["unshare", "--pid", "--fork", "/bin/sh", "-c", "/bin/true; exit 4"]);
    if recorded.outcome.root == Some(ExitStatus::Exited(1)) {
        println!("SKIPPED: no pid namespace can be made here");
        return;
    }
    assert_well_formed(&recorded);
    let execs = recorded.execs();
    let inner: Vec<_> = execs.iter().map(|(_, _, snapshot)| snapshot.ns_pid).collect();
    assert_eq!(inner, [None, Some(1), Some(2)]);
    assert!(execs.iter().all(|(pid, ..)| pid.0 > 2));
}

#[test]
fn a_tracee_may_trace_others_itself() {
    if !usable() || !installed("strace") {
        return;
    }
    let recorded = record(["strace", "-f", "-o", "/dev/null", "/bin/sh", "-c", "/bin/true; exit 6"]);
    assert_well_formed(&recorded);
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(6)));
    assert!(recorded.arguments().contains(&vec!["/bin/true".to_owned()]));
}

#[test]
fn strangers_are_not_recorded() {
    if !usable() {
        return;
    }
    let bpf = Bpf::new(TraceOptions::default());
    let recorded = record_with(bpf, Launch::new(["/bin/sleep", "0.3"]), Reader::Quick, 1 << 20, async |watch| {
        watch.started.await.unwrap();
        for _ in 0..20 {
            drop(std::process::Command::new("/bin/true").status());
        }
    });
    assert_eq!(recorded.unwrap().arguments(), [["/bin/sleep", "0.3"]]);
}

#[test]
fn cancelling_kills_the_tree_and_records_its_end() {
    if !usable() {
        return;
    }
    let bpf = Bpf::new(TraceOptions::default());
    let launch = Launch::new(["/bin/sh", "-c", "setsid sleep 1000 & sleep 1000"]);
    let recorded = record_with(bpf, launch, Reader::Quick, 1 << 20, async |watch| {
        watch.started.await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        watch.cancel.cancel();
    })
    .unwrap();
    assert_well_formed(&recorded);
    let killed = ExitStatus::Signaled { signal: 9, core_dumped: false };
    assert_eq!(recorded.outcome.root, Some(killed));
    assert!(recorded.exits().iter().all(|(_, status)| *status == killed));
}

fn linger(linger: Linger) -> Recorded {
    let options = TraceOptions { linger, grace: Duration::from_millis(50), ..TraceOptions::default() };
    let launch = Launch::new(["/bin/sh", "-c", "sleep 0.5 & exit 3"]);
    record_with(Bpf::new(options), launch, Reader::Quick, 1 << 20, async |_| ()).unwrap()
}

#[test]
fn descendants_that_outlive_the_root_are_let_go_waited_for_or_killed() {
    if !usable() {
        return;
    }
    let detached = linger(Linger::Detach);
    assert_eq!(detached.outcome.left_running.len(), 1);
    assert_eq!(detached.outcome.root, Some(ExitStatus::Exited(3)));
    assert!(detached.records.iter().any(|record| matches!(record.body, RawBody::LeftRunning { .. })));
    let waited = linger(Linger::Wait);
    assert_well_formed(&waited);
    assert_eq!(waited.outcome.left_running, []);
    let killed = linger(Linger::Kill);
    assert_well_formed(&killed);
    let last = killed.exits().last().map(|(_, status)| *status);
    assert_eq!(last, Some(ExitStatus::Signaled { signal: 9, core_dumped: false }));
}

#[test]
fn resource_usage_is_what_wait4_says() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import os
pid = os.fork()
if pid == 0:
    held = bytearray(64 << 20)
    n = 0
    while os.times().user < 0.2: n += 1
    os.pipe()
    os._exit(0)
_, _, usage = os.wait4(pid, 0)
open('out', 'w').write(f'{pid} {int(usage.ru_utime * 1e6)} {int(usage.ru_stime * 1e6)} {usage.ru_maxrss} {usage.ru_majflt}')
";
    let dir = tempfile::tempdir().unwrap();
    let mut launch = Launch::new([PYTHON, "-c", script]);
    launch.cwd = Some(dir.path().to_owned());
    let recorded = record_launch(launch);
    let out = std::fs::read_to_string(dir.path().join("out")).unwrap();
    let told: Vec<u64> = out.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let rusage = recorded.records.iter().find_map(|record| match &record.body {
        RawBody::Exit { pid, rusage, .. } if u64::from(pid.0) == told[0] => *rusage,
        _ => None,
    });
    let rusage = rusage.unwrap();
    let total = rusage.user_us + rusage.system_us;
    assert!(total.abs_diff(told[1] + told[2]) < 20_000, "{rusage:?} {told:?}");
    assert!(rusage.user_us.abs_diff(told[1]) < 50_000, "{rusage:?} {told:?}");
    assert_eq!((rusage.max_rss_kib, rusage.major_faults), (told[3], told[4]));
}

#[test]
fn setuid_programs_keep_their_privileges_and_users_their_names() {
    use std::os::unix::fs::PermissionsExt as _;

    if !usable() || !nix::unistd::getuid().is_root() {
        println!("SKIPPED: only root can run a command as somebody else");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("setuid-id");
    std::fs::copy("/usr/bin/id", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let script = format!("test \"$({} -u)\" = 0", program.display());
    let mut launch = Launch::new(["/bin/sh", "-c", &script]);
    launch.user = Some(crate::command::User { uid: 65_534, gid: 65_534, groups: vec![65_534] });
    let recorded = record_launch(launch);
    assert_well_formed(&recorded);
    let ids: Vec<_> = recorded.execs().iter().map(|(_, _, snapshot)| snapshot.ids.unwrap()).collect();
    assert_eq!((ids[0].uid, ids[0].euid, ids[0].gid), (65_534, 65_534, 65_534));
    assert_eq!((ids[1].uid, ids[1].euid), (65_534, 0));
    if recorded.outcome.root != Some(ExitStatus::Exited(0)) {
        println!("SKIPPED: set-user-id programs have no effect in {}", dir.path().display());
    }
}

#[test]
fn descriptors_are_named_as_proc_names_them() {
    if !usable() || !installed(PYTHON) {
        return;
    }
    let script = "
import os, socket, select, sys
kept = [os.open('/etc/passwd', 0), os.open('/', 0), socket.socket().detach(), os.pipe()[1], os.memfd_create('m')]
gone = os.open('gone', os.O_CREAT | os.O_RDWR); os.unlink('gone'); kept.append(gone)
kept.append(os.dup(gone))
epoll = select.epoll(); kept.append(epoll.fileno())
for fd in kept: os.set_inheritable(fd, True)
out = open('out', 'w')
for fd in range(64):
    try: inherited = os.get_inheritable(fd)
    except OSError: continue
    if inherited: print(fd, os.readlink(f'/proc/self/fd/{fd}'), file=out)
out.close()
os.execv('/bin/true', ['true'])
";
    let dir = tempfile::tempdir().unwrap();
    let mut launch = Launch::new([PYTHON, "-c", script]);
    launch.cwd = Some(dir.path().to_owned());
    let recorded = record_launch(launch);
    let (_, _, last) = recorded.execs().pop().unwrap();
    let found: Vec<String> =
        last.fds.as_ref().unwrap().iter().map(|open| format!("{} {}", open.fd, open.target.to_lossy())).collect();
    let told = std::fs::read_to_string(dir.path().join("out")).unwrap();
    assert_eq!(found, told.lines().collect::<Vec<_>>());
}

#[test]
fn files_that_are_gone_are_said_to_be() {
    if !usable() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let script = "cp /bin/true ./gone; mkdir d; cd d; rmdir ../d; exec 9<../gone; rm ../gone; exec /proc/self/fd/9";
    let mut launch = Launch::new(["/bin/sh", "-c", script]);
    launch.cwd = Some(dir.clone());
    let recorded = record_launch(launch);
    let (_, _, last) = recorded.execs().pop().unwrap();
    let said = |path: &Option<capsule_core::ByteString>| path.as_ref().unwrap().to_lossy().into_owned();
    assert_eq!(said(&last.exe), format!("{}/gone (deleted)", dir.display()));
    assert_eq!(said(&last.cwd), format!("{}/d (deleted)", dir.display()));
}
