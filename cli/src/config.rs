//! The user's settings: defaults of options, from one file of the user's own.
//!
//! What holds is, in this order: an option on the command line, `-c KEY=VALUE`, the option's environment variable, the file,
//! the built-in default. Only this one file is read. None is looked for in the working directory or above it: what a traced
//! program can write there must not decide how it is recorded.
//!
//! - [`keys`]: which settings there are, and of which options
//! - [`mod@file`]: the file, its checks, and changes to it
//! - [`apply`]: settings become the defaults of the command line

pub mod apply;
pub mod file;
pub mod keys;

pub use apply::{Refused, parse};
pub use file::{Config, Setting};
pub use keys::{KEYS, Key};
