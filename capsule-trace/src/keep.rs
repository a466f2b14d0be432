//! Contents that are about to be destroyed, kept: each once, under the name of its BLAKE3 hash.
//!
//! A file is copied first and the copy is hashed, so that name and content agree whatever others do to the file meanwhile.
//! Where the file system can share blocks between files, the kernel does (`copy_file_range(2)`), and the copy costs nothing.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use capsule_core::{FileKind, FileState};
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::platform::NO_ATIME;

/// So many contents are kept of one file: a program that appends a million lines is not copied a million times.
const IMAGES_EACH: u32 = 16;
/// So many files' last contents are remembered, so that one that has not changed is not copied again.
const REMEMBERED: usize = 100_000;

/// Keeps contents in a directory.
#[derive(Debug)]
pub struct Keeper {
    largest: u64,
    total: u64,
    dir: OnceLock<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each content is referred to, and its size.
    contents: HashMap<String, (u32, u64)>,
    /// What the content of a file was when it had this size and these times.
    seen: HashMap<Stamp, String>,
    images: HashMap<(u64, u64), u32>,
    bytes: u64,
    not_kept: u64,
    next: u64,
}

/// A file that has not been written since: device, inode, size, times of modification and change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp(u64, u64, u64, (i64, i64), (i64, i64));

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The contents' names, sorted.
    pub names: Vec<String>,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many were not kept.
    pub not_kept: u64,
}

impl Keeper {
    /// Keeps files of at most `largest` bytes, `total` bytes in all. Nothing is kept before [`Self::keep_in`].
    #[must_use]
    pub fn new(largest: u64, total: u64) -> Self {
        Self { largest, total, dir: OnceLock::new(), state: Mutex::new(State::default()) }
    }

    /// Says in which directory. Later calls do nothing.
    pub fn keep_in(&self, dir: OwnedFd) {
        // The first directory stays.
        self.dir.set(dir).unwrap_or(());
    }

    /// What is at `path`, with its content kept where `content` is set. A symbolic link is looked through where `follow` is
    /// set. `None` where it cannot be looked at.
    pub fn look(&self, path: &Path, follow: bool, content: bool) -> Option<FileState> {
        let found = if follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
        let metadata = match found {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(FileState::absent()),
            Err(_) => return None,
        };
        let kind = metadata.file_type();
        let mut state = FileState::of(match () {
            () if kind.is_file() => FileKind::File,
            () if kind.is_dir() => FileKind::Directory,
            () if kind.is_symlink() => FileKind::Link,
            () => FileKind::Other,
        });
        state.mode = Some(metadata.mode() & 0o7777);
        (state.uid, state.gid) = (Some(metadata.uid()), Some(metadata.gid()));
        match state.kind {
            FileKind::Link => state.target = Some(std::fs::read_link(path).ok()?.into_os_string().into_vec().into()),
            FileKind::File => {
                state.size = Some(metadata.len());
                if content {
                    match self.keep(path, follow, &metadata) {
                        Ok(name) => state.content = Some(name),
                        Err(why) => {
                            self.lock().not_kept += 1;
                            state.not_kept = Some(why);
                        }
                    }
                }
            }
            _ => {}
        }
        Some(state)
    }

    /// Takes a content back that [`Self::look`] kept: nothing was destroyed after all.
    pub fn forget(&self, state: &FileState) {
        let Some(name) = &state.content else { return };
        let mut known = self.lock();
        let Some((uses, size)) = known.contents.get_mut(name) else { return };
        *uses = uses.saturating_sub(1);
        if *uses > 0 {
            return;
        }
        let size = *size;
        known.contents.remove(name);
        known.seen.retain(|_, seen| seen != name);
        known.bytes = known.bytes.saturating_sub(size);
        drop(known);
        if let Some(dir) = self.dir.get() {
            remove(dir, name);
        }
    }

