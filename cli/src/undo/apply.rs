//! Takes the steps of a plan: everything relative to a directory that was reached without a symbolic link, everything that is
//! replaced kept before, each step logged before it is taken.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use capsule_core::{EffectKind, FileKind, FileState};
use capsule_trace::Keeper;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, symlinkat, unlinkat};

use super::log::{Log, Undo};
use super::plan::{Plan, Refused, Step};
use super::state::{Place, place};
use super::{Change, bytes_of, ended, touched};

/// Opens a content that was kept.
pub type Contents<'a> = &'a dyn Fn(&str) -> anyhow::Result<File>;

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many steps were taken.
    pub done: usize,
    /// Those that were not, and why.
    pub failed: Vec<Refused>,
}

/// Takes the steps of a plan. One that fails does not keep the others.
///
/// # Errors
/// When what is replaced could not be kept or logged at all, or the end not written down.
pub fn apply(plan: &Plan, contents: Contents<'_>, undo: &Undo) -> io::Result<Applied> {
    let mut doing = Doing { keeper: undo.keeper()?, log: undo.log()?, contents, temporary: 0 };
    let mut applied = Applied::default();
    for step in &plan.steps {
        match doing.step(step) {
            Ok(()) => applied.done += 1,
            Err(error) => {
                let path = step.path().to_owned();
                applied.failed.push(Refused { path, why: format!("{error:#}") });
            }
        }
    }
    let steps = doing.log.steps().iter().map(|step| (&step.path, step.to.as_ref()));
    undo.end(&ended(touched(steps).into_iter()))?;
    Ok(applied)
}

struct Doing<'a> {
    keeper: Keeper,
    log: Log,
    contents: Contents<'a>,
    temporary: u32,
}

impl Doing<'_> {
    fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Rename { from, to } => {
                let (source, target) = (place(from)?, place(to)?);
                self.displace(to, &target)?;
                self.log(EffectKind::FileRename, from, Some(to), FileState::absent())?;
                Ok(renameat(&source.dir, source.name, &target.dir, target.name)?)
            }
            Step::Remove { path } => self.displace(path, &place(path)?),
            Step::Directory { path, .. } => {
                let at = place(path)?;
                match self.keep(path, false)?.kind {
                    FileKind::Directory => return Ok(()),
                    FileKind::Absent => {}
                    _ => self.displace(path, &at)?,
                }
                self.log(EffectKind::FileCreate, path, None, FileState::absent())?;
                // Its own permissions come when its contents are back.
                Ok(mkdirat(&at.dir, at.name, Mode::S_IRWXU)?)
            }
            Step::Restore { path, state } => self.restore(path, state),
            Step::Mode { path, state } => {
                let at = place(path)?;
                let before = self.keep(path, false)?;
                self.log(EffectKind::FileMode, path, None, before.clone())?;
                if (state.uid, state.gid) != (before.uid, before.gid) {
                    let (uid, gid) = (state.uid.map(Uid::from_raw), state.gid.map(Gid::from_raw));
                    fchownat(&at.dir, at.name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW).context("its owner")?;
                }
                if let Some(mode) = state.mode {
                    fchmodat(&at.dir, at.name, permissions(mode), FchmodatFlags::NoFollowSymlink)?;
                }
                Ok(())
            }
        }
    }

    fn restore(&mut self, path: &Path, state: &FileState) -> anyhow::Result<()> {
        let at = place(path)?;
        if let Some(target) = state.target.as_ref().filter(|_| state.kind == FileKind::Link) {
            self.displace(path, &at)?;
            self.log(EffectKind::FileCreate, path, None, FileState::absent())?;
            return Ok(symlinkat(std::ffi::OsStr::from_bytes(target.as_bytes()), &at.dir, at.name)?);
        }
        let Some(name) = &state.content else { bail!("its content was not kept") };
        self.temporary += 1;
        let temporary = OsString::from(format!(".capsule-undo-{}-{}", std::process::id(), self.temporary));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&at.dir, temporary.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let put = self.fill(file, name, state).and_then(|()| {
            let before = self.keep(path, true)?;
            match before.kind {
                FileKind::Absent => self.log(EffectKind::FileCreate, path, None, before)?,
                FileKind::File => self.log(EffectKind::FileWrite, path, None, before)?,
                _ => {
                    self.displace(path, &at)?;
                    self.log(EffectKind::FileCreate, path, None, FileState::absent())?;
                }
            }
            Ok(renameat(&at.dir, temporary.as_os_str(), &at.dir, at.name)?)
        });
        if put.is_err() {
            // It holds nothing that is not kept elsewhere.
            unlinkat(&at.dir, temporary.as_os_str(), UnlinkatFlags::NoRemoveDir).unwrap_or(());
        }
        put
    }

    /// Writes a content that was kept, and refuses one that is not what its name says.
    fn fill(&self, mut file: File, name: &str, state: &FileState) -> anyhow::Result<()> {
        let mut content = (self.contents)(name).context("its content")?;
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0; 64 << 10];
        loop {
            let count = content.read(&mut block)?;
            let read = block.get(..count).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            hasher.update(read);
            file.write_all(read)?;
        }
        ensure!(hasher.finalize().to_hex().as_str() == name, "its content was altered after it was kept");
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        if (state.uid, state.gid) != (Some(own.0), Some(own.1)) {
            fchown(&file, state.uid.map(Uid::from_raw), state.gid.map(Gid::from_raw)).context("its owner")?;
        }
        fchmod(&file, permissions(state.mode.unwrap_or(0o600)))?;
        Ok(file.sync_all()?)
    }

    /// Removes what is at a path, where something is, and keeps it first.
    fn displace(&mut self, path: &Path, at: &Place<'_>) -> anyhow::Result<()> {
        let state = self.keep(path, true)?;
        let how = match state.kind {
            FileKind::Absent => return Ok(()),
            FileKind::Other => bail!("it is a device, a fifo or a socket"),
            FileKind::Directory => UnlinkatFlags::RemoveDir,
            FileKind::File | FileKind::Link => UnlinkatFlags::NoRemoveDir,
        };
        self.log(EffectKind::FileDelete, path, None, state)?;
        unlinkat(&at.dir, at.name, how)?;
        Ok(())
    }

    /// What is at a path, with its content kept.
    fn keep(&self, path: &Path, content: bool) -> anyhow::Result<FileState> {
        let state = self.keeper.look(path, false, content).context("it cannot be looked at")?;
        match &state.not_kept {
            Some(why) => bail!("it could not be kept: {why}"),
            None => Ok(state),
        }
    }

    fn log(&mut self, kind: EffectKind, path: &Path, to: Option<&Path>, before: FileState) -> io::Result<()> {
        let (path, to) = (bytes_of(path), to.map(bytes_of));
        self.log.write(Change { kind, path, to, exchange: false, before: Some(before) })
    }
}

#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, reason = "a mode has 16 bits elsewhere")]
fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(nix::libc::mode_t::try_from(mode & 0o7777).unwrap_or(0o600))
}

impl Step {
    /// The path that it is about.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Rename { to: path, .. }
            | Self::Remove { path }
            | Self::Directory { path, .. }
            | Self::Restore { path, .. }
            | Self::Mode { path, .. } => path,
        }
    }
}
