//! Templates over the model. The built-in forms for people are templates too; users may bring their own.
//!
//! Whatever a template prints is escaped for its medium unless a filter here made it: no template can forget to. Text of the
//! traced program that is not UTF-8 comes as an object in the model's JSON; it is printed as its escaped bytes.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write;

use capsule_core::{ByteString, Timestamp, escape_terminal};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde::Serialize;

use crate::html;
use crate::human::tree;
use crate::model::{FileGroup, Report, RowKind};
use crate::options::Options;
use crate::style::Style;
use crate::{style, text, words};

#[cfg(test)]
mod tests;

/// Columns that a template may count on: narrower terminals wrap.
const NARROWEST: usize = 32;

/// What a template is written for, and so how it escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A terminal: no control character or bidi mark comes through.
    Terminal,
    /// Markdown: neither does markup.
    Markdown,
    /// HTML.
    Html,
}

impl Medium {
    /// Untrusted bytes, for this medium.
    fn escape(self, bytes: &[u8]) -> String {
        let visible = escape_terminal(bytes);
        match self {
            Self::Terminal => visible,
            Self::Markdown => markdown(&visible),
            Self::Html => html_text(&visible),
        }
    }
}

/// Why a template could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template itself is wrong, or asks for what is not there.
    #[error("template fails at line {line}")]
    Template {
        /// Where, from 1; 0 where it is not known.
        line: usize,
        /// What is wrong.
        #[source]
        source: Box<Error>,
    },
    /// The output could not be written.
    #[error("report not written")]
    Write(#[source] std::io::Error),
}

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        if error.kind() == ErrorKind::WriteFailure
            && let Some(io) =
                std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>())
        {
            return Self::Write(std::io::Error::from(io.kind()));
        }
        Self::Template { line: error.line().unwrap_or(0), source: Box::new(error) }
    }
}

impl From<TemplateError> for std::io::Error {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Write(error) => error,
            template @ TemplateError::Template { .. } => Self::other(template),
        }
    }
}

/// Writes a report by a template of the user's.
///
/// The template sees the model's fields by their names (`capsule schema report`), `tree` (the tree as lines of a
/// terminal), `width`, and the filters `text`, `fit(columns)`, `pad(columns)`, `wrap(indent)`, `style(names)`, `duration`, `number`,
/// `moment`, `offset` and `plural(one, many)`.
///
/// # Errors
/// When the template is wrong, or `out` cannot be written.
pub fn render(
    source: &str,
    medium: Medium,
    report: &Report,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), TemplateError> {
    let environment = environment(medium, options)?;
    let template = environment.template_from_named_str("report", source)?;
    let used = template.undeclared_variables(false);
    let context = context(report, medium, options, &used);
    let text = template.render(context)?;
    out.write_all(text.as_bytes()).map_err(TemplateError::Write)
}

fn environment(medium: Medium, options: &Options) -> Result<Environment<'static>, Error> {
    let style = Style { color: options.color && medium == Medium::Terminal };
    let width = options.width;
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?;
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("capsule".into()));
    environment.set_formatter(move |out: &mut Output, _: &mut State, value: &Value| {
        out.write_str(&printed(value, medium)).map_err(Error::from)
    });
    environment.add_filter("text", move |value: &Value| Value::from_safe_string(printed(value, medium)));
    environment.add_filter("fit", move |value: &Value, columns: usize| {
        Value::from_safe_string(match value.is_safe() {
            true => text::fit(&printed(value, medium), columns),
            false => medium.escape(text::fit(&escape_terminal(&raw(value)), columns).as_bytes()),
        })
    });
    environment.add_filter("pad", move |value: &Value, columns: usize| {
        Value::from_safe_string(text::pad(&printed(value, medium), columns))
    });
    environment.add_filter("wrap", move |value: &Value, indent: usize| {
        Value::from_safe_string(text::wrap(&printed(value, medium), indent, width))
    });
    environment.add_filter("style", move |value: &Value, names: &str| {
        Value::from_safe_string(style.paint(&printed(value, medium), names))
    });
    environment.add_filter("severity_style", |name: &str| {
        capsule_core::Severity::from_name(&name.to_lowercase()).map_or("", style::severity)
    });
    environment.add_filter("duration", words::duration);
    environment.add_filter("number", words::number);
    environment.add_filter("moment", |ns: u64| Timestamp(ns).to_seconds_string());
    environment.add_filter("offset", |ns: u64| offset(ns));
    environment.add_filter("plural", |n: u64, one: &str, many: &str| words::count(n, one, many));
    Ok(environment)
}

