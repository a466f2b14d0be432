//! `capsule rules`: what classification knows, in words.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use capsule_classify::{CommandContext, Expectations, Input, RuleInfo, Rules, classify};
use capsule_core::{Argv, escape_terminal, exit};
use serde_json::json;

use crate::args::{RuleArgs, RulesArgs, RulesCommand};
use crate::error::{Outcome, Problem};
use crate::output;
use crate::rules::{self, project};

pub(super) fn exec(args: &RulesArgs) -> Outcome {
    match &args.command {
        RulesCommand::List { json } => list(&rules::load(&args.more)?, *json),
        RulesCommand::Check { files } => {
            let mut more = args.more.clone();
            more.rules.extend_from_slice(files);
            check(&more)
        }
        RulesCommand::Explain { rule, toml } => explain(&rules::load(&args.more)?, rule, *toml),
        RulesCommand::Test { files } => test(&rules::load(&args.more)?, files),
        RulesCommand::Try { command } => {
            attempt(&rules::load(&args.more)?, command.iter().map(|word| word.as_bytes()).collect())
        }
        RulesCommand::Trust { directory } => trust(directory),
        RulesCommand::Distrust { directory } => {
            let was = project::distrust(directory)?;
            output::say(if was { "its rules no longer hold" } else { "its rules did not hold" });
            Ok(if was { exit::OK } else { exit::FAILURE })
        }
    }
}

fn value(rule: &RuleInfo) -> serde_json::Value {
    json!({
        "id": rule.id, "title": rule.title, "category": rule.category, "severity": rule.severity, "why": rule.why,
        "innocent": rule.innocent, "attack": rule.attack, "adjust": rule.adjust, "origin": rule.origin,
        "changes": rule.changes,
    })
}

fn list(rules: &Rules, as_json: bool) -> Outcome {
    let all = rules.list();
    if as_json {
        let listed: Vec<_> = all.iter().map(value).collect();
        let attack = capsule_classify::ATTACK_VERSION;
        output::json(&json!({ "schema": "capsule.rules/1", "attack_version": attack, "rules": listed }))?;
        return Ok(exit::OK);
    }
    let mut out = output::data();
    for rule in &all {
        writeln!(out, "{:<9} {:<22} {:<44} {}", rule.severity, rule.category, rule.id, rule.title)?;
    }
    out.flush()?;
    output::say(&format!(
        "{} rules (ATT&CK {}), {} programs known",
        all.len(),
        capsule_classify::ATTACK_VERSION,
        rules.programs_known()
    ));
    Ok(exit::OK)
}

/// Everything is read, compiled, and every mistake said. A Sigma rule that cannot be used is one.
fn check(more: &RuleArgs) -> Outcome {
    let without = RuleArgs { sigma: Vec::new(), ..more.clone() };
    let mut rules = rules::load(&without)?;
    let mut complaints = rules.check();
    for path in &more.sigma {
        let report = rules.add_sigma(path)?;
        for skipped in &report.skipped {
            let hint = skipped.hint.as_deref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
            let line = if skipped.line > 0 { format!(":{}", skipped.line) } else { String::new() };
            complaints.push(format!("`{}`{line}: {}{hint}", skipped.path.display(), skipped.message));
        }
        output::say(&rules::in_words(path, &report));
    }
    for complaint in &complaints {
        output::say(&escape_terminal(complaint.as_bytes()));
    }
    if complaints.is_empty() {
        output::say(&format!("{} rules, nothing wrong", rules.list().len()));
    }
    Ok(if complaints.is_empty() { exit::OK } else { exit::FAILURE })
}

