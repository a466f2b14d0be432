//! Places: paths and hosts, and the classes that the rules speak of.
//!
//! The classes themselves are data (`data/places.toml`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

/// A set of classes, by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Classes(pub(crate) u128);

impl Classes {
    pub(crate) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The longest name of a host.
const LONGEST_HOST: usize = 253;

/// Knows which place belongs to which classes.
#[derive(Debug, Default)]
pub(crate) struct Places {
    names: HashMap<String, u8>,
    /// Patterns by the top directory that all their paths have; those that fit under any have no name.
    paths: HashMap<String, PathSet>,
    /// Host (suffix) to class.
    hosts: HashMap<String, u8>,
    /// Classes of which reading is a SecurityOperation.
    secret: Classes,
}

/// Patterns of paths, compiled when the first path comes that one of them could fit: most recordings never see most of the
/// places that are known.
#[derive(Debug, Default)]
struct PathSet {
    patterns: Vec<String>,
    classes: Vec<u8>,
    compiled: OnceLock<RegexSet>,
}

impl PathSet {
    fn compile(&self) -> Result<RegexSet, regex::Error> {
        // By bytes: what is compared is text all the same, and a set that need not tell characters apart is built in a
        // fraction of the time.
        RegexSetBuilder::new(&self.patterns).unicode(false).size_limit(64 << 20).dfa_size_limit(8 << 20).build()
    }

    fn matches(&self, path: &str) -> Classes {
        // What does not compile was refused when it was read.
        let set = self.compiled.get_or_init(|| self.compile().unwrap_or_default());
        let found = set.matches(path.as_bytes());
        Classes(found.iter().filter_map(|index| self.classes.get(index)).fold(0, |classes, id| classes | 1 << id))
    }
}

/// A path or pattern as far as the end of its top directory: `/etc`, `~/.ssh`. None for relative ones.
fn top(path: &str) -> Option<&str> {
    let start = if path.starts_with("~/") { 2 } else { usize::from(path.starts_with('/')) };
    let rest = path.get(start..).filter(|_| start > 0)?;
    path.get(..start + rest.find('/').unwrap_or(rest.len()))
}

/// Classes that code refers to by name.
pub(crate) mod class {
    pub(crate) const PROJECT: &str = "project";
    pub(crate) const TEMP: &str = "temp";
    pub(crate) const LOOPBACK: &str = "loopback";
    pub(crate) const PRIVATE: &str = "private-net";
    pub(crate) const BARE_IP: &str = "bare-ip";
    pub(crate) const EXTERNAL: &str = "external";
    pub(crate) const HIDDEN_TEMP: &str = "hidden-temp";
}

impl Places {
    pub(crate) fn build(
        path_rules: &[(String, String)],
        host_rules: &[(String, String)],
        secret: &[String],
    ) -> Result<Self, String> {
        let mut places = Self::default();
        for name in [
            class::PROJECT,
            class::TEMP,
            class::LOOPBACK,
            class::PRIVATE,
            class::BARE_IP,
            class::EXTERNAL,
            class::HIDDEN_TEMP,
        ] {
            places.intern(name)?;
        }
        for (name, glob) in path_rules {
            let id = places.intern(name)?;
            let under = top(glob).filter(|top| !top.contains(['*', '?', '{', '\\'])).unwrap_or_default();
            let set = places.paths.entry(under.to_owned()).or_default();
            set.patterns.push(glob_to_regex(glob));
            set.classes.push(id);
        }
        for (name, host) in host_rules {
            let id = places.intern(name)?;
            places.hosts.insert(host.clone(), id);
        }
        for name in secret {
            places.secret = places.secret.and(places.named(name).ok_or_else(|| format!("unknown class `{name}`"))?);
        }
        Ok(places)
    }

    /// Compiles every pattern, and says what is wrong with one.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.paths.values().try_for_each(|set| set.compile().map(|_| ())).map_err(|error| error.to_string())
    }

    /// Classes of a path by the patterns alone.
    fn listed(&self, path: &str) -> Classes {
        let sets = [Some(""), top(path)].into_iter().flatten().filter_map(|top| self.paths.get(top));
        sets.fold(Classes::default(), |classes, set| classes.and(set.matches(path)))
    }

