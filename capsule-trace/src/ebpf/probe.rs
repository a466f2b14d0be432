//! Whether the kernel programs can be loaded here, and if not, what is missing and what would help.
//!
//! The verdict is a pure function of [`Facts`]; only [`Facts::read`] looks at the machine.

use std::io;

/// `CAP_SYS_ADMIN`, which allowed everything before there was `CAP_BPF`.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
/// The first kernel with `bpf_loop`, which the programs walk paths and arguments with.
const OLDEST_KERNEL: (u32, u32) = (5, 17);

/// What decides whether the programs can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The kernel's version, where its release names one.
    pub(super) kernel: Option<(u32, u32)>,
    /// Why the kernel's type information cannot be read.
    pub(super) btf: Result<(), io::ErrorKind>,
    /// Effective capabilities.
    pub(super) capabilities: u64,
    /// Whether they hold in a user namespace only, which is not enough for bpf(2).
    pub(super) in_user_namespace: bool,
    /// The lockdown mode, where the kernel has lockdown.
    pub(super) lockdown: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub(super) unprivileged_disabled: Option<u32>,
    /// This program's path, for the remedy.
    pub(super) program: String,
}

/// What is missing, and the remedy where there is one.
pub(super) type Missing = (String, Option<String>);

impl Facts {
    pub(super) fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = text("/proc/self/status");
        let program = std::env::current_exe().map(|path| path.display().to_string());
        Self {
            kernel: version(&text("/proc/sys/kernel/osrelease")),
            btf: std::fs::File::open("/sys/kernel/btf/vmlinux").map(drop).map_err(|error| error.kind()),
            capabilities: capabilities(&status),
            in_user_namespace: maps_some_users(&text("/proc/self/uid_map")),
            lockdown: lockdown(&text("/sys/kernel/security/lockdown")),
            unprivileged_disabled: text("/proc/sys/kernel/unprivileged_bpf_disabled").trim().parse().ok(),
            program: program.unwrap_or_else(|_unknown| "\"$(command -v capsule)\"".to_owned()),
        }
    }

    /// What makes it impossible, the most fundamental first.
    pub(super) fn missing(&self) -> Option<Missing> {
        if let Some((major, minor)) = self.kernel
            && (major, minor) < OLDEST_KERNEL
        {
            let (oldest, newer) = OLDEST_KERNEL;
            return Some((format!("Linux {major}.{minor} is too old, {oldest}.{newer} is needed"), None));
        }
        if let Err(kind) = self.btf {
            return Some(match kind {
                io::ErrorKind::NotFound => (
                    "the kernel has no type information (/sys/kernel/btf/vmlinux)".to_owned(),
                    Some("use a kernel built with CONFIG_DEBUG_INFO_BTF=y".to_owned()),
                ),
                kind => (format!("/sys/kernel/btf/vmlinux cannot be read: {kind}"), None),
            });
        }
        if self.lockdown.as_deref() == Some("confidentiality") {
            return Some((
                "the kernel is locked down (confidentiality)".to_owned(),
                Some("boot with lockdown=integrity or without lockdown".to_owned()),
            ));
        }
        if self.in_user_namespace {
            return Some((
                "Capsule runs in a user namespace, where no capability is enough for bpf(2)".to_owned(),
                Some("run it outside of the rootless container, or use --tracer ptrace".to_owned()),
            ));
        }
        let has = |capability: u32| self.capabilities & (1 << capability) != 0;
        if has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)) {
            return None;
        }
        let lacking: Vec<&str> = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
            .into_iter()
            .filter(|(capability, _)| !has(*capability))
            .map(|(_, name)| name)
            .collect();
        let unprivileged = match self.unprivileged_disabled {
            Some(0) => ", and tracing needs them even where unprivileged bpf is allowed",
            _ => "",
        };
        let because = format!("Capsule lacks {}{unprivileged}", lacking.join(" and "));
        Some((because, Some(format!("run as root, or once: sudo setcap cap_bpf,cap_perfmon=ep {}", self.program))))
    }

    /// What to say where nothing is missing and the kernel refused all the same.
    pub(super) fn refused(&self) -> Missing {
        let memlock = match self.kernel {
            Some(version) if version < (5, 11) => " or the limit of locked memory (ulimit -l)",
            _ => "",
        };
        (
            format!(
                "the kernel refused although nothing is known to be missing: a container's seccomp filter, a security module{memlock} may forbid bpf(2)"
            ),
            Some(
                "allow bpf(2) in the sandbox (docker: --cap-add BPF --cap-add PERFMON), or use --tracer ptrace"
                    .to_owned(),
            ),
        )
    }

    /// What makes it work.
    pub(super) fn usable_because(&self) -> String {
        match self.kernel {
            Some((major, minor)) => format!("Linux {major}.{minor} with type information; the programs load"),
            None => "the programs load".to_owned(),
        }
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// Whether `/proc/self/uid_map` is another one than that of the initial user namespace, which maps all to themselves.
fn maps_some_users(uid_map: &str) -> bool {
    let fields: Vec<&str> = uid_map.split_whitespace().collect();
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Facts {
        Facts {
            kernel: Some((6, 18)),
            btf: Ok(()),
            capabilities: u64::MAX,
            in_user_namespace: false,
            lockdown: Some("integrity".to_owned()),
            unprivileged_disabled: Some(2),
            program: "/usr/bin/capsule".to_owned(),
        }
    }

    #[test]
    fn nothing_missing_is_said_so() {
        assert_eq!(well().missing(), None);
        assert_eq!(Facts { capabilities: (1 << CAP_BPF) | (1 << CAP_PERFMON), ..well() }.missing(), None);
    }

    #[test]
    fn each_lack_is_named_with_its_remedy() {
        let no_caps = Facts { capabilities: 1 << CAP_BPF, ..well() }.missing().unwrap();
        assert_eq!(no_caps.0, "Capsule lacks CAP_PERFMON");
        assert!(no_caps.1.unwrap().ends_with("sudo setcap cap_bpf,cap_perfmon=ep /usr/bin/capsule"));
        let old = Facts { kernel: Some((5, 10)), ..well() }.missing().unwrap();
        assert_eq!(old, ("Linux 5.10 is too old, 5.17 is needed".to_owned(), None));
        let no_btf = Facts { btf: Err(io::ErrorKind::NotFound), ..well() }.missing().unwrap();
        assert!(no_btf.1.unwrap().contains("CONFIG_DEBUG_INFO_BTF"));
        let rootless = Facts { in_user_namespace: true, ..well() }.missing().unwrap();
        assert!(rootless.0.contains("user namespace"));
        let locked = Facts { lockdown: Some("confidentiality".to_owned()), ..well() }.missing().unwrap();
        assert!(locked.0.contains("locked down"));
    }

    #[test]
    fn the_kernels_own_texts_are_read() {
        assert_eq!(version("6.18.44-fc-v595\n"), Some((6, 18)));
        assert_eq!(version("6.1-rc1"), Some((6, 1)));
        assert_eq!(version(""), None);
        assert_eq!(lockdown("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(lockdown(""), None);
        assert!(!maps_some_users("         0          0 4294967295\n"));
        assert!(maps_some_users("         0       1000          1\n"));
        assert_eq!(capabilities("Name:\tx\nCapEff:\t000001fffeffffff\n"), 0x01ff_feff_ffff);
    }
}
