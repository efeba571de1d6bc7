//! The hub: a Durable Object that fetches from the origin for many isolates, and receives the
//! pushes.
//!
//! It has a gate, which it keeps fresh as every edge does, and sends the messages that the gate
//! accepted to the isolates, as signed by the origin. [`crate::hubs`] explains why an isolate
//! cannot take its replica for fresher than it is.
//!
//! Never: a hub verifies a token, reports an age below the true one, or stores a secret.

mod message_log;
mod storage;

use std::{cell::RefCell, rc::Rc};

use tollgate_gate::{Freshness, Gate, MAX_PUSH_BYTES, Response, Settings};
use worker::{DurableObject, Env, Request, Result, State, console_error, durable_object, wasm_bindgen, web_sys};

use self::{
    message_log::{HubLog, LogUpdate},
    storage::{Storage, StoredMessages},
};
use crate::{
    http, hubs, now_ms,
    origin::{self, AppliedAnswer},
    protocol::{HubRequest, PUSH_URL},
    setting,
    single_flight::{FlightEnd, SingleFlight},
};

/// How long an isolate's request waits for the origin; less than the isolate waits for the hub.
const FETCH_WAIT_MS: u64 = 1_000;
/// How long a push with missing deltas before it waits until the hub has caught up.
const CATCH_UP_WAIT_MS: u64 = 3_000;

/// The class that wrangler.toml names.
#[durable_object(fetch)]
pub struct Hub {
    /// The replica, or one line that names the invalid setting.
    replica: std::result::Result<Rc<HubReplica>, String>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let settings = Settings::from_lookup(|name| setting(&env, name)).map_err(|error| error.to_string());
        Self { replica: settings.map(|settings| Rc::new(HubReplica::load(state, settings))) }
    }

    async fn fetch(&self, request: Request) -> Result<worker::Response> {
        let replica = match &self.replica {
            Ok(replica) => replica,
            Err(why) => return http::json_error(500, "configuration_error", why).map(Into::into),
        };
        let request = request.inner();
        let url = request.url();
        let response = match HubRequest::parse(&url) {
            Some(request) => replica.answer(&request).await,
            None if url == PUSH_URL => replica.push(request).await,
            None => Response::error(404, "not_found", "this hub has another version"),
        };
        http::from_gate(&response).map(Into::into)
    }
}

/// The gate of a hub, its message log, and the storage of both.
struct HubReplica {
    state: State,
    settings: Settings,
    gate: RefCell<Gate>,
    log: RefCell<HubLog>,
    storage: Option<Storage>,
    fetches: Rc<SingleFlight>,
}

impl HubReplica {
    /// Loads the stored messages. The replica is stale at first.
    fn load(state: State, settings: Settings) -> Self {
        let (mut gate, mut log) = (Gate::new(settings.clone()), HubLog::default());
        let storage = Storage::open(&state).map_err(|error| log_storage_error("open", &error)).ok();
        let stored = storage.as_ref().map(|storage| storage.load().map_err(|error| log_storage_error("read", &error)));
        if let Some(Ok(StoredMessages { snapshot, deltas })) = stored {
            match snapshot.map(|snapshot| gate.warm(&snapshot)) {
                None => {} // a new hub
                Some(Ok(())) => log.restart(gate.sequence()),
                Some(Err(error)) => console_error!("tollgate: the hub's stored snapshot was refused: {error}"),
            }
            for message in deltas {
                log.append(hubs::sequence(&gate.push(&message, now_ms()).body), &message);
            }
        }
        let (gate, log) = (RefCell::new(gate), RefCell::new(log));
        Self { state, settings, gate, log, storage, fetches: Rc::default() }
    }

    /// Answers an isolate. The hub fetches from the origin by the rules of every edge, with one
    /// addition: an awaited answer must be fresh on arrival, so the hub fetches first as soon as a
    /// refresh is due.
    async fn answer(self: &Rc<Self>, request: &HubRequest) -> Response {
        let freshness = self.gate.borrow().freshness(now_ms());
        match freshness {
            Freshness::Fresh => {}
            Freshness::RefreshDue if !request.is_awaited => drop(self.start_fetch()),
            Freshness::RefreshDue | Freshness::Stale => {
                let is_fresh = || self.gate.borrow().freshness(now_ms()) == Freshness::Fresh;
                self.fetches.wait(FETCH_WAIT_MS, || self.start_fetch(), is_fresh).await;
            }
        }
        let body = self.log.borrow().answer(request.after, self.gate.borrow().snapshot(), now_ms());
        Response::new(200).with("content-type", "application/octet-stream").with_body(body)
    }

    /// Applies a push. If deltas before it or the snapshot are missing, the hub fetches them first:
    /// only what a hub has applied counts as delivered.
    async fn push(self: &Rc<Self>, request: &web_sys::Request) -> Response {
        let Ok(message) = http::read_body(request.body(), MAX_PUSH_BYTES).await else {
            return Response::error(400, "invalid_request", "the message ended early or is too large");
        };
        let push = || self.gate.borrow_mut().push(&message, now_ms());
        let mut response = push();
        if response.status == 409 {
            self.fetches.wait(CATCH_UP_WAIT_MS, || self.start_fetch(), || false).await;
            response = push();
        }
        if response.status == 200 && self.log.borrow_mut().append(hubs::sequence(&response.body), &message) {
            self.store(|storage| storage.append(&message));
            if self.log.borrow().should_be_compacted() {
                drop(self.start_fetch()); // limits the log of a hub that gets pushes but no requests
            }
        }
        response
    }

    /// Starts a fetch from the origin, unless one is under way.
    fn start_fetch(self: &Rc<Self>) -> Option<FlightEnd> {
        let (flight, ended) = self.fetches.try_start()?;
        let hub = Rc::clone(self);
        self.state.wait_until(async move {
            let should_be_compacted = hub.log.borrow().should_be_compacted();
            let is_success = should_be_compacted && hub.compact_log().await
                || origin::sync(&hub.gate, |answer| hub.store_answer(&answer)).await;
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
    }

    /// Fetches all changes after the snapshot again, in as few messages as the origin can send,
    /// because a new isolate checks the signature of each. Returns whether the log was replaced.
    async fn compact_log(&self) -> bool {
        let (gate, mut log) = (RefCell::new(Gate::new(self.settings.clone())), HubLog::default());
        let is_warm = self.gate.borrow().snapshot().is_some_and(|snapshot| gate.borrow_mut().warm(snapshot).is_ok());
        log.restart(gate.borrow().sequence());
        let is_complete =
            is_warm && origin::sync(&gate, |answer| _ = log.add_answer(gate.borrow().sequence(), &answer)).await;
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

fn log_storage_error(operation: &str, error: &worker::Error) {
    console_error!("tollgate: cannot {operation} the hub's storage: {error}");
}
