//! What is at a path before a call changes it: looked at while the program stands still before the call.
//!
//! What was written through a descriptor is not asked for: the open that gave the descriptor was.

use capsule_core::FileState;

use super::calls::{Call, Shape, WRITE_FLAGS};
use super::effects::{open_flags, reachable};
use crate::keep::Keeper;

/// `RENAME_EXCHANGE`: both files stay.
const EXCHANGE: u64 = 2;

/// What the call that begins may destroy, where it is a file's state that it changes.
pub(super) fn look(keeper: &Keeper, tid: u32, call: &Call, args: &[u64; 6]) -> Option<Box<FileState>> {
    let (place, follow, content) = match call.shape {
        Shape::Open(place, flags) => {
            let flags = open_flags(tid, flags, args);
            let has = |flag: i32| flags & flag.cast_unsigned() == flag.cast_unsigned();
            if flags & WRITE_FLAGS == 0 || has(libc::O_PATH) || has(libc::O_TMPFILE) {
                return None;
            }
            (place, !has(libc::O_NOFOLLOW), true)
        }
        Shape::Truncate(place) if place.path.is_some() => (place, true, true),
        Shape::Delete(place) => (place, false, true),
        Shape::Rename(_, to, flags) => {
            let flags = flags.and_then(|index| args.get(index)).copied().unwrap_or(0);
            if flags & EXCHANGE != 0 {
                return None;
            }
            (to, false, true)
        }
        Shape::Create(place, _) | Shape::Link(place, _) | Shape::Symlink(place, _) => (place, false, false),
        Shape::Mode(place, _) | Shape::Owner(place, _) => (place, call.name != "lchown", false),
        _ => return None,
    };
    keeper.look(&reachable(tid, place, args)?, follow, content).map(Box::new)
}
