//! The shape of a command or path: what varies from run to run becomes a slot, the rest stays. One pass.

/// Digits in a row that are a number of no meaning: a pid, a timestamp, a port.
const DIGITS: usize = 4;
/// Hexadecimal digits in a row that are a hash.
const HASH: usize = 7;

/// The shape of `text`, with paths below `cwd` relative to it.
pub(crate) fn of(text: &[u8], cwd: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let boundary = out.last().is_none_or(|byte| !is_word(*byte) && *byte != b'/');
        if boundary && cwd.len() > 1 && below(rest, cwd) {
            out.push(b'.');
            rest = rest.get(cwd.len()..).unwrap_or_default();
            continue;
        }
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        if length == 0 {
            out.extend(rest.first());
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let (word, tail) = rest.split_at(length);
        let place = place(&out);
        slot(word, place, &mut out);
        rest = tail;
    }
    join_uuids(&out)
}

fn below(text: &[u8], directory: &[u8]) -> bool {
    text.strip_prefix(directory).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/' || !is_word(*byte)))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where in a path a word stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It begins a name in a directory of temporary files.
    Temporary,
    /// It comes later in such a name: `X` in `/tmp/name.X`.
    Suffix,
    /// Anywhere else.
    Other,
}

/// Where the word stands that comes after `before`.
fn place(before: &[u8]) -> Place {
    let name = before.iter().rev().take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'-')).count();
    let (directory, name) = before.split_at(before.len().saturating_sub(name));
    match directory.ends_with(b"/tmp/") || directory.ends_with(b"/var/folders/") {
        true if name.is_empty() => Place::Temporary,
        true => Place::Suffix,
        false => Place::Other,
    }
}

/// Writes a word, or the slot that it fills.
fn slot(word: &[u8], place: Place, out: &mut Vec<u8>) {
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex = word.iter().all(u8::is_ascii_hexdigit);
    if digits == word.len() && digits >= DIGITS {
        out.extend_from_slice(b"<n>");
    } else if hex && word.len() >= HASH && digits > 0 {
        out.extend_from_slice(b"<hash>");
    } else if is_random(word)
        || (place == Place::Temporary && digits > 0)
        || (place != Place::Other && is_made(word, place))
    {
        out.extend_from_slice(b"<tmp>");
    } else {
        out.extend_from_slice(word);
    }
}

/// What fills the template of a temporary name: `mktemp(3)` and its like put six, eight or ten letters and digits of both
/// cases, sometimes none but letters; Python's `tempfile` eight of lower case, behind `tmp`.
fn is_made(word: &[u8], place: Place) -> bool {
    let python = place == Place::Temporary && word.len() == 11 && word.starts_with(b"tmp");
    let mixed = word.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase);
    // A name in camel case begins each of its words with one capital.
    let (_, behind_first) = word.split_at(1.min(word.len()));
    let capitals = behind_first.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    python || (matches!(word.len(), 6 | 8 | 10) && mixed && capitals > 1 && word.iter().all(u8::is_ascii_alphanumeric))
}

/// Names as `mktemp(1)` makes them: six or more letters and digits, upper and lower case mixed throughout.
fn is_random(word: &[u8]) -> bool {
    if word.len() < 6 || !word.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let class = |byte: &u8| (byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let changes = word.iter().zip(word.iter().skip(1)).filter(|(a, b)| class(a) != class(b)).count();
    changes * 2 >= word.len()
}

/// `<hash>-<n>-…` groups of one UUID become one slot.
fn join_uuids(shape: &[u8]) -> Vec<u8> {
    let slots: [&[u8]; 2] = [b"<hash>", b"<n>"];
    let mut out = Vec::with_capacity(shape.len());
    let mut rest = shape;
    while !rest.is_empty() {
        let mut groups = 0;
        let mut tail = rest;
        while let Some(next) =
            slots.iter().find_map(|slot| tail.strip_prefix(*slot)).or_else(|| hex_group(tail, groups))
        {
            groups += 1;
            tail = next;
            match tail.strip_prefix(b"-") {
                Some(after) if groups < 5 => tail = after,
                _ => break,
            }
        }
        if groups == 5 {
            out.extend_from_slice(b"<uuid>");
            rest = tail;
        } else {
            out.extend(rest.first());
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    out
}

/// A group of four hexadecimal digits inside a UUID, which may be too short or too plain to be a slot by itself.
fn hex_group(text: &[u8], groups: usize) -> Option<&[u8]> {
    let (group, tail) = text.split_at_checked(4)?;
    ((1..4).contains(&groups) && group.iter().all(u8::is_ascii_hexdigit)).then_some(tail)
}

#[cfg(test)]
mod tests {
    fn shape(text: &str) -> String {
        String::from_utf8(super::of(text.as_bytes(), b"/home/me/project")).unwrap()
    }

    #[test]
    fn what_varies_becomes_a_slot_and_what_means_something_stays() {
        for (text, expected) in [
            ("cat /home/me/project/src/a.py", "cat ./src/a.py"),
            ("cat /home/me/projects/a.py", "cat /home/me/projects/a.py"),
            ("git show 5f4dcc3b5aa7", "git show <hash>"),
            ("kill 12345", "kill <n>"),
            ("curl http://localhost:38123/x", "curl http://localhost:<n>/x"),
            ("rm -rf /tmp/tmp8f3k2", "rm -rf /tmp/<tmp>"),
            ("bash /tmp/claude-XyZ9aB1c-cwd", "bash /tmp/claude-<tmp>-cwd"),
            ("cat /tmp/tmp.QwErTYuiop", "cat /tmp/tmp.<tmp>"),
            ("cat /var/tmp/job-QwERtz/x", "cat /var/tmp/job-<tmp>/x"),
            ("cat /tmp/tmpabcdefgh/MainView.x", "cat /tmp/<tmp>/MainView.x"),
            ("cat /tmp/app.MainView /tmp/README /src/a.ABcdef", "cat /tmp/app.MainView /tmp/README /src/a.ABcdef"),
            ("x 123e4567-e89b-12d3-a456-426614174000 y", "x <uuid> y"),
            ("python3.11 -m pytest -x tests/test_2fa.py", "python3.11 -m pytest -x tests/test_2fa.py"),
            ("ls deadbeef feedback", "ls deadbeef feedback"),
            ("", ""),
        ] {
            assert_eq!(shape(text), expected);
        }
    }
}
