//! The hub: a Durable Object that fetches from the origin for many isolates, and receives the
//! pushes.
//!
//! It has a gate, which it keeps fresh as every edge does, and sends the messages that the gate
//! accepted to the isolates, as signed by the origin. [`crate::hubs`] explains why an isolate
//! cannot take its replica for fresher than it is. A hub registers with the [`Directory`], which is
//! an object of the same class. Other objects of this class only count requests, for rate limits.
//!
//! Never: a hub verifies a token, reports an age below the true one, or stores a secret.

mod directory;
mod message_log;
mod storage;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures::{channel::oneshot, future};
use tollgate_gate::{
    Freshness, Gate, HubLoad, JsonObject, MAX_PUSH_BYTES, ProofUse, RateLimit, RateLimitBucket, RateLimitKey,
    RateLimiter, ReplaySet, ReportQueue, Response, Settings,
};
use worker::{Delay, DurableObject, Env, Request, Result, State, console_error, durable_object, wasm_bindgen, web_sys};

use self::{
    directory::{Directory, HUB_LIFETIME_MS},
    message_log::{HubLog, LogUpdate},
    storage::{Storage, StoredMessages},
};
use crate::{
    http,
    hubs::{self, DIRECTORY},
    kv, now_ms,
    origin::{self, AppliedAnswer},
    protocol::{self, HubRequest, MessagesRequest, Part, SNAPSHOT_PART_BYTES, id_text, snapshot_id},
    setting,
    single_flight::{FlightEnd, SingleFlight},
};

/// How long an isolate's request waits for the origin; less than the isolate waits for the hub.
const FETCH_WAIT_MS: u64 = 1_000;
/// How long a push with missing deltas before it waits until the hub has caught up.
const CATCH_UP_WAIT_MS: u64 = 1_500;
/// Interval at which a hub that isolates ask registers with the directory.
const REGISTRATION_INTERVAL_MS: u64 = 30_000;
const REGISTRATION_TIMEOUT_MS: u64 = 2_000;
/// Requests that wait for a change; further ones are answered immediately.
const MAX_HELD: usize = 1_000;

/// What a hub tells isolates while its first request to the origin is under way for long.
const NO_ANSWER: &str = "the origin has not answered in time";

/// The class that wrangler.toml names.
#[durable_object(fetch)]
pub struct Hub {
    /// The replica, or one line that names the invalid setting.
    replica: std::result::Result<Rc<HubReplica>, String>,
    limiter: RefCell<RateLimiter>,
    used_proofs: RefCell<ReplaySet>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let settings = Settings::from_lookup(|name| setting(&env, name)).map_err(|error| error.to_string());
        let replica = settings.map(|settings| Rc::new(HubReplica::load(state, env, settings)));
        Self { replica, limiter: RefCell::default(), used_proofs: RefCell::default() }
    }

    async fn fetch(&self, request: Request) -> Result<worker::Response> {
        let replica = match &self.replica {
            Ok(replica) => replica,
            Err(why) => return http::json_error(500, "configuration_error", why).map(Into::into),
        };
        let request = request.inner();
        let response = match HubRequest::parse(&request.url()) {
            Some(HubRequest::Messages(request)) => replica.answer(&request).await,
            Some(HubRequest::SnapshotPart { id, part }) => replica.snapshot_part(&id, part),
            Some(HubRequest::Push) => replica.push(request).await,
            Some(HubRequest::PushToAll { at_ms }) => replica.push_to_all(request, at_ms).await,
            Some(HubRequest::Register { name }) => replica.register(&name),
            Some(HubRequest::Limit { bucket, requests, seconds }) => self.count_request(bucket, requests, seconds),
            Some(HubRequest::Proof(proof_use)) => self.record_proof(proof_use),
            None => Response::error(404, "not_found", "this hub has another version"),
        };
        http::from_gate(&response).map(Into::into)
    }
}

impl Hub {
    /// Counts a request for a rate limit. The counts are in memory: they start at 0 when the
    /// runtime moves the object.
    fn count_request(&self, bucket: u64, requests: u32, seconds: u32) -> Response {
        let limit = RateLimit { requests, seconds, by: RateLimitKey::Client };
        let taken = self.limiter.borrow_mut().take(RateLimitBucket::from_number(bucket), &limit, now_ms());
        match taken {
            Ok(()) => octets(200, Vec::new()),
            Err(seconds) => octets(429, seconds.to_string().into_bytes()),
        }
    }

