//! Why a file changed, a host was contacted or a process ran: who did it, and the chain from the first process to that one,
//! each statement with the records that it rests on.

use std::io::{self, Write};

use capsule_core::{ByteString, EffectKind, Label, Pid, ProcId, ProcessNode, Role, Seq, escape_terminal};
use schemars::JsonSchema;
use serde::Serialize;

use crate::assemble::{Cleaner, Contents};
use crate::deeds;
use crate::model::{FileContent, FileGit};
use crate::options::Options;
use crate::schema::mirror;
use crate::view::{EffectEntry, SessionView};
use crate::words;

#[cfg(test)]
mod tests;

/// How many answers are given at most: the first ones that changed something, then those that read or only named it.
const ANSWERS: usize = 50;
/// How many processes of a chain are given: the first and the last of a deeper one.
const CHAIN: usize = 64;

/// The answer to a question about a session.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Why {
    /// The session's id.
    pub session: String,
    /// What was asked about.
    pub question: String,
    /// What the question was taken for.
    pub subject: Subject,
    /// Who did it, in order.
    pub answers: Vec<Answer>,
    /// How many more there are.
    pub more: u64,
    /// Whether the session has no record of effects, so that only arguments can answer.
    pub effects_unrecorded: bool,
    /// The file's content before and after, where one is meant and that is known.
    pub content: Option<FileContent>,
    /// What git would say of it.
    pub git: Option<FileGit>,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A file or directory.
    Path,
    /// A host, with or without a port.
    Host,
    /// A process.
    Process,
}

/// One process that had to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Answer {
    /// What it did, in words: `wrote`, `connected to`, `ran`, `named in its arguments`.
    pub what: String,
    /// The kind of effect, as in `event_type`; absent where there is none.
    pub kind: Option<String>,
    /// The file or host.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub object: Option<ByteString>,
    /// The new name of a rename, or what a link points to.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub to: Option<ByteString>,
    /// The error number, where it failed.
    pub errno: Option<i32>,
    /// How often.
    pub count: u64,
    /// The first and the last record that say so (`enriched.jsonl`).
    pub events: Vec<u64>,
    /// When it first happened, in nanoseconds since 1970.
    pub at: u64,
    /// The processes from the first one to the one that did it.
    pub chain: Vec<Link>,
    /// How many processes of a deep chain were left out of its middle.
    pub chain_omitted: u64,
}

/// One process of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Link {
    /// Its number in the session.
    pub proc: u32,
    /// Its pid.
    pub pid: u32,
    /// What it is.
    pub label: String,
    /// Why it exists: `agent`, `asked`, `wrapper`, `helper`, `inner`.
    pub role: String,
    /// What was asked, in one line.
    #[schemars(with = "mirror::Bytes")]
    pub summary: ByteString,
    /// The record of its last exec, or of its beginning where it had none.
    pub event: u64,
    /// When it began, in nanoseconds since 1970.
    pub started: u64,
}

/// Answers a question: a path, absolute or from the session's directory, or its last components; a host, with or without a port;
/// a pid, or `proc:N` for a process's number in the session.
#[must_use]
pub fn why(view: &SessionView, question: &str, options: &Options) -> Why {
    let cleaner = Cleaner::new(&options.redact, &view.metadata);
    let mut found = match process(question) {
        Some(wanted) => {
            let nodes = view.tree.nodes.iter().filter(|node| match wanted {
                Wanted::Proc(proc) => node.proc == proc,
                Wanted::Pid(pid) => node.pid == pid,
            });
            (Subject::Process, nodes.map(Found::Ran).collect())
        }
        None => path_or_host(view, question),
    };
    found.1.sort_by_key(Found::order);
    let more = found.1.len().saturating_sub(ANSWERS) as u64;
    let answers = found.1.iter().take(ANSWERS).map(|found| answer(view, found, &cleaner)).collect();
    let (content, git) = file(view, question, found.0, &found.1);
    Why {
        session: view.metadata.id.to_string(),
        question: cleaner.text(question),
        subject: found.0,
        answers,
        more,
        effects_unrecorded: view.effects.is_empty(),
        content,
        git,
    }
}

