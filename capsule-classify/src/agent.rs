//! Which processes are AI agents, by what their arguments say.

use std::collections::HashMap;

use crate::knowledge::plain_name;
use crate::rules::schema::{AgentEntry, HelperEntry};

/// What is known about agents.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    pub(crate) agents: Vec<AgentEntry>,
    /// Executables' names to agent; true: others have that name as well.
    programs: HashMap<String, (usize, bool)>,
    packages: HashMap<String, usize>,
    helpers: Vec<(Vec<String>, Option<regex::Regex>)>,
}

/// How an argument vector relates to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinship {
    /// It runs the agent.
    Runs(usize),
    /// It is the agent's program, asked for something else.
    Other(usize),
}

/// First words that never run an agent's loop, whoever's they are.
const OTHER: &[&str] = &[
    "login",
    "logout",
    "auth",
    "config",
    "configure",
    "configuration",
    "update",
    "upgrade",
    "install",
    "uninstall",
    "mcp",
    "doctor",
    "version",
    "help",
    "completion",
    "completions",
    "setup-token",
    "models",
    "model",
    "plugin",
    "plugins",
    "extensions",
    "extension",
    "settings",
    "setting",
    "whoami",
    "usage",
    "status",
    "stats",
    "list",
    "ls",
    "sign-in",
    "sign-out",
    "signin",
    "signout",
    "credentials",
    "keys",
    "telemetry",
    "info",
    "about",
    "migrate",
    "init-config",
    "features",
    "feedback",
    "sandbox",
    "diagnostic",
    "export",
    "import",
    "share",
    "session",
    "sessions",
    "history",
    "skills",
    "skill",
    "providers",
    "provider",
    "logs",
    "hooks",
];

impl Agents {
    pub(crate) fn add(&mut self, entry: AgentEntry) {
        let number = match self.agents.iter().position(|known| known.name == entry.name) {
            Some(number) => number,
            None => {
                self.agents.push(entry.clone());
                self.agents.len() - 1
            }
        };
        for name in &entry.programs {
            self.programs.insert(name.clone(), (number, false));
        }
        for name in &entry.ambiguous {
            self.programs.insert(name.clone(), (number, true));
        }
        for name in &entry.packages {
            self.packages.insert(name.clone(), number);
        }
        if let Some(known) = self.agents.get_mut(number) {
            *known = entry;
        }
    }

    pub(crate) fn add_helper(&mut self, entry: &HelperEntry) -> Result<(), String> {
        let text = entry.text.as_deref().map(regex::Regex::new).transpose().map_err(|error| error.to_string())?;
        self.helpers.push((entry.programs.clone(), text));
        Ok(())
    }

    /// Whether a known agent starts this for itself: `text` is the shell text, or the arguments joined by blanks.
    pub(crate) fn is_helper(&self, program: &str, text: &str) -> bool {
        self.helpers.iter().any(|(programs, pattern)| {
            (programs.is_empty() || programs.iter().any(|known| known == program))
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
        })
    }

