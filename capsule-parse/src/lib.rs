//! Raw records to process events, on every platform.
//!
//! [`Parser`] is a stage without configuration: it looks at each record's body and either maps it (backends that speak
//! to the kernel hand over structured bodies) or gives the line to the parser of the program that printed it. No parser
//! knows an operating system at compile time; each is tested on every one.
//!
//! To add a backend, add a file with its line parser and one arm in [`Parser`]; nothing else changes. What cannot be
//! read becomes a diagnostic event, never an error and never silence.

mod dtrace;
mod emit;
mod eslogger;
mod lineage;
mod linux;
mod members;
mod native;
mod parser;
mod strace;

pub use parser::Parser;
