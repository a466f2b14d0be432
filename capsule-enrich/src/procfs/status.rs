//! `/proc/PID/status` (`proc_pid_status(5)`).

use capsule_core::Ids;

fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(line).ok()
}

/// Real and effective ids.
pub(crate) fn ids(text: &[u8]) -> Option<Ids> {
    let pair = |name: &str| {
        let mut numbers = field(text, name)?.split_ascii_whitespace().map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let ((uid, euid), (gid, egid)) = (pair("Uid:")?, pair("Gid:")?);
    Some(Ids { uid, euid, gid, egid })
}

/// The pid in the innermost pid namespace, where that is not `outer`.
pub(crate) fn inner_pid(text: &[u8], outer: u32) -> Option<u32> {
    let inner = field(text, "NSpid:")?.split_ascii_whitespace().next_back()?.parse().ok()?;
    (inner != outer).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &[u8] = b"Name:\tbash\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t77\nUid:\t1000\t0\t0\t0\n\
                            Gid:\t1000\t1001\t1000\t1000\nNSpid:\t77\t3\n";

    #[test]
    fn ids_are_real_then_effective() {
        assert_eq!(ids(STATUS), Some(Ids { uid: 1000, euid: 0, gid: 1000, egid: 1001 }));
        assert_eq!(ids(b"Uid:\tx\n"), None);
    }

    #[test]
    fn the_innermost_pid_is_the_last() {
        assert_eq!(inner_pid(STATUS, 77), Some(3));
        assert_eq!(inner_pid(b"NSpid:\t77\n", 77), None);
    }
}
