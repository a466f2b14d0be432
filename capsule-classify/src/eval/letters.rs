//! Letters that look like others: a name that reads as a known program or host, and is not it.

use super::Eval;
use crate::flow::Taint;
use crate::place::Classes;
use crate::risk::Verb;

/// Cyrillic and Greek letters with the Latin ones that they look like (Unicode Technical Standard 39, the lower-case
/// letters that occur in names of programs and hosts).
const ALIKE: &[(char, char)] = &[
    ('\u{430}', 'a'),
    ('\u{441}', 'c'),
    ('\u{501}', 'd'),
    ('\u{435}', 'e'),
    ('\u{4bb}', 'h'),
    ('\u{456}', 'i'),
    ('\u{458}', 'j'),
    ('\u{43a}', 'k'),
    ('\u{4cf}', 'l'),
    ('\u{43e}', 'o'),
    ('\u{440}', 'p'),
    ('\u{51b}', 'q'),
    ('\u{455}', 's'),
    ('\u{475}', 'v'),
    ('\u{51d}', 'w'),
    ('\u{445}', 'x'),
    ('\u{443}', 'y'),
    ('\u{3b1}', 'a'),
    ('\u{3bf}', 'o'),
    ('\u{3c1}', 'p'),
    ('\u{3bd}', 'v'),
    ('\u{3b9}', 'i'),
    ('\u{3ba}', 'k'),
    ('\u{131}', 'i'),
    ('\u{261}', 'g'),
    ('\u{578}', 'n'),
    ('\u{57d}', 'u'),
];

/// What a name reads as, where it has letters that look like others; nothing for any other name.
fn reads_as(name: &str) -> Option<String> {
    if name.is_ascii() || name.len() > 128 {
        return None;
    }
    let mut changed = false;
    let read: String = name
        .chars()
        .filter_map(|c| {
            let like = match c {
                // Full-width forms of ASCII.
                '\u{ff01}'..='\u{ff5e}' => u32::from(c).checked_sub(0xfee0).and_then(char::from_u32),
                // Characters without a width.
                '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => None,
                c => Some(ALIKE.iter().find(|(known, _)| *known == c).map_or(c, |(_, like)| *like)),
            };
            changed |= like != Some(c);
            like
        })
        .collect();
    (changed && read.is_ascii() && !read.is_empty()).then_some(read)
}

impl Eval<'_> {
    /// A program whose name only looks like that of a known one.
    pub(crate) fn look_alike_program(&mut self, name: &str, flags: u32) {
        if let Some(read) = reads_as(name)
            && self.rules.knowledge.get(&read).is_some()
        {
            self.deed(Verb::Shape, "look-alike-program", Taint::NONE, flags, &read, None);
        }
    }

    /// A host whose name only looks like that of one that is known for something.
    pub(crate) fn look_alike_host(&mut self, host: &str, flags: u32, program: &str) {
        if let Some(read) = reads_as(host) {
            let ordinary = ["external", "private-net", "loopback", "bare-ip"];
            let ordinary =
                ordinary.iter().filter_map(|name| self.rules.places.named(name)).fold(0, |all, one| all | one.0);
            let known = self.rules.places.of_host(&read).0 & !ordinary;
            if known & !self.rules.places.of_host(host).0 != 0 {
                self.judge(
                    Verb::Shape,
                    "look-alike-host",
                    Classes::default(),
                    Taint::NONE,
                    flags,
                    program,
                    Some(&read),
                    &[],
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reads_as;

    #[test]
    fn only_names_of_letters_that_look_alike_read_as_others() {
        assert_eq!(reads_as("\u{441}url").as_deref(), Some("curl"));
        assert_eq!(reads_as("\u{ff43}url").as_deref(), Some("curl"));
        assert_eq!(reads_as("su\u{200b}do").as_deref(), Some("sudo"));
        assert_eq!(reads_as("g\u{456}thub.com").as_deref(), Some("github.com"));
        for name in ["curl", "\u{441}\u{431}\u{43e}\u{440}\u{43a}\u{430}", "na\u{ef}ve", ""] {
            assert_eq!(reads_as(name), None, "{name}");
        }
    }
}
