//! The pure function behind everything: one process in, one verdict out.

use capsule_core::{Label, Role, Workflow};

use crate::agent::Kinship;
use crate::eval::{Done, Eval, Plumbing};
use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::plain_name;
use crate::place::{Classes, host_of};
use crate::risk::{Hit, Verb, flag};
use crate::rules::Rules;
use crate::summary;
use crate::verdict::{Facts, Input, Risk, Silenced, Verdict};

/// How many findings one process may have.
const RISKS: usize = 32;

/// Judges one process. Pure: the same input and rules give the same verdict; time is linear in the arguments.
#[must_use]
pub fn classify(rules: &Rules, input: &Input) -> Verdict {
    let texts: Vec<String> = input.argv.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let Some(first) = texts.first().filter(|first| !first.trim().is_empty()) else {
        return nothing(rules, input);
    };
    let cwd = input.cwd.as_ref().map(|cwd| cwd.to_lossy().into_owned());
    let mut eval = Eval::new(rules, cwd.as_deref());
    if is_nameless(first) {
        let mut verdict = unknown();
        verdict.summary = summary::one_line(first);
        eval.deed(Verb::Shape, "memory-file", Taint::NONE, 0, "", None);
        evidence(&mut eval, input, "");
        (verdict.risks, verdict.silenced) = risks(rules, std::mem::take(&mut eval.hits));
        return verdict;
    }
    let args: Vec<Arg> = texts.iter().map(|text| Arg { text: text.clone(), ..Arg::default() }).collect();
    let mut flags = if input.context.elevated { flag::ELEVATED } else { 0 };
    if input.context.root {
        flags |= flag::SCRIPT;
    }
    let (name, _) = eval.program(first);
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let kinship = rules.agents.kinship_of(&words);
    let mut label = label(rules, &texts, &name);
    let mut rule = "label.tool".to_owned();
    let mut tool: String = name.chars().take(128).collect();
    let mut work = None;
    match kinship {
        Some(Kinship::Runs(agent)) => {
            label = Label::Agent;
            tool = rules.agents.name(agent).to_owned();
            rule = format!("label.agent.{tool}");
            let rest: Vec<Arg> = agent_args(&args);
            eval.judge(Verb::Run, "(agent)", Classes::default(), Taint::NONE, flags, "(agent)", None, &rest);
        }
        Some(Kinship::Other(agent)) => {
            label = Label::Tool;
            tool = rules.agents.name(agent).to_owned();
            rule = format!("label.agent-program.{tool}");
            let rest: Vec<Arg> = agent_args(&args);
            eval.judge(
                Verb::Run,
                "(agent-program)",
                Classes::default(),
                Taint::NONE,
                flags,
                "(agent-program)",
                None,
                &rest,
            );
            work = agent_program_work(&texts);
        }
        None => {
            let done = run(&mut eval, &args, flags);
            work = done.work;
            if label == Label::SystemTool {
                rule = "label.system-tool".to_owned();
            }
        }
    }
    let connects = evidence(&mut eval, input, &tool);
    if kinship.is_none() {
        if input.context.root && label == Label::Tool {
            label = Label::Agent;
            rule = "label.session-root".to_owned();
        } else if connects && label == Label::Tool && may_be_custom_agent(rules, &name) {
            label = Label::Agent;
            rule = "label.model-connection".to_owned();
        }
    }
    if label == Label::Agent || label == Label::Unknown {
        work = None;
    }
    let answers = answers(rules, &args, &name);
    let mut facts = eval.facts();
    facts.known_agent = matches!(kinship, Some(Kinship::Runs(_)));
    let hits = std::mem::take(&mut eval.hits);
    let resources = std::mem::take(&mut eval.resources);
    if let Some(module) = module(&texts, &name).filter(|_| kinship.is_none()) {
        // `python -m pytest` is pytest.
        tool = module.chars().take(128).collect();
    }
    let (summary, wrapped) = summary::of(rules, &texts, label, &name);
    let script = script(&texts, &name);
    let script_path = script.and_then(|at| texts.get(at)).map(String::as_str);
    facts.wraps = wrapped && !script_path.is_some_and(is_shim);
    let text = if wrapped && script.is_none() && crate::eval::is_shell(&name) {
        summary.clone()
    } else {
        texts.get(script.unwrap_or(0).saturating_add(1)..).unwrap_or_default().join(" ")
    };
    let program = script_path.map_or(name.as_str(), plain_name);
    facts.helper = rules.agents.is_helper(program, text.get(..1024.min(text.len())).unwrap_or(&text));
    let role = match label {
        Label::Agent => Role::Agent,
        Label::SystemTool if facts.wraps => Role::Wrapper,
        _ => Role::Asked,
    };
    let (mut risks, mut silenced) = risks(rules, hits);
    crate::sigma::add(rules, input, &mut risks, &mut silenced);
    Verdict { label, workflow: work, role, tool, summary, resources, rule, risks, silenced, answers, facts }
}

