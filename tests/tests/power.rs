//! Power that goes at any moment of a run: what the run did to its files, played onto a model of a file system, up to each
//! step, with everything lost that was not made durable, and with every part of it lost.
//!
//! The model: a file's bytes are durable once the file was synced, its name once its directory was. Of what was done to a
//! directory since, a power cut leaves the first changes, however many; of bytes that were not synced, any beginning, or zeros.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use capsule_core::SessionId;
use capsule_io::{Overall, SessionReader, Store, VerificationKey, VerifyOptions};
use tests::preload::Fault;
use tests::{Home, stderr, stdout};

/// Something that was done to a file or directory.
#[derive(Debug)]
enum Op {
    Create(String),
    Write(String, Vec<u8>),
    Truncate(String, usize),
    Sync(String),
    Rename(String, String),
    Unlink(String),
    MakeDir(String),
}

fn journal(bytes: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let mut words = head.split(' ');
        let op = words.next().expect("an operation");
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).expect("a length");
        let (name, data) = (number(), number());
        let body = &rest[end + 1..];
        let path = String::from_utf8_lossy(&body[..name]).into_owned();
        let data_bytes = body[name..name + data].to_vec();
        let text = || String::from_utf8_lossy(&data_bytes).into_owned();
        ops.push(match op {
            "c" => Op::Create(path),
            "t" => Op::Truncate(path, text().parse().expect("a length")),
            "s" => Op::Sync(path),
            "r" => Op::Rename(path, text()),
            "u" => Op::Unlink(path),
            "m" => Op::MakeDir(path),
            "w" => Op::Write(path, data_bytes),
            other => panic!("{other}"),
        });
        rest = &body[name + data..];
    }
    ops
}

/// A file's bytes, as programs see them and as they are on the disk for sure. A directory has none.
#[derive(Debug, Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    is_dir: bool,
}

/// A change to the names of a directory.
#[derive(Debug, Clone)]
enum Named {
    Add(String, usize),
    /// Both names change at once, or neither.
    Rename(String, String),
    Remove(String),
}

impl Named {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

/// Everything below the home, as programs see it and as it is on the disk for sure.
#[derive(Debug, Clone, Default)]
struct Disk {
    inodes: Vec<Inode>,
    now: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// What was done to the names of each directory since it was synced.
    since: BTreeMap<String, Vec<Named>>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Disk {
    fn make(&mut self, path: &str, is_dir: bool) -> usize {
        self.inodes.push(Inode { is_dir, ..Inode::default() });
        self.name(path, Named::Add(path.to_owned(), self.inodes.len() - 1));
        self.inodes.len() - 1
    }

    fn name(&mut self, path: &str, change: Named) {
        change.apply(&mut self.now);
        self.since.entry(parent(path).to_owned()).or_default().push(change);
    }

    fn file(&mut self, path: &str) -> &mut Inode {
        let inode = match self.now.get(path) {
            Some(inode) => *inode,
            // What had no name any more when it was written or synced.
            None => self.make("(unlinked)", false),
        };
        &mut self.inodes[inode]
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(path) => drop(self.make(path, false)),
            Op::MakeDir(path) => drop(self.make(path, true)),
            Op::Write(path, bytes) => self.file(path).now.extend_from_slice(bytes),
            Op::Truncate(path, length) => self.file(path).now.truncate(*length),
            Op::Sync(path) if self.since.contains_key(path) || self.is_dir(path) => {
                for change in self.since.remove(path).unwrap_or_default() {
                    change.apply(&mut self.durable);
                }
            }
            Op::Sync(path) => {
                let inode = self.file(path);
                inode.durable.clone_from(&inode.now);
            }
            Op::Rename(from, to) => {
                assert_eq!(parent(from), parent(to), "the model has no renames between directories");
                self.name(from, Named::Rename(from.clone(), to.clone()));
            }
            Op::Unlink(path) => self.name(path, Named::Remove(path.clone())),
        }
    }

    fn is_dir(&self, path: &str) -> bool {
        self.now.get(path).is_some_and(|inode| self.inodes[*inode].is_dir)
    }

