//! The command `tollgate`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request is some hundred short-lived allocations; glibc's allocator takes several times as long over them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    tollgate::cli::run()
}
