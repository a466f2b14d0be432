//! The `capsule` program. Everything is in the library, so that tests share it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
