//! The command `tollgate`.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A request makes some hundred allocations, many of which another thread frees. jemalloc caches
/// freed memory per thread, also for SQLite; glibc's allocator takes several times as long.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    tollgate::cli::run()
}
