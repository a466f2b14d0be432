//! Works out what a script does, without running it: expands words, follows data through pipes, variables and files, looks
//! through wrappers, and hands every deed to the risk rules.

mod builtin;
mod code;
mod command;
mod copy;
mod expand;
mod files;
mod letters;
mod network;
mod output;
mod search;
mod wrapper;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use capsule_core::{ByteString, Resource, ResourceKind, Severity, Workflow};

use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::{Work, weight};
use crate::place::{Classes, canonical, climbed, home_of, host_of};
use crate::risk::{Deed, Hit, Verb, flag};
use crate::rules::Rules;
use crate::shell::{Command, GroupKind, Item, Script, Simple, parse};
pub(crate) use command::is_shell;

/// How many commands of one process are looked at.
const BUDGET: u32 = 20_000;
/// How many bytes the expansions of one process may make; what is beyond stays unexpanded.
const EXPANDED: usize = 2 << 20;
/// How deep wrappers, functions and scripts within scripts are followed.
const MAX_DEPTH: u32 = 40;
/// How many resources are named.
const RESOURCES: usize = 12;

/// What running something came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    pub(crate) work: Work,
    /// It does not count beside other commands.
    pub(crate) plumbing: bool,
    /// It only passes on what it reads.
    pub(crate) filter: bool,
    /// What it says on standard output.
    pub(crate) out: Flow,
}

impl Done {
    pub(crate) fn work(work: Work) -> Self {
        Self { work, out: Flow { present: true, ..Flow::default() }, ..Self::default() }
    }

    pub(crate) fn plumbing() -> Self {
        Self { plumbing: true, ..Self::work(None) }
    }

    pub(crate) fn with(mut self, taint: Taint) -> Self {
        self.out.taint = self.out.taint.and(taint);
        self
    }
}

/// The weightier of two.
pub(crate) fn heavier(a: Work, b: Work) -> Work {
    if weight(b) > weight(a) { b } else { a }
}

/// Standard output and input of a command, after redirections.
#[derive(Debug, Default, Clone)]
pub(crate) struct Plumbing {
    /// Tied to a socket.
    pub(crate) socket: bool,
    pub(crate) to_file: bool,
    pub(crate) from_file: bool,
}

pub(crate) struct Eval<'r> {
    pub(crate) rules: &'r Rules,
    pub(crate) project: Option<String>,
    pub(crate) cwd: Option<String>,
    /// Where it was before: `cd -` and `popd` go back there.
    pub(crate) cwd_before: Option<String>,
    /// The home directory that the script began in, by its own name.
    own_home: Option<String>,
    vars: HashMap<String, Flow>,
    functions: HashMap<String, (Rc<Script>, u32)>,
    files: HashMap<String, Flow>,
    made_executable: HashSet<String>,
    socket_fds: HashSet<u32>,
    pub(crate) hits: Vec<Hit>,
    pub(crate) resources: Vec<Resource>,
    budget: u32,
    pub(crate) depth: u32,
    /// How many steps the list at hand has.
    pub(crate) steps: usize,
    /// The wrappers around the command at hand, outermost first.
    pub(crate) through: Vec<String>,
    /// How many bytes expansions have made so far.
    expanded: usize,
    /// Files that were run.
    ran: Vec<String>,
    /// Something went to a host outside.
    sent: bool,
    /// Where what was unpacked came from.
    pub(crate) unpacked: Taint,
    /// Work done in substitutions of the command at hand.
    inner: Work,
    /// How many different files it takes, and makes; no more than two are counted.
    taken: Vec<String>,
    made: Vec<String>,
}

impl<'r> Eval<'r> {
    pub(crate) fn new(rules: &'r Rules, cwd: Option<&str>) -> Self {
        let own_home = cwd.and_then(home_of).map(str::to_owned);
        let cwd = cwd.filter(|cwd| cwd.starts_with('/')).map(|cwd| canonical(cwd, None).into_owned());
        let project =
            cwd.clone().filter(|cwd| !matches!(cwd.as_str(), "/" | "~" | "/home" | "/etc" | "/usr" | "/var" | "/tmp"));
        Self {
            rules,
            project,
            cwd,
            cwd_before: None,
            own_home,
            vars: HashMap::new(),
            functions: HashMap::new(),
            files: HashMap::new(),
            made_executable: HashSet::new(),
            socket_fds: HashSet::new(),
            hits: Vec::new(),
            resources: Vec::new(),
            budget: BUDGET,
            depth: 0,
            steps: 1,
            through: Vec::new(),
            expanded: 0,
            ran: Vec::new(),
            sent: false,
            unpacked: Taint::NONE,
            inner: None,
            taken: Vec::new(),
            made: Vec::new(),
        }
    }

