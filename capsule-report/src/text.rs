//! Text in columns: what fits, what must be cut, where lines break. All of it is already escaped.

use unicode_width::UnicodeWidthChar;

/// Columns of one character: never less than a terminal uses. An emoji selector widens the character before it.
fn char_columns(c: char) -> usize {
    if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(0) }
}

/// Columns of a text without control characters other than the colours of [`crate::style`], which take none.
pub(crate) fn columns(text: &str) -> usize {
    let mut rest = text.chars();
    let mut sum = 0;
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().take_while(|c| *c != 'm').for_each(drop);
        } else {
            sum += char_columns(c);
        }
    }
    sum
}

/// The text cut to `limit` columns, with an ellipsis where something is missing.
pub(crate) fn fit(text: &str, limit: usize) -> String {
    // A byte is at most one column: short texts need no counting.
    if text.len() <= limit || columns(text) <= limit {
        return text.to_owned();
    }
    let mut out = String::with_capacity(limit.saturating_add(4));
    let mut used = 1;
    for c in text.chars() {
        used += char_columns(c);
        if used > limit {
            break;
        }
        out.push(c);
    }
    if limit > 0 {
        out.push('…');
    }
    out
}

/// The text with spaces behind it up to `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let mut out = text.to_owned();
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(columns(text))));
    out
}

/// The text in lines of at most `width` columns, broken at spaces, all but the first indented by `indent`.
pub(crate) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(16);
    let mut out = String::with_capacity(text.len().saturating_add(16));
    let mut used = 0;
    for word in text.split(' ') {
        let mut word = word;
        let mut wide = columns(word);
        if used > 0 && used + 1 + wide > room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        while wide > room {
            let end = word
                .char_indices()
                .scan(0, |sum, (at, c)| {
                    *sum += char_columns(c);
                    Some((at, *sum))
                })
                .find(|(_, sum)| *sum > room)
                .map_or(word.len(), |(at, _)| at);
            let (line, rest) = word.split_at(end);
            if line.is_empty() {
                break;
            }
            out.push_str(line);
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            word = rest;
            wide = columns(word);
        }
        out.push_str(word);
        used += wide;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(columns("日本語"), 6);
        assert_eq!(fit("日本語テスト", 7), "日本語…");
        assert_eq!(fit("日本語テスト", 8), "日本語…");
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcd", 3), "ab…");
        assert_eq!(fit("abcd", 0), "");
        assert_eq!(pad("日", 4), "日  ");
    }

    #[test]
    fn combining_marks_take_no_columns_and_are_not_cut_short() {
        assert_eq!(fit("e\u{301}e\u{301}", 2), "e\u{301}e\u{301}");
    }

    #[test]
    fn long_words_are_broken_and_lines_stay_within_the_width() {
        let wrapped = wrap(&format!("one two {} three", "x".repeat(50)), 4, 24);
        assert!(wrapped.lines().all(|line| columns(line) <= 24), "{wrapped}");
        assert_eq!(wrapped.replace(['\n', ' '], ""), format!("onetwo{}three", "x".repeat(50)));
    }
}
