//! The wasmtime engine of both modes: limits on time and memory, and a cache of compiled
//! components.

use crate::ComponentSource;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, thread};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Config, Engine, StoreLimits, StoreLimitsBuilder};

/// Interval of the engine's epoch, the unit of all deadlines.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);
/// Memory limit of an instance: enough for a snapshot of many millions of revocations.
const MAX_MEMORY_BYTES: usize = 512 << 20;

/// A compiled component and its engine. Compiling takes half a second; wasmtime caches the result.
#[derive(Clone)]
pub struct Program {
    pub(crate) engine: Engine,
    pub(crate) component: Component,
    /// Advances the engine's epoch while the program exists.
    _clock: Arc<EpochClock>,
}

/// Why a component could not be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// File of the component, or what it is embedded in.
    component: String,
    source: wasmtime::Error,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The inner causes take many lines; the outermost one names the error.
        write!(f, "is not a component that can be hosted: {}: {}", self.component, self.source)
    }
}

impl std::error::Error for LoadError {}

impl Program {
    /// Loads and compiles a component from a file.
    pub fn load(path: &Path) -> Result<Program, LoadError> {
        let compiled = Program::compile(|engine| Component::from_file(engine, path));
        compiled.map_err(|source| LoadError { component: path.display().to_string(), source })
    }

    /// Loads and compiles a component.
    pub fn from_source(source: &ComponentSource) -> Result<Program, LoadError> {
        match source {
            ComponentSource::File(path) => Program::load(path),
            ComponentSource::Embedded(bytes) => Program::compile(|engine| Component::from_binary(engine, bytes))
                .map_err(|source| LoadError { component: "embedded in this program".to_owned(), source }),
        }
    }

    fn compile(component: impl FnOnce(&Engine) -> wasmtime::Result<Component>) -> wasmtime::Result<Program> {
        let engine = engine()?;
        let component = component(&engine)?;
        Ok(Program { _clock: Arc::new(EpochClock::start(engine.clone())), engine, component })
    }
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model_async(true).epoch_interruption(true);
    // Without a home folder, there is no cache, and each start compiles.
    if let Ok(cache) = Cache::new(CacheConfig::new()) {
        config.cache(Some(cache));
    }
    Engine::new(&config)
}

/// Limits of an instance; it traps when it exceeds one.
pub(crate) fn limits() -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(MAX_MEMORY_BYTES)
        .table_elements(100_000)
        .instances(64)
        .memories(16)
        .tables(64)
        .trap_on_grow_failure(true)
        .build()
}

/// A thread that advances the epoch, so that calls end at their deadline.
struct EpochClock {
    stop: Arc<AtomicBool>,
}

impl EpochClock {
    fn start(engine: Engine) -> EpochClock {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(EPOCH_TICK);
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