    /// Reads `text` as shell and works out what it does.
    pub(crate) fn shell_text(&mut self, text: &str, stdin: &Flow, flags: u32) -> Done {
        if self.depth >= MAX_DEPTH {
            return Done::default();
        }
        self.depth += 1;
        let script = parse(text);
        let done = self.script(&script, stdin, flags);
        self.depth -= 1;
        done
    }

    pub(crate) fn script(&mut self, script: &Script, stdin: &Flow, flags: u32) -> Done {
        let mut all = Done { plumbing: true, ..Done::default() };
        for item in &script.items {
            if self.budget == 0 {
                break;
            }
            self.steps = self.steps.max(script.items.len());
            let done = self.pipeline(item, stdin, flags);
            all.work = heavier(all.work, done.work);
            all.plumbing &= done.plumbing;
            all.out.taint = all.out.taint.and(done.out.taint);
            all.out.present |= done.out.present;
            if done.out.text.is_some() {
                all.out.text = match (all.out.text.take(), done.out.text) {
                    (Some(a), Some(b)) if a.len() + b.len() < crate::flow::TEXT_KEPT => {
                        Some(Rc::from(format!("{a}\n{b}")))
                    }
                    (a, b) => a.or(b),
                };
            }
        }
        all
    }

    fn pipeline(&mut self, item: &Item, stdin: &Flow, flags: u32) -> Done {
        let many = item.commands.len() > 1;
        let mut flags = flags;
        if item.background {
            flags |= flag::BACKGROUND;
        }
        if many {
            flags |= flag::PIPED;
        }
        let mut all = Done { plumbing: true, ..Done::default() };
        let mut flow = stdin.clone();
        for (index, command) in item.commands.iter().enumerate() {
            let piped = index > 0;
            let done = self.command(command, &flow, flags, piped);
            let counts = if all.plumbing && !piped {
                true
            } else if done.filter {
                matches!(done.work, Some(Workflow::CodeGeneration | Workflow::SecurityOperation))
            } else {
                !done.plumbing
            };
            if counts {
                all.work = heavier(all.work, done.work);
            }
            all.plumbing &= done.plumbing || (piped && done.filter);
            flow = done.out;
        }
        all.out = flow;
        all
    }

    fn command(&mut self, command: &Command, stdin: &Flow, flags: u32, piped: bool) -> Done {
        self.budget = self.budget.saturating_sub(1);
        crate::effort::spent(1);
        if self.budget == 0 || self.depth >= MAX_DEPTH {
            return Done::default();
        }
        match command {
            Command::Simple(simple) => self.simple(simple, stdin, flags, piped),
            Command::Group(group) => {
                if let GroupKind::Function(name) = &group.kind {
                    self.define(name, &group.body);
                    return Done::plumbing();
                }
                let mut input = stdin.clone();
                let mut plumbing = Plumbing::default();
                let mut outputs = Vec::new();
                for redirect in &group.redirects {
                    self.redirect(
                        redirect.kind,
                        redirect.fd,
                        &redirect.target,
                        &mut input,
                        &mut plumbing,
                        &mut outputs,
                        flags,
                    );
                }
                if let GroupKind::For(name, words) = &group.kind {
                    let mut flow = Flow { present: true, ..Flow::default() };
                    let mut text = String::new();
                    let mut values = 0;
                    for word in words {
                        for arg in self.expand(word) {
                            flow.taint = flow.taint.and(arg.taint);
                            values += 1 + usize::from(arg.dynamic);
                            if text.is_empty() {
                                text = arg.text;
                            }
                        }
                    }
                    if values > 1 {
                        flow.taint = flow.taint.and(Taint::MANY);
                    }
                    if !text.is_empty() {
                        flow.text = Some(Rc::from(text));
                    }
                    self.vars.insert(name.clone(), flow);
                }
                let saved = self.depth;
                self.depth += 1;
                let mut done = self.script(&group.body, &input, flags);
                self.depth = saved;
                self.finish_outputs(&outputs, "", &mut done, flags);
                done
            }
        }
    }