/// What is known of the content of the file that a question means.
fn file(
    view: &SessionView,
    question: &str,
    subject: Subject,
    found: &[Found<'_>],
) -> (Option<FileContent>, Option<FileGit>) {
    if subject != Subject::Path {
        return (None, None);
    }
    let paths = Paths::new(question, view.metadata.cwd.as_bytes());
    let changed = |entry: &&EffectEntry| entry.kind.changes_file() && entry.errno.is_none();
    let did = found.iter().filter_map(|found| if let Found::Did(entry) = found { Some(*entry) } else { None });
    let named = |entry: &'_ EffectEntry| {
        [&entry.to, &entry.path].into_iter().flatten().find(|path| paths.are(path.as_bytes())).cloned()
    };
    let first = did.filter(changed).min_by_key(|entry| entry.first);
    let path = first.and_then(named).unwrap_or_else(|| ByteString::new(&paths.absolute));
    let contents = Contents::new(&view.metadata);
    let kept = first.filter(|entry| (entry.to.as_ref() == Some(&path)) == (entry.kind == EffectKind::FileRename));
    let kept = kept.and_then(|entry| entry.before.as_deref());
    (contents.of(path.as_bytes(), kept), contents.git_of(path.as_bytes()))
}

enum Wanted {
    Proc(ProcId),
    Pid(Pid),
}

fn process(question: &str) -> Option<Wanted> {
    match question.strip_prefix("proc:") {
        Some(number) => number.parse().ok().map(|number| Wanted::Proc(ProcId(number))),
        None => question.parse().ok().map(|pid| Wanted::Pid(Pid(pid))),
    }
}

enum Found<'a> {
    Ran(&'a ProcessNode),
    Did(&'a EffectEntry),
    Named(&'a ProcessNode, &'a ByteString),
}

impl Found<'_> {
    /// What changed something before what read it, and that before what only named it; each in order.
    fn order(&self) -> (u8, u64) {
        match self {
            Self::Ran(node) => (0, node.event.0),
            Self::Did(entry) => (deeds::rank(Some(entry.kind)), entry.first.0),
            Self::Named(node, _) => (deeds::rank(None), node.event.0),
        }
    }
}

fn path_or_host<'a>(view: &'a SessionView, question: &str) -> (Subject, Vec<Found<'a>>) {
    let paths = Paths::new(question, view.metadata.cwd.as_bytes());
    let by_path: Vec<Found<'_>> = view
        .effects
        .iter()
        .filter(|entry| [&entry.path, &entry.to].into_iter().flatten().any(|path| paths.are(path.as_bytes())))
        .map(Found::Did)
        .collect();
    let by_host: Vec<Found<'_>> =
        view.effects.iter().filter(|entry| is_host(entry, question)).map(Found::Did).collect();
    let looks_like_path = question.contains('/') && !question.contains("://");
    let subject =
        if by_host.is_empty() || looks_like_path || !by_path.is_empty() { Subject::Path } else { Subject::Host };
    let mut found = if subject == Subject::Path { by_path } else { by_host };
    let did: Vec<ProcId> =
        found.iter().filter_map(|found| if let Found::Did(entry) = found { Some(entry.proc) } else { None }).collect();
    let mut named_host = false;
    for node in view.tree.nodes.iter().filter(|node| !did.contains(&node.proc)) {
        let resource = node.resources.iter().find(|resource| {
            let value = resource.value.as_bytes();
            let host = !looks_like_path && names_host(value, question.as_bytes());
            named_host |= host;
            host || paths.are(value)
        });
        if let Some(resource) = resource {
            found.push(Found::Named(node, &resource.value));
        }
    }
    let subject = if did.is_empty() && named_host { Subject::Host } else { subject };
    (subject, found)
}

/// The ways in which a path can have been meant.
struct Paths {
    absolute: Vec<u8>,
    tail: Vec<u8>,
}

