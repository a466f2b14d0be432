//! What was worked on, and when: workflows, phases, parallel work, and time in which nothing ran.

use std::collections::{HashMap, HashSet};

use capsule_core::{ByteString, ProcessNode, Workflow};

use super::clean::Cleaner;
use super::index::Index;
use crate::model::{Phase, ToolCount, WorkflowItem};
use crate::view::SessionView;

/// A pause between operations that is worth its own line, at least.
const QUIET: u64 = 1_000_000_000;
/// How many phases are told apart.
const MAX_PHASES: usize = 24;
/// How many processes and programs a phase names.
const NAMED: usize = 12;

/// Kinds of work, in the order of a usual session.
const KINDS: [&str; 8] = ["explore", "edit", "build", "test", "commit", "network", "security", "run"];

/// Up to how many names a tally is searched from its beginning: most have two or three, and there may be a million tallies.
const FEW: usize = 12;

/// Counts names, in the order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Vec<(ByteString, u64)>,
    /// Where each name stands, once there are many.
    places: HashMap<ByteString, usize>,
}

impl Tally {
    pub(super) fn add(&mut self, name: &ByteString, times: u64) {
        let place = match self.counts.len() {
            0..=FEW => self.counts.iter().position(|(known, _)| known == name),
            _ => self.places.get(name).copied(),
        };
        if let Some((_, count)) = place.and_then(|place| self.counts.get_mut(place)) {
            *count = count.saturating_add(times);
            return;
        }
        self.counts.push((name.clone(), times));
        let new = match self.counts.len() {
            0..=FEW => self.counts.len(),
            length if length == FEW + 1 => 0,
            length => length - 1,
        };
        let places = self.counts.iter().enumerate().skip(new).map(|(place, (name, _))| (name.clone(), place));
        self.places.extend(places);
    }

    fn join(&mut self, other: &Self) {
        other.counts.iter().for_each(|(name, count)| self.add(name, *count));
    }

    /// The most frequent names first.
    pub(super) fn most(&self, limit: usize) -> Vec<ToolCount> {
        let mut all: Vec<&(ByteString, u64)> = self.counts.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.into_iter().take(limit).map(|(tool, count)| ToolCount { tool: tool.clone(), count: *count }).collect()
    }
}

/// What each workflow consisted of, in the order of [`Workflow`], work of no kind last.
pub(super) fn workflows(index: &Index<'_>, cleaner: &Cleaner) -> Vec<WorkflowItem> {
    let kinds = Workflow::ALL.iter().copied().map(Some).chain([None]);
    let mut items: Vec<(WorkflowItem, Tally)> = kinds
        .map(|workflow| {
            let name = workflow.map_or("Other work", Workflow::name).to_owned();
            let (tools, procs) = (Vec::new(), Vec::new());
            (WorkflowItem { workflow, name, operations: 0, failed: 0, duration: 0, tools, procs }, Tally::default())
        })
        .collect();
    for at in index.operations() {
        let Some(node) = index.node(at) else { continue };
        let Some((item, tally)) = items.iter_mut().find(|(item, _)| item.workflow == node.workflow) else { continue };
        item.operations = item.operations.saturating_add(1);
        item.failed = item.failed.saturating_add(u64::from(node.success == Some(false)));
        item.duration = item.duration.saturating_add(node.duration().unwrap_or(0));
        item.procs.push(node.proc.0);
        tally.add(&cleaner.bytes(&node.tool), 1);
    }
    items
        .into_iter()
        .filter(|(item, _)| item.operations > 0)
        .map(|(mut item, tally)| {
            item.tools = tally.most(NAMED);
            item
        })
        .collect()
}

/// Operations that no other operation started, by their beginnings.
fn by_start(index: &Index<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = index.operations().filter(|at| index.is_top(*at)).collect();
    order.sort_by_key(|at| index.node(*at).map_or(0, |node| node.started.0));
    order
}