/// Where a script's path stands among the arguments of the shell or Python that runs it: programs like `lsb_release`
/// are scripts, and are what they are called, not what runs them.
fn script(texts: &[String], name: &str) -> Option<usize> {
    if !crate::eval::is_shell(name) && !name.starts_with("python") {
        return None;
    }
    for (at, text) in texts.iter().enumerate().skip(1) {
        if text.starts_with(['-', '+']) {
            // Code or a module instead of a file.
            if !text.starts_with("--") && text.contains(['c', 'm']) {
                return None;
            }
            continue;
        }
        return text.contains('/').then_some(at);
    }
    None
}

/// The program that is a module of Python.
fn module<'a>(texts: &'a [String], name: &str) -> Option<&'a str> {
    if name != "python" && name != "pypy" && !name.starts_with("python3") {
        return None;
    }
    let at = texts.iter().skip(1).position(|text| !text.starts_with('-') || text == "-m" || text == "-c")?;
    let module = texts.get(at + 1).filter(|text| *text == "-m").and_then(|_| texts.get(at + 2))?;
    let named =
        !module.is_empty() && module.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    named.then(|| module.strip_suffix(".__main__").unwrap_or(module))
}

/// A version manager's stand-in for a program (pyenv, rbenv, nodenv, asdf): it looks for the program and becomes it. What
/// it starts on the way is its own affair, not what was asked.
fn is_shim(path: &str) -> bool {
    ["env/shims/", "env/libexec/", "asdf/shims/"].iter().any(|part| path.contains(part))
}

fn run(eval: &mut Eval<'_>, args: &[Arg], flags: u32) -> Done {
    eval.run(args, &Flow::default(), flags, &Plumbing::default(), false)
}

fn unknown() -> Verdict {
    Verdict {
        label: Label::Unknown,
        workflow: None,
        role: Role::Asked,
        tool: String::new(),
        summary: String::new(),
        resources: Vec::new(),
        rule: "label.unknown".to_owned(),
        risks: Vec::new(),
        silenced: Vec::new(),
        answers: Vec::new(),
        facts: Facts::default(),
    }
}

/// No arguments to judge by: what it did is still evidence.
fn nothing(rules: &Rules, input: &Input) -> Verdict {
    let mut eval = Eval::new(rules, None);
    evidence(&mut eval, input, "");
    let mut verdict = unknown();
    (verdict.risks, verdict.silenced) = risks(rules, std::mem::take(&mut eval.hits));
    if input.context.root {
        verdict.label = Label::Agent;
        "label.session-root".clone_into(&mut verdict.rule);
    }
    verdict
}

/// An executable without a name: run from a descriptor.
fn is_nameless(first: &str) -> bool {
    first
        .strip_prefix("/proc/self/fd/")
        .or_else(|| first.strip_prefix("/dev/fd/"))
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        || first.starts_with("/memfd:")
        || first.bytes().all(|b| !b.is_ascii_alphanumeric() && b != b'.' && b != b'[' && b != b':' && b < 0x80)
}

/// What the process is known to have written and reached. True: it reached a model API.
fn evidence(eval: &mut Eval<'_>, input: &Input, program: &str) -> bool {
    let flags = if input.context.elevated { flag::ELEVATED } else { 0 };
    for path in input.context.writes.iter().take(256) {
        let path = path.to_lossy();
        let classes = eval.evidence(&path, program, flags);
        let _ = classes;
    }
    let mut model = false;
    for address in input.context.connects.iter().take(256) {
        let address = address.to_lossy();
        let classes = eval.connected(&address, program);
        model |= eval.rules.places.named("model-api").is_some_and(|one| classes.any(one));
        if let Some((host, port)) = address.rsplit_once(':')
            && matches!(port, "11434" | "1234")
            && eval.rules.places.named("loopback").is_some_and(|one| eval.rules.places.of_host(host).any(one))
        {
            model = true;
        }
        let _ = host_of(&address);
    }
    model
}

/// A program of no known name, or an interpreter, may be somebody's own agent.
fn may_be_custom_agent(rules: &Rules, name: &str) -> bool {
    match rules.knowledge.get(name) {
        Some(program) => {
            program.language.is_some()
                || matches!(name, "java" | "dotnet" | "deno" | "bun" | "go" | "cargo" | "uvicorn" | "streamlit")
        }
        None => true,
    }
}

/// What follows the agent's own name in an argument vector.
fn agent_args(args: &[Arg]) -> Vec<Arg> {
    args.get(1..).unwrap_or_default().to_vec()
}

