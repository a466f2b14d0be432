//! An open directory, and files relative to it.
//!
//! The traced program may rename, replace or delete any path while a session is recorded. Everything in a session is
//! therefore opened relative to a descriptor of its directory, never through a symbolic link, and always with the
//! rights it should have, whatever the umask says.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::StoreError;
use crate::layout::PENDING;

/// The largest `metadata.json` that is read.
const SMALL_FILE_LIMIT: u64 = 16 << 20;
/// The largest `tree.json` that is read.
pub(crate) const TREE_LIMIT: u64 = 4 << 30;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens an existing directory; its last component may not be a symbolic link.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|errno| {
            kind_error(fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW).ok(), path, "a directory")
                .unwrap_or_else(|| StoreError::io("open", path, errno.into()))
        })?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens a directory below this one.
    pub(crate) fn open_dir(&self, name: &str) -> Result<Self, StoreError> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| self.refused(name, "open", "a directory", errno))?;
        Ok(Self { fd, path })
    }

    /// Makes a directory below this one, only for the user; it may exist already where `new` is false.
    pub(crate) fn make_dir(&self, name: &str, new: bool) -> Result<Self, StoreError> {
        let path = self.path.join(name);
        let made = match mkdirat(&self.fd, name, Mode::S_IRWXU) {
            Ok(()) => true,
            Err(Errno::EEXIST) if !new => false,
            Err(errno) => return Err(StoreError::io("create", &path, errno.into())),
        };
        if made {
            // An umask may have taken away even our own right to open it.
            fchmodat(&self.fd, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)
                .or_else(|_| fchmodat(&self.fd, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink))
                .map_err(|errno| StoreError::io("protect", &path, errno.into()))?;
        }
        self.open_dir(name)
    }

    /// Lets only the user in.
    pub(crate) fn protect(&self) -> Result<(), StoreError> {
        fchmod(&self.fd, Mode::S_IRWXU).map_err(|errno| StoreError::io("protect", &self.path, errno.into()))
    }

    /// Makes a new file that only the user can read; refuses one that exists.
    pub(crate) fn create_new(&self, name: &str) -> Result<File, StoreError> {
        self.create(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    /// Opens a file to append to it, making it where it does not exist. Reading it is possible too.
    pub(crate) fn append(&self, name: &str) -> Result<File, StoreError> {
        self.create(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND)
    }

    fn create(&self, name: &str, flags: OFlag) -> Result<File, StoreError> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let fd = openat(&self.fd, name, flags, mode).map_err(|errno| self.refused(name, "create", "a file", errno))?;
        let file = File::from(fd);
        let path = self.path.join(name);
        let is = file.metadata().map_err(|source| StoreError::io("look at", &path, source))?;
        if !is.is_file() {
            return Err(StoreError::WrongKind { path, found: "something else", wanted: "a file" });
        }
        if is.mode() & 0o7777 != 0o600 && is.uid() == nix::unistd::geteuid().as_raw() {
            fchmod(&file, mode).map_err(|errno| StoreError::io("protect", &path, errno.into()))?;
        }
        Ok(file)
    }

    /// Opens a plain file for reading.
    pub(crate) fn open_file(&self, name: &str) -> Result<File, StoreError> {
        // O_NONBLOCK: a fifo in the file's place must not hang a reader.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| self.refused(name, "open", "a file", errno))?;
        let file = File::from(fd);
        let path = self.path.join(name);
        let is = file.metadata().map_err(|source| StoreError::io("look at", &path, source))?;
        if is.is_file() {
            Ok(file)
        } else {
            Err(StoreError::WrongKind { path, found: "something else", wanted: "a file" })
        }
    }

    /// Reads a small plain file whole.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.read_up_to(name, SMALL_FILE_LIMIT)
    }

    /// Reads a plain file whole, unless it has more than `limit` bytes.
    pub(crate) fn read_up_to(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        let file = self.open_file(name)?;
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| StoreError::io("read", &path, source))?;
        if bytes.len() as u64 > limit { Err(StoreError::TooLarge { path, limit }) } else { Ok(bytes) }
    }

    /// Writes a new file with a random name and puts it in the place of `name`: readers see the old or the new one,
    /// whole, also after a power cut where `durable` is true.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8], durable: bool) -> Result<(), StoreError> {
        self.stage(bytes, durable)?.put(name)
    }

    /// The first half of [`Self::replace`]: the new content, under a random name.
    pub(crate) fn stage(&self, bytes: &[u8], durable: bool) -> Result<Pending<'_>, StoreError> {
        let name = format!("{PENDING}{:016x}", random_u64()?);
        let file = self.create_new(&name)?;
        let mut pending = Pending { dir: self, file, name, durable: false, stays: false };
        pending.append(bytes)?;
        if durable {
            pending.sync()?;
        }
        Ok(pending)
    }

    /// Makes the directory's names durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        nix::unistd::fsync(&self.fd).map_err(|errno| StoreError::io("write", &self.path, errno.into()))
    }

    /// What `name` is, without following it.
    pub(crate) fn stat(&self, name: &str) -> Option<FileStat> {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
    }

    /// The names in the directory, sorted; names that are not UTF-8 are left out, since Capsule writes none.
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        let listing = |errno: Errno| StoreError::io("list", &self.path, errno.into());
        let copy = openat(&self.fd, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        let mut entries = nix::dir::Dir::from_fd(copy.map_err(listing)?).map_err(listing)?;
        let mut names = Vec::new();
        for entry in entries.iter() {
            if let Ok(name) = entry.map_err(listing)?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether the path still leads to this directory.
    pub(crate) fn still_in_place(&self) -> bool {
        let (Ok(here), Ok(there)) =
            (nix::sys::stat::fstat(&self.fd), fstatat(AT_FDCWD, &self.path, AtFlags::AT_SYMLINK_NOFOLLOW))
        else {
            return false;
        };
        (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    }

    /// Gives something in the directory another name in it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        renameat(&self.fd, from, &self.fd, to)
            .map_err(|errno| StoreError::io("rename", &self.path.join(from), errno.into()))
    }

    /// Whether this is a directory, not a link to one.
    pub(crate) fn is_dir(&self, name: &str) -> bool {
        self.stat(name).is_some_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
    }

    /// Removes an empty directory below this one.
    pub(crate) fn remove_dir(&self, name: &str) -> Result<(), StoreError> {
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)
            .map_err(|errno| StoreError::io("remove", &self.path.join(name), errno.into()))
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|errno| StoreError::io("remove", &self.path.join(name), errno.into()))
    }

    /// Its descriptor.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Where it was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn refused(&self, name: &str, action: &'static str, wanted: &'static str, errno: Errno) -> StoreError {
        let path = self.path.join(name);
        kind_error(self.stat(name), &path, wanted).unwrap_or_else(|| StoreError::io(action, &path, errno.into()))
    }
}

