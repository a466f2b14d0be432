//! Lengths of time as people write them.

use std::time::Duration;

/// A length of time: a whole number and its unit, `30s`, `10m`, `2h`, `30d`, `2w`.
///
/// # Errors
/// In words, when it is none.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    let wrong = || "a length of time is like 30s, 10m, 2h or 30d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = number.and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_whole_numbers_with_a_unit() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("10m", 600), ("2h", 7200), ("30d", 2_592_000), ("1w", 604_800)]
        {
            assert_eq!(length(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "30", "+1s", "-1s", "1.5h", "30 d", "1D", "99999999999999999999s", "\u{661}s", "1\u{e9}"]
        {
            assert!(length(text).is_err(), "{text:?}");
        }
        assert_eq!(length("18446744073709551615w"), Ok(Duration::from_secs(u64::MAX)));
    }
}
