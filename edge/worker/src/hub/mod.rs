//! The hub: a Durable Object that asks the origin once for many isolates, and takes the pushes.
//!
//! It holds a gate of its own and keeps it fresh by the same rule as every edge. What it accepted it hands on as the origin
//! signed it. It never judges a token, never says that what it hands on is younger than it is, and keeps nothing secret. See
//! [`crate::hubs`] for why no isolate that listens to it can believe to be fresher than it is.

mod log;
mod store;

use std::{cell::RefCell, rc::Rc};

use tollgate_gate::{Decision, Freshness, Gate, MAX_PUSH_BYTES, Response, Settings};
use worker::{DurableObject, Env, Request, Result, State, console_error, durable_object, wasm_bindgen, web_sys};

use self::{
    log::{Log, News},
    store::{Store, Stored},
};
use crate::{
    http, hubs, now_ms,
    origin::{self, Taken},
    protocol::{PUSH, Question},
    setting,
    turns::{Finished, Turns},
};

/// How long an asker is made to wait for the origin, in milliseconds; less than it waits for the hub.
const WAIT: u64 = 1_000;
/// How long a push that does not join on waits until the hub has caught up.
const CATCH_UP: u64 = 3_000;

/// What the runtime makes of the class that wrangler.toml names.
#[durable_object(fetch)]
pub struct Hub {
    /// Or the setting at fault, in one line.
    keeper: std::result::Result<Rc<Keeper>, String>,
}

impl DurableObject for Hub {
    fn new(state: State, env: Env) -> Self {
        let settings = Settings::from_lookup(|name| setting(&env, name)).map_err(|error| error.to_string());
        Self { keeper: settings.map(|settings| Rc::new(Keeper::resume(state, settings))) }
    }

    async fn fetch(&self, request: Request) -> Result<worker::Response> {
        let keeper = match &self.keeper {
            Ok(keeper) => keeper,
            Err(why) => return http::json_error(500, "configuration_error", why).map(Into::into),
        };
        let request = request.inner();
        let url = request.url();
        let answer = match Question::read(&url) {
            Some(question) => keeper.answer(&question).await,
            None if url == PUSH => keeper.push(request).await,
            None => Response::error(404, "not_found", "this hub is of another version"),
        };
        http::answer(&answer).map(Into::into)
    }
}

/// The gate of a hub, what it hands on, and where that outlives an eviction.
struct Keeper {
    state: State,
    settings: Settings,
    gate: RefCell<Gate>,
    log: RefCell<Log>,
    store: Option<Store>,
    turns: Rc<Turns>,
}

impl Keeper {
    /// Goes on from what an earlier life of this hub stored: with all it knew, and without any freshness.
    fn resume(state: State, settings: Settings) -> Self {
        let (mut gate, mut log) = (Gate::new(settings.clone()), Log::default());
        let store = Store::open(&state).map_err(|error| report("opened", &error)).ok();
        let stored = store.as_ref().map(|store| store.load().map_err(|error| report("read", &error)));
        if let Some(Ok(Stored { snapshot, messages })) = stored {
            match snapshot.map(|snapshot| gate.warm(&snapshot)) {
                None => {} // a new hub
                Some(Ok(())) => log.restart(sequence(&gate)),
                Some(Err(error)) => console_error!("tollgate: the hub's stored snapshot is refused: {error}"),
            }
            for message in messages {
                log.add(hubs::sequence(&gate.push(&message, now_ms()).body), &message);
            }
        }
        let (gate, log) = (RefCell::new(gate), RefCell::new(log));
        Self { state, settings, gate, log, store, turns: Rc::default() }
    }

    /// What an isolate asks for. The gate's own rule says when the origin is asked first, with one addition: a request that
    /// waits for the answer is not to find it too old on arrival, so for it the hub waits as soon as a refresh is due.
    async fn answer(self: &Rc<Self>, question: &Question) -> Response {
        let due = self.gate.borrow().freshness(now_ms());
        match due {
            Freshness::Fresh => {}
            Freshness::RefreshDue if !question.waits => drop(self.start()),
            Freshness::RefreshDue | Freshness::Stale => {
                let enough = || self.gate.borrow().freshness(now_ms()) == Freshness::Fresh;
                self.turns.wait(WAIT, || self.start(), enough).await;
            }
        }
        let body = self.log.borrow().answer(question.after, self.gate.borrow().snapshot(), now_ms());
        Response { status: 200, headers: vec![("content-type", "application/octet-stream".to_owned())], body }
    }

