//! The `capsule` program. Everything is in the library, so that tests share it.

use std::process::ExitCode;

/// Records are made on one thread and freed on another, which costs glibc's allocator a fifth of a recording's CPU more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
