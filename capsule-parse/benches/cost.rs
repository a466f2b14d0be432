//! What parsing costs: nanoseconds per record, and as a ratio to copying the record's own text.
//!
//! `cargo bench -p capsule-parse`
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use capsule_core::{
    Argv, Backend, ByteString, ExitStatus, Origin, Pid, RawBody, RawRecord, Seq, Snapshot, SpawnKind, Stage as _,
    Timestamp,
};
use capsule_parse::Parser;

/// Nanoseconds per record, the best of five rounds.
fn run(name: &str, records: &[RawRecord], rounds: usize) {
    let mut best = f64::INFINITY;
    let mut events = 0;
    let mut out = Vec::with_capacity(64);
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..rounds {
            let mut parser = Parser::new();
            events = 0;
            for record in records {
                parser.feed(black_box(record), &mut out);
                events += out.len();
                out.clear();
            }
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e9 / (rounds * records.len()) as f64);
    }
    let begun = Instant::now();
    for _ in 0..rounds {
        for record in records {
            drop(black_box(record.clone()));
            if let RawBody::Line { text, .. } = &record.body {
                drop(black_box(text.as_bytes().to_vec()));
            }
        }
    }
    let copy = begun.elapsed().as_secs_f64() * 1e9 / (rounds * records.len()) as f64;
    println!("{name:<26} {best:>8.0} ns/record {:>7.1} x copy {events:>8} events", best / copy);
}

fn native() -> Vec<RawRecord> {
    let argv: Argv = ["git", "status", "--porcelain"].iter().collect();
    let mut bodies = vec![RawBody::Spawn { parent: None, child: Pid(1), how: SpawnKind::Root }];
    for pid in 2..5_000 {
        bodies.push(RawBody::Spawn { parent: Some(Pid(1)), child: Pid(pid), how: SpawnKind::Vfork });
        bodies.push(RawBody::Exec {
            pid: Pid(pid),
            from_tid: None,
            filename: Some(ByteString::from("/usr/bin/git")),
            argv: argv.clone(),
            snapshot: Some(Snapshot::empty(Origin::Stopped)),
        });
        bodies.push(RawBody::Exit { pid: Pid(pid), status: ExitStatus::Exited(0), rusage: None });
    }
    let record = |(body, seq)| RawRecord { seq: Seq(seq), timestamp: Timestamp(seq), body };
    bodies.into_iter().zip(1..).map(record).collect()
}

fn main() {
    run("native", &native(), 20);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for name in [
        "strace-make-parallel",
        "strace-python-vfork",
        "strace-all-calls",
        "strace-odd-bytes-xx",
        "strace-long-argument",
    ] {
        let Ok(text) = std::fs::read(folder.join(format!("{name}.in"))) else { continue };
        let line = |(line, seq): (&[u8], u64)| RawRecord {
            seq: Seq(seq),
            timestamp: Timestamp(seq),
            body: RawBody::Line { source: Backend::Strace, text: ByteString::from(line) },
        };
        let records: Vec<RawRecord> = text.split(|b| *b == b'\n').zip(1..).map(line).collect();
        run(name, &records, 200);
    }
}
