//! What the flags of particular programs mean: `-p` is a password for mysql, a port for ssh.

use super::Span;
use super::names::{self, Promise};
use super::values::{self, Joint};

/// Whether the words were already unquoted by a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// They are the arguments as the program gets them.
    Gone,
    /// They come from a shell's source: `$NAME` is a variable.
    Source,
}

/// How a program takes secrets.
struct Program {
    names: &'static [&'static str],
    /// Flags whose next word is the secret.
    next: &'static [&'static str],
    /// Flags whose secret follows in the same word.
    stuck: &'static [&'static str],
    /// Flags with `user:secret` in the next word, or in the same.
    pair: &'static [&'static str],
    /// What divides the pair.
    divider: u8,
}

const fn program(names: &'static [&'static str], next: &'static [&'static str]) -> Program {
    Program { names, next, stuck: &[], pair: &[], divider: b':' }
}

const PROGRAMS: &[Program] = &[
    Program {
        names: &["curl"],
        next: &["--pass", "--proxy-pass", "--key-pass", "--oauth2-bearer", "--tlspassword", "--proxy-tlspassword"],
        stuck: &[],
        pair: &["-u", "--user", "-U", "--proxy-user"],
        divider: b':',
    },
    Program { names: &["http", "https", "xh", "xhs"], next: &[], stuck: &[], pair: &["-a", "--auth"], divider: b':' },
    Program { names: &["lftp"], next: &[], stuck: &[], pair: &["-u"], divider: b',' },
    Program {
        names: &["smbclient", "rpcclient", "net"],
        next: &[],
        stuck: &[],
        pair: &["-U", "--user"],
        divider: b'%',
    },
    Program {
        names: &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlshow",
            "mysqlcheck",
            "mysqlsh",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mycli",
        ],
        next: &[],
        stuck: &["-p"],
        pair: &[],
        divider: b':',
    },
    Program { names: &["sshpass"], next: &["-p"], stuck: &["-p"], pair: &[], divider: b':' },
    Program {
        names: &["7z", "7za", "7zr", "7zz", "rar", "unrar"],
        next: &[],
        stuck: &["-p", "-hp"],
        pair: &[],
        divider: b':',
    },
    program(&["zip", "unzip", "zipcloak"], &["-P"]),
    program(&["redis-cli", "valkey-cli"], &["-a", "--pass"]),
    program(&["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"], &["-p"]),
    program(&["mosquitto_pub", "mosquitto_sub", "sqlcmd", "bcp"], &["-P"]),
    program(&["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"], &["-w"]),
    program(&["twine", "useradd", "usermod"], &["-p"]),
    program(&["ssh-keygen"], &["-N", "-P"]),
    program(&["openssl"], &["-k", "-K"]),
    program(&["security"], &["-w"]),
];

/// Words that make a command one about a store of secrets, and those that make it put one there.
const STORES: &[&str] = &["secret", "secrets", "keyvault", "secretsmanager", "ssm", "kv"];
const PUTS: &[&str] = &[
    "set",
    "put",
    "create",
    "add",
    "update",
    "import",
    "patch",
    "generic",
    "versions",
    "put-parameter",
    "create-secret",
    "put-secret-value",
    "update-secret",
];

/// Programs of which a subcommand takes a password: `docker login -p X`, `az login -p X`.
const LOGINS: &[&str] =
    &["docker", "podman", "nerdctl", "skopeo", "buildah", "helm", "az", "oc", "cf", "vault", "npm", "crane"];

fn base_name(word: &[u8]) -> &[u8] {
    word.rsplit(|b| *b == b'/').next().unwrap_or(word)
}

fn is_any(word: &[u8], list: &[&str]) -> bool {
    list.iter().any(|known| known.as_bytes() == word)
}

