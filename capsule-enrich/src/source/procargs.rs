//! The block that macOS gives for `KERN_PROCARGS2` (xnu, `sysctl_procargsx`): the number of arguments as a native
//! int, the executable's path, padding NULs, then arguments and environment entries, each ended by a NUL.
//!
//! An empty argument and the padding look alike at the beginning: the path is padded to a multiple of the word size, and
//! an empty first argument is lost in that padding. It is the one case in which arguments are not exact.

use capsule_core::Argv;

/// What a block says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProcArgs<'a> {
    pub(super) argv: Argv,
    /// NUL-ended `NAME=value` entries.
    pub(super) environment: &'a [u8],
}

/// Reads a block; `None` where it is not one, or is cut off before the arguments end.
pub(super) fn parse(block: &[u8]) -> Option<ProcArgs<'_>> {
    let (count, rest) = block.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let path = rest.iter().position(|byte| *byte == 0)?;
    let rest = rest.get(path..)?;
    let padding = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
    let rest = rest.get(padding..)?;
    let mut end = 0;
    for _ in 0..count {
        end += rest.get(end..)?.iter().position(|byte| *byte == 0)? + 1;
    }
    let (arguments, environment) = rest.split_at_checked(end)?;
    // The entries end at the first empty one; what follows is Apple's own (`apple[]`).
    let mut length = 0;
    while let Some(entry) = environment.get(length..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        if entry == 0 {
            break;
        }
        length += entry + 1;
    }
    Some(ProcArgs { argv: Argv::from_block(arguments), environment: environment.get(..length)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(count: i32, rest: &[u8]) -> Vec<u8> {
        [&count.to_ne_bytes(), rest].concat()
    }

    #[test]
    fn arguments_and_environment_are_told_apart() {
        let bytes = block(3, b"/bin/ls\0\0\0\0\0ls\0\0-l\0HOME=/\0A=b\0\0ptr_munge=0x1\0");
        let read = parse(&bytes).unwrap();
        assert_eq!(read.argv, ["ls", "", "-l"].iter().collect());
        assert_eq!(read.environment, b"HOME=/\0A=b\0");
    }

    #[test]
    fn a_block_that_is_cut_off_is_refused() {
        assert_eq!(parse(&block(2, b"/bin/ls\0\0ls\0-")), None);
        assert_eq!(parse(&block(1 << 30, b"/bin/ls\0ls\0")), None);
        assert_eq!(parse(&block(-1, b"/bin/ls\0ls\0")), None);
        assert_eq!(parse(b"\0"), None);
        assert_eq!(parse(&block(0, b"/bin/ls\0")).unwrap().argv, Argv::default());
    }
}
