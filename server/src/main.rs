//! The program: the command line, a runtime for what is no worker's, and an exit code.

use palabre::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
