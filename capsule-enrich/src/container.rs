//! The container that a cgroup path names.

/// The id in a cgroup's path, as container runtimes write it: 64 hex digits behind `docker-`, `cri-containerd-`, `crio-`,
/// `libpod-` (systemd's naming), or as a directory of its own (cgroupfs naming).
#[must_use]
pub fn container_id(cgroup: &[u8]) -> Option<String> {
    let parts = cgroup.rsplit(|byte| *byte == b'/');
    parts.into_iter().find_map(|part| {
        let part = part.strip_suffix(b".scope").unwrap_or(part);
        let id = part.rsplit(|byte| *byte == b'-').next().unwrap_or(part);
        let hex = id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit);
        hex.then(|| String::from_utf8_lossy(id).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_recognised_and_ordinary_slices_are_not() {
        let id = "0123456789abcdef".repeat(4);
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods/besteffort/pod1-2/{id}"),
            format!("/kubepods.slice/cri-containerd-{id}.scope/child"),
            format!("/machine.slice/libpod-{id}.scope"),
        ] {
            assert_eq!(container_id(path.as_bytes()), Some(id.clone()), "{path}");
        }
        for path in ["/", "/user.slice/user-1000.slice/session-2.scope", "/docker/short", ""] {
            assert_eq!(container_id(path.as_bytes()), None, "{path}");
        }
    }
}