    fn intern(&mut self, name: &str) -> Result<u8, String> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let id = u8::try_from(self.names.len()).ok().filter(|id| *id < 128).ok_or("more than 128 classes of places")?;
        self.names.insert(name.to_owned(), id);
        Ok(id)
    }

    /// The classes there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// The set with only the class `name`.
    pub(crate) fn named(&self, name: &str) -> Option<Classes> {
        self.names.get(name).map(|id| Classes(1 << id))
    }

    pub(crate) fn secret(&self) -> Classes {
        self.secret
    }

    /// Whether reading a place of these classes is a matter of security.
    pub(crate) fn is_secret(&self, classes: Classes) -> bool {
        let open =
            ["public-key", "example"].iter().filter_map(|name| self.named(name)).fold(Classes::default(), Classes::and);
        classes.any(self.secret) && !classes.any(open)
    }

    /// Whether writing a place of these classes is: a project's own settings are written like any text.
    pub(crate) fn is_secret_to_write(&self, classes: Classes) -> bool {
        let own =
            ["dotenv", "tokens-file"].iter().filter_map(|name| self.named(name)).fold(Classes::default(), Classes::and);
        let rights = ["sudoers", "accounts", "authorized-keys", "pam", "audit-config", "ca-store"];
        let rights = rights.iter().filter_map(|name| self.named(name)).fold(Classes::default(), Classes::and);
        classes.any(rights) || (self.is_secret(classes) && !classes.any(own))
    }

    /// Secrets that no program but their owner's has any business with.
    pub(crate) fn guarded(&self) -> Classes {
        ["shadow", "private-key", "browser-store", "cloud-credentials", "agent-credentials"]
            .iter()
            .filter_map(|name| self.named(name))
            .fold(Classes::default(), Classes::and)
    }

    /// Classes of a canonical path (see [`canonical`]).
    pub(crate) fn of_path(&self, path: &str, project: Option<&str>) -> Classes {
        crate::effort::spent(path.len());
        let mut classes = self.listed(path);
        if path.contains(['?', '*', '[']) && path.starts_with(['/', '~']) && path.len() < 256 {
            // A pattern stands for what it matches.
            for known in ["/etc/shadow", "/etc/sudoers", "~/.ssh/id_rsa", "~/.aws/credentials", "~/.bash_history"] {
                if wildcard(path.as_bytes(), known.as_bytes()) {
                    classes = classes.and(self.listed(known));
                }
            }
        }
        let inside = |dir: &str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        if !path.starts_with(['/', '~', '$']) || project.is_some_and(inside) {
            classes.0 |= self.bit(class::PROJECT);
        }
        if ["/tmp", "/var/tmp", "/dev/shm", "$TMPDIR", "/private/tmp"].iter().any(|dir| inside(dir)) {
            classes.0 |= self.bit(class::TEMP);
            let hidden = path.split('/').any(|part| part.starts_with('.') && part.len() > 1 && part != "..");
            if hidden || path.starts_with("/dev/shm") {
                classes.0 |= self.bit(class::HIDDEN_TEMP);
            }
        }
        classes
    }

    fn bit(&self, name: &str) -> u128 {
        self.names.get(name).map_or(0, |id| 1 << id)
    }

    /// Classes of a host name or address.
    pub(crate) fn of_host(&self, host: &str) -> Classes {
        let lower = host.trim_matches(['[', ']', '.']).to_ascii_lowercase();
        let mut classes = Classes::default();
        // No name of a host is longer (RFC 1035, 2.3.4); every ending of it is looked up.
        let mut rest = if lower.len() <= LONGEST_HOST { lower.as_str() } else { "" };
        loop {
            crate::effort::spent(rest.len());
            if let Some(id) = self.hosts.get(rest) {
                classes.0 |= 1 << id;
            }
            match rest.split_once('.') {
                Some((_, tail)) if !tail.is_empty() => rest = tail,
                _ => break,
            }
        }
        if lower.is_empty() || lower.starts_with('$') {
            return classes;
        }
        match address(&lower) {
            Some(Address::Loopback) => classes.0 |= self.bit(class::LOOPBACK),
            Some(Address::Private) => classes.0 |= self.bit(class::PRIVATE),
            Some(Address::Public) => classes.0 |= self.bit(class::BARE_IP) | self.bit(class::EXTERNAL),
            None => {
                let local = lower == "localhost"
                    || lower.ends_with(".localhost")
                    || lower == "host.docker.internal"
                    || lower.starts_with("localhost:");
                if local {
                    classes.0 |= self.bit(class::LOOPBACK);
                } else if !lower.contains('.')
                    || [".local", ".internal", ".lan", ".svc", ".test", ".home", ".corp"]
                        .iter()
                        .any(|end| lower.ends_with(end))
                {
                    classes.0 |= self.bit(class::PRIVATE);
                } else {
                    classes.0 |= self.bit(class::EXTERNAL);
                }
            }
        }
        classes
    }
}

