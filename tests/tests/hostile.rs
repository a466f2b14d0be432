//! Mutated seeds through everything that reads bytes of others: the fuzz targets without a fuzzer, the same every time.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use tests::hostile::{ENTRIES, feed};

/// How many mutations of each seed are tried unless `CAPSULE_TEST_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 60;
/// What hostile input is often made of.
const PIECES: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\xff",
    b"\"",
    b"\\",
    b"'",
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b"...",
    b"<unfinished ...>",
    b"-1",
    b"18446744073709551616",
    b"4294967295",
    b"\x1b]0;",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x98\x80",
    b"$(",
    b"\n== ",
    b"\\x",
    b"null",
];

/// Marsaglia's xorshift: no quality is needed, only that it is the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % limit.max(1)
    }
}

/// One to eight changes.
fn mutate(seed: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=chance.below(8) {
        let at = chance.below(bytes.len() + 1);
        let to = at + chance.below((bytes.len() - at).min(64) + 1);
        match chance.below(8) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << chance.below(8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = chance.below(256) as u8),
            2 => drop(bytes.drain(at..to)),
            3 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            4 => drop(bytes.splice(at..to, PIECES[chance.below(PIECES.len())].iter().copied())),
            5 => drop(bytes.splice(at..at, PIECES[chance.below(PIECES.len())].repeat(chance.below(40)))),
            6 => {
                let from = chance.below(other.len() + 1);
                let part = &other[from..from + chance.below((other.len() - from).min(256) + 1)];
                drop(bytes.splice(at..to, part.iter().copied()));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn replay(name: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
    let mut paths: Vec<_> =
        fs::read_dir(&directory).expect("seeds").map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("a seed")).collect();
    assert!(seeds.iter().any(|seed| seed.len() > 20), "{name} has seeds");
    let mutations =
        std::env::var("CAPSULE_TEST_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(MUTATIONS);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for (number, seed) in seeds.iter().enumerate() {
        let other = &seeds[(number + 1) % seeds.len()];
        // Many small seeds need fewer mutations each.
        for round in 0..=mutations / (seeds.len() as u64 / 12).max(1) {
            let input = if round == 0 { seed.clone() } else { mutate(seed, other, &mut chance) };
            if catch_unwind(|| feed(name, &input)).is_err() {
                let kept = std::env::temp_dir().join(format!("capsule-{name}-crash"));
                fs::write(&kept, &input).expect("kept");
                panic!("{name} fails on mutation {round} of {}: see {}", paths[number].display(), kept.display());
            }
        }
    }
}

#[test]
fn every_part_has_seeds_a_fuzz_target_and_a_test() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("it is there");
    let here = include_str!("hostile.rs");
    for (name, _) in ENTRIES {
        let target = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).expect("it is there");
        assert!(target.contains(&format!("feed(\"{name}\", ")), "{target}");
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
        assert!(here.contains(&format!("replay(\"{name}\")")), "{name}");
    }
}

#[test]
fn any_strace_log_is_read() {
    replay("strace");
}

#[test]
fn any_dtrace_output_is_read() {
    replay("dtrace");
}

#[test]
fn any_eslogger_output_is_read() {
    replay("eslogger");
}

#[test]
fn any_kernel_records_are_decoded() {
    replay("ebpf");
}

#[test]
fn any_stream_is_read() {
    replay("reader");
}

#[test]
fn any_session_gets_a_verdict() {
    replay("verify");
}

#[test]
fn any_records_can_be_shown() {
    replay("human");
}

#[test]
fn any_command_is_classified() {
    replay("shell");
}

#[test]
fn secrets_are_looked_for_in_anything() {
    replay("redact");
}
