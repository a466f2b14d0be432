//! Where in a file something is, and which name was probably meant.

/// The line, from 1, of a byte.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

/// The table that begins at byte `from`: up to the next line that opens another one.
pub(super) fn table(text: &str, from: usize) -> &str {
    let rest = text.get(from..).unwrap_or_default();
    let opens = |at: usize| {
        let line = rest.get(at + 1..).unwrap_or_default();
        line.starts_with('[') || line.trim_start_matches([' ', '\t']).starts_with("[[")
    };
    let end = rest.match_indices('\n').map(|(at, _)| at).find(|at| opens(*at)).unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest).trim_end()
}

/// Where the table of that number, from 0, with this header begins; 0 where tables are written otherwise.
pub(super) fn nth(text: &str, header: &str, number: usize) -> usize {
    let begins = |at: usize| {
        let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
        before.is_empty() || before.ends_with('\n')
    };
    text.match_indices(header).map(|(at, _)| at).filter(|at| begins(*at)).nth(number).unwrap_or_default()
}

/// The line on which `word` is first mentioned in the table that begins at byte `from`; where it is not, the table's own.
pub(super) fn line_of(text: &str, from: usize, word: &str) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let within = table(text, from);
    let at = if from == 0 { rest.find(word) } else { within.find(word) };
    line_at(text, from + at.filter(|_| !word.is_empty()).unwrap_or_default())
}

/// The names most like `wanted`, for a hint.
pub(super) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let pairs = |text: &str| -> Vec<[u8; 2]> {
        text.as_bytes().windows(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok()).collect()
    };
    let wanted_pairs = pairs(wanted);
    let mut best: Vec<(usize, &str)> = known
        .map(|name| {
            let theirs = pairs(name);
            let shared = wanted_pairs.iter().filter(|pair| theirs.contains(pair)).count();
            // In thousandths of what two equal names would share.
            (shared * 2000 / (wanted_pairs.len() + theirs.len()).max(1), name)
        })
        .filter(|(likeness, _)| *likeness >= 450)
        .collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    best.dedup();
    let names: Vec<String> = best.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# credential\n[[rule]]\nid = 'a'\nplace = ['credential']\n\n[[rule]]\nid = 'b'\n";

    #[test]
    fn a_word_is_sought_in_its_own_table() {
        let from = nth(TEXT, "[[rule]]", 0);
        assert_eq!((from, nth(TEXT, "[[rule]]", 1) > from, nth(TEXT, "[[rule]]", 2)), (13, true, 0));
        assert_eq!(line_of(TEXT, from, "credential"), 4);
        assert_eq!(line_of(TEXT, from, "'b'"), 2);
        assert_eq!(line_of(TEXT, from, ""), 2);
        assert_eq!(line_of("", 7, "x"), 1);
        assert!(table(TEXT, from).ends_with("['credential']"));
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let known = ["credential.dotenv", "credential.netrc", "destroy.root"];
        let hint = nearest("credentials.dotenv", known.into_iter()).unwrap_or_default();
        assert!(hint.starts_with("did you mean `credential.dotenv`"), "{hint}");
        assert_eq!(nearest("zzz", known.into_iter()), None);
    }
}