/// The most operations at one time, and the nanoseconds between `from` and `to` in which none ran.
pub(super) fn load(index: &Index<'_>, from: u64, to: u64) -> (u64, u64) {
    let order = by_start(index);
    let mut ends: Vec<u64> = order.iter().map(|at| index.end(*at)).collect();
    ends.sort_unstable();
    let (mut most, mut ended) = (0_usize, 0_usize);
    let (mut idle, mut covered) = (0_u64, from);
    for (begun, at) in order.iter().enumerate() {
        let start = index.node(*at).map_or(0, |node| node.started.0);
        while ends.get(ended).is_some_and(|end| *end <= start) && ended < begun {
            ended += 1;
        }
        most = most.max(begun.saturating_add(1).saturating_sub(ended));
        idle = idle.saturating_add(start.min(to).saturating_sub(covered));
        covered = covered.max(index.end(*at));
    }
    idle = idle.saturating_add(to.saturating_sub(covered));
    (most as u64, idle)
}

/// A stretch of work while it is made.
struct Stretch {
    kinds: [u64; KINDS.len()],
    started: u64,
    ended: u64,
    busy_from: u64,
    quiet: u64,
    operations: u64,
    failed: u64,
    tools: Tally,
    procs: Vec<u32>,
}

impl Stretch {
    /// One that begins, and has no operation yet.
    fn at(started: u64) -> Self {
        Self {
            kinds: [0; KINDS.len()],
            started,
            ended: started,
            busy_from: started,
            quiet: 0,
            operations: 0,
            failed: 0,
            tools: Tally::default(),
            procs: Vec::new(),
        }
    }

    /// Takes the next operation, which is of a kind unless it only filters what another one writes.
    fn add(&mut self, node: &ProcessNode, ended: u64, kind: Option<usize>, cleaner: &Cleaner) {
        if let Some(count) = kind.and_then(|kind| self.kinds.get_mut(kind)) {
            *count = count.saturating_add(1);
        }
        self.quiet = self.quiet.saturating_add(node.started.0.saturating_sub(self.ended));
        self.ended = self.ended.max(ended);
        self.operations = self.operations.saturating_add(1);
        self.failed = self.failed.saturating_add(u64::from(node.success == Some(false)));
        self.tools.add(&cleaner.bytes(&node.tool), 1);
        if self.procs.len() < NAMED {
            self.procs.push(node.proc.0);
        }
    }

    fn kind(&self) -> usize {
        let most = self.kinds.iter().copied().max().unwrap_or(0);
        self.kinds.iter().position(|count| *count == most).unwrap_or(0)
    }

    fn length(&self) -> u64 {
        self.ended.saturating_sub(self.started)
    }

    fn join(&mut self, later: &Self) {
        for (mine, theirs) in self.kinds.iter_mut().zip(later.kinds) {
            *mine = mine.saturating_add(theirs);
        }
        self.quiet = self.quiet.saturating_add(later.quiet).saturating_add(later.started.saturating_sub(self.ended));
        self.ended = self.ended.max(later.ended);
        self.operations = self.operations.saturating_add(later.operations);
        self.failed = self.failed.saturating_add(later.failed);
        self.tools.join(&later.tools);
        let room = NAMED.saturating_sub(self.procs.len());
        self.procs.extend(later.procs.iter().copied().take(room));
    }
}

/// What was done when, with the pauses between.
pub(super) fn phases(view: &SessionView, index: &Index<'_>, cleaner: &Cleaner, from: u64, to: u64) -> Vec<Phase> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut now: Option<Stretch> = None;
    let short = (to.saturating_sub(from) / 100).max(QUIET / 5);
    let filters = filters(view, index);
    for at in by_start(index) {
        let Some(node) = index.node(at) else { continue };
        let kind = kind_of(node);
        let filter = filters.contains(&at) && now.is_some();
        match &mut now {
            Some(last) if filter || last.kind() == kind => {
                last.add(node, index.end(at), (!filter).then_some(kind), cleaner)
            }
            _ => {
                let mut stretch = Stretch::at(node.started.0);
                stretch.add(node, index.end(at), Some(kind), cleaner);
                let ended = now.replace(stretch);
                without_flicker(&mut stretches, ended, short);
            }
        }
    }
    without_flicker(&mut stretches, now, short);
    let mut least = 2;
    while stretches.len() > MAX_PHASES {
        stretches = smoothed(stretches, least);
        least = least.saturating_mul(2);
    }
    with_pauses(&stretches, index.agent.is_some(), from, to)
}

