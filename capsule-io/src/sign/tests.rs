use std::fs;

use super::*;
use crate::fixture::Home;
use crate::{Damage, Overall, Verdict, VerifyOptions, verify};

fn signed() -> (Home, SessionId, SigningKey) {
    let home = Home::new();
    let id = home.sealed(1, 3);
    let key = SigningKey::generate().unwrap();
    sign(&home.store.session(&id).unwrap(), &key).unwrap();
    (home, id, key)
}

fn verdict(home: &Home, id: &SessionId, key: &PublicKey) -> Verdict {
    let session = home.store.session(id).unwrap();
    verify(&session, &VerifyOptions::in_store(&home.store).signed_by(key)).unwrap()
}

#[test]
fn a_signed_session_is_whole_for_whoever_has_the_public_key() {
    let (home, id, key) = signed();
    let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
    assert_eq!(verdict(&home, &id, &public).overall, Overall::Whole);
    assert_eq!(verdict(&home, &id, &public).signer, Some(public.id()));
    assert_eq!(home.verdict(&id).signer, None, "not asked for");
}

#[test]
fn another_key_a_missing_statement_and_one_about_other_contents_are_told_apart() {
    let (home, id, key) = signed();
    let other = SigningKey::generate().unwrap().public();
    let why = |home: &Home, id: &SessionId, key: &PublicKey| {
        let verdict = verdict(home, id, key);
        assert_eq!((verdict.overall, &verdict.first().unwrap().damage), (Overall::Tampered, &Damage::NotSigned));
        verdict.first().unwrap().detail.clone().unwrap()
    };
    assert_eq!(why(&home, &id, &other), "it is not signed by this key");
    let second = home.sealed(2, 3);
    fs::copy(home.path(&id, STATEMENT), home.path(&second, STATEMENT)).unwrap();
    assert_eq!(why(&home, &second, &key.public()), "it is about other contents");
    fs::write(home.path(&id, STATEMENT), "{}").unwrap();
    assert_eq!(why(&home, &id, &key.public()), "it is not a statement about a session");
    fs::remove_file(home.path(&id, STATEMENT)).unwrap();
    assert_eq!(why(&home, &id, &key.public()), "there is no statement");
}

#[test]
fn flipping_any_bit_of_what_is_signed_is_found() {
    let (home, id, key) = signed();
    let metadata = fs::read(home.path(&id, METADATA)).unwrap();
    let good = fs::read_to_string(home.path(&id, STATEMENT)).unwrap();
    let envelope: Envelope = serde_json::from_str(&good).unwrap();
    let payload = BASE64.decode(&envelope.payload).unwrap();
    assert!(check_statement(good.as_bytes(), &metadata, &key.public()).is_ok());
    for at in 0..payload.len() {
        let mut edited = payload.clone();
        edited[at] ^= 1;
        let envelope = Envelope { payload: BASE64.encode(edited), ..envelope.clone() };
        let bytes = serde_json::to_vec(&envelope).unwrap();
        assert_eq!(check_statement(&bytes, &metadata, &key.public()), Err(StatementError::Signature));
    }
}

#[test]
fn an_unsealed_session_cannot_be_signed() {
    let home = Home::new();
    let id = home.unsealed(1, 1);
    let session = home.store.session(&id).unwrap();
    assert!(matches!(sign(&session, &SigningKey::generate().unwrap()), Err(StoreError::NotSealed { .. })));
}

#[test]
fn keys_are_those_of_openssl() {
    // Made by `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`.
    let private = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJr34WYoy21k2HF63Ph1AZGZaaaWPDH+yLKYXK4AGnvT\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(private).unwrap();
    let public = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEA/H+BXUKrdsd0jg1xALbMiQ1zYX+gDli/zZlyChd71aM=\n-----END PUBLIC KEY-----\n";
    assert_eq!(key.public().to_pem(), public);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    key.save_new(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), private);
    assert!(SigningKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    assert!(PublicKey::from_pem(private).is_err());
}

#[test]
fn the_pre_authentication_encoding_is_that_of_the_specification() {
    // The test vector of the DSSE protocol (protocol.md, "Test Vectors").
    let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    assert_eq!(pre_authentication("http://example.com/HelloWorld", b"hello world"), expected);
    assert_eq!(pre_authentication("", b""), b"DSSEv1 0  0 ");
    // Lengths are of bytes.
    assert_eq!(pre_authentication("t", "\u{e9}".as_bytes()), "DSSEv1 1 t 2 \u{e9}".as_bytes());
}

#[test]
fn the_signature_of_a_known_statement_is_the_known_one() {
    let private = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJr34WYoy21k2HF63Ph1AZGZaaaWPDH+yLKYXK4AGnvT\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(private).unwrap();
    // Ed25519 signatures are deterministic; these were made by Python's `cryptography` 48 (OpenSSL).
    for (kind, payload, signature) in [
        (
            PAYLOAD_TYPE,
            &b"{\"_type\":\"https://in-toto.io/Statement/v1\"}"[..],
            "IFuR53vqcvNT9rvqnT9rEXiKDPQm7TRvViR4S+kBcuzDGW/4l64cwBuJYiDjnEhd/mgD7oz7I9jIJosVeLr7AQ==",
        ),
        (
            "http://example.com/HelloWorld",
            b"hello world",
            "e+OQiEDd6mcyN2AlNGSXT1/rYCxr8CobwZfcsI3qhJxY5YwSyMrj5iJVR+Z7sihS4GrBLlplyqdxGRAjTf8JCw==",
        ),
    ] {
        assert_eq!(BASE64.encode(key.0.sign(&pre_authentication(kind, payload)).to_bytes()), signature);
    }
}

#[test]
fn the_statement_has_the_fields_of_in_toto_in_its_words() {
    let (home, id, _) = signed();
    let envelope: Envelope = serde_json::from_slice(&fs::read(home.path(&id, STATEMENT)).unwrap()).unwrap();
    let payload = String::from_utf8(BASE64.decode(&envelope.payload).unwrap()).unwrap();
    let metadata = fs::read(home.path(&id, METADATA)).unwrap();
    let seal = home.verdict(&id).seal.unwrap();
    let expected = format!(
        "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{{\"name\":\"metadata.json\",\"digest\":{{\"blake3\":\"{}\",\
         \"sha256\":\"{}\"}}}}],\"predicateType\":\"https://github.com/capsule-rs/capsule/session/v1\",\"predicate\":{{\
         \"session\":\"{id}\",\"seal\":\"{seal}\",\"capsule\":",
        blake3::hash(&metadata).to_hex(),
        hex(&Sha256::digest(&metadata)),
    );
    assert!(payload.starts_with(&expected), "{payload}\n{expected}");
    assert_eq!(envelope.payload_type, "application/vnd.in-toto+json");
}
