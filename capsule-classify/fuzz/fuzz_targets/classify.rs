//! Any argument vector gets a verdict: no panic, no endless time, a short summary without control characters.
//!
//! The input is split at NUL bytes into arguments. Run with `cargo +nightly fuzz run classify seeds/classify`.
#![no_main]

use std::sync::OnceLock;

use capsule_classify::{Input, Rules, classify};
use capsule_core::Argv;
use libfuzzer_sys::fuzz_target;

static RULES: OnceLock<Rules> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let rules = RULES.get_or_init(Rules::builtin);
    let argv = Argv::from_iter(data.split(|byte| *byte == 0));
    let verdict = classify(rules, &Input { argv, cwd: Some("/home/dev/project".into()), ..Input::default() });
    assert!(verdict.summary.len() <= 400);
    assert!(!verdict.summary.chars().any(char::is_control));
});
