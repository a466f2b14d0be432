//! What is at a path now, looked at without following a symbolic link anywhere on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use capsule_core::{FileKind, FileState};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use crate::platform;

/// A directory, reached without a symbolic link, and a name in it.
#[derive(Debug)]
pub struct Place<'a> {
    /// The directory.
    pub dir: OwnedFd,
    /// The name.
    pub name: &'a OsStr,
}

/// Opens the directory that an absolute path's last component is in.
///
/// # Errors
/// When there is none, or one of the path's components is a symbolic link.
pub fn place(path: &Path) -> io::Result<Place<'_>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let flags = OFlag::from_bits_truncate(platform::PASS) | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut dir = openat(AT_FDCWD, "/", flags, Mode::empty())?;
    for component in parent.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => dir = openat(&dir, name, flags, Mode::empty())?,
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }
    Ok(Place { dir, name })
}

/// What is at an absolute path; contents of up to `largest` bytes are read. `None` where it cannot be known.
#[must_use]
pub fn now(path: &Path, largest: u64) -> Option<FileState> {
    Walk::default().now(path, largest)
}

/// Looks at many paths: a directory that several of them in a row are in is reached once.
#[derive(Debug, Default)]
pub struct Walk {
    last: Option<(PathBuf, OwnedFd)>,
}

impl Walk {
    /// What is at an absolute path, as [`now`] says it.
    pub fn now(&mut self, path: &Path, largest: u64) -> Option<FileState> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        let dir = match self.last.take() {
            Some((known, dir)) if known == parent => dir,
            _ => match place(path) {
                Ok(place) => place.dir,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Some(FileState::absent());
                }
                Err(_) => return None,
            },
        };
        let place = Place { dir, name };
        let state = at(&place, largest);
        self.last = Some((parent.to_owned(), place.dir));
        state
    }
}

/// What is at a place.
#[must_use]
pub fn at(place: &Place<'_>, largest: u64) -> Option<FileState> {
    let is = match fstatat(&place.dir, place.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(is) => is,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Some(FileState::absent()),
        Err(_) => return None,
    };
    let mut state = FileState::of(kind(&is));
    state.mode = Some(permissions(&is));
    (state.uid, state.gid) = (Some(is.st_uid), Some(is.st_gid));
    match state.kind {
        FileKind::Link => state.target = Some(readlinkat(&place.dir, place.name).ok()?.into_vec().into()),
        FileKind::File => {
            let size = u64::try_from(is.st_size).unwrap_or(0);
            state.size = Some(size);
            if size <= largest {
                state.content = hash(place).ok();
            }
        }
        _ => {}
    }
    Some(state)
}

fn kind(is: &FileStat) -> FileKind {
    match SFlag::from_bits_truncate(is.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => FileKind::File,
        SFlag::S_IFDIR => FileKind::Directory,
        SFlag::S_IFLNK => FileKind::Link,
        _ => FileKind::Other,
    }
}

#[allow(clippy::useless_conversion, reason = "a mode has 16 bits elsewhere")]
fn permissions(is: &FileStat) -> u32 {
    u32::from(is.st_mode) & 0o7777
}

/// Opens a regular file for reading.
///
/// # Errors
/// When it is none, or may not be read.
pub fn open(place: &Place<'_>) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    // Leaving the time of access alone is for a file's owner only.
    let quietly = flags | OFlag::from_bits_truncate(platform::NO_ATIME);
    let opened = openat(&place.dir, place.name, quietly, Mode::empty());
    let file = File::from(opened.or_else(|_| openat(&place.dir, place.name, flags, Mode::empty()))?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
}

fn hash(place: &Place<'_>) -> io::Result<String> {
    let mut file = open(place)?;
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            count => hasher.update(block.get(..count).unwrap_or_default()),
        };
    }
}

/// Whether two states are the same file as far as an undo is concerned: kind, content, what a link holds.
#[must_use]
pub fn same(one: &FileState, other: &FileState) -> bool {
    one.kind == other.kind
        && match one.kind {
            FileKind::File => one.content.is_some() && one.content == other.content,
            FileKind::Link => one.target == other.target,
            _ => true,
        }
}

/// Whether they are, and have the same permissions and owner.
#[must_use]
pub fn equal(one: &FileState, other: &FileState) -> bool {
    same(one, other)
        && (matches!(one.kind, FileKind::Absent | FileKind::Link) || one.mode == other.mode)
        && (one.uid, one.gid) == (other.uid, other.gid)
}