    /// A function is kept until it is called; one that starts itself twice is a fork bomb.
    fn define(&mut self, name: &str, body: &Script) {
        fn calls(script: &Script, name: &str) -> (u32, bool) {
            let mut count = 0;
            let mut forks = false;
            for item in &script.items {
                let mut here = 0;
                for command in &item.commands {
                    match command {
                        Command::Simple(simple) => {
                            here += u32::from(simple.words.first().is_some_and(|word| word.flat() == name));
                        }
                        Command::Group(group) => {
                            let (inner, inner_forks) = calls(&group.body, name);
                            here += inner;
                            forks |= inner_forks;
                        }
                    }
                }
                forks |= here > 1 || (here > 0 && item.background);
                count += here;
            }
            (count, forks)
        }
        let (count, forks) = calls(body, name);
        if forks && count >= 2 {
            self.deed(Verb::Shape, "fork-bomb", Taint::NONE, 0, "", None);
        }
        if self.functions.len() < 256 {
            self.functions.insert(name.to_owned(), (Rc::new(body.clone()), 0));
        }
    }

    fn simple(&mut self, simple: &Simple, stdin: &Flow, flags: u32, piped: bool) -> Done {
        self.inner = None;
        let mut assigned = Taint::NONE;
        for (name, word) in &simple.assigns {
            let parts = self.expand(word);
            let mut flow = Flow { present: true, ..Flow::default() };
            let mut text = String::new();
            let mut dynamic = false;
            for part in parts {
                flow.taint = flow.taint.and(part.taint);
                dynamic |= part.dynamic;
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(&part.text);
            }
            let value = text.clone();
            self.assignment(name, &value, flow.taint, flags);
            if !dynamic && text.len() < crate::flow::TEXT_KEPT {
                flow.text = Some(Rc::from(text));
            }
            assigned = assigned.and(flow.taint);
            if self.vars.len() < 1024 {
                self.vars.insert(name.clone(), flow);
            }
        }
        let mut args: Vec<Arg> = Vec::with_capacity(simple.words.len());
        for word in &simple.words {
            args.append(&mut self.expand(word));
        }
        let substituted = self.inner;
        let mut input = stdin.clone();
        let mut plumbing = Plumbing::default();
        let mut outputs = Vec::new();
        let mut flags = flags;
        for redirect in &simple.redirects {
            self.redirect(redirect.kind, redirect.fd, &redirect.target, &mut input, &mut plumbing, &mut outputs, flags);
        }
        if outputs.iter().any(|output| output.path == "/dev/null") {
            flags |= flag::QUIET;
        }
        plumbing.to_file = outputs.iter().any(|output| output.path != "/dev/null" && output.fd != Some(2));
        if args.is_empty() {
            let mut done = Done { plumbing: substituted.is_none(), work: substituted, ..Done::plumbing() };
            done.plumbing = substituted.is_none();
            if plumbing.socket {
                done.plumbing = true;
            }
            // `> file` alone empties it; `< file` alone reads it.
            done.out = if plumbing.from_file { input } else { Flow::default() };
            self.finish_outputs(&outputs, "", &mut done, flags);
            return done;
        }
        let program = args.first().map(|arg| arg.text.clone()).unwrap_or_default();
        let before = self.hits.len();
        let mut done = match self.functions.get_mut(&program) {
            Some((body, calls)) if *calls < 4 && self.depth + 1 < MAX_DEPTH => {
                *calls += 1;
                let body = Rc::clone(body);
                for (index, arg) in args.iter().enumerate().skip(1) {
                    let flow = Flow { taint: arg.taint, text: Some(Rc::from(arg.text.as_str())), present: true };
                    self.vars.insert(index.to_string(), flow);
                }
                self.depth += 1;
                let done = self.script(&body, &input, flags);
                self.depth -= 1;
                done
            }
            Some(_) => Done::plumbing(),
            None => self.run(&args, &input, flags, &plumbing, piped),
        };
        if done.plumbing && substituted.is_some() && !matches!(program.as_str(), "eval" | "source" | ".") {
            done.work = heavier(done.work, substituted);
            done.plumbing = false;
        }
        self.taint_by_hits(before, &mut done);
        let name = crate::knowledge::plain_name(&program).to_owned();
        self.finish_outputs(&outputs, &name, &mut done, flags);
        done
    }

    /// What a command says is as secret as what it was caught reading.
    fn taint_by_hits(&self, before: usize, done: &mut Done) {
        for hit in self.hits.iter().skip(before) {
            if self.rules.risks.rules.get(hit.rule).is_some_and(|rule| rule.entry.category == "credential-access") {
                let taint = if hit.severity >= Severity::High {
                    Taint::SECRET
                } else if hit.severity >= Severity::Medium {
                    Taint::SENSITIVE
                } else {
                    Taint::NONE
                };
                done.out.taint = done.out.taint.and(taint);
            }
        }
    }

