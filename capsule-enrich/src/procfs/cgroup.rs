//! `/proc/PID/cgroup` (`cgroups(7)`): lines `ID:CONTROLLERS:PATH`; the unified hierarchy has id 0 and no controllers.

/// The path in the unified hierarchy; where there is none, that of the first one that is mounted.
pub(crate) fn unified(text: &[u8]) -> Option<&[u8]> {
    let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let first = lines.clone().next()?;
    let line = lines.find(|line| line.starts_with(b"0::")).unwrap_or(first);
    line.splitn(3, |byte| *byte == b':').nth(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_preferred() {
        assert_eq!(unified(b"12:cpu:/a\n0::/user.slice/x\n"), Some(&b"/user.slice/x"[..]));
        assert_eq!(unified(b"12:cpu,cpuacct:/with:colon\n"), Some(&b"/with:colon"[..]));
        assert_eq!(unified(b""), None);
    }
}
