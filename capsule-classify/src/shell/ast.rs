//! What shell text says, flattened to what matters for judging: lists of pipelines of commands.

/// A list of pipelines, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Script {
    pub(crate) items: Vec<Item>,
}

/// One pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Item {
    pub(crate) commands: Vec<Command>,
    /// Ended by `&`.
    pub(crate) background: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Simple(Simple),
    Group(Box<Group>),
}

/// Anything with a body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) body: Script,
    pub(crate) redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GroupKind {
    /// Braces, parentheses, if, while, until, case: the body is what may run.
    Plain,
    /// `for NAME in WORDS`.
    For(String, Vec<Word>),
    /// A definition; the body runs where it is called.
    Function(String),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Simple {
    pub(crate) assigns: Vec<(String, Word)>,
    pub(crate) words: Vec<Word>,
    pub(crate) redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Redirect {
    pub(crate) fd: Option<u32>,
    pub(crate) kind: RedirectKind,
    /// Its target; for here-documents, the document.
    pub(crate) target: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectKind {
    /// `<`
    Input,
    /// `>`, `>|`
    Output,
    /// `>>`
    Append,
    /// `&>`, `>&FILE`, `&>>`
    Both,
    /// `<>`
    ReadWrite,
    /// `<&N`, `>&N`
    Duplicate,
    /// `<<`, `<<-`: the target is the document.
    HereDocument,
    /// `<<<`
    HereString,
}

/// A word before expansion.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Word {
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Text; unquoted text may hold globs, braces and a leading tilde.
    Text { text: String, quoted: bool },
    /// `$NAME`, `${NAME…}` with what stands for it when it is unset.
    Variable { name: String, default: Option<Box<Word>>, quoted: bool },
    /// `$(…)`, backticks.
    Substitution { script: Script, quoted: bool },
    /// `<(…)`: true for `>(…)`.
    Process { script: Script, output: bool },
}

impl Word {
    pub(crate) fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Text { text: text.to_owned(), quoted: true }] }
    }

    /// Whether any part of it is quoted (for here-document delimiters).
    pub(crate) fn is_quoted(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }))
    }

    /// The literal text, expansions left out.
    pub(crate) fn flat(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            if let Part::Text { text, .. } = part {
                out.push_str(text);
            }
        }
        out
    }
}