    /// What was kept until now.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let state = self.lock();
        let mut names: Vec<String> = state.contents.keys().cloned().collect();
        names.sort();
        Kept { names, bytes: state.bytes, not_kept: state.not_kept }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, path: &Path, follow: bool, before: &Metadata) -> Result<String, String> {
        let dir = self.dir.get().ok_or("there is nowhere to keep it yet")?;
        let file = (before.dev(), before.ino());
        let stamp = stamp(before);
        let mut state = self.lock();
        if let Some(name) = state.seen.get(&stamp).cloned()
            && let Some((uses, _)) = state.contents.get_mut(&name)
        {
            *uses = uses.saturating_add(1);
            return Ok(name);
        }
        if before.len() > self.largest {
            return Err(format!("it has {} bytes; the limit is {}", before.len(), self.largest));
        }
        if state.bytes.saturating_add(before.len()) > self.total {
            return Err(format!("{} bytes are kept already; the limit is {}", state.bytes, self.total));
        }
        let images = state.images.entry(file).or_default();
        *images = images.saturating_add(1);
        if *images > IMAGES_EACH {
            return Err(format!("{IMAGES_EACH} contents of this file are kept already"));
        }
        state.next += 1;
        let pending = format!(".pending-{}", state.next);
        drop(state);
        let copied = self.copy(dir, &pending, path, follow, file);
        let (name, size) = match copied {
            Ok(copied) => copied,
            Err(error) => {
                remove(dir, &pending);
                return Err(error.to_string());
            }
        };
        let mut state = self.lock();
        let known = state.contents.get_mut(&name).map(|(uses, _)| *uses = uses.saturating_add(1)).is_some();
        if known {
            remove(dir, &pending);
        } else {
            renameat(dir, pending.as_str(), dir, name.as_str()).map_err(|errno| errno.desc().to_owned())?;
            state.contents.insert(name.clone(), (1, size));
            state.bytes = state.bytes.saturating_add(size);
        }
        if state.seen.len() < REMEMBERED && size == before.len() {
            state.seen.insert(stamp, name.clone());
        }
        Ok(name)
    }

    /// Copies a file, and gives its hash and size.
    fn copy(
        &self,
        dir: &OwnedFd,
        pending: &str,
        path: &Path,
        follow: bool,
        same: (u64, u64),
    ) -> io::Result<(String, u64)> {
        // A fifo that stands there by now must not hang anybody.
        let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        if !follow {
            flags |= OFlag::O_NOFOLLOW;
        }
        let open = |more| File::options().read(true).custom_flags(flags.bits() | more).open(path);
        // The time of access is the program's to change. Leaving it alone is for a file's owner only.
        let file = open(NO_ATIME).or_else(|_| open(0))?;
        let is = file.metadata()?;
        if !is.is_file() || (is.dev(), is.ino()) != same {
            return Err(io::Error::other("another file took its place"));
        }
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut copy = File::from(openat(dir, pending, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let size = io::copy(&mut (&file).take(self.largest.saturating_add(1)), &mut copy)?;
        if size > self.largest {
            return Err(io::Error::other("it grew beyond the limit"));
        }
        copy.rewind()?;
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0; 64 << 10];
        loop {
            match copy.read(&mut block)? {
                0 => break,
                count => hasher.update(block.get(..count).unwrap_or_default()),
            };
        }
        Ok((hasher.finalize().to_hex().to_string(), size))
    }
}

/// Removes a content. One too many is no harm.
fn remove(dir: &OwnedFd, name: &str) {
    unlinkat(dir, name, UnlinkatFlags::NoRemoveDir).unwrap_or(());
}

fn stamp(is: &Metadata) -> Stamp {
    Stamp(is.dev(), is.ino(), is.len(), (is.mtime(), is.mtime_nsec()), (is.ctime(), is.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn keeper(largest: u64, total: u64) -> (tempfile::TempDir, Keeper) {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(largest, total);
        keeper.keep_in(File::open(dir.path()).unwrap().into());
        (dir, keeper)
    }

    #[test]
    fn equal_contents_are_kept_once_and_gone_when_nobody_needs_them() {
        let (dir, keeper) = keeper(100, 1000);
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        fs::write(at("a"), "content").unwrap();
        fs::write(at("b"), "content").unwrap();
        let a = keeper.look(&at("a"), false, true).unwrap();
        let b = keeper.look(&at("b"), false, true).unwrap();
        let name = blake3::hash(b"content").to_hex().to_string();
        assert_eq!((a.content.as_ref(), &a.content), (Some(&name), &b.content));
        assert_eq!(fs::read(dir.path().join(&name)).unwrap(), b"content");
        assert_eq!(keeper.kept(), Kept { names: vec![name.clone()], bytes: 7, not_kept: 0 });
        keeper.forget(&a);
        assert!(dir.path().join(&name).exists());
        keeper.forget(&b);
        assert!(!dir.path().join(&name).exists());
        assert_eq!(keeper.kept(), Kept::default());
    }

    #[test]
    fn limits_are_told_and_links_are_not_followed_unless_asked() {
        let (_dir, keeper) = keeper(10, 15);
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        fs::write(at("large"), "eleven byte").unwrap();
        fs::write(at("one"), "ten bytes!").unwrap();
        fs::write(at("two"), "ten bytes?").unwrap();
        std::os::unix::fs::symlink("one", at("link")).unwrap();
        assert!(keeper.look(&at("large"), true, true).unwrap().not_kept.is_some());
        let link = keeper.look(&at("link"), false, true).unwrap();
        assert_eq!((link.kind, link.target.unwrap().as_bytes()), (FileKind::Link, &b"one"[..]));
        assert!(keeper.look(&at("link"), true, true).unwrap().content.is_some());
        assert!(keeper.look(&at("two"), true, true).unwrap().not_kept.is_some());
        assert_eq!(keeper.look(&at("nothing"), true, true).unwrap(), FileState::absent());
        assert_eq!(keeper.kept().not_kept, 2);
    }

    #[test]
    fn a_file_that_changes_all_the_time_is_not_kept_for_ever() {
        let (_dir, keeper) = keeper(1000, 1 << 20);
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("log");
        for line in 0..IMAGES_EACH + 5 {
            fs::write(&path, "x".repeat(line as usize + 1)).unwrap();
            keeper.look(&path, true, true).unwrap();
        }
        let kept = keeper.kept();
        assert_eq!((kept.names.len(), kept.not_kept), (IMAGES_EACH as usize, 5));
    }
}
