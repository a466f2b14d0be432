//! What records this session, as something that the recorded program may attack.
//!
//! The built-in rules know where sessions usually are. Only the recording itself knows where *this* one is, which key
//! seals it and which process watches, so it says so, and whoever touches one of them is a critical finding.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use capsule_core::{Effect, EffectKind, Pid, Severity};

use crate::place::canonical;

/// The rule that says it.
pub(crate) const RULE: &str = "agent.recorder-touched";

/// The class of places that the session's store is.
pub(crate) const RECORD: &str = "this-record";

/// Whether text is, or has in it, the name of this program.
pub(crate) fn is_named(text: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.match_indices("capsule").any(|(at, name)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// Where a session is recorded, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorder {
    /// The store that the session is in.
    pub home: Option<PathBuf>,
    /// Files of keys that seal or sign it.
    pub keys: Vec<PathBuf>,
    /// Capsule's own processes.
    pub pids: Vec<Pid>,
    /// The user's settings and rules, a file or directories: whoever changes them weakens later sessions.
    pub settings: Vec<PathBuf>,
    /// Capsule's own executable: another one that runs it is another Capsule of the user's.
    pub program: Option<PathBuf>,
}

impl Recorder {
    /// Rules about it, in the form of every other file of rules.
    pub(crate) fn to_toml(&self) -> String {
        let mut record: Vec<String> = vec!["$CAPSULE_HOME**".to_owned()];
        for path in self.home.iter().flat_map(|home| names(home)) {
            record.extend([path.clone(), format!("{path}/**")]);
        }
        let mut settings = vec!["$CAPSULE_CONFIG".to_owned()];
        for path in self.settings.iter().flat_map(|path| names(path)) {
            settings.extend([path.clone(), format!("{path}/**")]);
        }
        // The key by the name of its variable, and the one that we were given.
        let mut own = vec!["$CAPSULE_KEY".to_owned()];
        own.extend(self.keys.iter().flat_map(|key| names(key)));
        for pid in &self.pids {
            own.extend(["mem", "fd", "fd/**", "environ", "oom_score_adj"].map(|name| format!("/proc/{pid}/{name}")));
        }
        let pids: Vec<String> = self.pids.iter().map(ToString::to_string).collect();
        let pids = format!("(?:{})", pids.join("|"));
        let mut out = String::new();
        for (class, is) in [(RECORD, &record), ("this-recorder", &own), ("this-recorders-settings", &settings)] {
            let is: Vec<String> = is.iter().map(|glob| quoted(glob)).collect();
            out.push_str(&format!("[[path]]\nclass = \"{class}\"\nis = [{}]\n\n", is.join(", ")));
        }
        let changes = "[\"write\", \"append\", \"delete\", \"move\", \"mode\", \"owner\"]";
        let mut tests = vec![
            "{ on = [\"run\"], program = [\"kill\", \"skill\", \"tgkill\"], taint = [\"recorder\"], not-args = '^-(?:l|L|0)' }"
                .to_owned(),
            format!("{{ on = {changes}, place = [\"this-record\", \"this-recorder\"], not-program = [\"capsule\"] }}"),
            format!("{{ on = {changes}, place = [\"this-recorders-settings\"], not-program = [\"capsule\"] }}"),
            "{ on = [\"read\"], place = [\"this-record\", \"this-recorder\"], not-program = [\"capsule\"] }".to_owned(),
            "{ on = [\"run\"], program = [\"kill\", \"pkill\", \"killall\", \"skill\", \"tgkill\"], \
             args = '(?:^|[^\\w./-])capsule(?:$|[^\\w./-])|-\\w*f\\w* \\S*capsule', not-args = '^-(?:l|L|0)' }"
                .to_owned(),
        ];
        if !self.pids.is_empty() {
            tests.push(format!(
                "{{ on = [\"run\"], program = [\"kill\", \"skill\", \"tgkill\"], args = '(?:^| )-?{pids}(?: |$)', \
                 not-args = '^-0 ' }}"
            ));
            tests.push(format!(
                "{{ on = [\"run\"], program = [\"gdb\", \"strace\", \"ltrace\", \"lldb\", \"gcore\", \"prlimit\", \
                 \"reptyr\", \"nsenter\", \"perf\", \"bpftrace\", \"tracexec\"], \
                 args = '(?:^| |-p|--pid=|--target=|--attach=){pids}(?: |$)' }}"
            ));
            tests.push(format!(
                "{{ on = [\"run\"], args = \
                 '(?:kill|killpg|ptrace|pidfd_open|process_vm_writev|Process|attach)\\W{{1,8}}{pids}(?:\\W|$)', \
                 program = [\"python\", \"python3\", \"node\", \"deno\", \"bun\", \"perl\", \"ruby\", \"php\"] }}"
            ));
        }
        out.push_str(&format!(
            "[[rule]]\nid = \"{RULE}\"\ntitle = \"The record of this session attacked\"\n\
             why = \"What records this session, its files, or the key that seals it was touched by what is recorded.\"\n\
             category = \"agent-tampering\"\nattack = [\"T1562.001\", \"T1070\"]\nseverity = \"critical\"\nmatch = [\n  {},\n]\n\
             adjust = [\n  {{ if = {{ on = [\"read\"], place = [\"this-record\"], not-place = [\"this-recorder\"] }}, severity = \"medium\", \
             because = \"only read\" }},\n  \
             {{ if = {{ on = {changes}, place = [\"this-recorders-settings\"], not-place = [\"this-record\", \"this-recorder\"] }}, \
             severity = \"high\", because = \"it changes how later sessions are recorded\" }},\n]",
            tests.join(",\n  ")
        ));
        out
    }
}

/// The files and processes of a recording, as effects name them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guarded {
    homes: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    settings: Vec<Vec<u8>>,
    pids: Vec<Pid>,
    /// Their directories in `/proc`.
    processes: Vec<Vec<u8>>,
    /// Capsule's executable.
    programs: Vec<Vec<u8>>,
    /// The session's own directory, which not even another Capsule changes.
    own: Vec<Vec<u8>>,
}

