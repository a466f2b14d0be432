//! What a check of a session can find: facts, and what does not fit, in words and as an exit code.

use std::fmt;

use capsule_core::{SessionId, StreamName, Timestamp, exit};
use serde::{Deserialize, Serialize};

use crate::ledger::LedgerDamage;
use crate::reader::Torn;

/// What was done to a session, or what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "damage", rename_all = "snake_case")]
pub enum Damage {
    /// A record's bytes are not the ones that were written.
    Altered,
    /// A record is missing between others.
    Removed,
    /// Something stands between records that nobody recorded there.
    Inserted,
    /// A record stands there once more.
    Duplicated,
    /// A record stands in another place than it was written.
    Reordered,
    /// Records are missing at the end.
    Truncated,
    /// A record of another session or stream stands there.
    Spliced {
        /// Where it comes from.
        from: String,
    },
    /// Every record links to the one before it, but the last one is not the one that was sealed: the chain was computed
    /// anew after a change.
    Rechained,
    /// The metadata is not what was sealed, or its seal was taken off.
    MetadataAltered,
    /// The tree is not what was sealed.
    TreeAltered,
    /// The session carries a seal that the ledger does not know.
    LedgerMissing,
    /// The ledger was altered, or knows another seal of this session.
    LedgerAltered,
    /// It is sealed with another key than the one that was given.
    OtherKey,
    /// Another session was sealed in the same epoch of the key, or in one that cannot be: one of the two is forged.
    EpochConflict,
    /// There is no statement that is signed by the key that was given, about these contents.
    NotSigned,
    /// A file is missing.
    FileMissing,
    /// A link or something else stands where a file was.
    FileReplaced,
    /// The last line is half written: Capsule was killed, or the machine stopped.
    Torn,
    /// Nobody sealed it.
    Unsealed,
    /// It is still recorded.
    Running,
}

impl Damage {
    /// Whether somebody must have done this: no crash leaves it behind.
    #[must_use]
    pub const fn is_tampering(&self) -> bool {
        !matches!(self, Self::Torn | Self::Unsealed | Self::Running)
    }

    const fn says(&self) -> &'static str {
        match self {
            Self::Altered => "was altered",
            Self::Removed => "was removed",
            Self::Inserted => "was inserted",
            Self::Duplicated => "was duplicated",
            Self::Reordered => "was moved",
            Self::Truncated => "and everything behind it was cut off",
            Self::Spliced { .. } => "comes from elsewhere",
            Self::Rechained => "was rewritten: every record links, but not to the seal",
            Self::MetadataAltered => "was altered",
            Self::TreeAltered => "was altered",
            Self::LedgerMissing => "has no entry for this session's seal",
            Self::LedgerAltered => "was altered",
            Self::OtherKey => "is sealed with another key",
            Self::EpochConflict => "is sealed in an epoch that does not fit",
            Self::NotSigned => "does not vouch for this session",
            Self::FileMissing => "is missing",
            Self::FileReplaced => "was replaced by something that is not a file",
            Self::Torn => "is half written",
            Self::Unsealed => "is not sealed",
            Self::Running => "is still recorded",
        }
    }
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// In which file.
    pub file: String,
    /// The first line that does not fit, from 1, where it is about a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The first record that does not fit, where it is about a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// What it is.
    #[serde(flatten)]
    pub damage: Damage,
    /// What more is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    pub(crate) fn file(file: &str, damage: Damage) -> Self {
        Self { file: file.to_owned(), line: None, record: None, damage, detail: None }
    }

    pub(super) fn record(file: &str, record: u64, line: u64, damage: Damage) -> Self {
        Self { file: file.to_owned(), line: Some(line), record: Some(record), damage, detail: None }
    }

    pub(crate) fn because(mut self, detail: impl Into<String>) -> Self {
        // It may quote what somebody else wrote, and is read on a terminal.
        self.detail = Some(capsule_core::escape_terminal(detail.into().as_bytes()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.file)?;
        if let Some(record) = self.record {
            write!(f, ": record {record}")?;
        }
        write!(f, " {}", self.damage.says())?;
        if let Damage::Spliced { from } = &self.damage {
            write!(f, ": {from}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

/// How a session stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// Sealed, and every byte fits.
    Whole,
    /// Everything that is there fits, and it is still recorded.
    Running,
    /// Everything that is there fits, but nobody sealed it.
    Unsealed,
    /// As unsealed, with a half record at the end of a stream.
    Torn,
    /// Something does not fit that no crash leaves behind.
    Tampered,
}

/// What the ledger says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerFact {
    /// It knows the session's seal.
    Known,
    /// The session carries no seal, so there is nothing to compare.
    NothingToCompare,
    /// It was not asked: the session is not in a store.
    NotChecked,
    /// It does not know the session's seal.
    Unknown,
    /// It knows another seal of this session.
    OtherSeal,
    /// The entry is there, but the ledger was altered before it.
    NotTrusted,
}

/// What is known of a session's keyed seals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum KeyedFact {
    /// It has none.
    None,
    /// It has some; the verification key was not given.
    NotChecked,
    /// They fit up to here.
    Checked {
        /// The key's epoch.
        epoch: u64,
        /// How many intervals fit.
        intervals: u64,
        /// When the last of them ended, by the clock of the machine.
        until: Option<Timestamp>,
        /// Whether the last of them seals the session's end.
        ended: bool,
    },
}

/// What was found in one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamVerdict {
    /// Which.
    pub stream: StreamName,
    /// How many records fit, from the first one on.
    pub records: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// The chain value of the last one that fits.
    pub head: String,
    /// How many records were sealed.
    pub sealed_records: Option<u64>,
    /// The half line at its end.
    pub torn: Option<Torn>,
    /// Whether everything in it fits.
    pub fits: bool,
}

/// Everything that a check of a session found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which session.
    pub session: SessionId,
    /// How it stands.
    pub overall: Overall,
    /// Its seal, where it carries one that fits.
    pub seal: Option<String>,
    /// What the ledger says.
    pub ledger: LedgerFact,
    /// What the keyed seals say.
    pub keyed: KeyedFact,
    /// Which of the keys that were given signed a statement about these contents.
    pub signer: Option<String>,
    /// The ledger's own damage, wherever it is.
    pub ledger_damage: Option<LedgerDamage>,
    /// The streams, in the order of the data flow.
    pub streams: Vec<StreamVerdict>,
    /// What does not fit, tampering first.
    pub problems: Vec<Problem>,
}

impl Verdict {
    /// The exit code of `capsule verify`.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.overall {
            Overall::Whole => exit::OK,
            Overall::Tampered => exit::TAMPERED,
            Overall::Running | Overall::Unsealed | Overall::Torn => exit::UNSEALED,
        }
    }

    /// The first thing that does not fit.
    #[must_use]
    pub fn first(&self) -> Option<&Problem> {
        self.problems.first()
    }
}
