//! `capsule rules`: what classification knows, in words.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use capsule_classify::{CommandContext, Input, RuleInfo, Rules, classify};
use capsule_core::{Argv, exit};
use serde_json::json;

use crate::args::{RulesArgs, RulesCommand};
use crate::error::{Outcome, Problem};
use crate::output;

pub(super) fn exec(args: &RulesArgs) -> Outcome {
    match &args.command {
        RulesCommand::List { json } => list(&super::load_rules(&args.rules)?, *json),
        RulesCommand::Check { files } => {
            let mut paths = args.rules.clone();
            paths.extend_from_slice(files);
            check(&super::load_rules(&paths)?)
        }
        RulesCommand::Explain { rule } => explain(&super::load_rules(&args.rules)?, rule),
        RulesCommand::Test { command } => {
            test(&super::load_rules(&args.rules)?, command.iter().map(|word| word.as_bytes()).collect())
        }
    }
}

fn value(rule: &RuleInfo) -> serde_json::Value {
    json!({
        "id": rule.id, "title": rule.title, "category": rule.category, "severity": rule.severity, "why": rule.why,
        "innocent": rule.innocent, "attack": rule.attack, "adjust": rule.adjust, "origin": rule.origin,
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

fn check(rules: &Rules) -> Outcome {
    let complaints = rules.check();
    for complaint in &complaints {
        output::say(complaint);
    }
    if complaints.is_empty() {
        output::say(&format!("{} rules, nothing wrong", rules.list().len()));
    }
    Ok(if complaints.is_empty() { exit::OK } else { exit::FAILURE })
}

fn explain(rules: &Rules, id: &str) -> Outcome {
    let Some(rule) = rules.explain(id) else {
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
    writeln!(out, "  from {}", rule.origin)?;
    out.flush()?;
    Ok(exit::OK)
}

fn test(rules: &Rules, argv: Argv) -> Outcome {
    let verdict = classify(rules, &Input { argv, cwd: None, context: CommandContext::default() });
    let mut out = output::data();
    let workflow = verdict.workflow.map_or("none", capsule_core::Workflow::name);
    writeln!(
        out,
        "{} {workflow}: {} ({})",
        verdict.label,
        capsule_core::escape_terminal(verdict.summary.as_bytes()),
        verdict.rule
    )?;
    for risk in &verdict.risks {
        writeln!(out, "  {:<9} {:<22} {}", risk.severity, risk.category, risk.rule)?;
    }
    out.flush()?;
    Ok(exit::OK)
}