impl Guarded {
    pub(crate) fn new(recorder: &Recorder) -> Self {
        Self {
            homes: recorder.home.iter().flat_map(|home| forms(home)).collect(),
            keys: recorder.keys.iter().flat_map(|key| forms(key)).collect(),
            settings: recorder.settings.iter().flat_map(|path| forms(path)).collect(),
            pids: recorder.pids.clone(),
            processes: recorder.pids.iter().map(|pid| format!("/proc/{pid}").into_bytes()).collect(),
            programs: recorder.program.iter().flat_map(|program| forms(program)).collect(),
            own: Vec::new(),
        }
    }

    pub(crate) fn add_session(&mut self, directory: &Path) {
        self.own = forms(directory);
    }

    /// Whether an executable is Capsule's own; a name alone could be anybody's.
    pub(crate) fn is_capsule(&self, executable: &[u8]) -> bool {
        self.programs.iter().any(|program| program == executable)
    }

    /// What an effect does to the recording, where it does something: how grave that is, and to what. What was refused was
    /// tried all the same. `capsule` is whether the program is another Capsule
    /// of the user's.
    pub(crate) fn touched(&self, effect: &Effect, capsule: bool) -> Option<(Severity, String)> {
        let tried = [refusal::EACCES, refusal::EPERM, refusal::EROFS, refusal::EBUSY];
        if effect.errno.is_some_and(|errno| !tried.contains(&errno)) {
            return None;
        }
        if effect.kind == EffectKind::Ptrace {
            let process = effect.detail.as_deref()?.split(' ').next()?.parse::<i64>().ok()?;
            let named = self.pids.iter().any(|pid| i64::from(pid.0) == process.abs())
                || (process == -1 && !self.pids.is_empty());
            return named.then(|| (Severity::Critical, format!("{} of process {process}", effect.call)));
        }
        let changes = match effect.kind {
            EffectKind::FileRead => false,
            EffectKind::FileWrite
            | EffectKind::FileCreate
            | EffectKind::FileDelete
            | EffectKind::FileRename
            | EffectKind::FileMode
            | EffectKind::Mount => true,
            _ => return None,
        };
        let within = |places: &[Vec<u8>]| {
            let paths = [&effect.path, &effect.to].into_iter().flatten();
            paths.map(|path| path.as_bytes()).find(|path| places.iter().any(|place| is_within(path, place)))
        };
        let secret = within(&self.keys).or_else(|| within(&self.processes));
        let (severity, path) = match (within(&self.own), within(&self.homes), secret) {
            (Some(path), _, _) if changes => (Severity::Critical, path),
            _ if capsule => return None,
            (_, _, Some(path)) if changes || !path.starts_with(b"/proc/") || path.ends_with(b"/mem") => {
                (Severity::Critical, path)
            }
            (_, None, _) if changes && within(&self.settings).is_some() => {
                (Severity::High, within(&self.settings).unwrap_or_default())
            }
            (_, Some(path), _) => (if changes { Severity::Critical } else { Severity::Medium }, path),
            _ => return None,
        };
        Some((severity, format!("{} {}", effect.kind.name(), capsule_core::escape_terminal(path))))
    }
}

/// Errors of the kernel that say that somebody was kept from what he tried; the same numbers on every system.
mod refusal {
    pub(super) const EPERM: i32 = 1;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const EROFS: i32 = 30;
}

fn is_within(path: &[u8], place: &[u8]) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// A path as it was given, and as the kernel calls it, whether it is there yet or not.
fn forms(path: &Path) -> Vec<Vec<u8>> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut forms = vec![absolute.as_os_str().as_bytes().to_vec()];
    let real = absolute.ancestors().find_map(|there| {
        let rest = absolute.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    });
    let real = real.map(|real| real.as_os_str().as_bytes().to_vec());
    if let Some(real) = real.filter(|real| !forms.contains(real)) {
        forms.push(real);
    }
    forms.retain(|form| form.len() > 1);
    forms
}

/// The names by which rules know a path: as it was given, and without links on the way.
fn names(path: &Path) -> Vec<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut names: Vec<String> = Vec::new();
    for path in [absolute.canonicalize().ok(), Some(absolute)].into_iter().flatten() {
        let name = escape_glob(&canonical(&path.to_string_lossy(), None));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The pattern that fits this path alone.
fn escape_glob(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '{' | '}' | '[' | ']' | ',' | '\\' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
