//! A session's statement, checked by others: openssl for the signature, sha256sum for the subject.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::{Home, installed, skipped, stderr, stdout};

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn decoded(home: &Home, text: &Value, name: &str) -> Vec<u8> {
    let path = home.path().join(name);
    fs::write(&path, text.as_str().expect("base64")).expect("written");
    let output = Command::new("base64").arg("-d").arg(&path).output().expect("base64 starts");
    assert!(output.status.success(), "base64 that others can read");
    output.stdout
}

#[test]
fn openssl_agrees_with_the_statement_and_refuses_an_edited_one() {
    const NAME: &str = "openssl_agrees_with_the_statement_and_refuses_an_edited_one";
    if !["openssl", "base64", "sha256sum"].iter().all(|program| installed(program)) {
        return skipped(NAME, "needs openssl and coreutils");
    }
    let home = Home::new();
    let at = |name: &str| home.path().join(name);
    let openssl =
        |args: &[&str]| Command::new("openssl").args(args).current_dir(home.path()).output().expect("openssl");
    let made = openssl(&["genpkey", "-algorithm", "ed25519", "-out", "private.pem"]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(openssl(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]).status.success());
    let key = at("private.pem");
    assert!(Command::new("chmod").arg("600").arg(&key).status().is_ok_and(|status| status.success()));
    let output = home.capsule(["run", "-q", "--linger", "wait", "--sign", &key.display().to_string(), "/bin/true"]);
    assert!(output.status.success(), "{}", stderr(&output));

    // The envelope: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md
    let session = home.session();
    let envelope = value(&fs::read_to_string(session.join("statement.dsse.json")).expect("a statement"));
    let kind = envelope["payloadType"].as_str().expect("a type");
    assert_eq!(kind, "application/vnd.in-toto+json");
    let payload = decoded(&home, &envelope["payload"], "payload.b64");
    let signature = decoded(&home, &envelope["signatures"][0]["sig"], "signature.b64");
    // The protocol: PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body.
    let encode =
        |payload: &[u8]| [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat();
    fs::write(at("signature"), signature).expect("written");
    let verify = |payload: &[u8]| {
        fs::write(at("signed"), encode(payload)).expect("written");
        let args = "pkeyutl -verify -pubin -inkey public.pem -rawin -in signed -sigfile signature";
        let output = openssl(&args.split(' ').collect::<Vec<_>>());
        (output.status.success(), stdout(&output) + &stderr(&output))
    };
    let (agrees, said) = verify(&payload);
    assert!(agrees, "{said}");
    let mut edited = payload.clone();
    edited[20] ^= 1;
    assert!(!verify(&edited).0, "an edited statement is refused");

    // The statement: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
    let statement = value(&String::from_utf8(payload).expect("UTF-8"));
    let fields: Vec<&String> = statement.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["_type", "predicate", "predicateType", "subject"]);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert!(statement["predicateType"].as_str().is_some_and(|kind| kind.starts_with("https://")));
    assert_eq!(statement["subject"].as_array().map(Vec::len), Some(1));
    let sum = Command::new("sha256sum").arg(session.join("metadata.json")).output().expect("sha256sum starts");
    let sum = stdout(&sum);
    assert_eq!(statement["subject"][0]["digest"]["sha256"].as_str(), sum.split(' ').next());
    assert_eq!(statement["predicate"]["session"].as_str(), session.file_name().and_then(|name| name.to_str()));
}