    /// Takes what the origin pushed, as the gate answers. When deltas between are missing, or everything, as in a hub that
    /// nobody asked yet, it gets them first: only what a hub holds counts as delivered.
    async fn push(self: &Rc<Self>, request: &web_sys::Request) -> Response {
        let Ok(message) = http::bounded(request.body(), MAX_PUSH_BYTES).await else {
            return Response::error(400, "invalid_request", "the message broke off or is too large");
        };
        let push = || self.gate.borrow_mut().push(&message, now_ms());
        let mut answer = push();
        if answer.status == 409 {
            self.turns.wait(CATCH_UP, || self.start(), || false).await;
            answer = push();
        }
        if answer.status == 200 && self.log.borrow_mut().add(hubs::sequence(&answer.body), &message) {
            self.store(|store| store.append(&message));
            if self.log.borrow().is_long() {
                drop(self.start()); // a hub that is pushed to but never asked must not grow without end
            }
        }
        answer
    }

    /// Starts asking the origin, unless that is under way: many askers, one fetch.
    fn start(self: &Rc<Self>) -> Option<Finished> {
        let (turn, finished) = self.turns.take()?;
        let keeper = Rc::clone(self);
        self.state.wait_until(async move {
            let is_long = keeper.log.borrow().is_long();
            let is_well =
                is_long && keeper.repack().await || origin::pull(&keeper.gate, |taken| keeper.keep(&taken)).await;
            turn.end(is_well);
        });
        Some(finished)
    }

    fn keep(&self, taken: &Taken) {
        let sequence = sequence(&self.gate.borrow());
        let news = self.log.borrow_mut().take(sequence, taken);
        match news {
            News::Nothing => {}
            News::Changes => self.store(|store| store.append(&taken.message)),
            News::Snapshot => self.store(|store| store.replace(&taken.message, [])),
        }
    }

    /// Gets the deltas since the snapshot once more, in as few messages as the origin can, for a message is signed whether it
    /// brings one change or thousands, and an isolate that begins checks each signature. False when it came to nothing.
    async fn repack(&self) -> bool {
        let (gate, mut log) = (RefCell::new(Gate::new(self.settings.clone())), Log::default());
        let warm = self.gate.borrow().snapshot().is_some_and(|snapshot| gate.borrow_mut().warm(snapshot).is_ok());
        log.restart(sequence(&gate.borrow()));
        let complete = warm && origin::pull(&gate, |taken| _ = log.take(sequence(&gate.borrow()), &taken)).await;
        if !complete || !self.is_continued(&gate.borrow(), &log) {
            self.log.borrow_mut().count_as_packed(); // not tried again before there are many more
            return false;
        }
        log.count_as_packed();
        if let Some(snapshot) = gate.borrow().snapshot() {
            self.store(|store| store.replace(snapshot, log.messages()));
        }
        self.gate.replace(gate.into_inner());
        self.log.replace(log);
        true
    }

    /// Whether a gate that began anew knows the same history and no less of it. The one that was held says so, by finding
    /// every message to join on to what it holds.
    fn is_continued(&self, new: &Gate, log: &Log) -> bool {
        let mut held = self.gate.borrow_mut();
        if let Some(snapshot) = new.snapshot() {
            drop(held.warm(snapshot)); // refused when it is not newer; if it is another's, the messages do not join
        }
        let joins = log.messages().chain(log.word()).all(|message| held.push(message, now_ms()).status == 200);
        joins && sequence(new) >= sequence(&held)
    }

    /// A store that fails costs the next life of this hub a fetch, no more: what is stored is taken as far as it joins on.
    fn store(&self, write: impl FnOnce(&Store) -> Result<()>) {
        if let Some(Err(error)) = self.store.as_ref().map(write) {
            report("written", &error);
        }
    }
}

fn report(what: &str, error: &worker::Error) {
    console_error!("tollgate: the hub's storage cannot be {what}: {error}");
}

/// The sequence that a gate holds, by its own report.
fn sequence(gate: &Gate) -> Option<u64> {
    let request = tollgate_gate::Request { method: "GET", target: "/_tollgate/health", headers: &[] };
    match gate.decide(&request, now_ms(), true) {
        Decision::Answer(health) => hubs::sequence(&health.body),
        Decision::Forward { .. } | Decision::Push | Decision::Wait => None,
    }
}
