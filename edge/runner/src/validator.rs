//! One instance of the WIT validator and the gate in it, as a plain Rust value. Calls are synchronous and bounded in time
//! and memory. The component is given nothing: no clock, no network, no files, no random source.

use crate::wasm::{self, Program};
use std::fmt;
use wasmtime::component::{Linker, ResourceAny};
use wasmtime::{Store, StoreLimits};

#[expect(missing_docs, reason = "generated; wit/validator.wit documents it")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "tollgate" });
}

pub use bindings::exports::tollgate::validator::validator::{Decision, Question, Refresh, Request, Response, Verdict};

/// Epoch ticks that one decision may take: half a second, for a busy machine may stop a thread for long.
const DECIDE_TICKS: u64 = 50;
/// Epoch ticks that taking a message may take: a large snapshot has a signature over all of it.
const ACCEPT_TICKS: u64 = 1000;

/// Why a gate was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// The settings are refused: one line that names the one at fault.
    Setting(String),
    /// The component cannot be run, or trapped.
    Trap(wasmtime::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Setting(line) => f.write_str(line),
            OpenError::Trap(error) => write!(f, "the component does not run: {error:#}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// A gate inside an instance of the component. After an error (a trap) the instance is of no more use.
pub struct Validator {
    store: Store<StoreLimits>,
    bindings: bindings::Tollgate,
    gate: ResourceAny,
}

impl Validator {
    /// Instantiates the component and opens a gate with settings by their names (`TOLLGATE_EDGE_ORIGIN`, …).
    ///
    /// # Errors
    /// When the settings are refused or the component does not run.
    pub fn open(program: &Program, settings: &[(String, String)]) -> Result<Validator, OpenError> {
        let mut store = Store::new(&program.engine, wasm::limits());
        store.limiter(|limits| limits);
        store.set_epoch_deadline(ACCEPT_TICKS);
        let mut linker = Linker::new(&program.engine);
        // Rust's standard library imports WASI for what this component never does, such as reading its environment.
        linker.define_unknown_imports_as_traps(&program.component).map_err(OpenError::Trap)?;
        let bindings =
            bindings::Tollgate::instantiate(&mut store, &program.component, &linker).map_err(OpenError::Trap)?;
        let opened =
            bindings.tollgate_validator_validator().gate().call_open(&mut store, settings).map_err(OpenError::Trap)?;
        let gate = opened.map_err(OpenError::Setting)?;
        Ok(Validator { store, bindings, gate })
    }

    /// Whether a fetch is due.
    ///
    /// # Errors
    /// A trap, here and below.
    pub fn refresh(&mut self, now_ms: u64) -> wasmtime::Result<Refresh> {
        self.store.set_epoch_deadline(DECIDE_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_refresh(&mut self.store, self.gate, now_ms)
    }

    /// Path and query to GET at the origin next.
    ///
    /// # Errors
    /// A trap.
    pub fn next_fetch(&mut self, wait_ms: u64, question: Question) -> wasmtime::Result<String> {
        self.store.set_epoch_deadline(DECIDE_TICKS);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_next_fetch(&mut self.store, self.gate, wait_ms, question)
    }

    /// Takes the origin's answer; true: fetch again at once. The inner error says why it was refused.
    ///
    /// # Errors
    /// A trap.
    pub fn accept(&mut self, status: u16, body: &[u8], question: Question) -> wasmtime::Result<Result<bool, String>> {
        self.store.set_epoch_deadline(ACCEPT_TICKS);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_accept(&mut self.store, self.gate, status, body, question)
    }

    /// Tells the gate that a fetch failed before an answer came.
    ///
    /// # Errors
    /// A trap.
    pub fn fetch_failed(&mut self, why: &str, now_ms: u64) -> wasmtime::Result<()> {
        self.store.set_epoch_deadline(DECIDE_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_fetch_failed(&mut self.store, self.gate, why, now_ms)
    }

    /// Takes a message that the origin pushed.
    ///
    /// # Errors
    /// A trap.
    pub fn push(&mut self, body: &[u8], now_ms: u64) -> wasmtime::Result<Response> {
        self.store.set_epoch_deadline(ACCEPT_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_push(&mut self.store, self.gate, body, now_ms)
    }

    /// Decides a request. `has_waited`: a fetch was awaited, or is not to be.
    ///
    /// # Errors
    /// A trap.
    pub fn decide(&mut self, request: &Request, now_ms: u64, has_waited: bool) -> wasmtime::Result<Decision> {
        self.store.set_epoch_deadline(DECIDE_TICKS);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_decide(&mut self.store, self.gate, request, now_ms, has_waited)
    }

    /// Judges one token at the Unix time `now` (seconds), requiring these scope values.
    ///
    /// # Errors
    /// A trap.
    pub fn verify(&mut self, token: &[u8], scope: &[String], now: u64) -> wasmtime::Result<Verdict> {
        self.store.set_epoch_deadline(DECIDE_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_verify(&mut self.store, self.gate, token, scope, now)
    }

    /// Judges many tokens as [`verify`](Self::verify) judges one, in less time for each.
    ///
    /// # Errors
    /// A trap.
    pub fn verify_all(&mut self, tokens: &[Vec<u8>], scope: &[String], now: u64) -> wasmtime::Result<Vec<Verdict>> {
        self.store.set_epoch_deadline(ACCEPT_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_verify_all(
            &mut self.store,
            self.gate,
            tokens,
            scope,
            now,
        )
    }

    /// The snapshot's bytes for a cold-start store, if there is one.
    ///
    /// # Errors
    /// A trap.
    pub fn snapshot(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        self.store.set_epoch_deadline(ACCEPT_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_snapshot(&mut self.store, self.gate)
    }

    /// Takes a snapshot from a cold-start store. The inner error says why it was refused.
    ///
    /// # Errors
    /// A trap.
    pub fn warm(&mut self, snapshot: &[u8]) -> wasmtime::Result<Result<(), String>> {
        self.store.set_epoch_deadline(ACCEPT_TICKS);
        self.bindings.tollgate_validator_validator().gate().call_warm(&mut self.store, self.gate, snapshot)
    }
}
