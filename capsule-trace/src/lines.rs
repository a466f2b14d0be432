//! A watching program's output as bytes: lines, and when each was written.
//!
//! A line is handed on exactly as strace wrote it; what it means is the parser's business. Only its time is read
//! here, in each of the forms that strace has: `-ttt`, `-tt`, `-t`, `-r`, or none.

use capsule_core::Timestamp;
use memchr::memchr;

/// Longer lines are cut: strace itself writes at most 2 MiB of arguments, four bytes for each.
const LONGEST: usize = 32 << 20;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    cut: u64,
}

impl Lines {
    /// Takes the next bytes; calls `line` for each line that they complete, without its end.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (head, tail) = bytes.split_at(end);
            if self.partial.is_empty() {
                line(head);
            } else {
                self.keep(head);
                line(&self.partial);
                self.partial.clear();
            }
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    /// Gives the last line, where it has no end. Returns how many bytes were cut from lines that were too long.
    pub(crate) fn finish(self, line: impl FnOnce(&[u8])) -> u64 {
        if !self.partial.is_empty() {
            line(&self.partial);
        }
        self.cut
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.cut = self.cut.saturating_add(u64::try_from(bytes.len() - room).unwrap_or(0));
    }
}

/// Reads the time of each line.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Timestamp,
    /// The first line's time of day, and the moment that it stands for.
    day: Option<(u64, Timestamp)>,
}

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// A time as strace prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Since the epoch (`-ttt`).
    Epoch(u64),
    /// Of the day (`-t`, `-tt`).
    OfDay(u64),
    /// Since the line before (`-r`).
    Since(u64),
}

impl Clock {
    /// A clock for lines that say less than the whole time: the first of them was written at `base`.
    pub(crate) fn new(base: Timestamp) -> Self {
        Self { last: base, day: None }
    }

    /// When `line` was written.
    pub(crate) fn at(&mut self, line: &[u8]) -> Timestamp {
        self.last = match written(line) {
            Some(Written::Epoch(nanos)) => Timestamp(nanos),
            Some(Written::Since(nanos)) => Timestamp(self.last.0.saturating_add(nanos)),
            Some(Written::OfDay(nanos)) => {
                let (first, base) = *self.day.get_or_insert((nanos, self.last));
                // Past midnight the time of day starts over.
                let since = if nanos >= first { nanos - first } else { nanos + DAY - first };
                Timestamp(base.0.saturating_add(since))
            }
            None => self.last,
        };
        self.last
    }
}

/// The time that stands in front of a call, behind the pid where there is one.
fn written(line: &[u8]) -> Option<Written> {
    let mut rest = line.trim_ascii_start();
    if let Some(after) = rest.strip_prefix(b"[pid") {
        rest = after.get(memchr(b']', after)? + 1..)?.trim_ascii_start();
    } else {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && rest.get(digits) == Some(&b' ') {
            rest = rest.get(digits..)?.trim_ascii_start();
        }
    }
    let word = rest.get(..memchr(b' ', rest)?)?;
    let word = std::str::from_utf8(word).ok()?;
    let (relative, word) = match word.strip_prefix('+') {
        Some(word) => (true, word),
        None => (false, word),
    };
    let (whole, fraction) = word.split_once('.').map_or((word, None), |(whole, fraction)| (whole, Some(fraction)));
    let nanos = fraction.map_or(Some(0), fraction_nanos)?;
    if let Some((hours, rest)) = whole.split_once(':') {
        let (minutes, seconds) = rest.split_once(':')?;
        let [hours, minutes, seconds]: [u64; 3] = [number(hours)?, number(minutes)?, number(seconds)?];
        if hours > 23 || minutes > 59 || seconds > 60 {
            return None;
        }
        return Some(Written::OfDay((hours * 3600 + minutes * 60 + seconds) * SECOND + nanos));
    }
    fraction?;
    let total = number(whole)?.checked_mul(SECOND)?.checked_add(nanos)?;
    // Nobody waits thirty years between two calls.
    Some(if relative || total < 1_000_000_000 * SECOND { Written::Since(total) } else { Written::Epoch(total) })
}

fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) { None } else { digits.parse().ok() }
}

/// Up to nine digits of a fraction of a second.
fn fraction_nanos(digits: &str) -> Option<u64> {
    let length = u32::try_from(digits.len()).ok().filter(|length| (1..=9).contains(length))?;
    number(digits)?.checked_mul(10_u64.pow(9 - length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_anywhere_are_the_same_lines() {
        let text = b"1 a\n\n2 \xff\xfeb\nlast";
        for step in 1..text.len() {
            let mut lines = Lines::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            for part in text.chunks(step) {
                lines.feed(part, |line| found.push(line.to_vec()));
            }
            assert_eq!(lines.finish(|line| found.push(line.to_vec())), 0);
            assert_eq!(found, [&b"1 a"[..], b"", b"2 \xff\xfeb", b"last"], "steps of {step}");
        }
    }

    #[test]
    fn every_form_of_time_is_read() {
        let read = |line: &str| written(line.as_bytes());
        assert_eq!(read("123 1700000000.123456 execve("), Some(Written::Epoch(1_700_000_000_123_456_000)));
        assert_eq!(read("1700000000.123456 execve("), Some(Written::Epoch(1_700_000_000_123_456_000)));
        assert_eq!(read("[pid   12] 10:00:01 execve("), Some(Written::OfDay(36_001 * SECOND)));
        assert_eq!(read("12    10:00:01.5 exit_group(0) = ?"), Some(Written::OfDay(36_001 * SECOND + SECOND / 2)));
        assert_eq!(read("12         0.000125 execve("), Some(Written::Since(125_000)));
        assert_eq!(read("12    (+     0.000125) execve("), None);
        assert_eq!(read("12 execve(\"/bin/x\", [\"x\"], 0x0) = 0"), None);
        assert_eq!(read("12 +++ exited with 0 +++"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn midnight_does_not_turn_time_back() {
        let mut clock = Clock::new(Timestamp(5 * SECOND));
        assert_eq!(clock.at(b"1 23:59:59 a("), Timestamp(5 * SECOND));
        assert_eq!(clock.at(b"1 00:00:01 b("), Timestamp(7 * SECOND));
        assert_eq!(clock.at(b"1 +++ exited with 0 +++"), Timestamp(7 * SECOND));
    }
}
