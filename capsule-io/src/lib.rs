//! Everything of Capsule that touches a queue or the disk: the bus between stages, and the session on disk.
//!
//! # On disk
//!
//! See [`layout`] for the files, [`chain`] for the link between records, and `docs/session-format.md` for both at length.
//! A session is written through [`SessionWriter`], whose type says whether it is [`Unsealed`] or [`Sealed`]; it is read
//! through [`SessionReader`], and checked by `verify`. A [`Store`] is a user's sessions below one home.
//!
//! # Deliberately absent
//!
//! No stage logic, no report, no tracer: this crate knows records only as things that serialise and carry a number.
//! Nothing here deletes a session unasked.

mod before;
pub mod bus;
pub mod chain;
mod dir;
mod error;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;
mod format;
#[cfg(test)]
mod frozen;
mod guard;
pub mod key;
mod keyed;
pub mod layout;
mod ledger;
mod reader;
mod record;
mod resolve;
mod retention;
mod session;
pub mod sign;
mod store;
mod verify;
mod writer;

pub use before::names_digest;
pub use bus::{Batch, Bus, BusStats, Monitor, Poll, Publisher, Subscription, WhenFull, capacity};
pub use error::StoreError;
pub use format::readable;
pub use guard::{Disturbance, Interference};
pub use key::{KeyError, SealingKey, SessionKey, VerificationKey};
pub use keyed::INTERVAL;
pub use ledger::{Ledger, LedgerDamage, LedgerEntry, LedgerKind};
pub use reader::{BadLine, Records, SessionReader, SessionState, Torn, resolve_enriched, resolve_raw};
pub use record::{FLUSH_AFTER, record};
pub use retention::{Candidate, PrunePlan, Pruned, Reason, Retention};
pub use session::{Sealed, SessionWriter, TreeWriter, Unsealed};
pub use sign::{PublicKey, SigningKey, sign};
pub use store::{Listed, Store};
pub use verify::{Damage, KeyedFact, LedgerFact, Overall, Problem, StreamVerdict, Verdict, VerifyOptions, verify};
pub use writer::ChainWriter;