    /// The names and bytes that a power cut leaves, as `chance` (a number below its argument) decides: of each directory's
    /// changes the first ones, of each file what was synced and perhaps more.
    fn after_cut(&self, mut chance: impl FnMut(usize) -> usize) -> BTreeMap<String, Option<Vec<u8>>> {
        let mut names = self.durable.clone();
        for changes in self.since.values() {
            let kept = chance(changes.len() + 1);
            changes.iter().take(kept).for_each(|change| change.apply(&mut names));
        }
        let mut left = BTreeMap::new();
        for (name, inode) in &names {
            // What is in a directory that is lost is lost.
            if left.contains_key(parent(name)) || !self.now.contains_key(parent(name)) {
                left.insert(name.clone(), self.bytes_after_cut(&self.inodes[*inode], &mut chance));
            }
        }
        left
    }

    fn bytes_after_cut(&self, inode: &Inode, chance: &mut impl FnMut(usize) -> usize) -> Option<Vec<u8>> {
        if inode.is_dir {
            return None;
        }
        let Inode { now, durable, .. } = inode;
        if !now.starts_with(durable) {
            // It was cut short since.
            return Some(if chance(2) == 0 { durable } else { now }.clone());
        }
        let unsure = now.len() - durable.len();
        let kept = durable.len()
            + match chance(4) {
                0 => 0,
                1 => unsure,
                _ => chance(unsure + 1),
            };
        let mut bytes = now[..kept].to_vec();
        // Its length may be known to the disk where its bytes are not.
        if chance(4) == 0 {
            bytes.resize(now.len(), 0);
        }
        Some(bytes)
    }
}

/// What was done below the home, and where that was.
struct Run {
    home: Home,
    store: PathBuf,
    ops: Vec<Op>,
}

fn recorded(test: &str, key: bool) -> Option<Run> {
    let home = Home::new();
    let library = Fault::Journal.library(test, home.path())?;
    let (store, journal_file) = (home.path().join("store"), home.path().join("journal"));
    let capsule = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("CAPSULE_HOME", &store).env("CAPSULE_TEST_JOURNAL", &journal_file).env("LD_PRELOAD", &library);
        let output = command.output().expect("capsule starts");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let keys = store.join("keys");
    let (sealing, verification) = (keys.join("seal").display().to_string(), home.path().join("verify.key"));
    if key {
        fs::create_dir_all(&keys).expect("made");
        capsule(&["key", "new", &sealing, &verification.display().to_string()]);
        fs::remove_file(&journal_file).expect("there is one");
    }
    let mut args = vec!["run", "-q", "--linger", "wait"];
    if key {
        args.extend(["--key", &sealing]);
    }
    // Two sessions: the second finds a ledger, and a key that was used.
    for _ in 0..2 {
        // Long enough for seals between the first and the last.
        let command = if key { "/bin/true; sleep 1.3; /bin/true" } else { "/bin/true; /bin/true" };
        capsule(&[&args[..], &["sh", "-c", command]].concat());
    }
    let ops = journal(&fs::read(&journal_file).expect("a journal"));
    Some(Run { home, store, ops })
}

impl Run {
    /// The disk as it was when the journal began.
    fn begin(&self, key: bool) -> Disk {
        let mut disk = Disk::default();
        if key {
            let store = self.store.display().to_string();
            for (path, is_dir) in
                [(store.clone(), true), (format!("{store}/keys"), true), (format!("{store}/keys/seal"), false)]
            {
                disk.make(&path, is_dir);
            }
        }
        disk.durable.clone_from(&disk.now);
        disk.since.clear();
        disk
    }