/// What they would change is shown: whoever trusts them should know it.
fn trust(directory: &Path) -> Outcome {
    // Read and compiled before they are trusted: rules with a mistake would be an error at every command here.
    let (directory, files) = project::read_to_trust(directory)?;
    let rules = Rules::of(files.clone(), None)?;
    project::trust(&directory, &files)?;
    let mut said = 0;
    for rule in rules.list() {
        for change in &rule.changes {
            said += 1;
            output::say(&escape_terminal(format!("{}: {change}", rule.id).as_bytes()));
        }
        if files.iter().any(|file| file.path.display().to_string() == rule.origin) {
            said += 1;
            output::say(&escape_terminal(format!("{} ({}): {}", rule.id, rule.severity, rule.title).as_bytes()));
        }
    }
    let directory = escape_terminal(directory.display().to_string().as_bytes());
    output::say(&format!(
        "the rules of `{directory}` hold from now on, as they are: {} files, {said} rules and changes",
        files.len()
    ));
    Ok(exit::OK)
}

fn explain(rules: &Rules, id: &str, toml: bool) -> Outcome {
    let Some(rule) = rules.explain(id).or_else(|| rules.explain(&format!("sigma:{id}"))) else {
        let near: Vec<String> =
            rules.list().into_iter().map(|rule| rule.id).filter(|known| known.contains(id)).collect();
        let hint = if near.is_empty() { "capsule rules list shows them all".to_owned() } else { near.join(", ") };
        return Err(Problem::new(exit::FAILURE, anyhow::anyhow!("there is no rule `{}`", id.escape_debug())).hint(hint));
    };
    let mut out = output::data();
    writeln!(out, "{}: {}", rule.id, rule.title)?;
    writeln!(
        out,
        "  {} {}, ATT&CK {} (version {})",
        rule.severity,
        rule.category,
        rule.attack.join(" "),
        capsule_classify::ATTACK_VERSION
    )?;
    writeln!(out, "  {}", rule.why)?;
    if let Some(innocent) = &rule.innocent {
        writeln!(out, "  Innocent if: {innocent}")?;
    }
    for (to, why) in &rule.adjust {
        writeln!(out, "  becomes {to}: {why}")?;
    }
    for change in &rule.changes {
        writeln!(out, "  {}", escape_terminal(change.as_bytes()))?;
    }
    writeln!(out, "  from {}", escape_terminal(rule.origin.as_bytes()))?;
    if toml {
        writeln!(out)?;
        for line in rules.written(&rule.id).unwrap_or_default().lines() {
            writeln!(out, "{}", escape_terminal(line.as_bytes()))?;
        }
    }
    out.flush()?;
    Ok(exit::OK)
}

fn test(rules: &Rules, files: &[PathBuf]) -> Outcome {
    let (mut all, mut failed) = (0, 0);
    let mut out = output::data();
    for path in files {
        let tests = Expectations::read(path, rules)?;
        all += tests.len();
        for failure in tests.check(rules) {
            failed += 1;
            let place = format!("{}:{}: {}", failure.path.display(), failure.line, failure.name);
            writeln!(out, "{}", escape_terminal(place.as_bytes()))?;
            for wrong in &failure.wrong {
                writeln!(out, "  {}", escape_terminal(wrong.as_bytes()))?;
            }
        }
    }
    out.flush()?;
    if all == 0 {
        return Err(Problem::new(exit::FAILURE, anyhow::anyhow!("there is no test")).hint("a test is a [[test]] table"));
    }
    output::say(&format!("{} of {all} tests as expected", all - failed));
    Ok(if failed == 0 { exit::OK } else { exit::FAILURE })
}

fn attempt(rules: &Rules, argv: Argv) -> Outcome {
    let verdict = classify(rules, &Input { argv, cwd: None, context: CommandContext::default() });
    let mut out = output::data();
    let workflow = verdict.workflow.map_or("none", capsule_core::Workflow::name);
    writeln!(out, "{} {workflow}: {} ({})", verdict.label, escape_terminal(verdict.summary.as_bytes()), verdict.rule)?;
    for risk in &verdict.risks {
        writeln!(out, "  {:<9} {:<22} {}", risk.severity, risk.category, risk.rule)?;
    }
    for silenced in &verdict.silenced {
        writeln!(out, "  {:<9} {:<22} {} ({})", "silenced", silenced.category, silenced.rule, silenced.because)?;
    }
    out.flush()?;
    Ok(exit::OK)
}
