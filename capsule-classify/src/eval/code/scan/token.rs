//! Tokens of code in any of the languages: names, strings, numbers, marks. Not a lexer of any one of them.

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name with its dots: `os.path.join`, `.read_text`, `IO::Socket`.
    Name(String),
    Text(String),
    Number(String),
    Mark(u8),
    /// Text in backticks or `qx`: a command.
    Command(String),
}

/// The tokens of `text`.
pub(super) fn tokens(language: &str, text: &str) -> Vec<Token> {
    crate::effort::spent(text.len());
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' if matches!(language, "python" | "ruby" | "perl" | "php" | "r")
                && (at == 0 || bytes.get(at - 1).is_some_and(|b| b.is_ascii_whitespace() || *b == b';')) =>
            {
                while bytes.get(at).is_some_and(|b| *b != b'\n') {
                    at += 1;
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'/')
                && matches!(language, "node" | "php" | "go")
                && bytes.get(at.wrapping_sub(1)) != Some(&b':') =>
            {
                while bytes.get(at).is_some_and(|b| *b != b'\n') {
                    at += 1;
                }
            }
            b'\'' | b'"' | b'`' => {
                let triple =
                    language == "python" && bytes.get(at + 1) == Some(&byte) && bytes.get(at + 2) == Some(&byte);
                let skip = if triple { 3 } else { 1 };
                at += skip;
                let mut value = Vec::new();
                while let Some(&b) = bytes.get(at) {
                    if b == b'\\' && !(language == "perl" && byte == b'\'') {
                        let next = bytes.get(at + 1).copied().unwrap_or(b'\\');
                        at += 2;
                        match next {
                            b'n' => value.push(b'\n'),
                            b't' => value.push(b'\t'),
                            b'x' => {
                                let digit = |o: usize| bytes.get(at + o).and_then(|b| char::from(*b).to_digit(16));
                                if let (Some(high), Some(low)) = (digit(0), digit(1)) {
                                    value.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                                    at += 2;
                                }
                            }
                            other => value.push(other),
                        }
                        continue;
                    }
                    if b == byte && (!triple || (bytes.get(at + 1) == Some(&byte) && bytes.get(at + 2) == Some(&byte)))
                    {
                        at += skip;
                        break;
                    }
                    value.push(b);
                    at += 1;
                }
                let value = String::from_utf8_lossy(&value).into_owned();
                let command = byte == b'`' && matches!(language, "ruby" | "perl" | "php");
                // Strings put together from pieces are one string.
                let joins = matches!(out.as_slice(), [.., Token::Text(_), Token::Mark(b'+' | b'.')]) && !command;
                if joins {
                    out.pop();
                    if let Some(Token::Text(before)) = out.last_mut() {
                        before.push_str(&value);
                    }
                    continue;
                }
                out.push(if command { Token::Command(value) } else { Token::Text(value) });
            }
            b if b.is_ascii_digit() => {
                let from = at;
                while bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'.') {
                    at += 1;
                }
                out.push(Token::Number(text.get(from..at).unwrap_or_default().to_owned()));
            }
            b if word(b) || b == b'.' || (b == b':' && bytes.get(at + 1) == Some(&b':')) => {
                let from = at;
                at += 1;
                while let Some(&b) = bytes.get(at) {
                    let joins = b == b'.'
                        || (b == b':' && bytes.get(at + 1) == Some(&b':'))
                        || (b == b':' && bytes.get(at - 1) == Some(&b':'));
                    if word(b) || joins {
                        at += 1;
                    } else if b == b'-' && bytes.get(at + 1) == Some(&b'>') && matches!(language, "perl" | "php") {
                        at += 2;
                    } else {
                        break;
                    }
                }
                let name = text.get(from..at).unwrap_or_default();
                // Prefixes of Python's strings and Perl's quoting operators.
                if matches!(bytes.get(at), Some(b'\'' | b'"'))
                    && matches!(name, "r" | "b" | "f" | "u" | "rb" | "br" | "fr" | "rf")
                    && language == "python"
                {
                    continue;
                }
                if matches!(name, "q" | "qq" | "qx" | "qw") && matches!(language, "perl")
                    || (name == "x" && language == "ruby" && out.last() == Some(&Token::Mark(b'%')))
                {
                    let close = match bytes.get(at) {
                        Some(b'(') => b')',
                        Some(b'{') => b'}',
                        Some(b'[') => b']',
                        Some(b'/') => b'/',
                        Some(b'|') => b'|',
                        _ => 0,
                    };
                    if close != 0 {
                        let from = at + 1;
                        let len = bytes
                            .get(from..)
                            .and_then(|rest| rest.iter().position(|b| *b == close))
                            .unwrap_or(bytes.len() - from);
                        let value = text.get(from..from + len).unwrap_or_default().to_owned();
                        at = (from + len + 1).min(bytes.len());
                        out.push(if matches!(name, "qx" | "x") { Token::Command(value) } else { Token::Text(value) });
                        continue;
                    }
                }
                out.push(Token::Name(name.to_owned()));
            }
            other => {
                out.push(Token::Mark(other));
                at += 1;
            }
        }
    }
    out
}
