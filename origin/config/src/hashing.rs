//! The settings of password hashing.

use tollgate_model::HashCost;

use super::setting::Setting;
use super::sources::{SettingError, Sources};

pub(super) const SETTINGS: [Setting; 4] = [
    Setting::new("TOLLGATE_HASH_MEMORY", "hash-memory", "Memory of a password hash (Argon2id)")
        .allowed_values("KiB, 7168 to 1048576", "65536")
        .default("19456"),
    Setting::new("TOLLGATE_HASH_ITERATIONS", "hash-iterations", "Iterations of a password hash (Argon2id)")
        .allowed_values("1 to 64", "3")
        .default("2")
        .formerly("TOLLGATE_HASH_PASSES", "hash-passes"),
    Setting::new(
        "TOLLGATE_HASH_WORKERS",
        "hash-workers",
        "Threads for password hashing; each keeps the memory of one hash",
    )
    .allowed_values("1 to 256", "4")
    .default_description("one for each core"),
    Setting::new(
        "TOLLGATE_HASH_QUEUE",
        "hash-queue",
        "Password hashing queue; when it is full, further requests get 503",
    )
    .allowed_values("1 to 100000 requests", "200")
    .default_description("32 for each thread"),
];

/// KiB. OWASP's Password Storage Cheat Sheet has no recommendation below this, for any number of
/// iterations.
const MIN_MEMORY: u32 = 7 * 1024;
const MAX_WORKERS: usize = 256;
const MAX_QUEUE: usize = 100_000;
/// Default queue length for each thread: about one second of work.
const QUEUE_PER_WORKER: usize = 32;

/// The cost of a password hash, and the size of the worker pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSettings {
    pub cost: HashCost,
    /// Number of threads; each keeps the memory of one hash.
    pub workers: usize,
    /// Number of requests that may wait for a thread.
    pub queue: usize,
}

impl Default for HashSettings {
    fn default() -> HashSettings {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        HashSettings { cost: HashCost::default(), workers, queue: workers * QUEUE_PER_WORKER }
    }
}

impl HashSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<HashSettings, SettingError> {
        let default = HashSettings::default();
        let memory = sources.parse("TOLLGATE_HASH_MEMORY", |text| {
            let memory = text.parse().ok().filter(|memory| *memory >= MIN_MEMORY && HashCost::new(*memory, 1).is_ok());
            memory.ok_or("must be KiB, 7168 to 1048576")
        })?;
        let iterations = sources.parse("TOLLGATE_HASH_ITERATIONS", |text| {
            let iterations = text.parse().ok().filter(|iterations| HashCost::new(MIN_MEMORY, *iterations).is_ok());
            iterations.ok_or("must be a number, 1 to 64")
        })?;
        let workers = sources.parse("TOLLGATE_HASH_WORKERS", |text| {
            let workers = text.parse().ok().filter(|workers| (1..=MAX_WORKERS).contains(workers));
            workers.ok_or("must be a number of threads, 1 to 256")
        })?;
        let workers = workers.unwrap_or(default.workers);
        let queue = sources.parse("TOLLGATE_HASH_QUEUE", |text| {
            let queue = text.parse().ok().filter(|queue| (1..=MAX_QUEUE).contains(queue));
            queue.ok_or("must be a number of requests, 1 to 100000")
        })?;
        let (memory, iterations) =
            (memory.unwrap_or(default.cost.memory()), iterations.unwrap_or(default.cost.iterations()));
        // Both are within bounds here: `new` cannot fail.
        let cost = HashCost::new(memory, iterations).unwrap_or_default();
        Ok(HashSettings { cost, workers, queue: queue.unwrap_or(workers * QUEUE_PER_WORKER) })
    }
}
