//! What can read what: a reader reads every minor version of the major ones it knows, and says so about the others.

use capsule_core::{FORMAT_VERSION, FormatVersion};
use serde::Deserialize;

/// The part of `metadata.json` that every version has.
#[derive(Debug, Deserialize)]
pub(crate) struct VersionOnly {
    pub(crate) format: FormatVersion,
}

/// Whether this build can read a session of `version`.
#[must_use]
pub const fn readable(version: FormatVersion) -> bool {
    version.major == FORMAT_VERSION.major
}
