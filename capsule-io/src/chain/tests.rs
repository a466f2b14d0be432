use proptest::prelude::*;

use super::*;

fn naive(fields: &[&[u8]]) -> Hash {
    let mut all = Vec::new();
    for field in fields {
        all.extend_from_slice(&(field.len() as u64).to_le_bytes());
        all.extend_from_slice(field);
    }
    Hash(*blake3::hash(&all).as_bytes())
}

#[test]
fn a_link_is_the_documented_hash() {
    let chain = Chain::new(STREAM_DOMAIN, "2024-01-15T14:30:00Z-abc123", "raw");
    let prev = Hash([7; 32]);
    let expected = naive(&[
        b"capsule.stream.v1",
        b"2024-01-15T14:30:00Z-abc123",
        b"raw",
        &5_u64.to_le_bytes(),
        &prev.0,
        b"{\"seq\":5",
    ]);
    assert_eq!(chain.link(5, prev, b"{\"seq\":5"), expected);
    assert_eq!(seal("s", b"{}"), naive(&[b"capsule.seal.v1", b"s", b"{}"]));
}

#[test]
fn a_frozen_value_so_that_the_format_cannot_drift() {
    let start = Chain::new(STREAM_DOMAIN, "2024-01-15T14:30:00Z-abc123", "raw").start();
    let document = include_str!("../../../docs/session-format.md");
    assert!(document.contains(&start.to_hex()), "the document gives another value");
    assert_eq!(start.to_hex(), "fa2626bd9537aeec0a7886334d7ee4df966d00810627125a1098ffc1f28e959b");
}

#[test]
fn what_is_not_a_chained_line_is_not_taken_for_one() {
    let hex = "0".repeat(64);
    let good = format!("{{\"seq\":1,\"chain\":\"{hex}\"}}");
    assert!(split_line(good.as_bytes()).is_some());
    for bad in [
        String::new(),
        "{}".to_owned(),
        format!("{good} "),
        format!("{{\"seq\":1,\"chain\":\"{}\"}}", "A".repeat(64)),
        format!("{{\"seq\":1,\"chain\": \"{hex}\"}}"),
        format!("{{\"seq\":1,\"chain\":\"{}\"}}", "0".repeat(63)),
        "é".repeat(60),
    ] {
        assert!(split_line(bad.as_bytes()).is_none(), "{bad}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_no_numbers() {
    assert_eq!(leading_seq(b"{\"seq\":18446744073709551615,\"x\":1"), Some(u64::MAX));
    assert_eq!(leading_seq(b"{\"seq\":7"), Some(7));
    for bad in
        ["{\"seq\":18446744073709551616,", "{\"seq\":-1,", "{\"seq\":1.5", "{\"seq\":,", "{\"x\":1", "{\"seq\": 1,"]
    {
        assert_eq!(leading_seq(bad.as_bytes()), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn hex_round_trips(bytes: [u8; 32]) {
        let hex = Hash(bytes).to_hex();
        prop_assert_eq!(Hash::from_hex(hex.as_bytes()), Some(Hash(bytes)));
        let mut pushed = Vec::new();
        Hash(bytes).push_hex(&mut pushed);
        prop_assert_eq!(pushed, hex.into_bytes());
    }

    #[test]
    fn every_field_counts(
        session in "[a-z]{0,8}", other in "[a-z]{0,8}", seq: u64, other_seq: u64, bytes: Vec<u8>, other_bytes: Vec<u8>,
    ) {
        let link = Chain::new(STREAM_DOMAIN, &session, &other).link(seq, Hash([0; 32]), &bytes);
        // Moving a byte from one field to the next changes the value, since lengths are hashed too.
        let moved = Chain::new(STREAM_DOMAIN, &format!("{session}{other}"), "").link(seq, Hash([0; 32]), &bytes);
        prop_assert_eq!(link == moved, other.is_empty());
        let chain = Chain::new(STREAM_DOMAIN, &session, &other);
        prop_assert_eq!(chain.link(other_seq, Hash([0; 32]), &bytes) == link, other_seq == seq);
        prop_assert_eq!(chain.link(seq, Hash([0; 32]), &other_bytes) == link, other_bytes == bytes);
        prop_assert_ne!(chain.link(seq, Hash([1; 32]), &bytes), link);
    }

    #[test]
    fn a_line_is_taken_apart_as_it_was_put_together(text in "\\PC*", hash: [u8; 32]) {
        let mut line = serde_json::to_vec(&serde_json::json!({ "text": text })).unwrap();
        line.pop();
        let record = line.clone();
        push_field_hash(&mut line, CHAIN_FIELD, Hash(hash));
        prop_assert_eq!(split_line(&line), Some((record.as_slice(), Hash(hash))));
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
    }
}