    /// A path in one form, seen from where the script is. What is reached by climbing out of one's own home lies beside
    /// it and is nobody's home.
    pub(crate) fn at<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match (&self.own_home, &self.cwd) {
            (Some(home), Some(cwd)) if path.starts_with("..") => Cow::Owned(climbed(path, cwd, home)),
            _ => canonical(path, self.cwd.as_deref()),
        }
    }

    pub(crate) fn path_classes(&self, path: &str) -> Classes {
        let canonical = self.at(path);
        self.rules.places.of_path(&canonical, self.project.as_deref())
    }

    /// Tells the rules of a deed that has no place.
    pub(crate) fn deed(
        &mut self,
        verb: Verb,
        object: &str,
        taint: Taint,
        flags: u32,
        program: &str,
        content: Option<&str>,
    ) {
        self.judge(verb, object, Classes::default(), taint, flags, program, content, &[]);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a deed")]
    pub(crate) fn judge(
        &mut self,
        verb: Verb,
        object: &str,
        classes: Classes,
        taint: Taint,
        flags: u32,
        program: &str,
        content: Option<&str>,
        args: &[Arg],
    ) {
        if verb == Verb::Execute && flags & flag::SCRIPT != 0 && self.ran.len() < 16 {
            let path = self.at(object).into_owned();
            self.ran.push(path);
        }
        if verb.names_file() && flags & flag::EVIDENCE == 0 {
            let files = if verb.takes() { &mut self.taken } else { &mut self.made };
            if files.len() < 2 && !files.iter().any(|known| known == object) {
                files.push(object.to_owned());
            }
        }
        if verb == Verb::Upload {
            let near = ["loopback", "private-net", "model-api", "download-site"];
            let near =
                near.iter().filter_map(|name| self.rules.places.named(name)).fold(Classes::default(), Classes::and);
            self.sent |= !classes.any(near) && !object.is_empty();
        }
        let join = || joined(args);
        let deed =
            Deed { verb, object, classes, taint, flags, program, args: &join, cached_args: OnceCell::new(), content };
        let mut hits = std::mem::take(&mut self.hits);
        if hits.len() < 512 {
            self.rules.risks.judge(&deed, &mut hits);
        }
        self.hits = hits;
    }

    /// A deed on a path.
    pub(crate) fn path_deed(
        &mut self,
        verb: Verb,
        path: &str,
        taint: Taint,
        flags: u32,
        program: &str,
        content: Option<&str>,
    ) -> Classes {
        // Who has the rights to it may well delete another's home.
        let canonical = if flags & flag::ELEVATED == 0 { self.at(path) } else { canonical(path, self.cwd.as_deref()) };
        let canonical = canonical.into_owned();
        let classes = self.rules.places.of_path(&canonical, self.project.as_deref());
        self.judge(verb, &canonical, classes, taint, flags, program, content, &[]);
        self.resource(ResourceKind::Path, path);
        classes
    }

    /// A deed on a host; `object` is the whole address.
    #[expect(clippy::too_many_arguments, reason = "the parts of a deed")]
    pub(crate) fn host_deed(
        &mut self,
        verb: Verb,
        host: &str,
        object: &str,
        taint: Taint,
        flags: u32,
        program: &str,
        content: Option<&str>,
    ) -> Classes {
        self.look_alike_host(host, flags, program);
        let mut classes = self.rules.places.of_host(host);
        // Some places are a path on a well-known host.
        if let Some((_, rest)) = object.split_once("://") {
            classes = classes.and(self.rules.places.of_path(rest, Some("/")));
        } else if object.contains('/') && !object.starts_with('/') {
            classes = classes.and(self.rules.places.of_path(object, Some("/")));
        }
        self.judge(verb, object, classes, taint, flags, program, content, &[]);
        let kind = if object.contains("://") { ResourceKind::Url } else { ResourceKind::Host };
        self.resource(kind, if kind == ResourceKind::Url { object } else { host });
        classes
    }

    pub(crate) fn resource(&mut self, kind: ResourceKind, value: &str) {
        if self.resources.len() < RESOURCES && !value.is_empty() && value.len() < 512 && !value.starts_with("/dev/") {
            let resource = Resource { kind, value: ByteString::from(value) };
            if !self.resources.contains(&resource) {
                self.resources.push(resource);
            }
        }
    }

    /// A file's content is read: tells the rules, and gives what flows out of it.
    pub(crate) fn read_path(&mut self, path: &str, flags: u32, program: &str) -> Flow {
        if path == "-" || path == "/dev/stdin" {
            return Flow::default();
        }
        let canonical = self.at(path).into_owned();
        let known = self.files.get(&canonical).cloned();
        let taint = known.as_ref().map_or(Taint::NONE, |flow| flow.taint);
        let before = self.hits.len();
        let classes = self.path_deed(Verb::Read, path, taint, flags, program, None);
        let mut done = Done { out: known.unwrap_or(Flow { present: true, ..Flow::default() }), ..Done::default() };
        self.taint_by_hits(before, &mut done);
        if self.rules.places.named(crate::recorder::RECORD).is_some_and(|record| classes.any(record)) {
            // Its metadata says who records.
            done.out.taint = done.out.taint.and(Taint::RECORDER);
        }
        if canonical.ends_with("/known_hosts") || canonical.ends_with("/.ssh/config") || canonical == "/etc/hosts" {
            done.out.taint = done.out.taint.and(Taint::HOST);
        }
        if flags & flag::RECURSIVE != 0 && matches!(canonical.as_str(), "~" | "/home" | "/home/*" | "/") {
            done.out.taint = done.out.taint.and(Taint::HOME);
        }
        done.out
    }

    /// A file is written with what flows into it.
    pub(crate) fn write_path(&mut self, verb: Verb, path: &str, flow: &Flow, flags: u32, program: &str) -> Classes {
        let text = flow.text.clone();
        let classes = self.path_deed(verb, path, flow.taint, flags, program, text.as_deref());
        let canonical = self.at(path).into_owned();
        if self.files.len() < 1024 {
            let mut kept = flow.clone();
            kept.present = true;
            if verb == Verb::Append
                && let Some(old) = self.files.get(&canonical)
            {
                kept.taint = kept.taint.and(old.taint);
                kept.text = match (&old.text, &kept.text) {
                    (Some(a), Some(b)) if a.len() + b.len() < crate::flow::TEXT_KEPT => {
                        Some(Rc::from(format!("{a}\n{b}")))
                    }
                    _ => None,
                };
            }
            self.files.insert(canonical, kept);
        }
        classes
    }

    /// What matters for the rest of the session.
    pub(crate) fn facts(&mut self) -> crate::verdict::Facts {
        const KEPT: usize = 32;
        let mut facts = crate::verdict::Facts { ran: std::mem::take(&mut self.ran), ..Default::default() };
        for (path, flow) in &self.files {
            if path.starts_with("/dev/") {
                continue;
            }
            let trusted = flow.taint.has(Taint::REPUTED.and(Taint::KNOWN));
            if flow.taint.has(Taint::NETWORK) && !trusted && facts.fetched.len() < KEPT {
                facts.fetched.push(path.clone());
            } else if facts.written.len() < KEPT {
                facts.written.push(path.clone());
            }
        }
        facts.fetched.sort_unstable();
        facts.written.sort_unstable();
        facts.sent = self.sent;
        facts.few = self.taken.len() < 2 && self.made.len() < 2;
        facts.secret = self.hits.iter().any(|hit| {
            hit.severity >= Severity::High
                && self.rules.risks.rules.get(hit.rule).is_some_and(|rule| rule.entry.category == "credential-access")
        });
        facts
    }

    /// What is known of a file that this script wrote.
    pub(crate) fn written(&self, path: &str) -> Option<&Flow> {
        self.files.get(self.at(path).as_ref())
    }

    /// The host of an address, `host` classes included.
    pub(crate) fn url_deed(
        &mut self,
        verb: Verb,
        url: &str,
        taint: Taint,
        flags: u32,
        program: &str,
        content: Option<&str>,
    ) -> Classes {
        let host = host_of(url).unwrap_or_default().to_owned();
        self.host_deed(verb, &host, url, taint, flags, program, content)
    }
}

/// Arguments as rules see them: separated by blanks; a blank within one is U+0001.
pub(crate) fn joined(args: &[Arg]) -> String {
    const LONGEST: usize = 16 * 1024;
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        for c in arg.text.chars() {
            out.push(if matches!(c, ' ' | '\t' | '\n' | '\r') { '\u{1}' } else { c });
            if out.len() > LONGEST {
                crate::effort::spent(out.len());
                return out;
            }
        }
    }
    crate::effort::spent(out.len());
    out
}
