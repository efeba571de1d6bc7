//! The settings of password hashing.

use tollgate_model::HashCost;

use super::table::Setting;
use super::{SettingError, Sources};

pub(super) const EXPLAINED: [Setting; 4] = [
    Setting::new("TOLLGATE_HASH_MEMORY", "hash-memory", "Memory that the hash of a password takes (Argon2id)")
        .of("KiB, 7168 to 1048576", "65536")
        .or("19456"),
    Setting::new("TOLLGATE_HASH_PASSES", "hash-passes", "How often the hash goes over it").of("1 to 64", "3").or("2"),
    Setting::new("TOLLGATE_HASH_WORKERS", "hash-workers", "Threads that hash; each keeps the memory of one hash")
        .of("1 to 256", "4")
        .otherwise("one for each core"),
    Setting::new("TOLLGATE_HASH_QUEUE", "hash-queue", "Hashes that may wait for them; one more gets 503 at once")
        .of("1 to 100000", "200")
        .otherwise("32 for each thread"),
];

/// KiB of memory at least: less than OWASP asks for with any number of passes is no protection.
const MIN_MEMORY: u32 = 7 * 1024;
const MAX_WORKERS: usize = 256;
const MAX_QUEUE: usize = 100_000;
/// Hashes that wait for each thread, by default: about a second of work.
const QUEUE_PER_WORKER: usize = 32;

/// What a hash costs, and how many are made and wait at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSettings {
    /// What one costs.
    pub cost: HashCost,
    /// The threads that hash; each holds the memory of one hash.
    pub workers: usize,
    /// How many hashes may wait for them.
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
        let passes = sources.parse("TOLLGATE_HASH_PASSES", |text| {
            let passes = text.parse().ok().filter(|passes| HashCost::new(MIN_MEMORY, *passes).is_ok());
            passes.ok_or("must be a number, 1 to 64")
        })?;
        let workers = sources.parse("TOLLGATE_HASH_WORKERS", |text| {
            let workers = text.parse().ok().filter(|workers| (1..=MAX_WORKERS).contains(workers));
            workers.ok_or("must be a number of threads, 1 to 256")
        })?;
        let workers = workers.unwrap_or(default.workers);
        let queue = sources.parse("TOLLGATE_HASH_QUEUE", |text| {
            let queue = text.parse().ok().filter(|queue| (1..=MAX_QUEUE).contains(queue));
            queue.ok_or("must be a number of hashes, 1 to 100000")
        })?;
        // Both were checked; the defaults stand for what never is.
        let cost = HashCost::new(memory.unwrap_or(19 * 1024), passes.unwrap_or(2)).unwrap_or_default();
        Ok(HashSettings { cost, workers, queue: queue.unwrap_or(workers * QUEUE_PER_WORKER) })
    }
}
