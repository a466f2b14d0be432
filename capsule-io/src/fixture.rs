//! Sessions for tests: small, whole, and with known contents.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use capsule_core::{
    Argv, Backend, ByteString, FORMAT_VERSION, HostInfo, Pid, ProcessTree, SessionId, SessionMetadata, SessionStatus,
    Snapshots, StreamName, StreamSeal, Timestamp, TracerInfo, UserInfo,
};
use serde::Serialize;

use crate::chain::{Chain, STREAM_DOMAIN};
use crate::keyed::{Progress, Watched};
use crate::layout::stream_file;
use crate::{ChainWriter, SessionWriter, Store, Unsealed, Verdict, VerifyOptions, verify};

/// A record of no particular type.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Note {
    pub(crate) seq: u64,
    pub(crate) text: String,
}

/// A store in a directory of its own.
pub(crate) struct Home {
    pub(crate) store: Store,
    directory: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { store: Store::at(directory.path().join("home")), directory }
    }

    pub(crate) fn outside(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) fn metadata(&self, second: u64) -> SessionMetadata {
        let started = Timestamp(1_705_329_000_000_000_000 + second * 1_000_000_000);
        metadata(SessionId::new(started, u32::try_from(second).unwrap()), started)
    }

    pub(crate) fn begin(&self, second: u64) -> (SessionWriter<Unsealed>, SessionMetadata) {
        let metadata = self.metadata(second);
        (self.store.create(&metadata).unwrap(), metadata)
    }

    /// A session with `records` records in each stream.
    pub(crate) fn unsealed(&self, second: u64, records: u64) -> SessionId {
        let (session, _) = self.begin(second);
        write(&session, records);
        session.id().clone()
    }

    pub(crate) fn sealed(&self, second: u64, records: u64) -> SessionId {
        let (session, mut metadata) = self.begin(second);
        let ends = write(&session, records);
        metadata.status = SessionStatus::Complete;
        metadata.ended = Some(Timestamp(metadata.started.0 + 5_000_000_000));
        session.seal(metadata, ends, &ProcessTree::default()).unwrap().id().clone()
    }

    /// A session that kept these contents.
    pub(crate) fn sealed_with_contents(&self, second: u64, contents: &[&str]) -> SessionId {
        let (session, mut metadata) = self.begin(second);
        drop(session.make_before().unwrap());
        let mut names: Vec<String> = Vec::new();
        for content in contents {
            let name = blake3::hash(content.as_bytes()).to_hex().to_string();
            fs::write(session.path().join("before").join(&name), content).unwrap();
            names.push(name);
        }
        names.sort();
        metadata.snapshots = Some(Snapshots {
            kept: names.len() as u64,
            bytes: contents.iter().map(|content| content.len() as u64).sum(),
            not_kept: 0,
            names: crate::names_digest(names.iter().map(String::as_str)),
            ended: Vec::new(),
            more: 0,
        });
        let ends = write(&session, 1);
        session.seal(metadata, ends, &ProcessTree::default()).unwrap().id().clone()
    }

    pub(crate) fn path(&self, id: &SessionId, name: &str) -> PathBuf {
        self.store.home().join("runs").join(id.as_str()).join(name)
    }

    pub(crate) fn stream(&self, id: &SessionId, stream: StreamName) -> PathBuf {
        self.path(id, stream_file(stream))
    }

    pub(crate) fn verdict(&self, id: &SessionId) -> Verdict {
        verify(&self.store.session(id).unwrap(), &VerifyOptions::in_store(&self.store)).unwrap()
    }

    pub(crate) fn lines(&self, id: &SessionId, stream: StreamName) -> Vec<Vec<u8>> {
        let bytes = fs::read(self.stream(id, stream)).unwrap();
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// Rewrites a stream's lines.
    pub(crate) fn edit(&self, id: &SessionId, stream: StreamName, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let mut lines = self.lines(id, stream);
        edit(&mut lines);
        fs::write(self.stream(id, stream), lines.concat()).unwrap();
    }
}

pub(crate) fn metadata(id: SessionId, started: Timestamp) -> SessionMetadata {
    SessionMetadata {
        format: FORMAT_VERSION,
        id,
        capsule: "test".to_owned(),
        status: SessionStatus::Incomplete,
        started,
        ended: None,
        command: Argv::default(),
        cwd: ByteString::from("/"),
        host: HostInfo::default(),
        user: UserInfo::default(),
        tracer: TracerInfo { backend: Backend::Replay, because: "a test".to_owned() },
        recorder: Pid(1),
        coverage: None,
        exit_code: Some(0),
        signal: None,
        processes: None,
        worst: None,
        left_running: Vec::new(),
        git_start: None,
        git_end: None,
        imported: None,
        streams: std::collections::BTreeMap::new(),
        tree: None,
        keyed: None,
        work_tree: None,
        snapshots: None,
        changed: None,
        git_diff: None,
        disturbances: Vec::new(),
    }
}

pub(crate) fn write(session: &SessionWriter<Unsealed>, records: u64) -> Vec<(StreamName, StreamSeal)> {
    let mut ends = Vec::new();
    for stream in StreamName::ALL {
        let mut writer = session.stream(stream).unwrap();
        for seq in 1..=records {
            writer.append(&Note { seq, text: format!("{stream} of {} says {seq}", session.id()) }).unwrap();
        }
        let (end, failed) = writer.finish();
        assert!(failed.is_none());
        ends.push((stream, end));
    }
    ends
}

/// A writer of `raw` to any file.
pub(crate) fn writer(file: Arc<File>, path: PathBuf, id: &SessionId) -> ChainWriter {
    let stream = StreamName::Raw;
    let start = Chain::new(STREAM_DOMAIN, id.as_str(), stream.name()).start();
    ChainWriter::new(&Watched { stream, file, progress: Progress::new(start) }, path, id)
}
