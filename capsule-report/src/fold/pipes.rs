//! Which processes are joined by pipes: one's output and another's input are the same pipe at their execs.

use std::collections::HashMap;

use capsule_core::{Context, ProcId, Seq};

use crate::view::PipeLink;

/// How many pipes are remembered.
const PIPES: usize = 200_000;
/// How many ends of one kind are remembered of each pipe: a logger's pipe may be shared by thousands.
const ENDS: usize = 8;

#[derive(Debug, Default)]
struct Ends {
    writers: Vec<(ProcId, Seq)>,
    readers: Vec<(ProcId, Seq)>,
}

/// Pipes by inode.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    by_inode: HashMap<u64, Ends>,
}

impl Pipes {
    /// Looks at the standard descriptors of a process at its exec.
    pub(super) fn exec(&mut self, proc: ProcId, seq: Seq, context: &Context) {
        let Some(fds) = context.fds.value() else { return };
        for open in fds.iter().filter(|open| open.fd <= 2) {
            let Some(inode) = pipe_inode(open.target.as_bytes()) else { continue };
            if self.by_inode.len() >= PIPES && !self.by_inode.contains_key(&inode) {
                continue;
            }
            let ends = self.by_inode.entry(inode).or_default();
            let list = if open.fd == 0 { &mut ends.readers } else { &mut ends.writers };
            if list.len() < ENDS && !list.iter().any(|(known, _)| *known == proc) {
                list.push((proc, seq));
            }
        }
    }

    /// Every writer with every reader of the same pipe, in order.
    pub(super) fn into_links(self) -> Vec<PipeLink> {
        let mut links = Vec::new();
        for ends in self.by_inode.into_values() {
            for (from, from_event) in &ends.writers {
                for (to, to_event) in ends.readers.iter().filter(|(to, _)| to != from) {
                    links.push(PipeLink { from: *from, to: *to, from_event: *from_event, to_event: *to_event });
                }
            }
        }
        links.sort_unstable();
        links
    }
}

/// The inode in `pipe:[INODE]` (`proc_pid_fd(5)`).
fn pipe_inode(target: &[u8]) -> Option<u64> {
    let digits = target.strip_prefix(b"pipe:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
