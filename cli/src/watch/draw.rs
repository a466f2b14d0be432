//! Puts the view on a screen. Everything from the traced program is escaped first: a terminal never sees its bytes.

use capsule_core::{EffectKind, Label, ProcId, Severity, escape_terminal};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget as _};

use super::details::details;
use super::model::{Stand, age, stand, summary};
use super::state::{Row, State, Typing};

/// How wide the column of durations is.
const AGE: u16 = 10;
/// How many files and hosts of a moment are looked through for the latest.
const LOOK_BACK: usize = 2_000;

/// The keys, as they are explained.
pub(super) const HELP: &[&str] = &[
    "j k ↑ ↓ PgUp PgDn g G   move",
    "f                       follow the newest process",
    "space                   hold this moment / go on live",
    ", .                     one beginning or end of a process back / on",
    "< >                     a tenth of the session back / on",
    "0                       the beginning",
    "/ n N                   search, next, previous",
    "&                       show only what has a text; Esc shows all",
    "← → z                   fold, unfold",
    "r R                     next, previous process with a finding",
    "d Tab Enter             details; J K scroll them",
    "o                       under run --live: show or hide the command's output",
    "Ctrl-C                  under run --live: interrupt the command; else leave",
    "q                       leave; the session goes on (Ctrl-Z stops the view)",
];

/// The style of a severity.
pub(super) fn severity(severity: Severity) -> Style {
    match severity {
        Severity::Info => Style::new().add_modifier(Modifier::DIM),
        Severity::Low => Style::new().fg(Color::Blue),
        Severity::Medium => Style::new().fg(Color::Yellow),
        Severity::High => Style::new().fg(Color::Red),
        Severity::Critical => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

/// Draws the view. The state learns how many lines of the tree fit.
pub fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let area = frame.area();
    let output = state.output.as_ref().is_some_and(|_| !state.output_hidden);
    let below = match (state.details, output) {
        (true, _) => Constraint::Percentage(50),
        (false, true) => Constraint::Percentage(40),
        (false, false) => Constraint::Length(2),
    };
    let [head, tree, below, keys] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), below, Constraint::Length(1)]).areas(area);
    state.height = usize::from(tree.height);
    state.arrange();
    header(state, head, frame.buffer_mut());
    rows(state, tree, frame.buffer_mut());
    if state.details {
        let block = Block::new().borders(Borders::TOP).title(" details ");
        let inner = block.inner(below);
        let lines = details(state, inner.width);
        let last = u16::try_from(lines.len().saturating_sub(usize::from(inner.height))).unwrap_or(u16::MAX);
        state.scroll = state.scroll.min(last);
        Paragraph::new(lines).block(block).scroll((state.scroll, 0)).render(below, frame.buffer_mut());
    } else if output {
        written(state, below, frame.buffer_mut());
    } else {
        touched(state, below, frame.buffer_mut());
    }
    status(state, keys, frame.buffer_mut());
    if state.help {
        let height = u16::try_from(HELP.len()).unwrap_or(12) + 2;
        let area = centred(area, 78, height);
        Clear.render(area, frame.buffer_mut());
        let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(*line)).collect();
        Paragraph::new(lines).block(Block::bordered().title(" keys ")).render(area, frame.buffer_mut());
    }
}

/// Puts a line into an area, as far as there is room.
fn put(buffer: &mut Buffer, area: Rect, y: u16, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if (area.top()..area.bottom()).contains(&y) && area.width > 0 {
        buffer.set_line(area.x, y, line, area.width);
    }
}

fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

