//! One pass over code of any of the languages that `-c` and `-e` take: its calls with literal arguments.

mod calls;
mod features;
mod token;

use token::{Token, tokens};

/// Something that code does by a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    Read(String),
    Write(String, Option<String>),
    Delete(String, bool),
    Mode(String, String),
    Shell(String),
    Program(Vec<String>),
    Fetch(String),
    Send(String),
    Connect(String, String),
    List(String),
    /// Code in a string.
    Code(String),
}

/// What the pass found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) calls: Vec<Call>,
    /// Runs text as code.
    pub(crate) evaluates: bool,
    pub(crate) decodes: bool,
    pub(crate) fetches: bool,
    pub(crate) network: bool,
    pub(crate) work_network: bool,
    pub(crate) reads_environment: bool,
    pub(crate) explores: bool,
    pub(crate) reads_unnamed: bool,
    pub(crate) writes_unnamed: bool,
    spawns_shell: bool,
    socket: bool,
    spawns: bool,
}

/// How many tokens behind a call's parenthesis are looked at.
const AHEAD: usize = 48;
/// How many calls are kept.
const CALLS: usize = 256;

/// The strings and numbers of a call, and what else stands between its parentheses.
struct Args {
    texts: Vec<String>,
    numbers: Vec<String>,
    names: Vec<String>,
    /// The strings of the first list among them.
    list: Vec<String>,
    /// The first argument is one plain string.
    literal: bool,
    empty: bool,
}

fn args_at(tokens: &[Token], from: usize) -> Args {
    let mut args = Args {
        texts: Vec::new(),
        numbers: Vec::new(),
        names: Vec::new(),
        list: Vec::new(),
        literal: false,
        empty: true,
    };
    let mut depth = 1_u32;
    let mut in_list = false;
    for (offset, token) in tokens.iter().skip(from).take(AHEAD).enumerate() {
        match token {
            Token::Mark(b'(') => depth += 1,
            Token::Mark(b')') => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            Token::Mark(b'[') if args.list.is_empty() => in_list = true,
            Token::Mark(b']') => in_list = false,
            Token::Mark(b';') if depth == 1 => break,
            Token::Text(text) | Token::Command(text) => {
                if offset == 0 {
                    args.literal =
                        matches!(tokens.get(from + 1), Some(Token::Mark(b')' | b',' | b';' | b'.' | b'%')) | None);
                }
                if in_list {
                    args.list.push(text.clone());
                } else {
                    args.texts.push(text.clone());
                }
            }
            Token::Number(number) => args.numbers.push(number.clone()),
            Token::Name(name) => args.names.push(name.clone()),
            Token::Mark(_) => {}
        }
        args.empty = false;
    }
    args
}

const SHELL_CALLS: &[&str] = &[
    "system",
    "popen",
    "getoutput",
    "getstatusoutput",
    "execSync",
    "exec",
    "shell_exec",
    "passthru",
    "proc_open",
    "check_output",
    "check_call",
    "run",
    "call",
    "Popen",
    "spawn",
    "spawnSync",
    "execFile",
    "execFileSync",
    "execute",
    "spawnlp",
    "spawnvp",
    "execl",
    "execlp",
    "execv",
    "execvp",
    "execle",
    "execve",
    "execvpe",
    "popen2",
    "capture2",
    "capture2e",
    "capture3",
    "pcntl_exec",
    "create_subprocess_shell",
    "create_subprocess_exec",
    "Command",
    "posix_spawn",
    "startfile",
    "sh",
    "shell",
    "cmd",
    "openpty",
    "execa",
    "execaSync",
];

fn is_url(text: &str) -> bool {
    ["http://", "https://", "ftp://", "ws://", "wss://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Whether `text` (code) keeps a dialogue with whoever is on its input.
pub(crate) fn is_interactive(text: &str) -> bool {
    text.contains("pty.spawn") || text.contains("/bin/sh") || text.contains("/bin/bash")
}

impl Scan {
    pub(crate) fn of(language: &str, text: &str) -> Self {
        let tokens = tokens(language, text);
        let mut scan = Self::default();
        let loose = matches!(language, "ruby" | "perl" | "awk" | "lua" | "php" | "tcl");
        for (index, token) in tokens.iter().enumerate() {
            if scan.calls.len() >= CALLS {
                break;
            }
            match token {
                Token::Command(command) => {
                    scan.calls.push(Call::Shell(command.clone()));
                    scan.spawns = true;
                }
                Token::Name(name) => {
                    scan.name(language, name, &tokens, index);
                    let open = tokens.get(index + 1) == Some(&Token::Mark(b'('));
                    let bare = loose && matches!(tokens.get(index + 1), Some(Token::Text(_)));
                    if open || bare {
                        let args = args_at(&tokens, index + if open { 2 } else { 1 });
                        scan.call(language, name, &args, &tokens, index);
                    }
                }
                Token::Text(text) if language == "awk" => {
                    // `"command" | getline` and `print | "command"`.
                    let piped = tokens.get(index + 1) == Some(&Token::Mark(b'|'))
                        || (index > 0 && tokens.get(index - 1) == Some(&Token::Mark(b'|')))
                        || (index > 1
                            && tokens.get(index - 1) == Some(&Token::Mark(b'&'))
                            && tokens.get(index - 2) == Some(&Token::Mark(b'|')));
                    if piped && text.contains("/inet/") {
                        scan.socket = true;
                        scan.network = true;
                    } else if piped {
                        scan.calls.push(Call::Shell(text.clone()));
                        scan.spawns = true;
                    }
                }
                _ => {}
            }
        }
        scan
    }
}

#[cfg(test)]
mod tests;