enum Address {
    Loopback,
    Private,
    Public,
}

fn address(host: &str) -> Option<Address> {
    let ip: std::net::IpAddr = match host.parse() {
        Ok(ip) => ip,
        Err(_not_dotted) => {
            // A decimal or hexadecimal address is a way to hide one.
            let number = match host.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => host.parse::<u32>().ok().filter(|n| *n > 0xff_ffff),
            }?;
            std::net::IpAddr::V4(std::net::Ipv4Addr::from(number))
        }
    };
    Some(match ip {
        std::net::IpAddr::V4(v4) if v4.is_loopback() || v4.is_unspecified() => Address::Loopback,
        std::net::IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() => Address::Private,
        std::net::IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => Address::Loopback,
        std::net::IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => Address::Private,
        _ => Address::Public,
    })
}

/// `*` is any run without a slash, `**` any run, `?` one character, `{a,b}` alternatives; a backslash takes the meaning away.
fn glob_to_regex(glob: &str) -> String {
    let mut out = String::with_capacity(glob.len() + 8);
    out.push_str("^(?:");
    let mut chars = glob.chars().peekable();
    let mut braces = 0_u32;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if let Some(escaped) = chars.next() {
                    out.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
                }
            }
            '*' if chars.peek() == Some(&'*') => {
                chars.next();
                out.push_str(".*");
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("(?u:[^/])"),
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push_str(")$");
    out
}

/// Whether a shell pattern matches a path: `*` and `?` do not match a slash, and a bracket matches any one character.
fn wildcard(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), path.get(s)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                retry = Some((p + 1, s));
                p += 1;
                continue;
            }
            (Some(b'?'), Some(c)) if *c != b'/' => {
                p += 1;
                s += 1;
                continue;
            }
            (Some(b'['), Some(c)) if *c != b'/' => {
                let close = pattern.iter().skip(p).position(|b| *b == b']');
                p += close.map_or(1, |close| close + 1);
                s += 1;
                continue;
            }
            (Some(a), Some(b)) if a == b => {
                p += 1;
                s += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((after, from)) if path.get(from).is_some_and(|c| *c != b'/') => {
                retry = Some((after, from + 1));
                p = after;
                s = from + 1;
            }
            _ => return false,
        }
    }
}

/// A path in one form: absolute where the directory is known, without `.` and `..`, the user's home as `~`.
pub(crate) fn canonical<'a>(path: &'a str, cwd: Option<&str>) -> Cow<'a, str> {
    crate::effort::spent(path.len());
    let path = path.strip_prefix("file://").unwrap_or(path);
    let path = path.strip_prefix("/proc/self/root").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let (mut base, rest): (String, &str) =
        if let Some(rest) = path.strip_prefix("$HOME").or_else(|| path.strip_prefix('~')) {
            if let Some(rest) = rest.strip_prefix('/') {
                ("~".to_owned(), rest)
            } else if rest.is_empty() {
                return Cow::Borrowed("~");
            } else {
                // `~user/…`
                ("~".to_owned(), rest.split_once('/').map_or("", |(_, tail)| tail))
            }
        } else if path.starts_with('/') {
            if is_clean(path) && home_len(path).is_none() {
                return Cow::Borrowed(path);
            }
            (String::new(), path)
        } else if path.starts_with('$') {
            return Cow::Borrowed(path);
        } else {
            match cwd {
                Some(cwd) if cwd.starts_with(['/', '~']) => (cwd.trim_end_matches('/').to_owned(), path),
                _ => {
                    if is_clean(path) {
                        return Cow::Borrowed(path);
                    }
                    (String::new(), path)
                }
            }
        };
    let absolute = !base.is_empty() || path.starts_with('/') || cwd == Some("/");
    let root_only = base.is_empty();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => match base.rfind('/') {
                Some(at) => base.truncate(at),
                None if base == "~" => {
                    base.clear();
                    base.push_str("/home");
                }
                None => base.clear(),
            },
            part => {
                if absolute || !base.is_empty() {
                    base.push('/');
                }
                base.push_str(part);
            }
        }
    }
    if base.is_empty() {
        base.push_str(if absolute || root_only && path.starts_with('/') { "/" } else { "." });
    }
    if let Some(len) = home_len(&base) {
        let tail = base.get(len..).unwrap_or_default();
        return Cow::Owned(format!("~{tail}"));
    }
    Cow::Owned(base)
}

