//! Moments, in nanoseconds since the Unix epoch.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since 1970-01-01T00:00:00Z, as `CLOCK_REALTIME` counts them.
///
/// The clock can be stepped while a session runs, so order is a record's [`Seq`](crate::Seq), never its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Nanoseconds from `earlier` to `self`; 0 where the clock went backwards.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `2024-01-15T14:30:00Z`.
    #[must_use]
    pub fn to_seconds_string(self) -> String {
        self.to_chrono().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// `2024-01-15T14:30:00.123Z`.
    #[must_use]
    pub fn to_millis_string(self) -> String {
        self.to_chrono().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The same moment for the calendar functions of chrono.
    #[must_use]
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(i64::try_from(self.0).unwrap_or(i64::MAX))
    }

    /// From RFC 3339 text, such as `2026-09-01T10:00:00.000001000Z`; `None` where it is none or before the epoch.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let nanos = DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()?;
        u64::try_from(nanos).ok().map(Self)
    }

    /// From seconds and nanoseconds, as `clock_gettime(2)` gives them. Moments before the epoch become the epoch.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: u32) -> Self {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(nanos)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_millis_string())
    }
}
