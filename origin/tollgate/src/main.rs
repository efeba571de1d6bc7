//! The command `tollgate`.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A request is some hundred allocations, many of them given back by another thread than took them.
/// Each thread keeps what was given back last at hand, SQLite's memory too: glibc's allocator takes
/// several times as long.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    tollgate::cli::run()
}
