//! Whether to sleep until the next change or to look out for it.
//!
//! A tracee that stops stands still until the tracer answers. Waking the tracer from its sleep takes longer than
//! answering (on a virtual machine, whose idle processors are given back, several times as long), and so does waking a
//! tracee whose processor fell asleep meanwhile. When changes come in quick succession, the tracer stays awake for the
//! next one. It does so only after several quick ones, never for long, and never while somebody else wants its
//! processor.

use std::time::{Duration, Instant};

/// How long the next change is looked out for, and what counts as quick.
const QUICK: Duration = Duration::from_micros(200);
/// Whoever gives way this long gave way to somebody.
const GAVE_WAY: Duration = Duration::from_micros(20);
/// The score from which on the tracer stays awake.
const ENOUGH: u8 = 8;
/// The highest score: after so many quick changes a few slow ones make no difference.
const MOST: u8 = 16;
/// What a slow change costs, and giving way to somebody.
const SLOWER: u8 = 4;

/// How quickly changes came lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    score: u8,
}

impl Pace {
    /// The next change, from `look`, which is asked to wait for it (`true`) or only whether there is one (`false`).
    pub(super) fn next<T, E>(&mut self, mut look: impl FnMut(bool) -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        let begun = Instant::now();
        while self.score >= ENOUGH {
            if let Some(change) = look(false)? {
                self.came_after(begun.elapsed());
                return Ok(Some(change));
            }
            let before = Instant::now();
            std::thread::yield_now();
            if before.elapsed() > GAVE_WAY {
                // Somebody else wants this processor: sleeping is the better way to let him have it.
                self.slower();
                break;
            }
            if begun.elapsed() > QUICK {
                break;
            }
        }
        let change = look(true)?;
        self.came_after(begun.elapsed());
        Ok(change)
    }

    fn came_after(&mut self, waited: Duration) {
        if waited <= QUICK {
            self.score = (self.score + 1).min(MOST);
        } else {
            self.slower();
        }
    }

    const fn slower(&mut self) {
        self.score = self.score.saturating_sub(SLOWER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often `pace` only looked before it got a change that is there at the `after`th look.
    fn looks(pace: &mut Pace, after: u32) -> u32 {
        let mut looked = 0;
        let found = pace.next(|wait| {
            looked += u32::from(!wait);
            Ok::<_, ()>((wait || looked > after).then_some(()))
        });
        assert_eq!(found, Ok(Some(())));
        looked
    }

    #[test]
    fn it_sleeps_until_changes_have_come_quickly_for_a_while() {
        let mut pace = Pace::default();
        assert_eq!(looks(&mut pace, 0), 0);
        pace.score = 0;
        for _ in 0..ENOUGH {
            assert!(pace.score < ENOUGH);
            pace.came_after(Duration::from_micros(1));
        }
        assert_eq!(looks(&mut pace, 0), 1);
        pace.score = MOST;
        for _ in 0..2 {
            pace.came_after(Duration::from_millis(1));
        }
        assert!(pace.score >= ENOUGH, "two slow ones make no difference");
        pace.came_after(Duration::from_millis(1));
        assert_eq!(looks(&mut pace, 0), 0);
    }

    #[test]
    fn it_never_looks_out_for_ever_nor_beside_others() {
        let mut pace = Pace { score: MOST };
        // Nothing comes until it waits.
        assert!(looks(&mut pace, u32::MAX) > 0);
        assert!(pace.score < MOST);
        pace.slower();
        pace.slower();
        assert_eq!(looks(&mut pace, 0), 0);
    }

    #[test]
    fn an_error_is_passed_on() {
        assert_eq!(Pace { score: MOST }.next(|_| Err::<Option<()>, _>(7)), Err(7));
    }
}
