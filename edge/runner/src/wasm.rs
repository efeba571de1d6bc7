//! The wasmtime side that both modes share: an engine with bounded execution, and components compiled once and cached.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, thread};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Config, Engine, StoreLimits, StoreLimitsBuilder};

/// How often the epoch moves; deadlines are counted in these.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Memory one instance may hold: a snapshot of many millions of revocations, and no more.
const MEMORY: usize = 512 << 20;

/// A compiled component and the engine it runs on. Compiling takes half a second; the result is kept in wasmtime's cache.
#[derive(Clone)]
pub struct Program {
    pub(crate) engine: Engine,
    pub(crate) component: Component,
    /// Moves the engine's epoch for as long as a program is held.
    _clock: Arc<EpochClock>,
}

/// Why a component's file was not taken.
#[derive(Debug)]
pub struct LoadError {
    path: PathBuf,
    source: wasmtime::Error,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The innermost causes run over many lines; the outermost one says what is wrong.
        write!(f, "names no component that can be hosted: {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for LoadError {}

impl Program {
    /// Loads and compiles a component.
    ///
    /// # Errors
    /// When the file cannot be read or is no component.
    pub fn load(path: &Path) -> Result<Program, LoadError> {
        let failed = |source| LoadError { path: path.to_owned(), source };
        let engine = engine().map_err(failed)?;
        let component = Component::from_file(&engine, path).map_err(failed)?;
        Ok(Program { _clock: Arc::new(EpochClock::start(engine.clone())), engine, component })
    }
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model_async(true).epoch_interruption(true);
    // Without a home folder there is no cache, and each start compiles.
    if let Ok(cache) = Cache::new(CacheConfig::new()) {
        config.cache(Some(cache));
    }
    Engine::new(&config)
}

/// Bounds on what an instance may allocate; past them it traps.
pub(crate) fn limits() -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(MEMORY)
        .table_elements(100_000)
        .instances(64)
        .memories(16)
        .tables(64)
        .trap_on_grow_failure(true)
        .build()
}

/// A thread that moves the epoch, so that no component runs longer than its deadline.
struct EpochClock {
    stop: Arc<AtomicBool>,
}

impl EpochClock {
    fn start(engine: Engine) -> EpochClock {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        });
        EpochClock { stop }
    }
}

impl Drop for EpochClock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
