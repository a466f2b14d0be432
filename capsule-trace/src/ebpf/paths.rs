//! Paths from what the kernel programs record of them.

use capsule_core::ByteString;

/// From names, innermost first and each ended by a NUL, as a walk up the directories gives them.
pub(super) fn from_names(names: &[u8], deleted: bool) -> ByteString {
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    if names.is_empty() {
        return ByteString::from("/");
    }
    let mut path = Vec::with_capacity(names.len() + 16);
    for name in names.rsplit(|byte| *byte == 0) {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if deleted {
        // As readlink(2) of a link under /proc says it.
        path.extend_from_slice(b" (deleted)");
    }
    ByteString::from(path)
}

/// An absolute path without empty elements, `.` and `..`. Symbolic links are not looked at.
pub(super) fn normal(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for element in path.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." => {
                let parent = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_together_from_the_root() {
        assert_eq!(from_names(b"dash\0bin\0usr\0", false), ByteString::from("/usr/bin/dash"));
        assert_eq!(from_names(b"", false), ByteString::from("/"));
        assert_eq!(from_names(b"x\0", true), ByteString::from("/x (deleted)"));
    }

    #[test]
    fn nothing_is_above_the_root() {
        assert_eq!(normal(b"/../../a/./b//../c/"), b"/a/c");
        assert_eq!(normal(b"/.."), b"/");
        assert_eq!(normal(b"//"), b"/");
    }
}