    /// Records the use of a DPoP proof. The uses are in memory: when the runtime moves the object,
    /// only the isolate that saw the proof refuses its replay.
    fn record_proof(&self, proof_use: ProofUse) -> Response {
        let recorded = self.used_proofs.borrow_mut().record(proof_use, now_ms() / 1000);
        octets(if recorded.is_ok() { 200 } else { 409 }, Vec::new())
    }
}

fn octets(status: u16, body: Vec<u8>) -> Response {
    Response::new(status).with("content-type", "application/octet-stream").with_body(body)
}

/// The gate of a hub, its message log, and the storage of both.
struct HubReplica {
    state: State,
    env: Env,
    settings: Settings,
    gate: RefCell<Gate>,
    log: RefCell<HubLog>,
    storage: Option<Storage>,
    fetches: Rc<SingleFlight>,
    /// Reports of isolates for the origin.
    reports: RefCell<ReportQueue>,
    load: Cell<HubLoad>,
    /// Requests of isolates that wait for a change.
    held: RefCell<Vec<oneshot::Sender<()>>>,
    /// Time of the last registration with the directory, in Unix milliseconds.
    registered_at_ms: Cell<u64>,
    directory: Directory,
}

impl HubReplica {
    /// Loads the stored messages. The replica is stale at first.
    fn load(state: State, env: Env, settings: Settings) -> Self {
        let (mut gate, mut log) = (Gate::new(settings.clone()), HubLog::default());
        let storage = Storage::open(&state).map_err(|error| log_storage_error("open", &error)).ok();
        let stored = storage.as_ref().map(|storage| storage.load().map_err(|error| log_storage_error("read", &error)));
        let stored = stored.and_then(std::result::Result::ok).unwrap_or_default();
        let StoredMessages { snapshot, deltas, hubs } = stored;
        match snapshot.map(|snapshot| gate.warm(&snapshot)) {
            None => {} // a new hub
            Some(Ok(())) => log.restart(gate.sequence()),
            Some(Err(error)) => console_error!("tollgate: the hub's stored snapshot was refused: {error}"),
        }
        for message in deltas {
            log.append(hubs::sequence(&gate.push(&message, now_ms()).body), &message);
        }
        Self {
            state,
            env,
            settings,
            gate: RefCell::new(gate),
            log: RefCell::new(log),
            storage,
            fetches: Rc::default(),
            reports: RefCell::default(),
            load: Cell::default(),
            held: RefCell::default(),
            registered_at_ms: Cell::new(0),
            directory: Directory::new(hubs),
        }
    }

    /// Answers an isolate. The hub fetches from the origin by the rules of every edge, with one
    /// addition: an awaited answer must be fresh on arrival, so the hub fetches first as soon as a
    /// refresh is due.
    async fn answer(self: &Rc<Self>, request: &MessagesRequest) -> Response {
        let arrived_at_ms = now_ms();
        let mut load = self.load.get();
        let requests_per_second = load.count(arrived_at_ms);
        self.load.set(load);
        self.register_with_directory(&request.hub);
        if let Some(report) = &request.report {
            self.reports.borrow_mut().push(**report);
        }
        match self.freshness() {
            Freshness::Fresh => {}
            Freshness::RefreshDue if !request.is_awaited => drop(self.start_fetch()),
            Freshness::RefreshDue | Freshness::Stale => {
                let is_fresh = || self.freshness() == Freshness::Fresh;
                self.fetches.wait(FETCH_WAIT_MS, || self.start_fetch(), is_fresh).await;
            }
        }
        if request.hold_ms > 0 && request.after.is_some() && request.after == self.gate.borrow().sequence() {
            self.wait_for_change(request.hold_ms).await;
        }
        let mut answer = protocol::new_answer(requests_per_second);
        let (log, gate) = (self.log.borrow(), self.gate.borrow());
        log.write_parts(&mut answer, request.after, gate.snapshot(), arrived_at_ms, now_ms());
        let why = match gate.freshness(now_ms()) {
            Freshness::Fresh => None,
            Freshness::RefreshDue => gate.last_error(),
            Freshness::Stale => gate.last_error().or(Some(NO_ANSWER)),
        };
        if let Some(why) = why {
            protocol::write_part(&mut answer, Part::Error(why));
        }
        octets(200, answer)
    }

