use std::fs;
use std::io::Write as _;

use capsule_core::{Backend, ByteString, RawBody, RawRecord, Seq, StreamName, Timestamp};

use super::*;
use crate::fixture::Home;

fn line(seq: u64) -> RawRecord {
    let text = ByteString::from(format!("line {seq}"));
    RawRecord { seq: Seq(seq), timestamp: Timestamp(seq), body: RawBody::Line { source: Backend::Strace, text } }
}

fn raw(home: &Home, count: u64) -> SessionReader {
    let (session, _) = home.begin(1);
    let mut writer = session.stream(StreamName::Raw).unwrap();
    (1..=count).for_each(|seq| writer.append(&line(seq)).unwrap());
    assert!(writer.finish().1.is_none());
    home.store.session(session.id()).unwrap()
}

#[test]
fn what_was_written_is_read() {
    let home = Home::new();
    let session = raw(&home, 2_000);
    let read: Vec<RawRecord> = session.raw().unwrap().map(Result::unwrap).collect();
    assert_eq!(read, (1..=2_000).map(line).collect::<Vec<_>>());
}

#[test]
fn a_torn_last_line_is_a_fact_and_not_an_error() {
    let home = Home::new();
    let session = raw(&home, 3);
    let path = home.stream(session.id(), StreamName::Raw);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, bytes.split_at(bytes.len() - 10).0).unwrap();
    let mut records = session.raw().unwrap();
    assert_eq!(records.by_ref().map(Result::unwrap).count(), 2);
    let torn = records.torn().unwrap();
    assert_eq!(torn.line, 3);
    assert_eq!(torn.bytes as usize, bytes.split(|byte| *byte == b'\n').nth(2).unwrap().len() - 9);
}

#[test]
fn a_bad_line_is_said_with_its_number_and_passed_over() {
    let home = Home::new();
    let session = raw(&home, 3);
    let mut file = fs::File::options().append(true).open(home.stream(session.id(), StreamName::Raw)).unwrap();
    file.write_all(b"\x00\xffnot json\n\n").unwrap();
    writeln!(file, "{}", serde_json::to_string(&line(4)).unwrap()).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = session.raw().unwrap().partition(Result::is_ok);
    assert_eq!(good.len(), 4);
    assert_eq!(bad.into_iter().map(|line| line.unwrap_err().line).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn metadata_of_another_major_version_says_so() {
    let home = Home::new();
    let id = home.sealed(1, 1);
    let path = home.path(&id, METADATA);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"major\":1", "\"major\":9")).unwrap();
    let error = home.store.session(&id).unwrap().metadata().unwrap_err();
    assert!(error.to_string().contains("has format 9.0; this version of Capsule reads format 1.x"), "{error}");
    fs::write(&path, text.replace("\"minor\":0", "\"minor\":9").replace("\"id\"", "\"new_field\":1,\"id\"")).unwrap();
    assert!(home.store.session(&id).unwrap().metadata().is_ok(), "a newer minor version is read");
}

#[test]
fn a_running_a_crashed_and_a_sealed_session_are_told_apart() {
    let home = Home::new();
    let (session, metadata) = home.begin(1);
    let reader = home.store.session(session.id()).unwrap();
    assert_eq!(reader.state(), SessionState::Running);
    drop(session);
    assert_eq!(reader.state(), SessionState::Unsealed);
    let sealed = home.sealed(2, 1);
    assert_eq!(home.store.session(&sealed).unwrap().state(), SessionState::Sealed);
    assert_eq!(reader.metadata().unwrap(), metadata);
}

#[test]
fn a_stream_that_grows_is_followed_through_half_lines() {
    let home = Home::new();
    let session = raw(&home, 2);
    let path = home.stream(session.id(), StreamName::Raw);
    let bytes = fs::read(&path).unwrap();
    let mut records = session.raw().unwrap();
    fs::write(&path, []).unwrap();
    let mut read = Vec::new();
    for byte in &bytes {
        fs::File::options().append(true).open(&path).unwrap().write_all(&[*byte]).unwrap();
        assert!(records.behind() > 0);
        read.extend(records.follow().map(Result::unwrap));
        assert_eq!(records.behind(), 0);
    }
    assert_eq!(read, [line(1), line(2)]);
    assert_eq!((records.line(), records.torn()), (2, None));
}