    /// The agent whose package this is, versions and extras aside.
    pub(crate) fn package(&self, name: &str) -> Option<usize> {
        let name = name.split('[').next().unwrap_or(name);
        let at = name.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1);
        let bare = at.and_then(|at| name.get(..at)).unwrap_or(name);
        let bare = bare.split("==").next().unwrap_or(bare);
        self.packages.get(bare).copied()
    }

    /// The agent that an executable or script path belongs to; true: others have that name as well.
    pub(crate) fn program(&self, path: &str) -> Option<(usize, bool)> {
        let name = plain_name(path);
        let stem =
            name.trim_end_matches(".js").trim_end_matches(".mjs").trim_end_matches(".cjs").trim_end_matches(".py");
        let lower;
        let stem = if stem.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = stem.to_ascii_lowercase();
            lower.as_str()
        } else {
            stem
        };
        if let Some(found) = self.programs.get(stem) {
            return Some(*found);
        }
        if stem.ends_with("-sandbox") || stem.ends_with("-wrapper") {
            return None;
        }
        // Platform binaries: `codex-x86_64-unknown-linux-musl`, `opencode-linux-x64`.
        for cut in ["-linux", "-x86_64", "-aarch64", "-darwin", "-arm64", "-x64"] {
            if let Some((head, _)) = stem.split_once(cut)
                && let Some(found) = self.programs.get(head)
            {
                return Some(*found);
            }
        }
        None
    }

    /// The agent whose installation a script's path lies in, and that is not one of its helpers.
    pub(crate) fn script(&self, path: &str) -> Option<usize> {
        const HELPERS: [&str; 6] = ["vendor/", "ripgrep", "/mcp", "hook", "node_modules/", "/rg"];
        for (number, agent) in self.agents.iter().enumerate() {
            for part in &agent.paths {
                if let Some((_, rest)) = path.split_once(part.as_str())
                    && !HELPERS.iter().any(|helper| rest.contains(helper))
                {
                    return Some(number);
                }
            }
        }
        // Any package of an agent, installed by whatever manager: `…/node_modules/@scope/name/dist/index.js`.
        let (_, installed) = path.rsplit_once("/node_modules/")?;
        let parts = if installed.starts_with('@') { 2 } else { 1 };
        let end = installed.match_indices('/').nth(parts - 1).map(|(at, _)| at)?;
        let (package, rest) = installed.split_at(end);
        let number = self.packages.get(package).copied()?;
        (!HELPERS.iter().any(|helper| rest.contains(helper)) && !rest.contains("server")).then_some(number)
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        self.agents.get(number).map_or("", |agent| agent.name.as_str())
    }

    /// Whether the arguments after the agent's program run its loop.
    pub(crate) fn kinship(&self, number: usize, ambiguous: bool, args: &[&str]) -> Option<Kinship> {
        let agent = self.agents.get(number)?;
        let before_dashes = args.iter().take_while(|arg| **arg != "--");
        let mut first = None;
        let mut skip = false;
        let mut prompt = false;
        for (index, arg) in before_dashes.enumerate() {
            if skip {
                skip = false;
                continue;
            }
            if matches!(*arg, "--version" | "--help" | "-h" | "-V") || (*arg == "-v" && args.len() == 1) {
                return Some(Kinship::Other(number));
            }
            if arg.starts_with('-') {
                prompt |=
                    matches!(*arg, "-p" | "--print" | "--prompt" | "-m" | "--message" | "-x" | "--execute" | "-c");
                skip = agent.valued.iter().any(|valued| valued == arg);
                continue;
            }
            if first.is_none() {
                first = Some((index, *arg));
            }
        }
        let word = first.map(|(_, word)| word);
        if let Some(word) = word {
            if agent.runs.iter().any(|runs| runs == word) {
                return Some(Kinship::Runs(number));
            }
            if agent.other.iter().any(|other| other == word) {
                return if ambiguous && agent.modes.is_empty() { None } else { Some(Kinship::Other(number)) };
            }
        }
        let mode = word.is_some_and(|word| agent.modes.iter().any(|mode| mode == word))
            || args
                .iter()
                // Behind another's sub-command an option means something else.
                .take(if ambiguous && agent.needs_mode { 1 } else { usize::MAX })
                .any(|arg| arg.starts_with('-') && agent.modes.iter().any(|mode| mode == arg));
        if ambiguous {
            // A name that others have: only an agent's own way of being called counts.
            if mode || (word.is_none() && args.is_empty() && !agent.needs_mode) {
                return Some(Kinship::Runs(number));
            }
            return word.filter(|word| OTHER.contains(word)).map(|_| Kinship::Other(number));
        }
        if mode {
            return Some(Kinship::Runs(number));
        }
        let usual = first.is_some_and(|(index, word)| index == 0 && OTHER.contains(&word)) && !prompt;
        if usual || (agent.needs_mode && word.is_none() && args.is_empty()) {
            return Some(Kinship::Other(number));
        }
        if agent.needs_mode && !mode && !prompt {
            return Some(Kinship::Other(number));
        }
        Some(Kinship::Runs(number))
    }

    /// The argument vector's relation to an agent, package runners and interpreters looked through.
    pub(crate) fn kinship_of(&self, words: &[&str]) -> Option<Kinship> {
        let first = *words.first()?;
        let agents = self;
        let rest = words.get(1..).unwrap_or_default();
        if words.iter().any(|word| word.starts_with("--codex-run-as-"))
            || rest.first().is_some_and(|word| word.starts_with("--codex-run-as"))
        {
            return None;
        }
        if first == "/proc/self/exe" {
            // codex starts itself again as the server that runs its tools.
            if rest.first() == Some(&"app-server")
                && let Some((agent, _)) = agents.program("codex")
            {
                return Some(Kinship::Runs(agent));
            }
            return None;
        }
        if let Some((agent, ambiguous)) = agents.program(first) {
            // It serves itself to another agent.
            if rest.starts_with(&["mcp", "serve"]) {
                return Some(Kinship::Runs(agent));
            }
            if rest.first().is_some_and(|word| matches!(*word, "--ripgrep" | "mcp-server" | "sandbox"))
                && agents.name(agent) != "codex"
            {
                return Some(Kinship::Other(agent));
            }
            return agents.kinship(agent, ambiguous, rest);
        }
        let name = plain_name(first);
        let name = crate::knowledge::without_version(name);
        match name {
            "node" | "nodejs" | "bun" | "deno" | "tsx" | "ts-node" | "python" | "pypy" | "ruby" | "electron"
            | "java" => {
                let mut index = 0;
                while let Some(word) = rest.get(index) {
                    if *word == "-m" {
                        let module = rest.get(index + 1)?;
                        // A distribution is called with dashes, its module with underscores.
                        let top = module.split('.').next().unwrap_or(module);
                        let agent = agents.package(module).or_else(|| agents.package(top));
                        let agent = agent.or_else(|| agents.package(&top.replace('_', "-")));
                        let after = rest.get(index + 2..).unwrap_or_default();
                        let named =
                            || agents.programs.get(top).or_else(|| agents.programs.get(&*top.replace('_', "-")));
                        return match (agent, named()) {
                            (Some(agent), _) => agents.kinship(agent, false, after),
                            (None, Some((agent, ambiguous))) => agents.kinship(*agent, *ambiguous, after),
                            (None, None) => None,
                        };
                    }
                    if matches!(*word, "-c" | "-e" | "--eval" | "-p" | "--print") {
                        return None;
                    }
                    if word.starts_with('-') {
                        index += 1 + usize::from(matches!(
                            *word,
                            "-r" | "--require" | "--import" | "--loader" | "-W" | "-X" | "--env-file"
                        ));
                        continue;
                    }
                    if matches!(*word, "run" | "x") && matches!(name, "bun" | "deno") {
                        index += 1;
                        continue;
                    }
                    let after = rest.get(index + 1..).unwrap_or_default();
                    if let Some(agent) = agents.script(word) {
                        return agents.kinship(agent, false, after);
                    }
                    if matches!(name, "bun" | "deno")
                        && let Some(agent) = agents.package(word.trim_start_matches("npm:"))
                    {
                        return agents.kinship(agent, false, after);
                    }
                    if (word.contains("/bin/") || word.contains("/.bin/"))
                        && let Some((agent, ambiguous)) = agents.program(word)
                    {
                        return agents.kinship(agent, ambiguous, after);
                    }
                    return None;
                }
                None
            }
            "npx" | "bunx" | "uvx" | "pipx" | "pnpm" | "yarn" | "npm" | "uv" | "pnpx" | "mise" => {
                let mut index = 0;
                let mut runner = matches!(name, "npx" | "bunx" | "uvx" | "pnpx");
                while let Some(word) = rest.get(index) {
                    if matches!(*word, "--from" | "-p" | "--package" | "--with" | "--python" | "--spec") {
                        if let Some(agent) = rest.get(index + 1).and_then(|package| agents.package(package)) {
                            let after = rest.get(index + 2..).unwrap_or_default();
                            let after = if after.first().is_some_and(|word| !word.starts_with('-')) {
                                after.get(1..).unwrap_or_default()
                            } else {
                                after
                            };
                            return agents.kinship(agent, false, after);
                        }
                        index += 2;
                        continue;
                    }
                    if word.starts_with('-') {
                        index += 1;
                        continue;
                    }
                    if !runner {
                        runner = matches!(
                            (name, *word),
                            ("pipx", "run")
                                | ("pnpm", "dlx" | "exec")
                                | ("yarn", "dlx" | "exec")
                                | ("npm", "exec" | "x")
                                | ("mise", "exec" | "x")
                        );
                        if !runner && !matches!((name, *word), ("uv", "tool" | "run") | ("mise", "x")) {
                            return None;
                        }
                        if *word == "run" && name == "uv" {
                            runner = true;
                        }
                        index += 1;
                        continue;
                    }
                    let agent = agents
                        .package(word)
                        .or_else(|| agents.program(word).filter(|(_, ambiguous)| !ambiguous).map(|(agent, _)| agent));
                    let after = rest.get(index + 1..).unwrap_or_default();
                    let after = if after.first() == Some(&"--") { after.get(1..).unwrap_or_default() } else { after };
                    return agent.and_then(|agent| agents.kinship(agent, false, after));
                }
                None
            }
            "cursor" if rest.first() == Some(&"agent") => {
                let (agent, _) = agents.program("cursor-agent")?;
                agents.kinship(agent, false, rest.get(1..).unwrap_or_default())
            }
            // Docker's own agents; a model server that starts somebody's agent.
            "docker" if rest.starts_with(&["agent", "run"]) => {
                let (agent, _) = agents.program("cagent")?;
                agents.kinship(agent, false, rest.get(1..).unwrap_or_default())
            }
            "ollama" if rest.first() == Some(&"launch") => {
                let (agent, _) = rest.get(1).and_then(|name| agents.program(name))?;
                agents.kinship(agent, false, rest.get(2..).unwrap_or_default())
            }
            "gh" => {
                // `gh copilot` is an agent of its own.
                (rest.first() == Some(&"copilot")).then(|| agents.program("copilot")).flatten().and_then(
                    |(agent, _)| {
                        let after = rest.get(1..).unwrap_or_default();
                        agents.kinship(agent, false, after.strip_prefix(&["--"]).unwrap_or(after))
                    },
                )
            }
            _ if first.contains('/') => {
                let agent = agents.script(first)?;
                let stem = name.trim_end_matches(".js").trim_end_matches(".mjs");
                // Inside an agent's folder only its own entry points are the agent.
                (stem.starts_with(|c: char| c.is_ascii_digit())
                    || matches!(stem, "cli" | "index" | "main" | "claude" | "bin"))
                .then(|| agents.kinship(agent, false, rest))
                .flatten()
            }
            _ => None,
        }
    }
}