    fn freshness(&self) -> Freshness {
        self.gate.borrow().freshness(now_ms())
    }

    /// Waits until the hub has a change or a new proof of freshness, at most for this time.
    async fn wait_for_change(&self, hold_ms: u64) {
        let (change, changed) = oneshot::channel();
        let is_held = {
            let mut held = self.held.borrow_mut();
            held.retain(|change| !change.is_canceled());
            let has_room = held.len() < MAX_HELD;
            if has_room {
                held.push(change);
            }
            has_room
        };
        if is_held {
            drop(future::select(changed, Delay::from(Duration::from_millis(hold_ms))).await);
        }
    }

    /// Answers the requests that wait for a change.
    fn release_held(&self) {
        self.held.borrow_mut().clear();
    }

    /// A part of the hub's snapshot.
    fn snapshot_part(&self, id: &str, part: usize) -> Response {
        let gate = self.gate.borrow();
        let snapshot = gate.snapshot().unwrap_or_default();
        let is_current = snapshot_id(snapshot).is_some_and(|current| id_text(&current) == id);
        match snapshot.chunks(SNAPSHOT_PART_BYTES).nth(part).filter(|_| is_current) {
            Some(part) => octets(200, part.to_vec()),
            None => Response::error(404, "not_found", "the hub has another snapshot"),
        }
    }

    /// Reads and applies a push.
    async fn push(self: &Rc<Self>, request: &web_sys::Request) -> Response {
        match read_push(request).await {
            Ok(message) => self.apply_push(&message).await,
            Err(refusal) => refusal,
        }
    }

    /// Applies a push. If deltas before it or the snapshot are missing, the hub fetches them first:
    /// only what a hub has applied counts as delivered.
    async fn apply_push(self: &Rc<Self>, message: &[u8]) -> Response {
        let push = || self.gate.borrow_mut().push(message, now_ms());
        let mut response = push();
        if response.status == 409 {
            self.fetches.wait(CATCH_UP_WAIT_MS, || self.start_fetch(), || false).await;
            response = push();
        }
        if response.status == 200 && self.log.borrow_mut().append(hubs::sequence(&response.body), message) {
            self.store(|storage| storage.append(message));
            self.release_held();
            if self.log.borrow().should_be_compacted() {
                drop(self.start_fetch()); // limits the log of a hub that gets pushes but no requests
            }
        }
        response
    }

    /// As the directory: applies a push and sends it to all hubs.
    async fn push_to_all(self: &Rc<Self>, request: &web_sys::Request, at_ms: Option<u64>) -> Response {
        if at_ms.is_some_and(|at_ms| !self.gate.borrow().admit_push(at_ms, now_ms())) {
            return Response::error(403, "access_denied", "the push is old, or was received before");
        }
        let message = match read_push(request).await {
            Ok(message) => message,
            Err(refusal) => return refusal,
        };
        let (brings_nothing, sequence) = {
            let gate = self.gate.borrow();
            (gate.has_all_of_push(&message), gate.sequence())
        };
        if brings_nothing && sequence.is_some() && self.directory.delivered.get() >= sequence {
            return Response::json(200, JsonObject::new().number("sequence", sequence));
        }
        let own = self.apply_push(&message).await;
        if !matches!(own.status, 200 | 409) {
            return own;
        }
        self.directory.push_to_all(&self.env, &message, own, now_ms()).await
    }

    /// As the directory: registers a hub, and keeps the replica and the snapshot in KV up to date.
    fn register(self: &Rc<Self>, name: &str) -> Response {
        let now_ms = now_ms();
        if !self.directory.register(name, now_ms) {
            return Response::error(503, "temporarily_unavailable", "there are too many hubs");
        }
        self.store(|storage| storage.save_hub(name, now_ms, now_ms.saturating_sub(HUB_LIFETIME_MS)));
        let hub = Rc::clone(self);
        let fetch = (self.freshness() != Freshness::Fresh).then(|| self.start_fetch()).flatten();
        self.state.wait_until(async move {
            if let Some(ended) = fetch {
                let _ = ended.await; // an error is the end, too
            }
            kv::store_snapshot(&hub.gate, &hub.directory.kv_checked_ms, &hub.env).await;
        });
        octets(200, Vec::new())
    }

