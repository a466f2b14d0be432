//! A shell that becomes its last command (`bash -c 'a && b'` runs `a`, then turns into `b`) is one process with two
//! faces: what was asked of the shell, and the program at the end.

use capsule_core::{ByteString, ProcessNode};

use crate::assemble::index::Index;

/// The longest text that is shown, in bytes.
const LONGEST: usize = 400;

/// What the shell was asked that `node` was while it started processes of `below`; nothing where it started them as
/// what it is now.
pub(super) fn became(node: &ProcessNode, below: &[usize], index: &Index<'_>) -> Option<ByteString> {
    let (last, earlier) = node.execs.split_last()?;
    let before = below.iter().any(|at| index.node(*at).is_some_and(|child| child.started < last.at));
    if !before {
        return None;
    }
    let code = earlier.iter().rev().find_map(|exec| code(&exec.argv.iter().collect::<Vec<_>>()))?;
    Some(ByteString::new(code.get(..LONGEST).unwrap_or(code)))
}

/// The text behind `-c` of a shell.
fn code<'a>(argv: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (program, rest) = argv.split_first()?;
    let name = program.rsplit(|byte| *byte == b'/').next()?;
    if !matches!(name, b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh" | b"ash") {
        return None;
    }
    let options = rest.iter().take_while(|word| word.starts_with(b"-")).count();
    let asks = rest.iter().take(options).any(|word| word.contains(&b'c'));
    rest.get(options).copied().filter(|_| asks)
}
