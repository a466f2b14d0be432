//! Everything that is known of the selected process until the moment that is shown, as lines.

use capsule_core::{ProcessNode, escape_terminal};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::draw::severity;
use super::model::{Stand, stand};
use super::state::State;

/// How many files and hosts of a process are shown.
const TOUCHED: usize = 200;
/// How many execs of a process are shown, the latest.
const EXECS: usize = 20;

/// The details of the selected process.
#[must_use]
pub fn details(state: &State) -> Vec<Line<'static>> {
    let Some(node) = state.selected.and_then(|proc| state.model.node(proc)) else {
        return vec![Line::raw("no process is selected")];
    };
    let mut lines = Vec::new();
    identity(state, node, &mut lines);
    let until = state.moment();
    for risk in state.model.risks.iter().filter(|risk| risk.proc == node.proc && risk.timestamp <= until) {
        let text = format!("{} {}", risk.severity, escape_terminal(risk.title.as_bytes()));
        lines.push(Line::from(vec![
            Span::raw("risk   "),
            Span::styled(text, severity(risk.severity)),
            Span::raw(format!(": {} ({})", escape_terminal(risk.why.as_bytes()), risk.rule)),
        ]));
    }
    for exec in node.execs.iter().filter(|exec| exec.at <= until).rev().take(EXECS) {
        let words: Vec<String> = exec.argv.iter().map(|word| format!("\"{}\"", escape_terminal(word))).collect();
        push(&mut lines, "argv", &words.join(" "));
        if let Some(exe) = &exec.exe {
            push(&mut lines, "exe", &escape_terminal(exe.as_bytes()));
        }
        if let Some(cwd) = &exec.cwd {
            push(&mut lines, "cwd", &escape_terminal(cwd.as_bytes()));
        }
    }
    let about = state.model.touched.iter().filter(|touch| touch.proc == node.proc && touch.at <= until);
    for touch in about.take(TOUCHED) {
        let times = if touch.count > 1 { format!(" ×{}", touch.count) } else { String::new() };
        push(&mut lines, touch.kind.name(), &format!("{}{times}", escape_terminal(touch.name.as_bytes())));
    }
    if let Some(environment) = state.model.environment(node.proc) {
        let names: Vec<String> = environment.names.iter().map(|name| escape_terminal(name.as_bytes())).collect();
        push(&mut lines, "env", &names.join(" "));
    }
    lines
}

fn identity(state: &State, node: &ProcessNode, lines: &mut Vec<Line<'static>>) {
    let parent = node.parent.map(|parent| format!(", started by #{parent}")).unwrap_or_default();
    let since = capsule_report::duration(node.started.since(state.metadata.started));
    push(lines, "process", &format!("#{} (pid {}){parent}, after {since}", node.proc, node.pid));
    let end = match stand(node, state.moment()) {
        Stand::Running => "running".to_owned(),
        Stand::Ended(Some(code), _) => format!("exited with {code}"),
        Stand::Ended(None, Some(signal)) => format!("ended by signal {signal}"),
        Stand::Ended(None, None) => "ended".to_owned(),
        Stand::Unknown => "its end was not recorded".to_owned(),
    };
    push(lines, "state", &end);
    let workflow = node.workflow.map(|workflow| format!(", {workflow}")).unwrap_or_default();
    let rule = if node.rule.is_empty() { String::new() } else { format!(": rule {}", node.rule) };
    push(lines, "label", &format!("{} ({}{workflow}){rule}", node.label, node.role));
}

fn push(lines: &mut Vec<Line<'static>>, name: &str, value: &str) {
    let dim = Style::new().add_modifier(Modifier::DIM);
    lines.push(Line::from(vec![Span::styled(format!("{name:<7}"), dim), Span::raw(format!(" {value}"))]));
}