fn header(state: &State, area: Rect, buffer: &mut Buffer) {
    let moment = state.moment();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let words: Vec<String> = state.metadata.command.iter().map(escape_terminal).collect();
    let stands = if state.over { "ended" } else { "RUNNING" };
    let elapsed = capsule_report::duration(moment.since(state.metadata.started));
    let first = Line::from(vec![
        Span::styled(format!("{stands} {elapsed}  "), bold),
        Span::raw(words.join(" ")),
        Span::styled(format!("  {}", state.metadata.id), Style::new().add_modifier(Modifier::DIM)),
    ]);
    let begun = state.model.nodes().iter().filter(|node| node.started <= moment);
    let (count, running) = begun.fold((0_u64, 0_u64), |(count, running), node| {
        (count + 1, running + u64::from(stand(node, moment) == Stand::Running))
    });
    let processes = if count == 1 { "process" } else { "processes" };
    let mut second = vec![Span::raw(format!("{count} {processes}, {running} running · worst risk: "))];
    match state.model.worst(moment) {
        Some(worst) => second.push(Span::styled(worst.name().to_owned(), severity(worst))),
        None => second.push(Span::raw("none")),
    }
    if !state.over {
        let lag = state.model.last.filter(|_| state.behind > 0).map_or(0, |last| state.now.since(last));
        let lag = if state.behind == 0 { "0".to_owned() } else { capsule_report::duration(lag) };
        second.push(Span::raw(format!(" · {} records/s · lag {lag}", state.rate())));
    }
    if state.model.lost > 0 {
        let text = format!(" · INCOMPLETE: {} records lost", state.model.lost);
        second.push(Span::styled(text, severity(Severity::High)));
    }
    put(buffer, area, area.y, &first);
    put(buffer, area, area.y + 1, &Line::from(second));
}

