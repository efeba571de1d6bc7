//! The command `tollgate` with the system allocator, for processes with a fake clock: jemalloc
//! reads the clock while it starts, and libfaketime allocates to answer, which would deadlock.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::run()
}
