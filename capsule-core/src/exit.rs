//! Exit codes of the `capsule` program. They are an interface: scripts and continuous integration rely on them.
//!
//! `capsule run` exits with the command's own code, or 128 + n when signal n ended it; its own failures use the range of
//! `env(1)` and `timeout(1)`. The other commands use the small codes below.

/// All well; for `verify`: every record is whole and sealed.
pub const OK: u8 = 0;
/// The command failed; for `verify`: could not check.
pub const FAILURE: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// `verify`: the session was altered.
pub const TAMPERED: u8 = 3;
/// `verify`: never sealed, or torn by a crash; nothing says that it was altered.
pub const UNSEALED: u8 = 4;
/// `run`: Capsule failed before the command ran, or could not record it.
pub const CAPSULE_FAILED: u8 = 125;
/// `run`: the command was found but could not be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// `run`: the command was not found.
pub const NOT_FOUND: u8 = 127;
/// `run`: added to the number of the signal that ended the command.
pub const SIGNAL_BASE: u8 = 128;
