//! Every part of Capsule that reads bytes which somebody else chose, as functions of nothing but bytes.
//!
//! The fuzz targets in `fuzz/` and the replay of mutated seeds in `tests/tests/hostile.rs` call the same functions. Each
//! panics when something does not hold that must hold for any input at all.

mod lines;
mod session;
mod text;

/// A part that reads bytes.
pub type Entry = fn(&[u8]);

/// Every part, with the name of its fuzz target and of its directory of seeds.
pub const ENTRIES: [(&str, Entry); 9] = [
    ("strace", lines::strace),
    ("dtrace", lines::dtrace),
    ("eslogger", lines::eslogger),
    ("ebpf", lines::ebpf),
    ("reader", session::reader),
    ("verify", session::verify),
    ("human", session::human),
    ("shell", text::shell),
    ("redact", text::redact),
];

/// Hands `input` to the part called `name`.
///
/// # Panics
/// When there is no such part, or when something does not hold.
pub fn feed(name: &str, input: &[u8]) {
    let entry = ENTRIES.iter().find(|(known, _)| *known == name);
    assert!(entry.is_some(), "nothing is called {name}");
    entry.iter().for_each(|(_, entry)| entry(input));
}
