//! The tree as lines of a terminal: branches, labels, commands cut to the width, marks and durations.

use std::fmt::Write as _;

use capsule_core::{Severity, escape_terminal};

use crate::model::{Row, RowKind};
use crate::options::Options;
use crate::style::{self, Style};
use crate::text;
use crate::words;

/// The least columns a command gets.
const COMMAND: usize = 16;

/// All rows as lines.
pub(crate) fn lines(rows: &[Row], options: &Options) -> String {
    let style = Style { color: options.color };
    let mut out = String::with_capacity(rows.len().saturating_mul(96));
    // For each level above the present one, whether its branch goes on below.
    let mut open: Vec<bool> = Vec::new();
    for row in rows {
        let level = usize::try_from(row.level).unwrap_or(usize::MAX);
        open.truncate(level);
        line(row, &open, options, style, &mut out);
        open.push(!row.last);
    }
    out
}

fn line(row: &Row, open: &[bool], options: &Options, style: Style, out: &mut String) {
    let width = options.width;
    // Where everything is shown, so is every finding; else a mark on each line would hide those that matter.
    let least = if options.all { Severity::Low } else { Severity::Medium };
    let branch = branch(row, open, width);
    let tag = if row.tag.is_empty() { String::new() } else { format!("[{}] ", row.tag) };
    let before = text::columns(&branch) + text::columns(&tag);
    let suffix = suffix(row, width.saturating_sub(before + COMMAND), least);
    let taken = before + suffix.columns();
    let room = width.saturating_sub(taken).max(COMMAND);
    let command = command(row, room);
    out.push_str(&style.paint(&branch, "dim"));
    out.push_str(&style.paint(&tag, tag_style(&row.tag)));
    out.push_str(&command);
    out.push_str(&suffix.painted(style));
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

/// The lines that lead to a row. Deep rows show their nearest ancestors only, and their depth in numbers.
fn branch(row: &Row, open: &[bool], width: usize) -> String {
    let most = (width / 3 / 4).max(2);
    let mut out = String::new();
    let shown = if open.len() > most {
        let kept = most.saturating_sub(1);
        let hidden = open.len().saturating_sub(kept);
        let written = write!(out, "⋯{hidden} ");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        open.get(hidden..).unwrap_or_default()
    } else {
        open
    };
    for goes_on in shown {
        out.push_str(if *goes_on { "│   " } else { "    " });
    }
    out.push_str(match (row.last, row.parallel) {
        (true, true) => "└∥─ ",
        (true, false) => "└── ",
        (false, true) => "├∥─ ",
        (false, false) => "├── ",
    });
    out
}

fn tag_style(tag: &str) -> &'static str {
    match tag.split(':').next() {
        Some("AGENT") => "bold magenta",
        Some("TOOL") => "cyan",
        _ => "dim",
    }
}

fn command(row: &Row, room: usize) -> String {
    let text = escape_terminal(row.text.as_bytes());
    match row.kind {
        RowKind::Process if text.is_empty() => text::fit(&format!("({})", or_unknown(&row.note)), room),
        RowKind::Process if row.note.is_empty() => text::fit(&text, room),
        RowKind::Process => text::fit(&format!("{text} ({})", row.note), room),
        RowKind::Repeat => {
            let times = if row.note.is_empty() {
                format!(" ×{}", words::number(row.count))
            } else {
                format!(" ({})", row.note)
            };
            let left = room.saturating_sub(text::columns(&times));
            format!("{}{times}", text::fit(&text, left.max(COMMAND / 2)))
        }
        RowKind::Folded if text.is_empty() => text::fit(&format!("… {}", row.note), room),
        RowKind::Folded => text::fit(&format!("… {}: {text}", row.note), room),
    }
}

fn or_unknown(note: &str) -> &str {
    if note.is_empty() { "command line not known" } else { note }
}

/// What stands behind a command: each part with its style, and how easily it is spared (0: never).
struct Suffix {
    parts: Vec<(String, &'static str, u8)>,
}

impl Suffix {
    fn push(&mut self, text: String, style: &'static str, spare: u8) {
        self.parts.push((text, style, spare));
    }

    fn columns(&self) -> usize {
        self.parts.iter().map(|(text, _, _)| text::columns(text) + 1).sum()
    }

    fn painted(&self, style: Style) -> String {
        let mut out = String::new();
        for (text, name, _) in &self.parts {
            out.push(' ');
            out.push_str(&style.paint(text, name));
        }
        out
    }
}

/// What stands behind a row's command, in `room` columns where that is possible.
fn suffix(row: &Row, room: usize, least: Severity) -> Suffix {
    let mut suffix = Suffix { parts: Vec::new() };
    match row.kind {
        RowKind::Process => suffix.push(format!("(PID {})", row.pid), "dim", 2),
        RowKind::Repeat => suffix.push(format!("(PID {}…)", row.pid), "dim", 2),
        RowKind::Folded => {}
    }
    match (row.kind, row.success) {
        (RowKind::Folded, _) if row.failed > 0 => suffix.push(format!("({} ✗)", words::number(row.failed)), "red", 0),
        (_, Some(true)) if row.ending.is_empty() => suffix.push("✓".to_owned(), "green", 0),
        (_, Some(true)) => suffix.push(format!("✓ {}", row.ending), "green", 0),
        (_, Some(false)) => suffix.push(format!("✗ {}", row.ending).trim_end().to_owned(), "red", 0),
        (_, None) if !row.ending.is_empty() => suffix.push(format!("· {}", row.ending), "yellow", 0),
        (_, None) => {}
    }
    if let Some(duration) = row.duration {
        suffix.push(words::duration(duration), "dim", 1);
    }
    if let Some(worst) = row.worst.filter(|worst| *worst >= least) {
        suffix.push(format!("⚠ {}", worst.name().to_uppercase()), style::severity(worst), 0);
    }
    if row.folded > 0 {
        suffix.push(format!("+{} inside", words::number(row.folded)), "dim", 3);
    }
    for spare in [3, 2, 1] {
        if suffix.columns() > room {
            suffix.parts.retain(|(_, _, easily)| *easily != spare);
        }
    }
    suffix
}
