//! What redaction and the JSON form cost, per record and as a ratio to hashing the same bytes once with BLAKE3.
//!
//! `cargo bench -p capsule-core`. The last table grows hostile input eightfold: a ratio far above eight is a detector
//! that looks at bytes more than once.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use capsule_core::redact::Redactor;
use capsule_core::{
    Argv, Backend, ByteString, Context, EnrichedEvent, EventKind, ExecInfo, ExitStatus, Fact, Ids, OpenFile, Origin,
    Pid, ProcessEvent, RawBody, RawRecord, Seq, Snapshot, SpawnKind, Timestamp,
};

/// Nanoseconds per call, the best of five rounds.
fn nanos(rounds: u32, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..rounds {
            work();
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e9 / f64::from(rounds));
    }
    best
}

fn vectors() -> Vec<(&'static str, Argv)> {
    let script = "echo an ordinary line of a script here; ".repeat(1000);
    let claude = "source /root/.claude/shell-snapshots/snapshot-bash-1.sh 2>/dev/null || true && shopt -u extglob \
                  2>/dev/null || true && eval 'grep -rn token src | head -5' < /dev/null && pwd -P >| /tmp/claude-cwd";
    let cc1 =
        "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet -imultiarch x86_64-linux-gnu main.c -dumpbase main.c -O2 -o a.s";
    vec![
        ("git status", "git status --porcelain".split(' ').collect()),
        ("compiler", cc1.split(' ').collect()),
        ("curl url", "curl -sSL https://api.github.com/repos/x/y".split(' ').collect()),
        ("agent's bash -c", ["bash", "-c", claude].iter().collect()),
        ("38 KB script", ["bash", "-c", script.as_str()].iter().collect()),
        ("password", ["mysql", "-uroot", "-phunter2", "db"].iter().collect()),
    ]
}

fn redaction() {
    println!("{:<18} {:>10} {:>8}", "redact argv", "ns", "x blake3");
    let mut redactor = Redactor::new([1; 32]);
    for (name, argv) in vectors() {
        let rounds = if argv.as_block().len() > 1000 { 300 } else { 30_000 };
        let took = nanos(rounds, || drop(black_box(redactor.argv(black_box(&argv)))));
        let hash = nanos(rounds, || {
            black_box(blake3::hash(black_box(argv.as_block())));
        });
        println!("{name:<18} {took:>10.0} {:>8.2}", took / hash);
    }
    let quoted: String = b"/usr/bin/git".iter().map(|b| format!("\\x{b:02x}")).collect();
    for line in [
        "12 1700000000.123456 execve(\"/usr/bin/git\", [\"git\", \"status\"], 0x7ffd /* 39 vars */) = 0".to_owned(),
        format!("12 1700000000.123456 execve(\"{quoted}\", [\"{quoted}\"], 0x7ffd /* 39 vars */) = 0"),
    ] {
        let took = nanos(30_000, || drop(black_box(redactor.line(Backend::Strace, black_box(line.as_bytes())))));
        println!("{:<18} {took:>10.0}", "strace line");
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        exe: Some(ByteString::from("/usr/bin/git")),
        cwd: Some(ByteString::from("/home/user/project")),
        ids: Some(Ids { uid: 1000, euid: 1000, gid: 1000, egid: 1000 }),
        tty: None,
        sid: Some(1),
        pgid: Some(2),
        fds: Some((0..3).map(|fd| OpenFile { fd, target: ByteString::from("/dev/pts/3") }).collect()),
        ..Snapshot::empty(Origin::Stopped)
    }
}

fn event(kind: EventKind) -> ProcessEvent {
    ProcessEvent { seq: Seq(7), raw: Seq(7), timestamp: Timestamp(1 << 60), pid: Pid(9), ppid: Some(Pid(8)), kind }
}

fn json() {
    println!("\n{:<18} {:>10} {:>8} {:>8}", "to JSON", "ns", "bytes", "x blake3");
    let argv: Argv = "git status --porcelain".split(' ').collect();
    let raw = |body| RawRecord { seq: Seq(7), timestamp: Timestamp(1 << 60), body };
    let body = RawBody::Exec {
        pid: Pid(9),
        from_tid: None,
        filename: Some(ByteString::from("/usr/bin/git")),
        argv: argv.clone(),
        snapshot: Some(snapshot()),
    };
    let exec = ExecInfo {
        filename: Some(ByteString::from("/usr/bin/git")),
        argv,
        exe: None,
        cwd: None,
        from_tid: None,
        snapshot: None,
    };
    let known = |text: &str| Fact::Known(ByteString::from(text), Origin::Stopped);
    let context = Context {
        exe: known("/usr/bin/git"),
        cwd: known("/home/user/project"),
        ids: Fact::Known(Ids { uid: 0, euid: 0, gid: 0, egid: 0 }, Origin::Stopped),
        tty: Fact::Known(ByteString::from("/dev/pts/3"), Origin::Inherited),
        sid: Fact::Known(1, Origin::Stopped),
        pgid: Fact::Known(1, Origin::Stopped),
        cgroup: Fact::Known(ByteString::from("/user.slice"), Origin::Inherited),
        env: Fact::Absent("not in the recording".into()),
        fds: Fact::Known(snapshot().fds.unwrap_or_default(), Origin::Stopped),
        user: Some("user".to_owned()),
        group: Some("user".to_owned()),
        container: None,
        ns_pid: None,
    };
    let exec = event(EventKind::Exec(Arc::new(exec)));
    let exit = event(EventKind::Exit { status: ExitStatus::Exited(0), rusage: None });
    let enriched = EnrichedEvent { event: exec.clone(), context: Some(Arc::new(context)) };
    let spawn = raw(RawBody::Spawn { parent: Some(Pid(1)), child: Pid(2), how: SpawnKind::Fork });
    row("raw spawn", &spawn);
    row("raw exec", &raw(body));
    row("event exec", &exec);
    row("event exit", &exit);
    row("enriched exec", &enriched);
    row("enriched exit", &EnrichedEvent { event: exit, context: None });
}

fn row(name: &str, record: &impl serde::Serialize) {
    let mut line = Vec::with_capacity(4096);
    let took = nanos(30_000, || {
        line.clear();
        drop(black_box(serde_json::to_writer(&mut line, black_box(record))));
    });
    let hash = nanos(30_000, || {
        black_box(blake3::hash(black_box(&line)));
    });
    println!("{name:<18} {took:>10.0} {:>8} {:>8.2}", line.len(), took / hash);
}

fn growth() {
    println!("\n{:<28} {:>10} {:>10} {:>7}", "hostile text", "us 50 KB", "us 400 KB", "ratio");
    let mut redactor = Redactor::new([1; 32]);
    for unit in [
        "eyJ",
        "sk-ant-",
        "token=\"$",
        "password=",
        "://a:",
        "-----BEGIN ",
        "pass:",
        "'\"\\",
        "ghp_a",
        "key: ",
        "cookie:",
        "cookie: a",
        "a=\\\"token\\\" ",
        "token: \"",
        "Bearer ",
        "authorization:",
        "key=[",
        "Signature=",
        "mysql -p ",
    ] {
        let [small, large] = [50_000, 400_000].map(|size| {
            let text = unit.repeat(size / unit.len());
            let argv: Argv = ["sh", "-c", text.as_str()].iter().collect();
            nanos(1, || drop(black_box(redactor.argv(&argv)))) / 1000.0
        });
        println!("{unit:<28?} {small:>10.0} {large:>10.0} {:>7.1}", large / small);
    }
}

fn main() {
    redaction();
    json();
    growth();
}