    /// Writes what is left of the store into a fresh directory, and says what the sessions in it are called.
    fn leave(&self, left: &BTreeMap<String, Option<Vec<u8>>>, place: &Path) -> Vec<SessionId> {
        let store = self.store.display().to_string();
        if place.exists() {
            fs::remove_dir_all(place).expect("removed");
        }
        fs::create_dir(place).expect("made");
        for (name, bytes) in left {
            let Some(rest) = name.strip_prefix(&store) else { continue };
            let path = place.join(rest.trim_start_matches('/'));
            match bytes {
                None => fs::create_dir_all(&path).expect("made"),
                Some(bytes) => fs::write(&path, bytes).expect("written"),
            }
        }
        Store::at(place).ids().unwrap_or_default()
    }
}

impl Run {
    /// After power is back, the next session is as good as any.
    fn goes_on(&self, place: &Path, what: &str) {
        let capsule = |args: &[&str]| {
            let output = self.home.command(args).env("CAPSULE_HOME", place).output().expect("capsule starts");
            assert!(output.status.success(), "{what}: {args:?}: {}{}", stdout(&output), stderr(&output));
        };
        capsule(&["run", "-q", "--linger", "wait", "--tracer", "ptrace", "/bin/true"]);
        capsule(&["verify", "latest"]);
    }
}

/// Checks every session that is left: readable as far as it goes, and never called tampered with.
fn judge(place: &Path, ids: &[SessionId], key: Option<&VerificationKey>, what: &str) -> usize {
    let store = Store::at(place);
    let mut whole = 0;
    for id in ids {
        let session: SessionReader = store.session(id).expect("it opens");
        let mut options = VerifyOptions::in_store(&store);
        if let Some(key) = key {
            options = options.with_key(key);
        }
        let verdict = match capsule_io::verify(&session, &options) {
            Ok(verdict) => verdict,
            // Metadata that never became durable says nothing, not even of which version it is.
            Err(error) => panic!("{what}: {id}: {error}"),
        };
        // Before its first seal is durable, the key says nothing of a session.
        let unkeyed = key.is_some() && verdict.keyed == capsule_io::KeyedFact::None;
        assert!(verdict.overall != Overall::Tampered || unkeyed, "{what}: {verdict:#?}");
        whole += usize::from(verdict.overall == Overall::Whole);
        if let Ok(records) = session.raw() {
            assert!(records.filter(Result::is_ok).count() <= 100);
        }
    }
    whole
}

fn cut_everywhere(test: &str, with_key: bool) {
    let Some(run) = recorded(test, with_key) else { return };
    assert!(run.ops.len() > 30, "{:?}", run.ops);
    let key = with_key.then(|| {
        let text = fs::read_to_string(run.home.path().join("verify.key")).expect("a key");
        VerificationKey::parse(text.trim()).expect("a key")
    });
    let place = run.home.path().join("after");
    let mut disk = run.begin(with_key);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut pick = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 12).unwrap_or(0) % limit
    };
    for (step, op) in run.ops.iter().enumerate() {
        disk.apply(op);
        // Everything that was done, nothing that was not synced, and many things between.
        let mut cuts = vec![disk.after_cut(|limit| limit - 1), disk.after_cut(|_| 0)];
        cuts.extend((0..12).map(|_| disk.after_cut(&mut pick)));
        for (number, left) in cuts.iter().enumerate() {
            let ids = run.leave(left, &place);
            let what = format!("step {step}, cut {number}, after {op:?}, left {:?}", left.keys());
            judge(&place, &ids, key.as_ref(), &what);
            if step % 3 == 0 && number == 2 + step / 3 % 12 {
                run.goes_on(&place, &what);
            }
        }
    }
    // When Capsule has ended, both sessions are there for good.
    for _ in 0..200 {
        let ids = run.leave(&disk.after_cut(&mut pick), &place);
        assert_eq!((ids.len(), judge(&place, &ids, key.as_ref(), "the end")), (2, 2));
    }
}

#[test]
fn power_that_goes_at_any_moment_leaves_no_session_that_looks_tampered_with() {
    cut_everywhere("power_that_goes_at_any_moment_leaves_no_session_that_looks_tampered_with", false);
}

#[test]
fn power_that_goes_at_any_moment_leaves_no_keyed_session_that_looks_tampered_with() {
    cut_everywhere("power_that_goes_at_any_moment_leaves_no_keyed_session_that_looks_tampered_with", true);
}
