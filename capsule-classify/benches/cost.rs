//! What classification costs: a command by its kind when it is seen for the first time, and an event of a session in which
//! commands come again.
//!
//! `cargo bench -p capsule-classify`

use std::sync::Arc;

use capsule_classify::{Classifier, CommandContext, Input, Rules, classify};
use capsule_core::{
    Argv, ByteString, EnrichedEvent, EventKind, ExecInfo, ExitStatus, Pid, ProcId, ProcessEvent, Seq, SpawnKind,
    Stage as _, Timestamp, TrackedEvent,
};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// A name, and the arguments.
const COMMANDS: [(&str, &[&str]); 5] = [
    ("git", &["git", "status", "--porcelain"]),
    ("compiler", &["gcc", "-O1", "-c", "main.c", "-o", "main.o"]),
    ("shell", &["bash", "-c", "cd src && grep -rn token . | head -5; make -j2 > /dev/null 2>&1 || true"]),
    ("wrapped", &["sudo", "-E", "timeout", "30", "env", "A=b", "sh", "-c", "curl -s https://example.org | sh"]),
    ("unknown", &["/opt/tools/frobnicate", "--all", "input.txt"]),
];

fn main() {
    divan::main();
}

fn argv(words: &[&str]) -> Argv {
    words.iter().collect()
}

#[divan::bench(args = COMMANDS.map(|(name, _)| name))]
fn first_seen(bencher: Bencher<'_, '_>, name: &str) {
    let rules = Rules::builtin();
    let words = COMMANDS.iter().find(|(known, _)| *known == name).map_or(&[] as &[&str], |(_, words)| words);
    let cwd = Some(ByteString::from("/home/user/project"));
    let input = Input { argv: argv(words), cwd, context: CommandContext::default() };
    bencher.bench_local(|| classify(&rules, black_box(&input)));
}

/// The embedded rules with as many Sigma rules as are published for processes on Linux, in the forms that those have.
fn with_sigma() -> Rules {
    let mut rules = Rules::builtin();
    let file = std::env::temp_dir().join(format!("capsule-bench-sigma-{}.yml", std::process::id()));
    let mut text = String::new();
    for n in 0..150 {
        text.push_str(&format!(
            "title: Rule {n}\nid: 00000000-0000-4000-8000-{n:012}\ntags: [attack.execution, attack.t1059]\n\
             logsource: {{ category: process_creation, product: linux }}\ndetection:\n  image:\n    Image|endswith: ['/tool{n}', \
             '/curl{n}', '/python{n}']\n  line:\n    CommandLine|contains: [' --option{n} ', '/tmp/file{n}', 'base64 -d{n}']\n  \
             not_this:\n    ParentImage|endswith: '/systemd'\n  condition: image and line and not not_this\nlevel: medium\n---\n"
        ));
    }
    if std::fs::write(&file, text.trim_end_matches("---\n")).is_ok() {
        let report = rules.add_sigma(&file);
        assert!(report.is_ok(), "{:?}", report.err());
    }
    drop(std::fs::remove_file(&file));
    rules
}

#[divan::bench(args = COMMANDS.map(|(name, _)| name))]
fn first_seen_with_sigma(bencher: Bencher<'_, '_>, name: &str) {
    let rules = with_sigma();
    let words = COMMANDS.iter().find(|(known, _)| *known == name).map_or(&[] as &[&str], |(_, words)| words);
    let cwd = Some(ByteString::from("/home/user/project"));
    let input = Input { argv: argv(words), cwd, context: CommandContext::default() };
    bencher.bench_local(|| classify(&rules, black_box(&input)));
}

#[divan::bench]
fn events_of_a_session(bencher: Bencher<'_, '_>) {
    let mut events = Vec::new();
    for proc in 1..=3000_u32 {
        let (_, words) = COMMANDS[proc as usize % COMMANDS.len()];
        let info = ExecInfo {
            filename: None,
            argv: argv(words),
            exe: None,
            cwd: Some(ByteString::from("/home/user/project")),
            from_tid: None,
            snapshot: None,
        };
        let exit = EventKind::Exit { status: ExitStatus::Exited(0), rusage: None };
        for kind in [EventKind::Spawn(SpawnKind::Fork), EventKind::Exec(Arc::new(info)), exit] {
            let seq = events.len() as u64 + 1;
            let (pid, timestamp) = (Pid(proc), Timestamp(seq));
            let event = ProcessEvent { seq: Seq(seq), raw: Seq(seq), timestamp, pid, ppid: None, kind };
            events.push(TrackedEvent {
                enriched: EnrichedEvent { event, context: None },
                proc: Some(ProcId(proc)),
                parent: None,
                depth: 1,
                lineage: Arc::from([]),
                anomaly: None,
            });
        }
    }
    bencher
        .counter(ItemsCount::new(events.len()))
        .with_inputs(|| Classifier::new(Rules::builtin()))
        .bench_local_values(|mut classifier| {
            let mut out = Vec::with_capacity(events.len());
            events.iter().for_each(|event| classifier.feed(event, &mut out));
            out
        });
}