impl Paths {
    fn new(question: &str, cwd: &[u8]) -> Self {
        let plain = question.trim_start_matches("./").trim_end_matches('/');
        let absolute = if plain.starts_with('/') {
            plain.as_bytes().to_vec()
        } else {
            [cwd.strip_suffix(b"/").unwrap_or(cwd), b"/", plain.as_bytes()].concat()
        };
        let tail =
            if plain.starts_with('/') || plain.is_empty() { Vec::new() } else { [b"/", plain.as_bytes()].concat() };
        Self { absolute, tail }
    }

    fn are(&self, path: &[u8]) -> bool {
        let path = path.strip_suffix(b"/").filter(|path| !path.is_empty()).unwrap_or(path);
        path == self.absolute
            || !self.tail.is_empty() && (path.ends_with(&self.tail) || Some(path) == self.tail.strip_prefix(b"/"))
    }
}

fn is_host(entry: &EffectEntry, question: &str) -> bool {
    let Some(end) = &entry.endpoint else { return false };
    let host = end.host.to_lossy();
    let port = end.port.map(|port| format!("{host}:{port}"));
    let bracketed = end.port.map(|port| format!("[{host}]:{port}"));
    host == question || port.as_deref() == Some(question) || bracketed.as_deref() == Some(question)
}

/// Whether a resource (`https://host/x`, `host:port`, `user@host`) is on this host.
fn names_host(value: &[u8], host: &[u8]) -> bool {
    let after_scheme = memchr::memmem::find(value, b"://").and_then(|at| value.get(at + 3..)).unwrap_or(value);
    let authority = after_scheme.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
    let place = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    !host.is_empty() && (place == host || place.strip_prefix(host).is_some_and(|rest| rest.starts_with(b":")))
}

fn answer(view: &SessionView, found: &Found<'_>, cleaner: &Cleaner) -> Answer {
    let (proc, mut answer) = match found {
        Found::Ran(node) => {
            let events = node.execs.iter().map(|exec| exec.event.0).chain([node.event.0]).collect::<Vec<_>>();
            let (first, last) = (events.iter().min().copied(), events.iter().max().copied());
            (node.proc, blank("ran", node.started.0, first.into_iter().chain(last.filter(|_| first != last)).collect()))
        }
        Found::Named(node, value) => {
            let mut answer = blank("named in its arguments", node.started.0, vec![exec_event(node).0]);
            answer.object = Some(cleaner.bytes(value));
            (node.proc, answer)
        }
        Found::Did(entry) => {
            let last = (entry.last != entry.first).then_some(entry.last.0);
            let mut answer = blank(
                deeds::verb(entry.kind, entry.to.is_some()),
                entry.first_at.0,
                [entry.first.0].into_iter().chain(last).collect(),
            );
            answer.kind = Some(entry.kind.name().to_owned());
            answer.object = object(entry).map(|object| cleaner.bytes(&object));
            answer.to = entry.to.as_ref().map(|to| cleaner.bytes(to));
            answer.errno = entry.errno;
            answer.count = entry.count;
            (entry.proc, answer)
        }
    };
    let (chain, omitted) = chain(view, proc, cleaner);
    answer.chain = chain;
    answer.chain_omitted = omitted;
    answer
}

fn blank(what: &str, at: u64, events: Vec<u64>) -> Answer {
    Answer {
        what: what.to_owned(),
        kind: None,
        object: None,
        to: None,
        errno: None,
        count: 1,
        events,
        at,
        chain: Vec::new(),
        chain_omitted: 0,
    }
}

fn object(entry: &EffectEntry) -> Option<ByteString> {
    let Some(end) = entry.endpoint.as_ref().filter(|_| entry.path.is_none()) else { return entry.path.clone() };
    let Some(port) = end.port else { return Some(end.host.clone()) };
    let host = end.host.as_bytes();
    let (open, close): (&[u8], &[u8]) = if host.contains(&b':') { (b"[", b"]") } else { (b"", b"") };
    let text = [open, host, close, b":", port.to_string().as_bytes(), b"/", end.protocol.as_bytes()].concat();
    Some(ByteString::from(text))
}