fn rows(state: &State, area: Rect, buffer: &mut Buffer) {
    let moment = state.moment();
    let lines = state.rows.iter().skip(state.top).take(usize::from(area.height));
    for (y, row) in (area.y..).zip(lines) {
        let selected = state.selected == Some(row.proc);
        let line = line(state, row, usize::from(area.width / 3));
        put(buffer, Rect { width: area.width.saturating_sub(AGE + 1), ..area }, y, &line);
        let age = state.model.node(row.proc).and_then(|node| age(node, moment)).map(capsule_report::duration);
        let age = format!("{:>width$}", age.unwrap_or_default(), width = usize::from(AGE));
        let right = Rect { x: area.x + area.width.saturating_sub(AGE), width: AGE.min(area.width), ..area };
        put(buffer, right, y, &Line::raw(age));
        if selected {
            buffer.set_style(Rect { y, height: 1, ..area }, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

fn line(state: &State, row: &Row, deepest: usize) -> Line<'static> {
    let moment = state.moment();
    let Some(node) = state.model.node(row.proc) else { return Line::default() };
    let (mark, style) = match stand(node, moment) {
        Stand::Running => ("●".to_owned(), Style::new().fg(Color::Cyan)),
        Stand::Ended(Some(0), _) => ("✓".to_owned(), Style::new().fg(Color::Green)),
        Stand::Ended(Some(code), _) if node.success == Some(true) => {
            (format!("✓{code}"), Style::new().fg(Color::Green))
        }
        Stand::Ended(Some(code), _) => (format!("✗{code}"), Style::new().fg(Color::Red)),
        Stand::Ended(None, Some(signal)) => (format!("✗signal {signal}"), Style::new().fg(Color::Red)),
        Stand::Ended(None, None) | Stand::Unknown => ("?".to_owned(), Style::new().fg(Color::Yellow)),
    };
    let fold = if state.folded.contains(&row.proc) { "▸" } else { " " };
    let mut spans = vec![
        Span::raw(" ".repeat((row.depth * 2).min(deepest))),
        Span::raw(fold.to_owned()),
        Span::styled(format!("{mark} "), style),
    ];
    match node.label {
        Label::Agent => spans.push(Span::styled("Agent ", Style::new().fg(Color::Magenta))),
        Label::Tool => spans.push(Span::raw("Tool ")),
        Label::SystemTool => spans.push(Span::styled("System ", Style::new().add_modifier(Modifier::DIM))),
        Label::Unknown => {}
    }
    let worst = worst(state, row.proc);
    if let Some(worst) = worst {
        spans.push(Span::styled(format!("!{worst} "), severity(worst)));
    }
    spans.push(Span::raw(summary(node, moment)));
    if row.hidden > 0 {
        spans.push(Span::styled(format!("  (+{} folded)", row.hidden), Style::new().add_modifier(Modifier::DIM)));
    }
    Line::from(spans)
}

/// The worst finding about a process until the moment that is shown.
fn worst(state: &State, proc: ProcId) -> Option<Severity> {
    let node = state.model.node(proc)?;
    if state.at.is_none() || node.worst.is_none() {
        return node.worst;
    }
    let until = state.moment();
    let about = state.model.risks.iter().filter(|risk| risk.proc == proc && risk.timestamp <= until);
    about.map(|risk| risk.severity).max()
}

/// The latest files and hosts.
fn touched(state: &State, area: Rect, buffer: &mut Buffer) {
    let moment = state.moment();
    let latest = |network: bool| {
        let mut names: Vec<String> = Vec::new();
        for touch in state.model.touched.iter().rev().filter(|touch| touch.at <= moment).take(LOOK_BACK) {
            let is_network = matches!(touch.kind, EffectKind::NetConnect | EffectKind::NetListen);
            let name = escape_terminal(touch.name.as_bytes());
            if is_network == network && touch.kind != EffectKind::FileRead && !names.contains(&name) {
                names.push(name);
            }
            if names.len() == 8 {
                break;
            }
        }
        if names.is_empty() { "-".to_owned() } else { names.join("  ") }
    };
    let dim = Style::new().add_modifier(Modifier::DIM);
    for (y, (what, names)) in (area.y..area.bottom()).zip([("files ", latest(false)), ("hosts ", latest(true))]) {
        let line = Line::from(vec![Span::styled(what, dim), Span::raw(names)]);
        put(buffer, area, y, &line);
    }
}

/// The end of what the command wrote.
fn written(state: &State, area: Rect, buffer: &mut Buffer) {
    let block = Block::new().borders(Borders::TOP).title(" output ");
    let inner = block.inner(area);
    block.render(area, buffer);
    let output = state.output.as_deref().unwrap_or_default();
    let output = output.strip_suffix(b"\n").unwrap_or(output);
    let lines: Vec<&[u8]> = output.rsplit(|byte| *byte == b'\n').take(usize::from(inner.height)).collect();
    for (y, line) in (inner.y..).zip(lines.into_iter().rev()) {
        // What was overwritten on its line was meant to be.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
        put(buffer, inner, y, &Line::raw(escape_terminal(line)));
    }
}

fn status(state: &State, area: Rect, buffer: &mut Buffer) {
    let text = match (&state.typing, state.at) {
        (Some((Typing::Search, text)), _) => format!("/{}▏", escape_terminal(text.as_bytes())),
        (Some((Typing::Filter, text)), _) => format!("&{}▏", escape_terminal(text.as_bytes())),
        (None, at) => {
            let mut words: Vec<String> = state.notice.iter().map(|notice| escape_terminal(notice.as_bytes())).collect();
            match at {
                Some(at) => {
                    let since = capsule_report::duration(at.since(state.metadata.started));
                    words.push(format!("HELD at {since}: space goes on, , . < > move"));
                }
                None if state.follow && !state.over => words.push("following".to_owned()),
                None => {}
            }
            if !state.filter.is_empty() {
                let none = if state.rows.is_empty() { ": no process has it" } else { "" };
                words.push(format!("only `{}`{none}, Esc shows all", escape_terminal(state.filter.as_bytes())));
            }
            words.push("? keys  q quit".to_owned());
            words.join(" · ")
        }
    };
    let style = Style::new().add_modifier(Modifier::REVERSED);
    buffer.set_style(area, style);
    put(buffer, area, area.y, &Line::styled(text, style));
}