/// Finds the secrets in the words of one command: calls `found` with the word's index and the span within it.
pub(super) fn secrets(words: &[&[u8]], quoting: Quoting, found: &mut dyn FnMut(usize, Span)) {
    let joint = if quoting == Quoting::Gone { Joint::Argument } else { Joint::Equals };
    let plain = |word: &[u8]| !is_empty_or_reference(word, quoting);
    let mut current: Option<&Program> = None;
    let mut login = false;
    let mut may_login = false;
    let mut htpasswd = false;
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).copied();
        let whole = |end: &[u8], start: usize, kind| Span { start, end: end.len(), kind };
        if !word.starts_with(b"-") {
            let name = base_name(word);
            if let Some(known) = PROGRAMS.iter().find(|program| is_any(name, program.names)) {
                current = Some(known);
            } else if is_any(name, LOGINS) {
                (current, may_login) = (None, true);
            } else if may_login && name == b"login" {
                login = true;
            } else if name == b"htpasswd" {
                htpasswd = true;
            }
            passphrase_source(word, index, found);
            // `aws configure set aws_secret_access_key VALUE`, `npm config set …:_authToken VALUE`.
            let setting = word.rsplit(|b| matches!(b, b':' | b'/' | b'.')).next().unwrap_or(word);
            if let Some(promise) = names::promise_of(setting).filter(|promise| *promise > Promise::Faint)
                && let Some(value) = next.filter(|value| values::looks_random(value))
            {
                found(index + 1, whole(value, 0, promise.kind()));
            }
            continue;
        }
        if let Some(program) = current {
            if is_any(word, program.next)
                && let Some(value) = next.filter(|value| plain(value) && !value.starts_with(b"-"))
            {
                found(index + 1, whole(value, 0, "password"));
            }
            if let Some(flag) = program.stuck.iter().find(|flag| word.starts_with(flag.as_bytes()))
                && plain(word.get(flag.len()..).unwrap_or_default())
                && !word.starts_with(b"--")
                && !is_any(word, &["-port", "-protocol"])
            {
                found(index, whole(word, flag.len(), "password"));
            }
            for flag in program.pair {
                pair(words, index, flag, program.divider, quoting, found);
            }
        }
        if login && let Some(rest) = word.strip_prefix(b"-p").filter(|_| !word.starts_with(b"--")) {
            match next {
                Some(value) if rest.is_empty() && plain(value) && !value.starts_with(b"-") => {
                    found(index + 1, whole(value, 0, "password"));
                }
                _ if plain(rest) => found(index, whole(word, 2, "password")),
                _ => {}
            }
        }
        flag(word, next, index, joint, quoting, found);
    }
    if htpasswd {
        htpasswd_operand(words, quoting, found);
    }
    if puts_secret(words) {
        stored(words, quoting, found);
    }
    cookies(words, found);
}

/// Whether the command puts a secret into a store: `gh secret set`, `kubectl create secret generic`, `vault kv put`.
fn puts_secret(words: &[&[u8]]) -> bool {
    let has = |list| words.iter().skip(1).take(8).any(|word| is_any(word, list));
    has(STORES) && has(PUTS)
}

/// What it puts there: `--body X`, `--from-literal=name=X`, `NAME=X`.
fn stored(words: &[&[u8]], quoting: Quoting, found: &mut dyn FnMut(usize, Span)) {
    const VALUES: &[&str] = &["--body", "-b", "--value", "--secret-string", "--from-literal", "--secret-value"];
    for (index, word) in words.iter().enumerate().skip(1) {
        let before = words.get(index - 1).copied().unwrap_or_default();
        let start = if let Some(literal) = word.strip_prefix(b"--from-literal=") {
            memchr::memchr(b'=', literal).map(|at| b"--from-literal=".len() + at + 1)
        } else if is_any(before, VALUES) {
            let named = before == b"--from-literal";
            if named { memchr::memchr(b'=', word).map(|at| at + 1) } else { Some(0) }
        } else if word.starts_with(b"--value=") || word.starts_with(b"--body=") {
            memchr::memchr(b'=', word).map(|at| at + 1)
        } else if word.starts_with(b"-") {
            None
        } else {
            memchr::memchr(b'=', word).filter(|at| *at > 0).map(|at| at + 1)
        };
        let Some(start) = start else { continue };
        let value = word.get(start..).unwrap_or_default();
        if !value.starts_with(b"@") && !is_empty_or_reference(value, quoting) {
            found(index, Span { start, end: word.len(), kind: "secret" });
        }
    }
}

/// `curl -b 'a=b; c=d'`: cookies, where they are not a file of them.
fn cookies(words: &[&[u8]], found: &mut dyn FnMut(usize, Span)) {
    if !words.iter().any(|word| base_name(word) == b"curl") {
        return;
    }
    for pair in words.windows(2).zip(1..) {
        if let ([b"-b" | b"--cookie", value], index) = pair
            && let Some(at) = memchr::memchr(b'=', value)
            && !value.contains(&b'$')
            && !super::starts_with_tag(value.get(at + 1..).unwrap_or_default())
        {
            found(index, Span { start: at + 1, end: value.len(), kind: "cookie" });
        }
    }
}

fn is_empty_or_reference(word: &[u8], quoting: Quoting) -> bool {
    let joint = if quoting == Quoting::Gone { Joint::Argument } else { Joint::Equals };
    !values::is_secret(Promise::Password, joint, true, b"", word)
}