fn exec_event(node: &ProcessNode) -> Seq {
    node.execs.last().map_or(node.event, |exec| exec.event)
}

/// The chain from the first process to `proc`.
fn chain(view: &SessionView, proc: ProcId, cleaner: &Cleaner) -> (Vec<Link>, u64) {
    let parent = |node: &ProcessNode| node.parent.and_then(|parent| view.tree.get(parent));
    let nodes = view.tree.get(proc).map(|node| deeds::lineage(node, |node| node.proc.0, parent)).unwrap_or_default();
    let omitted = nodes.len().saturating_sub(CHAIN);
    let half = CHAIN / 2;
    let kept = nodes.iter().enumerate().filter(|(at, _)| omitted == 0 || *at < half || *at >= half + omitted);
    let links = kept.map(|(_, node)| Link {
        proc: node.proc.0,
        pid: node.pid.0,
        label: node.label.to_string(),
        role: node.role.to_string(),
        summary: cleaner.bytes(&node.summary),
        event: exec_event(node).0,
        started: node.started.0,
    });
    (links.collect(), omitted as u64)
}

/// What is known of a file's content, in a line.
fn content(why: &Why) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(content) = &why.content {
        if let (Some(before), Some(from)) = (&content.before, &content.before_from) {
            let from = if from == "work_tree" { "when the session began" } else { from };
            parts.push(format!("before {before} ({from})"));
        }
        parts.extend(content.after.as_ref().map(|after| format!("in the end {after}")));
    }
    if let Some(git) = &why.git {
        let lines = git.added.zip(git.removed).map(|(added, removed)| format!(" +{added} −{removed}"));
        parts.push(format!("git: {}{}", git.says, lines.unwrap_or_default()));
    }
    (!parts.is_empty()).then(|| format!("content: {}", parts.join("; ")))
}

/// Writes an answer down for people.
///
/// # Errors
/// When it cannot be written.
pub fn why_human(why: &Why, out: &mut dyn Write) -> io::Result<()> {
    let text = |bytes: &ByteString| escape_terminal(bytes.as_bytes());
    if why.answers.is_empty() {
        writeln!(out, "Nothing recorded about {}.", escape_terminal(why.question.as_bytes()))?;
        if why.effects_unrecorded {
            writeln!(out, "The session has no record of effects: capsule run --effects writes makes one.")?;
        }
        return Ok(());
    }
    if let Some(line) = content(why) {
        writeln!(out, "{line}")?;
    }
    for answer in &why.answers {
        write!(out, "{}", answer.what)?;
        if let Some(object) = &answer.object {
            write!(out, " {}", text(object))?;
        }
        if let Some(to) = &answer.to {
            write!(out, " → {}", text(to))?;
        }
        if answer.count > 1 {
            write!(out, ", {}", words::count(answer.count, "time", "times"))?;
        }
        if let Some(errno) = answer.errno {
            write!(out, ", refused ({})", io::Error::from_raw_os_error(errno))?;
        }
        let events: Vec<String> = answer.events.iter().map(|event| format!("event:{event}")).collect();
        writeln!(out, "  [{}]", events.join(", "))?;
        for (depth, link) in answer.chain.iter().enumerate() {
            if answer.chain_omitted > 0 && depth == CHAIN / 2 {
                writeln!(out, "  … {} more", answer.chain_omitted)?;
            }
            let indent = "  ".repeat(depth.min(20) + 1);
            let mark = if depth == 0 { "" } else { "└ " };
            let role = if link.role == Role::Agent.to_string() { Label::Agent.to_string() } else { link.label.clone() };
            writeln!(
                out,
                "{indent}{mark}{}  ({role}, pid {}, proc:{}, event:{})",
                text(&link.summary),
                link.pid,
                link.proc,
                link.event
            )?;
        }
    }
    if why.more > 0 {
        writeln!(out, "… and {} more", words::number(why.more))?;
    }
    Ok(())
}
