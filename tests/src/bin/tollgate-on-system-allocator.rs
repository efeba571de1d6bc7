//! The command `tollgate` on the system's allocator, for processes with a clock of their own: jemalloc asks for the time while it
//! starts, and libfaketime allocates before it answers.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::run()
}