/// The home directory that `path` is, or lies in, by its own name.
pub(crate) fn home_of(path: &str) -> Option<&str> {
    home_len(path).and_then(|len| path.get(..len))
}

/// [`canonical`] of a relative path for somebody whose home is `home`: what lies directly beside that keeps its name, for
/// it is a directory of theirs and nobody's home.
pub(crate) fn climbed(path: &str, cwd: &str, home: &str) -> String {
    let from = cwd.strip_prefix('~').map_or_else(|| cwd.to_owned(), |rest| format!("{home}{rest}"));
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let whole = format!("/{}", parts.join("/"));
    let parent = |path: &str| path.rsplit_once('/').map(|(parent, _)| parent.len());
    let beside = home_of(&whole) == Some(&*whole) && whole != home && parent(&whole) == parent(home);
    if beside { whole } else { canonical(&whole, None).into_owned() }
}

fn is_clean(path: &str) -> bool {
    !path.contains("//") && !path.contains("/.") && !path.starts_with('.') && (path.len() == 1 || !path.ends_with('/'))
}

/// How many bytes of `path` are a user's home directory.
fn home_len(path: &str) -> Option<usize> {
    let ends = |len: usize| path.as_bytes().get(len).is_none_or(|b| *b == b'/');
    if path.starts_with("/root") && ends(5) {
        return Some(5);
    }
    for prefix in ["/home/", "/Users/"] {
        if let Some(rest) = path.strip_prefix(prefix) {
            let user = rest.split('/').next().unwrap_or_default();
            if !user.is_empty() && user != "*" {
                return Some(prefix.len() + user.len());
            }
            if user == "*" {
                return Some(prefix.len() + 1);
            }
        }
    }
    None
}

