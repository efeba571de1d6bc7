//! An instance of the WIT validator with its gate. Calls are synchronous and limited in time and
//! memory. The component has no access to clock, network, files or random numbers.

use crate::call_limits::{self, CallLimits};
use crate::wasm::Program;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tollgate_gate::Nonce;
use wasmtime::Store;
use wasmtime::component::{Linker, ResourceAny};

mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "tollgate" });
}

pub use bindings::exports::tollgate::validator::validator::{
    Activity, Connection, Decision, Forward, ForwardRoute, IssuedTicket, Question, RateLimit, RateLimitKey, Refresh,
    RefusedRequest, Request, Response, SignatureCheck, StreamPolicy, StreamSchedule, StreamTicket, StreamVerdict,
    Verdict,
};

/// Limit on the running time of a decision.
const MAX_DECISION_TIME: Duration = Duration::from_millis(500);
/// Limit on the running time of applying a message, because the signature covers all of a large
/// snapshot.
const MAX_MESSAGE_TIME: Duration = Duration::from_secs(10);

/// Why a gate was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// A setting is invalid: one line that names it.
    Setting(String),
    /// The component cannot be instantiated, or trapped.
    Trap(wasmtime::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Setting(line) => f.write_str(line),
            OpenError::Trap(error) => write!(f, "the component cannot run: {error:#}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// The random bits of a new instance. None without a random source: then the gate signs no
/// identity.
#[expect(clippy::disallowed_methods, reason = "the runner's random source")]
fn instance_seed() -> Option<(String, String)> {
    let mut random = [0; Nonce::LEN];
    getrandom::fill(&mut random).ok()?;
    Some(("TOLLGATE_EDGE_INSTANCE_SEED".to_owned(), Nonce::from_bytes(random).to_string()))
}

/// A gate inside an instance of the component. The methods' errors are traps, after which the
/// instance is unusable.
pub struct Validator {
    store: Store<CallLimits>,
    bindings: bindings::Tollgate,
    gate: ResourceAny,
    number: u64,
}

impl Validator {
    /// Instantiates the component and opens a gate with settings by their names
    /// (`TOLLGATE_EDGE_ORIGIN`, …).
    pub fn open(program: &Program, settings: &[(String, String)]) -> Result<Validator, OpenError> {
        let mut store = call_limits::store(&program.engine);
        call_limits::begin(&mut store, MAX_MESSAGE_TIME);
        let mut linker = Linker::new(&program.engine);
        // Rust's standard library imports WASI functions that this component never calls.
        linker.define_unknown_imports_as_traps(&program.component).map_err(OpenError::Trap)?;
        let bindings =
            bindings::Tollgate::instantiate(&mut store, &program.component, &linker).map_err(OpenError::Trap)?;
        let settings = [settings, &instance_seed().into_iter().collect::<Vec<_>>()].concat();
        let opened =
            bindings.tollgate_validator_validator().gate().call_open(&mut store, &settings).map_err(OpenError::Trap)?;
        let gate = opened.map_err(OpenError::Setting)?;
        static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);
        Ok(Validator { store, bindings, gate, number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) })
    }

    /// Number that no other instance of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What the gate did since it was opened, and the state of its replica.
    pub fn activity(&mut self, now_ms: u64) -> wasmtime::Result<Activity> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        self.bindings.tollgate_validator_validator().gate().call_activity(&mut self.store, self.gate, now_ms)
    }

    /// Whether a fetch is due.
    pub fn refresh(&mut self, now_ms: u64) -> wasmtime::Result<Refresh> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        self.bindings.tollgate_validator_validator().gate().call_refresh(&mut self.store, self.gate, now_ms)
    }

    /// Path and query of the next GET from the origin.
    pub fn next_fetch(&mut self, wait_ms: u64, question: Question) -> wasmtime::Result<String> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_next_fetch(&mut self.store, self.gate, wait_ms, question)
    }

    /// As [`next_fetch`](Self::next_fetch), with a report of the edge's work.
    pub fn next_fetch_reporting(&mut self, wait_ms: u64, question: Question, report: &str) -> wasmtime::Result<String> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_next_fetch_reporting(&mut self.store, self.gate, wait_ms, question, report)
    }

    /// Applies the origin's answer; true if the next fetch must follow without delay. The inner
    /// error says why it was refused.
    pub fn accept(&mut self, status: u16, body: &[u8], question: Question) -> wasmtime::Result<Result<bool, String>> {
        call_limits::begin(&mut self.store, MAX_MESSAGE_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_accept(&mut self.store, self.gate, status, body, question)
    }

    /// Records a fetch without an answer, for the health report.
    pub fn fetch_failed(&mut self, why: &str, now_ms: u64) -> wasmtime::Result<()> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        self.bindings.tollgate_validator_validator().gate().call_fetch_failed(&mut self.store, self.gate, why, now_ms)
    }

    /// Path and query of the GET by which the origin is asked about a token.
    pub fn next_introspection(&mut self, token: &str, question: Question) -> wasmtime::Result<Option<String>> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_next_introspection(&mut self.store, self.gate, token, question)
    }

    /// Applies the origin's answer about a token. The inner error says why it was refused.
    pub fn accept_introspection(
        &mut self,
        token: &str,
        status: u16,
        body: &[u8],
        question: Question,
    ) -> wasmtime::Result<Result<(), String>> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_accept_introspection(&mut self.store, self.gate, token, status, body, question)
    }

    /// Records that the origin did not answer about a token.
    pub fn introspection_failed(&mut self, token: &str, now_ms: u64) -> wasmtime::Result<()> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_introspection_failed(&mut self.store, self.gate, token, now_ms)
    }

    /// Applies a push from the origin.
    pub fn push(&mut self, body: &[u8], now_ms: u64) -> wasmtime::Result<Response> {
        call_limits::begin(&mut self.store, MAX_MESSAGE_TIME);
        self.bindings.tollgate_validator_validator().gate().call_push(&mut self.store, self.gate, body, now_ms)
    }

    /// Decides on a request. `has_waited` is set after a fetch was awaited, or if none is to be
    /// awaited.
    pub fn decide(&mut self, request: &Request, now_ms: u64, has_waited: bool) -> wasmtime::Result<Decision> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_decide(&mut self.store, self.gate, request, now_ms, has_waited)
    }

    /// Decides as [`decide`](Self::decide) does, but leaves a public-key signature to the caller:
    /// the inner error. If it is good, decide again with `checked_with`, the digest in the error.
    pub fn decide_checked(
        &mut self,
        request: &Request,
        now_ms: u64,
        has_waited: bool,
        checked_with: Option<&Vec<u8>>,
    ) -> wasmtime::Result<Result<Decision, SignatureCheck>> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_decide_checked(&mut self.store, self.gate, request, now_ms, has_waited, checked_with)
    }

    /// JWK set of the public keys that the gate has now, with the digest of its configuration.
    pub fn signature_keys(&mut self) -> wasmtime::Result<Option<(Vec<u8>, String)>> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        self.bindings.tollgate_validator_validator().gate().call_signature_keys(&mut self.store, self.gate)
    }

    /// The ticket of a stream, from the request that opened it and that was let pass; none if the
    /// stream must end.
    pub fn stream_ticket(&mut self, request: &Request) -> wasmtime::Result<Option<IssuedTicket>> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_stream_ticket(&mut self.store, self.gate, request)
    }

    /// Whether the streams with these tickets may stay open. `has_waited` is set after a fetch was
    /// awaited, or if none is to be awaited.
    pub fn check_streams(
        &mut self,
        tickets: &[StreamTicket],
        now_ms: u64,
        has_waited: bool,
    ) -> wasmtime::Result<Vec<StreamVerdict>> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        let gate = self.bindings.tollgate_validator_validator().gate();
        gate.call_check_streams(&mut self.store, self.gate, tickets, now_ms, has_waited)
    }

    /// When open streams must be checked again.
    pub fn stream_schedule(&mut self) -> wasmtime::Result<StreamSchedule> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        self.bindings.tollgate_validator_validator().gate().call_stream_schedule(&mut self.store, self.gate)
    }

    /// Verifies one token at the Unix time `now` in seconds, with these required scope values.
    pub fn verify(&mut self, token: &[u8], scope: &[String], now: u64) -> wasmtime::Result<Verdict> {
        call_limits::begin(&mut self.store, MAX_DECISION_TIME);
        self.bindings.tollgate_validator_validator().gate().call_verify(&mut self.store, self.gate, token, scope, now)
    }

    /// Verifies many tokens as [`verify`](Self::verify) does one, in less time for each.
    pub fn verify_all(&mut self, tokens: &[Vec<u8>], scope: &[String], now: u64) -> wasmtime::Result<Vec<Verdict>> {
        call_limits::begin(&mut self.store, MAX_MESSAGE_TIME);
        self.bindings.tollgate_validator_validator().gate().call_verify_all(
            &mut self.store,
            self.gate,
            tokens,
            scope,
            now,
        )
    }

    /// Bytes of the replica's snapshot, for a cold-start store.
    pub fn snapshot(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        call_limits::begin(&mut self.store, MAX_MESSAGE_TIME);
        self.bindings.tollgate_validator_validator().gate().call_snapshot(&mut self.store, self.gate)
    }

    /// Installs a snapshot from a cold-start store. The inner error says why it was refused.
    pub fn warm(&mut self, snapshot: &[u8]) -> wasmtime::Result<Result<(), String>> {
        call_limits::begin(&mut self.store, MAX_MESSAGE_TIME);
        self.bindings.tollgate_validator_validator().gate().call_warm(&mut self.store, self.gate, snapshot)
    }
}