/// A file that is written under a random name and not yet in its place. It is removed when it never gets there, unless
/// somebody has been told of it.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    dir: &'a Dir,
    file: File,
    name: String,
    durable: bool,
    stays: bool,
}

impl Pending<'_> {
    /// Writes more of it.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|source| StoreError::io("write", &self.dir.path.join(&self.name), source))
    }

    /// The file itself.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Makes it durable, under its present name and under the one it will have.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(|source| StoreError::io("write", &self.dir.path.join(&self.name), source))?;
        self.durable = true;
        self.dir.sync()
    }

    /// Leaves it under its random name where it does not get to its place.
    pub(crate) fn keep(&mut self) {
        self.stays = true;
    }

    /// Puts the file in the place of `name`.
    pub(crate) fn put(mut self, name: &str) -> Result<(), StoreError> {
        renameat(&self.dir.fd, self.name.as_str(), &self.dir.fd, name)
            .map_err(|errno| StoreError::io("replace", &self.dir.path.join(name), errno.into()))?;
        self.stays = true;
        if self.durable { self.dir.sync() } else { Ok(()) }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.stays {
            // Nothing can be done about a left-over beyond trying.
            drop(self.dir.remove(&self.name));
        }
    }
}

/// The error for something of the wrong kind; `None` where the kind is as wanted or unknown.
fn kind_error(stat: Option<FileStat>, path: &Path, wanted: &'static str) -> Option<StoreError> {
    let kind = SFlag::from_bits_truncate(stat?.st_mode) & SFlag::S_IFMT;
    let found = match kind {
        SFlag::S_IFLNK => "a symbolic link",
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFREG => "a file",
        SFlag::S_IFIFO => "a fifo",
        _ => "something else",
    };
    (found != wanted).then(|| StoreError::WrongKind { path: path.to_owned(), found, wanted })
}

/// How long Capsule waits for a lock. It is held for moments; somebody who holds it longer must not hang Capsule.
pub(crate) const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// Takes a file's lock, or gives up after `limit`.
pub(crate) fn lock_within(file: &File, limit: Duration) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < limit => std::thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
}

/// Random bits from the operating system.
pub(crate) fn random_u64() -> Result<u64, StoreError> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Fills `bytes` with random bits from the operating system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes)
        .map_err(|error| StoreError::io("read", Path::new("/dev/urandom"), io::Error::other(error.to_string())))
}
