//! Colour, or none. Reports read the same without it: every colour stands beside a word or a mark that says it too.

use capsule_core::Severity;

/// Colours a text, where colour is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Whether colour is wanted.
    pub(crate) color: bool,
}

impl Style {
    /// The text in the named style: words among `bold`, `dim`, `red`, `green`, `yellow`, `blue`, `magenta`, `cyan`.
    pub(crate) fn paint(self, text: &str, style: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let codes: Vec<&str> = style
            .split_whitespace()
            .filter_map(|word| {
                Some(match word {
                    "bold" => "1",
                    "dim" => "2",
                    "red" => "31",
                    "green" => "32",
                    "yellow" => "33",
                    "blue" => "34",
                    "magenta" => "35",
                    "cyan" => "36",
                    _ => return None,
                })
            })
            .collect();
        if codes.is_empty() { text.to_owned() } else { format!("\u{1b}[{}m{text}\u{1b}[0m", codes.join(";")) }
    }
}

/// The style of a severity.
pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "dim",
        Severity::Low => "blue",
        Severity::Medium => "yellow",
        Severity::High => "red",
        Severity::Critical => "bold red",
    }
}
