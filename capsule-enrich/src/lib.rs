//! Adds context to events and says where each fact came from.
//!
//! Backends that read a process while it stood still bring a snapshot along; then nothing is left to do but to name
//! users, groups and containers. What the kernel passes on (a parent's cgroup, a session's terminal) is marked as
//! inherited. Where a fact is missing still and the process lives, it is read from the system, marked as late; where
//! nothing works it is absent, with the reason. Nothing is guessed.

mod container;
mod enricher;
mod environ;
mod families;
mod git;
mod host;
mod identity;
mod procfs;
mod source;
mod users;

pub use container::container_id;
pub use enricher::Enricher;
pub use git::{Repository, git_state, repository};
pub use host::host;
pub use source::{nobody, system};
