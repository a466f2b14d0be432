//! What records this session, as something that the recorded program may attack.
//!
//! The built-in rules know where sessions usually are. Only the recording itself knows where *this* one is, which key
//! seals it and which process watches, so it says so, and whoever touches one of them is a critical finding.

use std::path::{Path, PathBuf};

use capsule_core::Pid;

use crate::place::canonical;

/// The rule that says it.
pub(crate) const RULE: &str = "agent.recorder-touched";

/// Where a session is recorded, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorder {
    /// The store that the session is in.
    pub home: Option<PathBuf>,
    /// Files of keys that seal or sign it.
    pub keys: Vec<PathBuf>,
    /// Capsule's own processes.
    pub pids: Vec<Pid>,
}

impl Recorder {
    /// Rules about it, in the form of every other file of rules.
    pub(crate) fn to_toml(&self) -> String {
        let mut record: Vec<String> = vec!["$CAPSULE_HOME**".to_owned()];
        for path in self.home.iter().flat_map(|home| names(home)) {
            record.extend([path.clone(), format!("{path}/**")]);
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
        for (class, is) in [("this-record", &record), ("this-recorder", &own)] {
            let is: Vec<String> = is.iter().map(|glob| quoted(glob)).collect();
            out.push_str(&format!("[[path]]\nclass = \"{class}\"\nis = [{}]\n\n", is.join(", ")));
        }
        let changes = "[\"write\", \"append\", \"delete\", \"move\", \"mode\", \"owner\"]";
        let mut tests = vec![
            format!("{{ on = {changes}, place = [\"this-record\", \"this-recorder\"], not-program = [\"capsule\"] }}"),
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
             because = \"only read\" }},\n]",
            tests.join(",\n  ")
        ));
        out
    }
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