/// The host of a URL, `host:port` or `user@host:path`, with what comes before it known to be an address.
pub(crate) fn host_of(address: &str) -> Option<&str> {
    let rest = match address.split_once("://") {
        Some((_, rest)) => rest,
        None => address,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = if let Some(v6) = host.strip_prefix('[') {
        v6.split(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    (!host.is_empty()).then_some(host)
}

/// Whether a word looks like a URL or a host that a network client would take.
pub(crate) fn looks_like_url(word: &str) -> bool {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.starts_with("localhost")
            || address(word.split([':', '/']).next().unwrap_or_default()).is_some()
            || (word.contains('.')
                && !word.starts_with(['.', '/', '-', '~'])
                && word.split(['/', ':']).next().is_some_and(|host| {
                    host.rsplit_once('.').is_some_and(|(name, tld)| {
                        !name.is_empty() && tld.len() >= 2 && tld.bytes().all(|b| b.is_ascii_alphabetic())
                    })
                }));
    };
    !rest.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        for (path, expect) in [
            ("/home/dev/.ssh/id_rsa", "~/.ssh/id_rsa"),
            ("/root/.ssh/../.aws/credentials", "~/.aws/credentials"),
            ("$HOME/.netrc", "~/.netrc"),
            ("~", "~"),
            ("~/", "~"),
            ("/", "/"),
            ("//etc//shadow", "/etc/shadow"),
            ("/etc/./shadow", "/etc/shadow"),
            ("src/main.rs", "~/project/src/main.rs"),
            ("../x", "~/x"),
            (".", "~/project"),
            ("/home/*/.ssh/id_*", "~/.ssh/id_*"),
            ("~bob/.ssh/id_rsa", "~/.ssh/id_rsa"),
            ("/rooted", "/rooted"),
        ] {
            assert_eq!(canonical(path, Some("/home/dev/project")), expect, "{path}");
        }
        assert_eq!(canonical("/a/../../..", None), "/");
        assert_eq!(canonical("./a", None), "a");
    }

    #[test]
    fn what_lies_beside_ones_home_is_no_home() {
        for (path, cwd, expect) in [
            ("../clone", "~", "/home/clone"),
            ("../../clone", "~/project", "/home/clone"),
            ("../clone", "/home/clone", "/home/clone"),
            ("../me", "/home/clone", "~"),
            ("../clone/.ssh/id_rsa", "~", "~/.ssh/id_rsa"),
            ("../../etc/shadow", "~", "/etc/shadow"),
            ("../x", "~/project", "~/x"),
            ("..", "~", "/home"),
        ] {
            assert_eq!(climbed(path, cwd, "/home/me"), expect, "{path} in {cwd}");
        }
        assert_eq!(climbed("../etc/shadow", "~", "/root"), "/etc/shadow");
        assert_eq!(climbed("../home/bob", "~", "/root"), "~");
    }

    #[test]
    fn patterns_stand_for_what_they_match() {
        for (pattern, expect) in [
            ("/e??/sh?dow", true),
            ("/etc/sh*", true),
            ("/etc/s[h]adow", true),
            ("/etc/*release", false),
            ("/*", false),
            ("/etc/shadow?", false),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), b"/etc/shadow"), expect, "{pattern}");
        }
        assert!(!wildcard("*a".repeat(100).as_bytes(), &[b'a'; 50]));
    }

    #[test]
    fn a_pattern_fits_the_same_paths_wherever_it_is_kept() {
        let patterns = [
            "/etc/shadow",
            "/etc/**",
            "/etc",
            "/etc*",
            "/*",
            "/",
            "~",
            "~/",
            "~/.ssh",
            "~/.ssh/*",
            "~/**",
            "~/.s*/x",
            "**/.env",
            "**.pub",
            "/{etc,usr}/x",
            "/home/?/x",
            "\\/etc/x",
            "/\\etc/x",
            "relative",
            "",
        ];
        let paths = [
            "/etc/shadow",
            "/etc",
            "/etc/",
            "/etcetera",
            "/",
            "~",
            "~/",
            "~/.ssh",
            "~/.ssh/id",
            "~/.ssh/a/b",
            "~/a/.env",
            ".env",
            "a/.env",
            "/x.pub",
            "/usr/x",
            "/home/ü/x",
            "/etc/x",
            "relative",
            "",
            "/etc/ü\n",
        ];
        let rules: Vec<_> =
            patterns.iter().enumerate().map(|(n, glob)| (format!("c{n}"), (*glob).to_owned())).collect();
        let places = Places::build(&rules, &[], &[]).unwrap();
        assert_eq!(places.check(), Ok(()));
        for path in paths {
            let found = places.listed(path);
            for (name, glob) in &rules {
                let fits = regex::bytes::Regex::new(&format!("(?-u){}", glob_to_regex(glob))).unwrap();
                let expected = fits.is_match(path.as_bytes());
                assert_eq!(found.any(places.named(name).unwrap()), expected, "{glob} {path:?}");
            }
        }
        let open = [("c".to_owned(), "/etc/{a".to_owned())];
        assert!(Places::build(&open, &[], &[]).unwrap().check().is_err());
    }

    #[test]
    fn hosts_are_taken_from_addresses() {
        assert_eq!(host_of("https://u:p@example.com:8443/a@b?c"), Some("example.com"));
        assert_eq!(host_of("http://[::1]:80/"), Some("::1"));
        assert_eq!(host_of("git@github.com:a/b"), Some("github.com"));
        assert!(
            looks_like_url("example.com/x.tgz") && looks_like_url("198.51.100.7") && looks_like_url("localhost:80")
        );
        assert!(!looks_like_url("./a.b") && !looks_like_url("main") && !looks_like_url("-o"));
    }
}
