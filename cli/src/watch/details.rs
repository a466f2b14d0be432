//! Everything that is known of the selected process until the moment that is shown, as lines of a width.

use capsule_core::{ProcessNode, escape_terminal};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar as _;

use super::draw::severity;
use super::model::{Stand, stand};
use super::state::State;

/// How many files and hosts of a process are shown.
const TOUCHED: usize = 200;
/// How many execs of a process are shown, the latest.
const EXECS: usize = 20;
/// How many characters of a value are shown; reports have all of them.
const VALUE: usize = 16 * 1024;
/// Where the lines of a value begin.
const INDENT: usize = 8;

/// The details of the selected process, in lines of at most `width` columns.
#[must_use]
pub fn details(state: &State, width: u16) -> Vec<Line<'static>> {
    let Some(node) = state.selected.and_then(|proc| state.model.node(proc)) else {
        return vec![Line::raw("no process is selected")];
    };
    let mut page = Page { lines: Vec::new(), width: usize::from(width) };
    identity(state, node, &mut page);
    let until = state.moment();
    for risk in state.model.risks.iter().filter(|risk| risk.proc == node.proc && risk.timestamp <= until) {
        let title = format!("{} {}", risk.severity, escape_terminal(risk.title.as_bytes()));
        let why = format!(": {} ({})", escape_terminal(risk.why.as_bytes()), risk.rule);
        page.push("risk", &title, severity(risk.severity), &why);
    }
    for exec in node.execs.iter().filter(|exec| exec.at <= until).rev().take(EXECS) {
        let words: Vec<String> = exec.argv.iter().map(|word| format!("\"{}\"", escape_terminal(word))).collect();
        page.plain("argv", &words.join(" "));
        if let Some(exe) = &exec.exe {
            page.plain("exe", &escape_terminal(exe.as_bytes()));
        }
        if let Some(cwd) = &exec.cwd {
            page.plain("cwd", &escape_terminal(cwd.as_bytes()));
        }
    }
    let about = state.model.touched.iter().filter(|touch| touch.proc == node.proc && touch.at <= until);
    for touch in about.take(TOUCHED) {
        let times = if touch.count > 1 { format!(" ×{}", touch.count) } else { String::new() };
        page.plain(touch.kind.name(), &format!("{}{times}", escape_terminal(touch.name.as_bytes())));
    }
    if let Some(environment) = state.model.environment(node.proc) {
        let names: Vec<String> = environment.names.iter().map(|name| escape_terminal(name.as_bytes())).collect();
        page.plain("env", &names.join(" "));
    }
    page.lines
}

fn identity(state: &State, node: &ProcessNode, page: &mut Page) {
    let parent = node.parent.map(|parent| format!(", started by #{parent}")).unwrap_or_default();
    let since = capsule_report::duration(node.started.since(state.metadata.started));
    page.plain("process", &format!("#{} (pid {}){parent}, after {since}", node.proc, node.pid));
    let end = match stand(node, state.moment()) {
        Stand::Running => "running".to_owned(),
        Stand::Ended(Some(code), _) => format!("exited with {code}"),
        Stand::Ended(None, Some(signal)) => format!("ended by signal {signal}"),
        Stand::Ended(None, None) => "ended".to_owned(),
        Stand::Unknown => "its end was not recorded".to_owned(),
    };
    page.plain("state", &end);
    let workflow = node.workflow.map(|workflow| format!(", {workflow}")).unwrap_or_default();
    let rule = if node.rule.is_empty() { String::new() } else { format!(": rule {}", node.rule) };
    page.plain("label", &format!("{} ({}{workflow}){rule}", node.label, node.role));
}

/// Names on the left, and values beside them over as many lines as they take: so it is known how far one can scroll.
struct Page {
    lines: Vec<Line<'static>>,
    width: usize,
}

impl Page {
    fn plain(&mut self, name: &str, value: &str) {
        self.push(name, "", Style::new(), value);
    }

    /// A value whose beginning has a style.
    fn push(&mut self, name: &str, styled: &str, style: Style, plain: &str) {
        let dim = Style::new().add_modifier(Modifier::DIM);
        let name = format!("{name:<width$} ", width = INDENT - 1);
        let parts = [(name.as_str(), dim), (styled, style), (plain, Style::new())];
        let mut cells: Vec<(char, Style)> =
            parts.iter().flat_map(|(text, style)| text.chars().map(|c| (c, *style))).collect();
        let more = cells.len().saturating_sub(VALUE);
        if more > 0 {
            cells.truncate(VALUE);
            cells.extend(format!("… and {more} more characters").chars().map(|c| (c, dim)));
        }
        let (here, mut rest) = cells.split_at(fitting(&cells, self.width));
        self.lines.push(line(0, here));
        let indent = if self.width > 2 * INDENT { INDENT } else { 0 };
        while !rest.is_empty() {
            let (here, after) = rest.split_at(fitting(rest, self.width - indent));
            self.lines.push(line(indent, here));
            rest = after;
        }
    }
}

/// How many characters fit into so many columns, one at least: to the end, or to behind a space in their second half.
fn fitting(cells: &[(char, Style)], columns: usize) -> usize {
    let (mut used, mut space) = (0, None);
    for (index, (c, _)) in cells.iter().enumerate() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return space.unwrap_or(index).max(1);
        }
        if *c == ' ' && used > columns / 2 {
            space = Some(index + 1);
        }
    }
    cells.len()
}

fn line(indent: usize, cells: &[(char, Style)]) -> Line<'static> {
    let mut spans = vec![Span::raw(" ".repeat(indent))];
    spans.extend(cells.chunk_by(|one, next| one.1 == next.1).map(|same| {
        let text: String = same.iter().map(|(c, _)| *c).collect();
        Span::styled(text, same.first().map_or_else(Style::new, |(_, style)| *style))
    }));
    Line::from(spans)
}