/// Operations that read what another operation writes into a pipe: `… | tail` is a part of what it follows.
fn filters(view: &SessionView, index: &Index<'_>) -> HashSet<usize> {
    let operation = |proc| index.index_of(proc).filter(|at| index.is_operation(*at));
    let readers = view.pipes.iter().filter(|link| link.from < link.to && operation(link.from).is_some());
    readers.filter_map(|link| operation(link.to)).collect()
}

/// Looking around and running small programs alternate many times a second: together they are one stretch. Work of
/// any other kind, and what follows a pause, stands by itself.
fn without_flicker(out: &mut Vec<Stretch>, stretch: Option<Stretch>, short: u64) {
    let Some(stretch) = stretch else { return };
    let plain = |stretch: &Stretch| matches!(KINDS.get(stretch.kind()), Some(&("explore" | "run")));
    match out.last_mut() {
        Some(last)
            if plain(last)
                && plain(&stretch)
                && stretch.started.saturating_sub(last.ended) < QUIET
                && stretch.length().min(last.length()) < short =>
        {
            last.join(&stretch);
        }
        Some(last) if last.kind() == stretch.kind() => last.join(&stretch),
        _ => out.push(stretch),
    }
}

/// Short stretches become part of the one before; neighbours of one kind become one.
fn smoothed(stretches: Vec<Stretch>, least: u64) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        match out.last_mut() {
            Some(last) if stretch.operations < least || last.operations < least || last.kind() == stretch.kind() => {
                last.join(&stretch);
            }
            _ => out.push(stretch),
        }
    }
    out
}

fn with_pauses(stretches: &[Stretch], agent: bool, from: u64, to: u64) -> Vec<Phase> {
    let mut phases = Vec::new();
    let mut covered = from;
    let quiet = |start: u64, end: u64| Phase {
        kind: "quiet".to_owned(),
        started: start,
        offset: start.saturating_sub(from),
        duration: end.saturating_sub(start),
        quiet: end.saturating_sub(start),
        operations: 0,
        failed: 0,
        tools: Vec::new(),
        procs: Vec::new(),
        significance: if agent { "only the agent ran (thinking)" } else { "nothing ran" }.to_owned(),
    };
    for stretch in stretches {
        if stretch.busy_from.saturating_sub(covered) >= QUIET {
            phases.push(quiet(covered, stretch.busy_from));
        }
        let kind = KINDS.get(stretch.kind()).copied().unwrap_or("run");
        phases.push(Phase {
            kind: kind.to_owned(),
            started: stretch.started,
            offset: stretch.started.saturating_sub(from),
            duration: stretch.ended.saturating_sub(stretch.started),
            quiet: stretch.quiet,
            operations: stretch.operations,
            failed: stretch.failed,
            tools: stretch.tools.most(NAMED),
            procs: stretch.procs.clone(),
            significance: significance(kind, stretch),
        });
        covered = covered.max(stretch.ended);
    }
    if to.saturating_sub(covered) >= QUIET && !phases.is_empty() {
        phases.push(quiet(covered, to));
    }
    phases
}

/// What work of a kind is good for.
pub(crate) fn meaning(kind: &str) -> &'static str {
    match kind {
        "explore" => "looked at files and the system",
        "edit" => "wrote or edited files",
        "build" => "built the project",
        "test" => "ran tests",
        "commit" => "recorded work in version control",
        "network" => "talked to other hosts or fetched packages",
        "security" => "touched credentials, permissions or security controls",
        _ => "ran programs",
    }
}

fn significance(kind: &str, stretch: &Stretch) -> String {
    let what = meaning(kind);
    match (stretch.failed, stretch.operations) {
        (0, _) => what.to_owned(),
        (failed, all) if failed == all => format!("{what}, without success"),
        (failed, _) => format!("{what}; {failed} failed"),
    }
}

