//! Shell text as commands of words, each byte of a word with its place in the text.
//!
//! This is a scanner for finding secrets, not a grammar: it has to see through quotes, never to be right about
//! what would run. Quotes and backslashes are taken away as `sh` would; operators end commands.

/// One word of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShellWord {
    /// What is left when quotes and backslashes are taken away.
    pub(super) text: Vec<u8>,
    /// Where in the source each byte of `text` stands.
    pub(super) at: Vec<usize>,
    /// Whether anything was quoted.
    pub(super) quoted: bool,
}

impl ShellWord {
    fn push(&mut self, byte: u8, at: usize) {
        self.text.push(byte);
        self.at.push(at);
    }
}

/// Words up to an operator.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShellCommand {
    pub(super) words: Vec<ShellWord>,
    /// Whether its output goes to the next command.
    pub(super) piped: bool,
}

/// The commands in `text`.
pub(super) fn commands(text: &[u8]) -> Vec<ShellCommand> {
    let mut commands = Vec::new();
    let mut command = ShellCommand::default();
    let mut word: Option<ShellWord> = None;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'<' | b'>' => command.words.extend(word.take()),
            b'\n' | b';' | b'|' | b'&' | b'(' | b')' | b'`' => {
                command.words.extend(word.take());
                if !command.words.is_empty() {
                    command.piped = byte == b'|' && text.get(at + 1) != Some(&b'|');
                    commands.push(std::mem::take(&mut command));
                }
            }
            b'\\' => {
                let word = word.get_or_insert_default();
                word.quoted = true;
                at += 1;
                match text.get(at) {
                    Some(b'\n') | None => {}
                    Some(&escaped) => word.push(escaped, at),
                }
            }
            b'\'' => {
                let word = word.get_or_insert_default();
                word.quoted = true;
                at += 1;
                while let Some(&inner) = text.get(at).filter(|b| **b != b'\'') {
                    word.push(inner, at);
                    at += 1;
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                word.quoted = true;
                at += 1;
                while let Some(&inner) = text.get(at).filter(|b| **b != b'"') {
                    let escaped =
                        text.get(at + 1).filter(|b| inner == b'\\' && matches!(b, b'"' | b'\\' | b'$' | b'`'));
                    if let Some(&escaped) = escaped {
                        at += 1;
                        word.push(escaped, at);
                    } else {
                        word.push(inner, at);
                    }
                    at += 1;
                }
            }
            _ => word.get_or_insert_default().push(byte, at),
        }
        at += 1;
    }
    command.words.extend(word);
    if !command.words.is_empty() {
        commands.push(command);
    }
    commands
}
