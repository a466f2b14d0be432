//! `/proc/PID/stat` (`proc_pid_stat(5)`). The command's name in it may hold anything, parentheses and newlines too: what
//! counts is the last closing one.

/// The fields that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pgid: u32,
    pub(crate) sid: u32,
    /// Controlling terminal's device number; 0 for none.
    pub(crate) tty: u32,
}

pub(crate) fn parse(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // After the name: state, ppid, pgrp, session, tty_nr.
    let mut fields = rest.split_ascii_whitespace().skip(2);
    let pgid = fields.next()?.parse().ok()?;
    let sid = fields.next()?.parse().ok()?;
    let tty: i32 = fields.next()?.parse().ok()?;
    Some(Stat { pgid, sid, tty: tty.cast_unsigned() })
}

/// The path of a terminal by its device number, for the drivers that people meet; empty for none.
pub(crate) fn terminal(device: u32) -> String {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    match major {
        0 => String::new(),
        // Unix98 pseudo-terminals, 256 to each of the majors 136 to 143 (Documentation/admin-guide/devices.txt).
        136..=143 => format!("/dev/pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("/dev/tty{minor}"),
        4 => format!("/dev/ttyS{}", minor - 64),
        5 if minor == 1 => "/dev/console".to_owned(),
        _ => format!("device {major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_newlines_is_skipped() {
        let line = b"42 (evil) R 1\n) (x) S 7 41 40 34816 41 4194560 1 2";
        assert_eq!(parse(line), Some(Stat { pgid: 41, sid: 40, tty: 34816 }));
        assert_eq!(parse(b"42 (unfinished"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn terminals_have_their_usual_names() {
        assert_eq!(terminal(34816), "/dev/pts/0");
        assert_eq!(terminal(34816 + 7), "/dev/pts/7");
        assert_eq!(terminal(1025), "/dev/tty1");
        assert_eq!(terminal(0), "");
    }
}
