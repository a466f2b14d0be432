use std::fs;

use super::*;
use crate::fixture::Note;

fn id() -> SessionId {
    SessionId::parse("2024-01-15T14:30:00Z-abc123").unwrap()
}

fn writer(path: &std::path::Path) -> ChainWriter {
    let file = Arc::new(File::options().create(true).append(true).open(path).unwrap());
    crate::fixture::writer(file, path.to_owned(), &id())
}

fn note(seq: u64) -> Note {
    Note { seq, text: "x".repeat(300) }
}

#[test]
fn each_line_is_json_with_its_link_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raw.jsonl");
    let mut writer = writer(&path);
    for seq in 1..=3 {
        writer.append(&note(seq)).unwrap();
    }
    let (seal, failed) = writer.finish();
    assert!(failed.is_none());
    let bytes = fs::read(&path).unwrap();
    assert_eq!((seal.records, seal.bytes), (3, bytes.len() as u64));
    let chain = Chain::new(STREAM_DOMAIN, id().as_str(), "raw");
    let mut head = chain.start();
    for (line, seq) in bytes.split(|byte| *byte == b'\n').take(3).zip(1..) {
        let (record, carried) = split_line(line).unwrap();
        head = chain.link(seq, head, record);
        assert_eq!(head, carried);
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(value["seq"], seq);
        assert_eq!(value["chain"], head.to_hex());
    }
    assert_eq!(seal.head, head.to_hex());
}

#[test]
fn nothing_is_written_before_the_buffer_is_full_or_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raw.jsonl");
    let mut writer = writer(&path);
    writer.append(&note(1)).unwrap();
    assert_eq!((fs::metadata(&path).unwrap().len(), writer.waiting()), (0, 1));
    writer.flush().unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
    let mut seq = 1;
    while writer.waiting() < 2 || seq < 3 {
        seq += 1;
        writer.append(&note(seq)).unwrap();
    }
    let flushed = fs::metadata(&path).unwrap().len();
    while fs::metadata(&path).unwrap().len() == flushed {
        seq += 1;
        writer.append(&note(seq)).unwrap();
        assert!(seq < 1_000, "the buffer grows without end");
    }
}

#[test]
fn what_is_no_numbered_object_is_refused_and_leaves_the_chain_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raw.jsonl");
    let mut writer = writer(&path);
    writer.append(&note(1)).unwrap();
    assert!(writer.append(&[1, 2]).is_err());
    assert!(writer.append(&serde_json::json!({})).is_err());
    assert!(writer.append(&std::collections::HashMap::from([((1, 2), 3)])).is_err(), "a map without text keys");
    // Out of order is written, since evidence is worth more than order, and said.
    assert!(matches!(writer.append(&note(7)), Err(StoreError::OutOfOrder { expected: 2, .. })));
    let (seal, _) = writer.finish();
    assert_eq!(seal.records, 2);
    assert_eq!(fs::read(&path).unwrap().split(|byte| *byte == b'\n').count(), 3);
}

#[test]
fn a_write_that_fails_in_the_middle_of_a_record_leaves_whole_records() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raw.jsonl");
    let mut writer = writer(&path);
    for seq in 1..=4 {
        writer.append(&note(seq)).unwrap();
    }
    // What the disk took before it was full: two records and a half.
    let line = writer.buffer.len() / 4;
    let arrived = line * 2 + line / 2;
    fs::write(&path, writer.buffer.split_at(arrived).0).unwrap();
    writer.cut_back(arrived);
    assert!(writer.append(&note(5)).is_ok(), "records are still taken");
    let (seal, _) = writer.finish();
    let bytes = fs::read(&path).unwrap();
    assert_eq!((seal.records, seal.bytes), (2, bytes.len() as u64));
    assert_eq!(bytes.last(), Some(&b'\n'));
    let last = bytes.split(|byte| *byte == b'\n').nth(1).unwrap();
    assert_eq!(split_line(last).unwrap().1.to_hex(), seal.head);
}

#[test]
fn a_full_disk_is_said_once_and_holds_nobody_up() {
    // /dev/full refuses every write with ENOSPC.
    let file = Arc::new(File::options().write(true).open("/dev/full").unwrap());
    let mut writer = crate::fixture::writer(file, "/dev/full".into(), &id());
    let mut errors = 0;
    for seq in 1..=10_000 {
        errors += u32::from(writer.append(&note(seq)).is_err());
    }
    let (seal, last) = writer.finish();
    assert_eq!((errors, seal.records, seal.bytes), (1, 0, 0));
    assert!(last.is_none());
}
