//! The program: chooses the command, starts the runtime, tells how it went by its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    wicketgate::cli::main(std::env::args_os())
}