/// The kind of work, as an index of [`KINDS`].
fn kind_of(node: &ProcessNode) -> usize {
    let name = match node.workflow {
        Some(Workflow::CodeGeneration) => "edit",
        Some(Workflow::FileAnalysis | Workflow::SystemExploration) => "explore",
        Some(Workflow::NetworkCommunication) => "network",
        Some(Workflow::SecurityOperation) => "security",
        Some(Workflow::RepositoryOperation) => repository_kind(node),
        None => work_kind(node),
    };
    KINDS.iter().position(|kind| *kind == name).unwrap_or(KINDS.len().saturating_sub(1))
}

/// What a version control command does: by its verb, and for some by whether it has an operand.
fn repository_kind(node: &ProcessNode) -> &'static str {
    let summary = node.summary.to_lossy();
    let mut words = summary.split_whitespace().skip(1);
    let mut verb = "";
    while let Some(word) = words.next() {
        match word {
            "-C" | "-c" | "--git-dir" | "--work-tree" | "--repo" | "-R" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => {
                verb = word;
                break;
            }
        }
    }
    let rest: Vec<&str> = words.collect();
    let lists =
        rest.first().is_none_or(|word| matches!(*word, "list" | "show" | "-a" | "-l" | "--list" | "-v" | "-vv"));
    match verb {
        "init" | "config" | "remote" | "submodule" | "lfs" | "gc" | "maintenance" => "run",
        "clone" | "fetch" | "pull" | "ls-remote" => "network",
        "checkout" | "switch" | "restore" | "reset" | "clean" | "mv" | "rm" | "apply" => "edit",
        "commit" | "push" | "merge" | "rebase" | "cherry-pick" | "am" | "add" | "revert" | "pull-request" | "pr" => {
            "commit"
        }
        "stash" if rest.first().is_none_or(|word| !matches!(*word, "list" | "show")) => "commit",
        "tag" | "branch" | "worktree" if !lists => "commit",
        _ => "explore",
    }
}

/// Programs that test.
const TESTERS: [&str; 16] = [
    "pytest",
    "py.test",
    "tox",
    "nox",
    "jest",
    "vitest",
    "mocha",
    "ctest",
    "rspec",
    "phpunit",
    "cargo-nextest",
    "gotestsum",
    "bats",
    "prove",
    "unittest",
    "nose2",
];
/// Programs that build.
const BUILDERS: [&str; 25] = [
    "make",
    "gmake",
    "ninja",
    "cmake",
    "meson",
    "cc",
    "gcc",
    "g++",
    "clang",
    "clang++",
    "ld",
    "rustc",
    "cargo",
    "go",
    "tsc",
    "webpack",
    "vite",
    "esbuild",
    "mvn",
    "gradle",
    "gradlew",
    "javac",
    "bazel",
    "py_compile",
    "compileall",
];
/// Programs whose first operand says what they do; and those that only start another program.
const TAKES_VERB: [&str; 23] = [
    "make", "gmake", "ninja", "cargo", "go", "npm", "pnpm", "yarn", "bun", "deno", "mvn", "gradle", "gradlew", "bazel",
    "meson", "just", "task", "dotnet", "swift", "zig", "mix", "rake", "composer",
];
const STARTERS: [&str; 7] = ["npx", "bunx", "pnpx", "uvx", "uv", "poetry", "pipenv"];
const TESTS: [&str; 8] = ["test", "tests", "check", "t", "nextest", "unittest", "run-tests", "verify"];
const BUILDS: [&str; 4] = ["build", "compile", "package", "assemble"];

