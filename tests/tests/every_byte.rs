//! Every byte of every file of recorded sessions, changed one at a time: found, in its file, at its record.

use std::fs;
use std::path::PathBuf;

use capsule_io::sign::PublicKey;
use capsule_io::{Overall, Store, Verdict, VerificationKey, VerifyOptions};
use tests::{Home, stderr};

/// A session through the program, sealed with a key and signed.
struct Session {
    home: Home,
    path: PathBuf,
    key: VerificationKey,
    signer: PublicKey,
}

fn recorded() -> Session {
    let home = Home::new();
    let text = |name: &str| home.path().join(name).display().to_string();
    let run = |args: &[&str]| {
        let output = home.capsule(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    };
    run(&["key", "new", &text("seal.key"), &text("verify.key")]);
    run(&["key", "sign", &text("sign.pem"), &text("public.pem")]);
    let (sealing, signing) = (text("seal.key"), text("sign.pem"));
    // A command with a finding, so that no stream is empty.
    let command = ["sh", "-c", "cat /etc/shadow >/dev/null 2>&1; exit 0"];
    run(&[&["run", "-q", "--linger", "wait", "--key", &sealing, "--sign", &signing][..], &command].concat());
    let read = |name: &str| fs::read_to_string(home.path().join(name)).expect("it is there");
    let key = VerificationKey::parse(read("verify.key").trim()).expect("a key");
    let signer = PublicKey::from_pem(&read("public.pem")).expect("a key");
    let path = home.session();
    Session { path, key, signer, home }
}

impl Session {
    fn verdict(&self, keyed: bool, signed: bool) -> Option<Verdict> {
        let store = Store::at(self.home.path());
        let session = store.find("latest").expect("a session");
        let mut options = VerifyOptions::in_store(&store);
        if keyed {
            options = options.with_key(&self.key);
        }
        if signed {
            options = options.signed_by(&self.signer);
        }
        capsule_io::verify(&session, &options).ok()
    }

    /// Changes each byte of a file, and hands over its place, its line and the verdict.
    fn flip(&self, path: PathBuf, keyed: bool, signed: bool, check: impl Fn(usize, u64, Option<Verdict>)) {
        let good = fs::read(&path).expect("read");
        assert!(!good.is_empty(), "{} is empty", path.display());
        let mut line = 1;
        for at in 0..good.len() {
            let mut edited = good.clone();
            edited[at] ^= 1 << (at % 8);
            fs::write(&path, &edited).expect("written");
            check(at, line, self.verdict(keyed, signed));
            line += u64::from(good[at] == b'\n');
        }
        fs::write(&path, good).expect("written");
        assert_eq!(self.verdict(true, true).expect("a verdict").overall, Overall::Whole);
    }
}

#[test]
fn a_changed_byte_of_a_stream_is_found_at_its_record_with_and_without_the_key() {
    let session = recorded();
    for name in ["raw.jsonl", "events.jsonl", "enriched.jsonl", "risks.jsonl", "actions.jsonl"] {
        for keyed in [false, true] {
            session.flip(session.path.join(name), keyed, false, |at, line, verdict| {
                let verdict = verdict.expect("a stream's bytes are no reason not to check it");
                let first = verdict.first().expect("a problem");
                assert_eq!(
                    (verdict.overall, first.file.as_str(), first.record),
                    (Overall::Tampered, name, Some(line)),
                    "byte {at} of {name}, keyed {keyed}: {verdict:#?}"
                );
            });
        }
    }
}

#[test]
fn a_changed_byte_of_any_other_file_is_found_in_that_file() {
    let session = recorded();
    for name in ["metadata.json", "tree.json"] {
        for keyed in [false, true] {
            session.flip(session.path.join(name), keyed, false, |at, _, verdict| {
                // Metadata of a version that nobody knows cannot be checked, and that is said.
                let Some(verdict) = verdict else { return assert_eq!(name, "metadata.json", "byte {at}") };
                let first = verdict.first().expect("a problem");
                assert_eq!((verdict.overall, first.file.as_str()), (Overall::Tampered, name), "{at}: {verdict:#?}");
            });
        }
    }
    session.flip(session.home.path().join("ledger.jsonl"), false, false, |at, _, verdict| {
        let verdict = verdict.expect("a verdict");
        let first = verdict.first().expect("a problem");
        assert_eq!((verdict.overall, first.file.as_str()), (Overall::Tampered, "ledger.jsonl"), "{at}: {verdict:#?}");
    });
    session.flip(session.path.join("seals.jsonl"), true, false, |at, line, verdict| {
        let verdict = verdict.expect("a verdict");
        let first = verdict.first().expect("a problem");
        let found = (verdict.overall, first.file.as_str(), first.record);
        assert_eq!(found, (Overall::Tampered, "seals.jsonl", Some(line)), "{at}: {verdict:#?}");
    });
    let statement = session.path.join("statement.dsse.json");
    let text = fs::read_to_string(&statement).expect("a statement");
    let hint = text.find("\"keyid\":\"").expect("a hint") + 9;
    session.flip(statement, false, true, |at, _, verdict| {
        let verdict = verdict.expect("a verdict");
        // The key's name in the envelope is a hint that nobody signed and nobody trusts.
        let is_hint = (hint..hint + 64).contains(&at);
        assert!(is_hint || verdict.overall == Overall::Tampered, "byte {at}: {verdict:#?}");
        assert!(verdict.first().is_none_or(|first| first.file == "statement.dsse.json"), "{at}: {verdict:#?}");
    });
}