/// `+0:03`, `+1:02:03`.
pub(crate) fn offset(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds / 3600 {
        0 => format!("+{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("+{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// The value as it is printed in the medium.
fn printed(value: &Value, medium: Medium) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => String::new(),
        ValueKind::Bool | ValueKind::Number => value.to_string(),
        _ if value.is_safe() => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        _ => medium.escape(&raw(value)),
    }
}

/// The bytes that a value stands for.
fn raw(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    let encoded = match value.kind() {
        ValueKind::Map => value.get_attr("base64").ok(),
        _ => None,
    };
    let bytes = encoded.filter(|encoded| encoded.as_str().is_some()).and_then(|_| {
        let json = serde_json::to_value(value).ok()?;
        serde_json::from_value::<ByteString>(json).ok()
    });
    match bytes {
        Some(bytes) => bytes.as_bytes().to_vec(),
        None => value.to_string().into_bytes(),
    }
}

/// What a template of a report sees: only what it names, because whole sessions are large.
fn context(report: &Report, medium: Medium, options: &Options, used: &HashSet<String>) -> Value {
    let mut fields: Vec<(&'static str, Value)> = vec![("width", Value::from(options.width.max(NARROWEST)))];
    let mut add = |name: &'static str, value: &dyn Fn() -> Value| {
        if used.contains(name) {
            fields.push((name, value()));
        }
    };
    fn of<T: Serialize>(value: &T) -> Value {
        Value::from(minijinja::value::Serde(value))
    }
    add("schema", &|| of(&report.schema));
    add("session", &|| of(&report.session));
    add("notices", &|| of(&report.notices));
    add("headline", &|| of(&report.headline));
    add("zoom", &|| of(&report.zoom));
    add("totals", &|| of(&report.totals));
    add("agent", &|| of(&report.agent));
    add("rows", &|| of(&report.rows));
    add("workflows", &|| of(&report.workflows));
    add("phases", &|| of(&report.phases));
    add("files", &|| of(&report.files));
    add("files_total", &|| of(&report.files_total));
    add("file_groups", &|| of(&report.file_groups));
    add("files_temporary", &|| of(&report.files_temporary));
    add("files_note", &|| of(&report.files_note));
    add("git", &|| of(&report.git));
    add("files_shown", &|| of(&report.files.iter().filter(|file| options.all || own(&file.place)).collect::<Vec<_>>()));
    add("files_counted", &|| {
        let count = |group: &&FileGroup| options.all || own(&group.place);
        Value::from(report.file_groups.iter().filter(count).map(|group| group.files).sum::<u64>())
    });
    add("files_other", &|| {
        let other = |group: &&FileGroup| !options.all && !own(&group.place);
        of(&report.file_groups.iter().filter(other).collect::<Vec<_>>())
    });
    add("hosts", &|| of(&report.hosts));
    add("interactions", &|| of(&report.interactions));
    add("patterns", &|| of(&report.patterns));
    add("risk", &|| of(&report.risk));
    add("coverage", &|| of(&report.coverage));
    add("comparison", &|| of(&report.comparison));
    add("effects", &|| of(&report.effects));
    add("gaps", &|| of(&report.gaps));
    add("processes", &|| of(&report.processes));
    // The lines are safe on a terminal; other media escape them once more.
    add("tree", &|| {
        let lines = tree::lines(
            &report.rows,
            &Options { color: options.color && medium == Medium::Terminal, ..options.clone() },
        );
        Value::from_safe_string(match medium {
            Medium::Terminal => lines,
            Medium::Markdown => markdown(&lines),
            Medium::Html => html_text(&lines),
        })
    });
    add("tree_block", &|| Value::from_safe_string(code_block(&tree::lines(&report.rows, &plain(options)))));
    add("data", &|| Value::from_safe_string(html::data::embedded(report)));
    add("css", &|| Value::from_safe_string(html::CSS.to_owned()));
    add("script", &|| Value::from_safe_string(html::SCRIPT.to_owned()));
    add("nonce", &|| Value::from(nonce(options)));
    let shown = || report.rows.iter().filter(|row| row.kind == RowKind::Process).count() as u64;
    add("folded_rows", &|| Value::from(shown() < report.totals.processes));
    add("parallel_rows", &|| Value::from(report.rows.iter().any(|row| row.parallel)));
    Value::from_pairs(fields)
}

/// Whether a file in such a place is listed by itself, not only counted.
pub(crate) fn own(place: &str) -> bool {
    matches!(place, "project" | "outside")
}

/// Without colour, for other media than terminals.
fn plain(options: &Options) -> Options {
    Options { color: false, ..options.clone() }
}

/// A random word that allows the page's own style and script, and no others.
fn nonce(options: &Options) -> String {
    let word: String = options.fence.chars().filter(char::is_ascii_alphanumeric).collect();
    if word.len() >= 8 { word } else { fresh_word() }
}

/// Random letters and digits, from the operating system's random numbers.
pub(crate) fn fresh_word() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u8(1);
    format!("{:016x}", hasher.finish())
}

/// Lines as a fenced block of Markdown, with a fence longer than any run of backticks inside.
fn code_block(lines: &str) -> String {
    let (mut longest, mut run) = (0, 0);
    for c in lines.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest.max(3) + 1);
    format!("{fence}text\n{lines}{fence}")
}

/// Text that Markdown shows as it is.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Zero-width text would be shown by some readers; a character reference is text everywhere.
            '@' => out.push_str("&#64;"),
            '#' | '*' | '_' | '`' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '\\' | '{' | '}' | '+' | '-' | '='
            | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    // Addresses are text too: readers make links of them otherwise.
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// Text that HTML shows as it is, in attributes too.
fn html_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
