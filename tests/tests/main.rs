//! One binary for all end-to-end tests; each module is named by what goes wrong.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attach;
mod attack;
mod chat;
mod completions;
mod conformance;
mod effects;
mod end_to_end;
mod every_byte;
mod evidence;
mod faults;
mod hostile;
mod interrupt;
mod killed;
mod ledger;
mod limits;
mod macos;
mod mcp;
mod on_risk;
mod power;
mod rules;
mod settings;
mod shim;
mod statement;
mod tamper;
mod terminal;
mod tidy;
mod transparency;
mod undo;
mod watching;
