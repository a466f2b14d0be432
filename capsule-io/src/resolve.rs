//! What a person types for a session: `latest`, `@{-1}` for the one before it, a whole name, or a part of one that only
//! one session has at its beginning, or at the beginning of its random end.

use capsule_core::SessionId;

use crate::error::StoreError;

/// How many of several matches an error names.
const NAMED: usize = 5;

/// The session among `ids` (oldest first) that `wanted` means.
///
/// # Errors
/// When none or several match.
pub(crate) fn resolve(ids: &[SessionId], wanted: &str) -> Result<SessionId, StoreError> {
    let missing = || StoreError::NotFound { wanted: wanted.to_owned() };
    if let Some(back) = steps_back(wanted) {
        let index = ids.len().checked_sub(back.saturating_add(1)).ok_or_else(missing)?;
        return ids.get(index).cloned().ok_or_else(missing);
    }
    if wanted.is_empty() {
        return Err(missing());
    }
    if let Some(exact) = ids.iter().find(|id| id.as_str() == wanted) {
        return Ok(exact.clone());
    }
    let random = |id: &SessionId| id.as_str().rsplit('-').next().is_some_and(|end| end.starts_with(wanted));
    let matches: Vec<&SessionId> = ids.iter().filter(|id| id.as_str().starts_with(wanted) || random(id)).collect();
    match matches.as_slice() {
        [] => Err(missing()),
        [only] => Ok((*only).clone()),
        several => Err(StoreError::Ambiguous {
            wanted: wanted.to_owned(),
            count: several.len(),
            first: several.iter().take(NAMED).map(ToString::to_string).collect(),
        }),
    }
}

/// How many sessions before the latest are meant, where that is how it is said.
fn steps_back(wanted: &str) -> Option<usize> {
    match wanted {
        "latest" | "@" => Some(0),
        _ => wanted.strip_prefix("@{-")?.strip_suffix('}')?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<SessionId> {
        ["2024-01-15T14:30:00Z-abc123", "2024-01-15T14:30:09Z-abd456", "2024-02-01T00:00:00Z-zzz999"]
            .iter()
            .map(|id| SessionId::parse(id).unwrap())
            .collect()
    }

    fn check(wanted: &str, expected: Option<usize>) {
        let ids = ids();
        assert_eq!(resolve(&ids, wanted).ok().as_ref(), expected.map(|index| &ids[index]), "{wanted:?}");
    }

    #[test]
    fn every_way_to_name_a_session() {
        check("latest", Some(2));
        check("@{-0}", Some(2));
        check("@{-2}", Some(0));
        check("2024-02", Some(2));
        check("abc", Some(0));
        check("2024-01-15T14:30:00Z-abc123", Some(0));
    }

    #[test]
    fn what_means_none_or_several_is_refused() {
        for wanted in ["", "@{-3}", "@{--1}", "@{-99999999999999999999}", "../..", "2024-01", "ab", "2025"] {
            check(wanted, None);
        }
        let error = resolve(&ids(), "ab").unwrap_err().to_string();
        assert_eq!(error, "`ab` matches 2 sessions: 2024-01-15T14:30:00Z-abc123, 2024-01-15T14:30:09Z-abd456");
    }
}
