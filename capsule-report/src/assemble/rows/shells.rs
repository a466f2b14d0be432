//! A shell that becomes its last command (`bash -c 'a && b'` runs `a`, then turns into `b`) is one process with two
//! faces: what was asked of the shell, and the program at the end.

use capsule_core::{ByteString, ProcessNode, Role};

use super::plan::Plan;
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

/// What was asked of the shells that did nothing but start `at`, or that became it, where it is more than `at` itself tells:
/// `cd src && pwd && head -3 a.py` for the one process `head`.
pub(super) fn asked(at: usize, plan: &Plan, index: &Index<'_>) -> Option<ByteString> {
    let node = index.node(at)?;
    let alone = plan.shown_below(at).saturating_add(1);
    let up = |at| index.parent(at).filter(|_| index.zoom != Some(at));
    let (mut above, mut text) = (up(at), became_at_once(node));
    while let Some(shell) = above
        && let Some(wrapper) = index.node(shell)
        && wrapper.role == Role::Wrapper
        && !plan.shown(shell)
        && plan.shown_below(shell) == alone
    {
        let argv = wrapper.argv().map(|argv| argv.iter().collect::<Vec<_>>()).unwrap_or_default();
        if code(&argv).is_some() && !wrapper.summary.as_bytes().is_empty() {
            text = Some(wrapper.summary.clone());
        }
        above = up(shell);
    }
    text.filter(|text| *text != node.summary)
}

/// What was asked of the shell that became `node` before it started anything, where that is several commands.
fn became_at_once(node: &ProcessNode) -> Option<ByteString> {
    let (last, earlier) = node.execs.split_last()?;
    let argv: Vec<&[u8]> = earlier.last()?.argv.iter().collect();
    let code = code(&argv).filter(|code| code.len() <= LONGEST)?;
    let several = code.iter().any(|byte| b";|&\n".contains(byte));
    let program = last.argv.get(0).and_then(|program| program.rsplit(|byte| *byte == b'/').next())?;
    (several && memchr::memmem::find(code, program).is_some()).then(|| ByteString::new(code))
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