/// What a process of no workflow does: by its program, its subcommand or the module or script that it runs. What its
/// operands are called says nothing: `mkdir tests` tests nothing.
fn work_kind(node: &ProcessNode) -> &'static str {
    let summary = node.summary.to_lossy();
    let mut words = summary.split_whitespace().skip(1).peekable();
    let tool = node.tool.to_lossy();
    let mut program = stem(&tool);
    if STARTERS.contains(&program) {
        let next = words.by_ref().find(|word| !word.starts_with('-') && !matches!(*word, "run" | "exec"));
        program = stem(next.unwrap_or_default());
    }
    let interpreter = ["python", "pypy", "node", "ruby", "perl", "bash", "sh"].iter().any(|name| {
        program.strip_prefix(name).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    });
    if interpreter {
        let asks = |word: &&str| matches!(*word, "-m" | "--test") || !word.starts_with('-');
        match words.find(asks) {
            Some("--test") => return "test",
            Some("-m") => program = stem(words.next().unwrap_or_default()),
            Some(script) => program = stem(script),
            None => {}
        }
        // A script of tests says so; the program `test` of a shell tests a condition.
        if matches!(program, "test" | "tests" | "runtests" | "run-tests" | "run_tests")
            || program.starts_with("test_")
            || program.ends_with("_test")
        {
            return "test";
        }
    }
    let mut verb = "";
    if TAKES_VERB.contains(&program) {
        let mut operands = words.filter(|word| !word.starts_with(['-', '+']) && !word.contains('='));
        verb = operands.next().unwrap_or_default();
        if matches!(verb, "run" | "run-script") && !matches!(program, "cargo" | "go") {
            verb = operands.next().unwrap_or_default();
        }
    }
    let verb = verb.split(':').next().unwrap_or_default();
    let checks_only = matches!(program, "cargo" | "deno" | "bun") && verb == "check";
    if TESTERS.contains(&program) || (TESTS.contains(&verb) && !checks_only) {
        "test"
    } else if BUILDERS.contains(&program) && !(program == "vite" && verb == "dev") || BUILDS.contains(&verb) {
        "build"
    } else {
        "run"
    }
}

/// The last component of a path, without what scripts end in.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    [".py", ".sh", ".js", ".mjs", ".ts", ".rb"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use crate::support::{Made, tool, with_role};
    use crate::{Options, Report};
    use capsule_core::{Role, Workflow};

    fn kind(command: &str) -> String {
        let mut made = Made::new(&["agent"]);
        let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
        let words: Vec<&str> = command.split(' ').collect();
        made.done(agent, 1, 1, &words, tool(None, command), 0);
        Report::assemble(&made.view(10), &Options::default()).phases[0].kind.clone()
    }

    #[test]
    fn version_control_is_told_apart_by_its_verb_whatever_options_stand_before_it() {
        for (command, expected) in [
            ("git init -q", "run"),
            ("git config user.name A", "run"),
            ("git -C sub -c a.b=c commit -m x", "commit"),
            ("git status --short", "explore"),
            ("git branch -a", "explore"),
            ("git branch -d old", "commit"),
            ("git stash list", "explore"),
            ("git stash", "commit"),
            ("git clone -q a b", "network"),
            ("git checkout -- notes.txt", "edit"),
        ] {
            let mut made = Made::new(&["agent"]);
            let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
            let words: Vec<&str> = command.split(' ').collect();
            made.done(agent, 1, 1, &words, tool(Some(Workflow::RepositoryOperation), command), 0);
            assert_eq!(Report::assemble(&made.view(10), &Options::default()).phases[0].kind, expected, "{command}");
        }
    }

    #[test]
    fn kinds_of_work_come_from_programs_and_verbs_not_from_operands() {
        for (command, expected) in [
            ("mkdir src tests", "run"),
            ("cp -r test build", "run"),
            ("touch pytest", "run"),
            ("test -f build", "run"),
            ("cargo test --workspace", "test"),
            ("cargo +nightly nextest run", "test"),
            ("cargo check", "build"),
            ("cargo run -- test", "build"),
            ("npm run test:unit", "test"),
            ("npm run build", "build"),
            ("npm install test", "run"),
            ("make -j8 check", "test"),
            ("make", "build"),
            ("python3 -m unittest -v", "test"),
            ("python3.11 -m py_compile calc/ops.py", "build"),
            ("python3 main.py test", "run"),
            ("python3 tests/test_ops.py", "test"),
            ("node --test", "test"),
            ("npx vitest run", "test"),
            ("uv run pytest -q", "test"),
            ("go build ./test", "build"),
            ("mkdir -p a/b", "run"),
        ] {
            assert_eq!(kind(command), expected, "{command}");
        }
    }
}