/// The work of an agent's executable that does not run the agent.
fn agent_program_work(texts: &[String]) -> Option<Workflow> {
    let rest: Vec<&str> = texts.iter().skip(1).map(String::as_str).collect();
    if rest.iter().any(|word| {
        matches!(
            *word,
            "--version"
                | "--help"
                | "-h"
                | "-V"
                | "-v"
                | "version"
                | "help"
                | "doctor"
                | "status"
                | "list"
                | "stats"
                | "models"
                | "usage"
                | "whoami"
        )
    }) {
        return Some(Workflow::SystemExploration);
    }
    if rest.iter().any(|word| {
        matches!(*word, "login" | "logout" | "auth" | "setup-token" | "sign-in" | "signin" | "credentials" | "keys")
    }) {
        return Some(Workflow::SecurityOperation);
    }
    if rest.iter().any(|word| matches!(*word, "update" | "upgrade" | "install")) {
        return Some(Workflow::NetworkCommunication);
    }
    if rest.iter().any(|word| matches!(*word, "config" | "configure" | "mcp" | "settings" | "add" | "set")) {
        return Some(Workflow::CodeGeneration);
    }
    None
}

fn label(rules: &Rules, texts: &[String], name: &str) -> Label {
    if crate::eval::is_shell(name) {
        return Label::SystemTool;
    }
    // `busybox sh` is a shell, `busybox wget` is a tool.
    if matches!(name, "busybox" | "toybox") {
        return match texts.get(1) {
            Some(applet) if crate::eval::is_shell(applet) => Label::SystemTool,
            Some(applet) => rules.knowledge.get(applet).and_then(|program| program.label).unwrap_or(Label::Tool),
            None => Label::Tool,
        };
    }
    if let Some(first) = texts.first() {
        if texts.iter().skip(1).take(2).any(|word| word.starts_with("--codex-run-as-") && !word.contains("apply-patch"))
        {
            return Label::SystemTool;
        }
        if first.starts_with("/lib") && name.starts_with("ld-") {
            return Label::SystemTool;
        }
        if first.starts_with("sshd:")
            || first.starts_with("systemd")
            || name.starts_with("systemd-")
                && !matches!(
                    name,
                    "systemd-analyze"
                        | "systemd-cat"
                        | "systemd-cgtop"
                        | "systemd-cgls"
                        | "systemd-detect-virt"
                        | "systemd-path"
                        | "systemd-escape"
                        | "systemd-tmpfiles"
                        | "systemd-cryptenroll"
                        | "systemd-creds"
                )
        {
            return Label::SystemTool;
        }
    }
    rules.knowledge.get(name).and_then(|program| program.label).unwrap_or(Label::Tool)
}

/// Exit codes that are answers, of the program that was asked for.
fn answers(rules: &Rules, args: &[Arg], name: &str) -> Vec<i32> {
    if crate::eval::is_shell(name) {
        let Some(code) = args.iter().skip(1).find(|arg| !arg.text.starts_with('-')) else { return Vec::new() };
        let text = summary::unwrap_agent(&code.text);
        let last = text.rsplit(['|', ';', '&', '\n']).find(|part| !part.trim().is_empty()).unwrap_or_default();
        let program = last.split_whitespace().next().unwrap_or_default();
        return rules.knowledge.get(plain_name(program)).map(|program| program.answers.clone()).unwrap_or_default();
    }
    rules.knowledge.get(name).map(|program| program.answers.clone()).unwrap_or_default()
}

/// Findings, the worst first, one for each rule; and those that users' rules silenced.
fn risks(rules: &Rules, mut hits: Vec<Hit>) -> (Vec<Risk>, Vec<Silenced>) {
    hits.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.rule.cmp(&b.rule)));
    let mut out: Vec<Risk> = Vec::new();
    let mut silenced: Vec<Silenced> = Vec::new();
    for hit in hits {
        let Some(rule) = rules.risks.rules.get(hit.rule) else { continue };
        if hit.silenced {
            if silenced.len() < RISKS && !silenced.iter().any(|known| known.rule == rule.entry.id) {
                silenced.push(Silenced::by(&rule.entry, hit.severity, hit.adjusted));
            }
            continue;
        }
        if let Some(known) = out.iter_mut().find(|known| known.rule == rule.entry.id) {
            known.whole &= hit.whole;
            known.subjects += usize::from(known.subject != hit.subject);
            continue;
        }
        if out.len() >= RISKS {
            continue;
        }
        out.push(Risk {
            rule: rule.entry.id.clone(),
            severity: hit.severity,
            category: rule.entry.category.clone(),
            title: rule.entry.title.clone(),
            why: rule.entry.why.clone(),
            subject: hit.subject,
            attack: rule.entry.attack.clone(),
            innocent: rule.entry.innocent.clone(),
            adjusted: hit.adjusted,
            changed: hit.changed,
            whole: hit.whole,
            subjects: 1,
        });
    }
    (out, silenced)
}