    /// Registers this hub, of that name, with the directory. Until it is registered, it gets no
    /// pushes, and is as up to date as its requests to the origin make it.
    fn register_with_directory(self: &Rc<Self>, name: &str) {
        if now_ms().abs_diff(self.registered_at_ms.get()) < REGISTRATION_INTERVAL_MS {
            return;
        }
        self.registered_at_ms.set(now_ms());
        let (hub, request) = (Rc::clone(self), HubRequest::Register { name: name.to_owned() });
        self.state.wait_until(async move {
            match hubs::send(&hub.env, DIRECTORY, &request, None, REGISTRATION_TIMEOUT_MS).await {
                Ok((200, _)) => {}
                Ok((status, _)) => console_error!("tollgate: the directory of hubs answered with status {status}"),
                Err(why) => console_error!("tollgate: the directory of hubs cannot be reached: {why}"),
            }
        });
    }

    /// Starts a fetch from the origin, unless one is under way.
    fn start_fetch(self: &Rc<Self>) -> Option<FlightEnd> {
        let (flight, ended) = self.fetches.try_start(origin::SYNC_TIMEOUT_MS)?;
        let hub = Rc::clone(self);
        self.state.wait_until(async move {
            let should_be_compacted = hub.log.borrow().should_be_compacted();
            let is_success = should_be_compacted && hub.compact_log().await
                || origin::sync(&hub.gate, || hub.reports.borrow_mut().pop(), |answer| hub.store_answer(&answer)).await;
            flight.finish(is_success);
        });
        Some(ended)
    }

    fn store_answer(&self, answer: &AppliedAnswer) {
        let sequence = self.gate.borrow().sequence();
        let update = self.log.borrow_mut().add_answer(sequence, answer);
        match update {
            LogUpdate::None => {}
            LogUpdate::Appended => self.store(|storage| storage.append(&answer.message)),
            LogUpdate::Replaced => self.store(|storage| storage.replace(&answer.message, [])),
        }
        self.release_held(); // also without a change: the proof of freshness is new
    }

    /// Fetches all changes after the snapshot again, in as few messages as the origin can send,
    /// because a new isolate checks the signature of each. Returns whether the log was replaced.
    async fn compact_log(&self) -> bool {
        let (gate, mut log) = (RefCell::new(Gate::new(self.settings.clone())), HubLog::default());
        let is_warm = self.gate.borrow().snapshot().is_some_and(|snapshot| gate.borrow_mut().warm(snapshot).is_ok());
        log.restart(gate.borrow().sequence());
        let is_complete = is_warm
            && origin::sync(&gate, || None, |answer| _ = log.add_answer(gate.borrow().sequence(), &answer)).await;
        if !is_complete || !self.has_same_history(&gate.borrow(), &log) {
            self.log.borrow_mut().mark_compacted(); // tried again after many more messages
            return false;
        }
        log.mark_compacted();
        if let Some(snapshot) = gate.borrow().snapshot() {
            self.store(|storage| storage.replace(snapshot, log.messages()));
        }
        self.gate.replace(gate.into_inner());
        self.log.replace(log);
        true
    }

    /// Whether a new gate has the same history as the current one, and all its changes: the current
    /// gate must accept all messages of the new log.
    fn has_same_history(&self, new_gate: &Gate, new_log: &HubLog) -> bool {
        let mut current = self.gate.borrow_mut();
        if let Some(snapshot) = new_gate.snapshot() {
            // Refused if it is not newer. If its history differs, the messages are refused.
            drop(current.warm(snapshot));
        }
        let are_accepted =
            new_log.messages().chain(new_log.proof()).all(|message| current.push(message, now_ms()).status == 200);
        are_accepted && new_gate.sequence() >= current.sequence()
    }

    /// Writes to the storage. After an error, the hub has to fetch again when it is next loaded.
    fn store(&self, write: impl FnOnce(&Storage) -> Result<()>) {
        if let Some(Err(error)) = self.storage.as_ref().map(write) {
            log_storage_error("write", &error);
        }
    }
}

async fn read_push(request: &web_sys::Request) -> std::result::Result<Vec<u8>, Response> {
    let invalid = || Response::error(400, "invalid_request", "the message ended early or is too large");
    http::read_body(request.body(), MAX_PUSH_BYTES).await.map_err(|_| invalid())
}

fn log_storage_error(operation: &str, error: &worker::Error) {
    console_error!("tollgate: cannot {operation} the hub's storage: {error}");
}
