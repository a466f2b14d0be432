//! Arguments and other text of the traced program: what is found out about them, and what is taken out of them.

use std::sync::OnceLock;

use capsule_classify::{Input, Rules, classify};
use capsule_core::redact::Redactor;
use capsule_core::{Argv, Backend};

/// An argument vector, its words ended by NULs, as it is and as the text of a shell and of an interpreter.
pub(super) fn shell(input: &[u8]) {
    static RULES: OnceLock<Rules> = OnceLock::new();
    let rules = RULES.get_or_init(Rules::builtin);
    let words: Vec<&[u8]> = input.split(|byte| *byte == 0).collect();
    for argv in [words, vec![b"bash", b"-c", input], vec![b"python3", b"-c", input]] {
        let argv = Argv::from_iter(argv);
        let verdict = classify(rules, &Input { argv, cwd: Some("/home/dev/project".into()), ..Input::default() });
        assert!(verdict.summary.len() <= 400, "a summary is short");
        assert!(!verdict.summary.chars().any(char::is_control), "a summary is one line");
        assert!(verdict.risks.len() <= 64, "findings about one command are bounded");
    }
}

/// Arguments, a variable, free text and lines, with the secrets that may be in them.
pub(super) fn redact(input: &[u8]) {
    let mut redactor = Redactor::new([7; 32]);
    let argv: Argv = input.split(|byte| *byte == 0).collect();
    let clean = redactor.argv(&argv);
    assert_eq!(clean.iter().count(), argv.iter().count(), "arguments stay as many");
    if let Some((name, value)) = input.iter().position(|byte| *byte == b'=').map(|at| input.split_at(at)) {
        drop(redactor.value(name, value));
    }
    let text = redactor.text(input);
    assert_eq!(text, redactor.text(input), "equal secrets have equal tags");
    if let Some(text) = &text {
        // Reports redact once more what was redacted at capture.
        drop(redactor.text(text.as_bytes()));
    }
    for source in [Backend::Strace, Backend::Dtrace, Backend::Eslogger, Backend::Ptrace] {
        let line = redactor.line(source, input);
        if source == Backend::Eslogger && serde_json::from_slice::<serde_json::Value>(input).is_ok() {
            let text = line.as_ref().map_or(input, |line| line.as_bytes());
            assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok(), "JSON stays JSON");
        }
    }
    assert_eq!(Redactor::off().text(input), None, "nothing is done unasked");
}