/// `--password X`, `--password=X`, `--api-key X`.
fn flag(
    word: &[u8],
    next: Option<&[u8]>,
    index: usize,
    joint: Joint,
    quoting: Quoting,
    found: &mut dyn FnMut(usize, Span),
) {
    let dashes = word.iter().take_while(|b| **b == b'-').count();
    let body = word.get(dashes..).unwrap_or_default();
    let end = body.iter().take(128).position(|b| *b == b'=');
    let name = body.get(..end.unwrap_or(body.len())).unwrap_or_default();
    // A PEM block begins with dashes, too, and is none: what follows it is not its value.
    if name.contains(&b'\n') || memchr::memmem::find(name, b"-----END").is_some() {
        return;
    }
    // One dash is for one letter or for a word (`-password`, java and go style).
    let Some(promise) = names::promise_of(name) else { return };
    let argument = if quoting == Quoting::Gone { Joint::Argument } else { joint };
    match end {
        Some(end) => {
            let start = dashes + end + 1;
            let value = word.get(start..).unwrap_or_default();
            if values::is_secret(promise, Joint::Argument, true, name, value) && !is_variable(value, quoting) {
                found(index, Span { start, end: word.len(), kind: promise.kind() });
            }
        }
        None => {
            let Some(value) = next.filter(|value| !value.starts_with(b"-")) else { return };
            // The value of a flag is an argument, wherever the flag was written.
            if values::is_secret(promise, Joint::Argument, true, name, value)
                && !(argument != Joint::Argument && is_variable(value, quoting))
            {
                found(index + 1, Span { start: 0, end: value.len(), kind: promise.kind() });
            }
        }
    }
}

/// Whether a shell would expand it.
fn is_variable(value: &[u8], quoting: Quoting) -> bool {
    quoting == Quoting::Source && is_empty_or_reference(value, quoting)
}

/// `-u user:secret`, `-uuser:secret`, `--user=user:secret`.
fn pair(words: &[&[u8]], index: usize, flag: &str, divider: u8, quoting: Quoting, found: &mut dyn FnMut(usize, Span)) {
    let Some(word) = words.get(index) else { return };
    let Some(rest) = word.strip_prefix(flag.as_bytes()) else { return };
    let (index, from, value) = match rest {
        [] => match words.get(index + 1) {
            Some(value) => (index + 1, 0, *value),
            None => return,
        },
        [b'=', value @ ..] if flag.starts_with("--") => (index, flag.len() + 1, value),
        value if !flag.starts_with("--") => (index, flag.len(), value),
        _ => return,
    };
    if let Some(at) = memchr::memchr(divider, value) {
        let secret = value.get(at + 1..).unwrap_or_default();
        if !is_empty_or_reference(secret, quoting) {
            found(index, Span { start: from + at + 1, end: from + value.len(), kind: "password" });
        }
    }
}

/// `-passin pass:X`: openssl's way to give a passphrase.
fn passphrase_source(word: &[u8], index: usize, found: &mut dyn FnMut(usize, Span)) {
    if let Some(rest) = word.strip_prefix(b"pass:")
        && !rest.is_empty()
        && !rest.starts_with(b"$")
        && !super::starts_with_tag(rest)
    {
        found(index, Span { start: 5, end: word.len(), kind: "password" });
    }
}

/// `htpasswd -b FILE USER PASSWORD`: the last operand, with `-b` among the flags.
fn htpasswd_operand(words: &[&[u8]], quoting: Quoting, found: &mut dyn FnMut(usize, Span)) {
    let batch = words.iter().any(|word| word.starts_with(b"-") && !word.starts_with(b"--") && word.contains(&b'b'));
    if let Some((index, last)) = words.iter().enumerate().next_back()
        && batch
        && !is_empty_or_reference(last, quoting)
    {
        found(index, Span { start: 0, end: last.len(), kind: "password" });
    }
}

/// Whether the command reads a secret from its input: `docker login --password-stdin`, `sudo -S`, `chpasswd`.
pub(super) fn reads_secret(words: &[&[u8]]) -> bool {
    let first = words.first().map(|word| base_name(word)).unwrap_or_default();
    let has = |flag: &[u8]| words.contains(&flag);
    has(b"--password-stdin")
        || has(b"--with-token")
        || (first == b"sudo" && has(b"-S"))
        || words.iter().any(|word| base_name(word) == b"chpasswd")
        || (words.iter().any(|word| base_name(word) == b"passwd") && has(b"--stdin"))
        || (puts_secret(words) && !has(b"--body") && !has(b"--value"))
        || (first == b"gpg" && words.windows(2).any(|two| two == [&b"--passphrase-fd"[..], b"0"]))
}

/// Finds what `echo` or `printf` hands to a command that reads a secret: the last operand.
pub(super) fn echoed(words: &[&[u8]], found: &mut dyn FnMut(usize, Span)) {
    let first = words.first().map(|word| base_name(word)).unwrap_or_default();
    if !matches!(first, b"echo" | b"printf") {
        return;
    }
    if let Some((index, last)) = words.iter().enumerate().skip(1).next_back()
        && !is_empty_or_reference(last, Quoting::Source)
    {
        found(index, Span { start: 0, end: last.len(), kind: "password" });
    }
}
