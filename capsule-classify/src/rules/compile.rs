//! Rules from files: every name is looked up, every mistake gets its line.

use super::files::{Origin, Source};
use super::{Rules, RulesError, locate};
use crate::place::Places;

/// Compiles the files, later ones winning.
pub(super) fn compile(sources: &[Source]) -> Result<Rules, RulesError> {
    let mut rules = Rules { places: places(sources)?, ..Rules::default() };
    for source in sources {
        for (name, entry) in &source.file.program {
            rules
                .knowledge
                .add(name, entry)
                .map_err(|message| source.wrong_as_said(table_of(source, name), message, None))?;
        }
        for (number, entry) in source.file.list.iter().enumerate() {
            let start = || locate::nth(&source.text, "[[list]]", number);
            rules.knowledge.add_list(entry).map_err(|message| source.wrong_as_said(start(), message, None))?;
        }
        for entry in &source.file.agent {
            rules.agents.add(entry.clone());
        }
        for (number, entry) in source.file.helper.iter().enumerate() {
            rules.agents.add_helper(entry).map_err(|message| {
                let start = locate::nth(&source.text, "[[helper]]", number);
                source.wrong(start, entry.text.as_deref().unwrap_or_default(), message, None)
            })?;
        }
        for (number, entry) in source.file.rule.iter().enumerate() {
            let start = locate::nth(&source.text, "[[rule]]", number);
            let written = locate::table(&source.text, start);
            rules.risks.add(entry.clone(), &source.label(), written, &rules.places).map_err(|message| {
                let hint = place_hint(&rules.places, &message);
                source.wrong_as_said(start, message, hint)
            })?;
        }
        for (number, change) in source.file.change.iter().enumerate() {
            let start = locate::nth(&source.text, "[[change]]", number);
            if let Some(id) = change.rule.strip_prefix("sigma:") {
                let level = crate::risk::severity(&change.severity);
                let level = level.map_err(|message| source.wrong_as_said(start, message, None))?;
                let because = change.because.as_deref().unwrap_or("no reason given");
                rules.sigma_changes.push((id.to_owned(), level, format!("{}: {because}", source.speaker())));
                continue;
            }
            rules.risks.change(change, &source.speaker(), &rules.places).map_err(|message| {
                let ids = rules.risks.rules.iter().map(|rule| rule.entry.id.as_str());
                let hint = if message.starts_with("no rule") {
                    locate::nearest(&change.rule, ids).or(Some("`capsule rules list` shows them all".to_owned()))
                } else {
                    place_hint(&rules.places, &message)
                };
                source.wrong_as_said(start, message, hint)
            })?;
        }
    }
    rules.risks.index();
    check_patterns(&rules, sources)?;
    Ok(rules)
}

fn places(sources: &[Source]) -> Result<Places, RulesError> {
    let (mut paths, mut hosts, mut secret) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        for place in &source.file.path {
            paths.extend(place.is.iter().map(|glob| (place.class.clone(), glob.clone())));
            if place.secret {
                secret.push(place.class.clone());
            }
        }
        for place in &source.file.host {
            hosts.extend(place.is.iter().map(|host| (place.class.clone(), host.clone())));
        }
    }
    Places::build(&paths, &hosts, &secret).map_err(|message| invalid_places(sources, message))
}

/// A mistake in a class of places, which comes from the last file: the others have been read before.
fn invalid_places(sources: &[Source], message: String) -> RulesError {
    let path = sources.last().map(|source| source.path.clone()).unwrap_or_default();
    RulesError::Invalid { path, line: 0, message, hint: None }
}

/// Where `[program.NAME]` begins.
fn table_of(source: &Source, name: &str) -> usize {
    [format!("[program.{name}]"), format!("[program.\"{name}\"]"), format!("[program.'{name}']")]
        .iter()
        .find_map(|header| source.text.find(header))
        .unwrap_or_default()
}

fn place_hint(places: &Places, message: &str) -> Option<String> {
    let name = message.strip_prefix("unknown place `")?.split('`').next()?;
    locate::nearest(name, places.names()).or_else(|| Some("[[path]] and [[host]] make classes of places".to_owned()))
}

/// Patterns are compiled at their first use; the embedded ones are checked by tests, everybody else's here.
fn check_patterns(rules: &Rules, sources: &[Source]) -> Result<(), RulesError> {
    const HINT: &str = "look-around and back references are not supported: time must stay linear";
    let written_by_hand: Vec<&Source> = sources.iter().filter(|source| source.origin > Origin::Session).collect();
    if written_by_hand.is_empty() {
        return Ok(());
    }
    rules.places.check().map_err(|message| invalid_places(sources, message))?;
    if let Some(mistake) = rules.risks.check().into_iter().next() {
        let rule = rules.risks.rules.get(mistake.rule);
        let id = rule.map(|rule| rule.entry.id.as_str()).unwrap_or_default();
        let message = format!("rule `{id}` has a regular expression that cannot be used: {}", mistake.message);
        let hint = Some(HINT.to_owned());
        return Err(match written_by_hand.iter().rev().find(|source| source.text.contains(&mistake.pattern)) {
            Some(source) => {
                // From the table of the rule or change that it is in.
                let at = source.text.find(&mistake.pattern).unwrap_or_default();
                let line = locate::line_at(&source.text, at);
                RulesError::Invalid { path: source.path.clone(), line, message, hint }
            }
            None => RulesError::Invalid {
                path: written_by_hand.last().map(|source| source.path.clone()).unwrap_or_default(),
                line: 0,
                message,
                hint,
            },
        });
    }
    for source in written_by_hand {
        for (name, entry) in &source.file.program {
            if let Some(Err((index, message))) = rules.knowledge.get(name).map(crate::knowledge::Program::check) {
                let start = table_of(source, name);
                let word = entry.when.get(index).map(|when| when.args.as_str()).unwrap_or_default();
                let message = format!("program `{name}` has a regular expression that cannot be used: {message}");
                return Err(source.wrong(start, word, message, Some(HINT.to_owned())));
            }
        }
    }
    Ok(())
}
