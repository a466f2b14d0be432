//! The contents that a session kept: one file each in `before/`, named by its BLAKE3.
//!
//! Records refer to them by name and are chained; the sealed metadata commits which names there are. So a content that was
//! altered, taken away or slipped in is found.

use std::fs::File;
use std::io;

use capsule_core::Snapshots;

use crate::chain::Hash;
use crate::dir::Dir;
use crate::error::StoreError;
use crate::layout::BEFORE;
use crate::verify::{Damage, Problem};

/// BLAKE3 of names, in order, each with a newline; what [`Snapshots::names`] has.
#[must_use]
pub fn names_digest<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(name.as_bytes()).update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}

/// Opens a content by its name.
pub(crate) fn open(dir: &Dir, name: &str) -> Result<File, StoreError> {
    if Hash::from_hex(name.as_bytes()).is_none() {
        return Err(StoreError::NotFound { wanted: name.to_owned() });
    }
    dir.open_dir(BEFORE)?.open_file(name)
}

/// Makes the contents durable.
pub(crate) fn sync(dir: &Dir) -> Result<(), StoreError> {
    // Where somebody took it away, what is left is sealed all the same, and `verify` says what is missing.
    let Ok(before) = dir.open_dir(BEFORE) else { return Ok(()) };
    for name in before.names()? {
        let Ok(file) = before.open_file(&name) else { continue };
        file.sync_all().map_err(|source| StoreError::io("write", &before.path().join(&name), source))?;
    }
    before.sync()
}

/// Removes the contents and their directory.
pub(crate) fn remove(dir: &Dir) -> Result<(), StoreError> {
    let before = dir.open_dir(BEFORE)?;
    for name in before.names()? {
        before.remove(&name)?;
    }
    dir.remove_dir(BEFORE)
}

/// Compares the contents with their names, and the names with what was sealed.
pub(crate) fn check(dir: &Dir, sealed: &Snapshots, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
    let before = match dir.open_dir(BEFORE) {
        Ok(before) => before,
        Err(StoreError::WrongKind { found, .. }) => {
            problems.push(Problem::file(BEFORE, Damage::FileReplaced).because(format!("it is {found}")));
            return Ok(());
        }
        Err(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => {
            problems.push(Problem::file(BEFORE, Damage::FileMissing));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut names = before.names()?;
    // What was on its way when the session ended is nobody's.
    names.retain(|name| !name.starts_with('.'));
    if names_digest(names.iter().map(String::as_str)) != sealed.names {
        let detail = format!("{} contents are there, {} were kept", names.len(), sealed.kept);
        let damage = if (names.len() as u64) < sealed.kept { Damage::FileMissing } else { Damage::Inserted };
        problems.push(Problem::file(BEFORE, damage).because(detail));
    }
    for name in names {
        let path = format!("{BEFORE}/{name}");
        let file = match before.open_file(&name) {
            Ok(file) => file,
            Err(StoreError::WrongKind { found, .. }) => {
                problems.push(Problem::file(&path, Damage::FileReplaced).because(format!("it is {found}")));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(|source| StoreError::io("read", &before.path().join(&name), source))?;
        if hasher.finalize().to_hex().as_str() != name {
            problems.push(Problem::file(&path, Damage::Altered));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::fixture::Home;
    use crate::retention::Retention;
    use crate::verify::{Damage, Overall};

    #[test]
    fn contents_count_and_go_with_their_session() {
        let home = Home::new();
        let id = home.sealed_with_contents(1, &["one", &"two".repeat(10_000)]);
        let plan = home.store.plan_prune(&Retention { count: Some(0), ..Retention::default() }).unwrap();
        assert!(plan.freed() > 30_000);
        let pruned = home.store.prune(&plan, capsule_core::Timestamp(1)).unwrap();
        assert!(pruned.iter().all(|pruned| pruned.failed.is_none()), "{pruned:?}");
        assert!(!home.path(&id, "").exists());
    }

    #[test]
    fn contents_that_were_touched_are_named() {
        type Edit<'a> = &'a dyn Fn(&std::path::Path);
        let edits: [(Edit<'_>, Damage); 4] = [
            (&|at| fs::write(at.join(blake3::hash(b"one").to_hex().as_str()), "One").unwrap(), Damage::Altered),
            (&|at| fs::remove_file(at.join(blake3::hash(b"two").to_hex().as_str())).unwrap(), Damage::FileMissing),
            (&|at| fs::write(at.join(blake3::hash(b"more").to_hex().as_str()), "more").unwrap(), Damage::Inserted),
            (&|at| fs::remove_dir_all(at).unwrap(), Damage::FileMissing),
        ];
        for (edit, damage) in edits {
            let home = Home::new();
            let id = home.sealed_with_contents(1, &["one", "two"]);
            assert_eq!(home.verdict(&id).overall, Overall::Whole);
            edit(&home.path(&id, "before"));
            let verdict = home.verdict(&id);
            assert_eq!(verdict.overall, Overall::Tampered);
            let first = verdict.first().unwrap();
            assert_eq!(first.damage, damage, "{first}");
            assert!(first.file.starts_with("before"), "{first}");
        }
    }
}
