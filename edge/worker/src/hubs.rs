//! The isolate's side of the hubs: fetching messages from its own hub, and pushing to all hubs.
//!
//! # Invariant: a replica is never taken for fresher than it is
//! 1. Only one thing proves freshness: an answer that the origin signed, to a request of the hub,
//!    with the request's nonce. All that the origin had acknowledged before that request is in the
//!    hub's replica after that answer.
//! 2. The hub reports the age of its request by its own clock. The isolate subtracts that age from
//!    the time at which it sent its own request to the hub, by *its* clock. That time is earlier
//!    than the time at which the hub computed the age. So the isolate may take the proof for older
//!    than it is, never for fresher, however far apart the two clocks are.
//! 3. All other messages are applied by [`Gate::warm`] and [`Gate::push`], which cannot prove
//!    freshness. If one of them is missing or refused, the proof is refused too, because its
//!    signature covers the hash chain of the history. An older answer never becomes a proof: the
//!    gate would be fresh without the changes after it.
//!
//! The isolate checks every signature. It trusts the hub for the age and the check of the nonce,
//! within a minute of the origin's own time in the proof. Only this Worker can reach its hubs.

use std::{cell::Cell, cell::RefCell, time::Duration};

use futures::future::{self, Either};
use tollgate_gate::{Freshness, Gate, JsonObject, MAX_FETCH_BYTES, Response};
use worker::{
    Delay, Env, console_error,
    js_sys::{Math, Reflect, Uint8Array},
    wasm_bindgen::JsValue,
    web_sys,
};

use crate::{
    http::{self, BodyError},
    now_ms,
    protocol::{self, HubRequest, PUSH_URL, Part},
    setting,
};

/// Durable Object namespace of the hubs. Without it, each isolate fetches from the origin.
const BINDING: &str = "TOLLGATE_HUB";
/// Setting: number of hubs that share the isolates.
const HUBS: &str = "TOLLGATE_EDGE_HUBS";
/// Every push goes to all hubs.
const MAX_HUBS: u32 = 64;
/// Longer than the hub waits for the origin, and short enough for a fetch from the origin within
/// the time that a request waits.
const HUB_TIMEOUT_MS: u64 = 1_200;
/// If the proof announces a new configuration, a second request fetches its snapshot.
const MAX_REQUESTS: usize = 2;
/// The hub may have to catch up before it answers. The origin waits 5 seconds.
const PUSH_TIMEOUT_MS: u64 = 4_000;
/// Delay until a failed hub is asked again.
const RETRY_DELAY_MS: u64 = 5_000;

/// The hubs, from the view of one isolate.
pub(crate) struct Hubs {
    count: u32,
    /// Index of this isolate's hub.
    own: u32,
    /// Time of the next attempt after a failure, in Unix milliseconds.
    retry_at_ms: Cell<u64>,
}

impl Hubs {
    /// The hubs, if they are bound. The error is one line that names the invalid setting.
    pub(crate) fn from_env(env: &Env, request: &web_sys::Request) -> Result<Option<Self>, String> {
        let count = match setting(env, HUBS).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            None => 1,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=MAX_HUBS).contains(count))
                .ok_or_else(|| format!("{HUBS} must be a whole number from 1 to {MAX_HUBS}, not {text:?}"))?,
        };
        let hubs = || Self { count, own: choose_hub(request, count), retry_at_ms: Cell::new(0) };
        Ok(env.durable_object(BINDING).ok().map(|_| hubs()))
    }

    /// Whether the isolate's hub may be asked: it has not failed a moment ago.
    pub(crate) fn is_available(&self) -> bool {
        now_ms() >= self.retry_at_ms.get()
    }

    /// Syncs `gate` with the isolate's hub. Returns true if the replica is not complete, because
    /// the hub lacks messages. The error is one line for the log.
    pub(crate) async fn sync(&self, env: &Env, gate: &RefCell<Gate>) -> Result<bool, String> {
        for _ in 0..MAX_REQUESTS {
            match self.fetch_messages(env, gate).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => {
                    self.retry_at_ms.set(now_ms() + RETRY_DELAY_MS);
                    return Err(why);
                }
            }
        }
        Ok(true)
    }

    async fn fetch_messages(&self, env: &Env, gate: &RefCell<Gate>) -> Result<bool, String> {
        let asked_at_ms = now_ms();
        let is_awaited = gate.borrow().freshness(asked_at_ms) == Freshness::Stale;
        let request = HubRequest { after: gate.borrow().next_after(), is_awaited };
        match send(env, self.own, &request.to_url(), None, HUB_TIMEOUT_MS).await? {
            (200, answer) => apply_answer(&mut gate.borrow_mut(), &answer, asked_at_ms),
            (status, _) => Err(format!("the hub answered with status {status}")),
        }
    }

    /// Pushes to every hub. The response has the lowest sequence of all hubs, because only so much
    /// is delivered. The origin then sends the changes after it, and the other hubs skip what they
    /// have.
    pub(crate) async fn push(&self, env: &Env, message: &[u8]) -> Response {
        let pushes = (0..self.count).map(|hub| send(env, hub, PUSH_URL, Some(message), PUSH_TIMEOUT_MS));
        let (mut is_applied, mut lowest) = (true, Some(u64::MAX));
        for answer in future::join_all(pushes).await {
            match answer {
                Ok((status @ (200 | 409), answer)) => {
                    is_applied &= status == 200;
                    // None, from a hub without a snapshot, is lower than any sequence.
                    lowest = lowest.min(sequence(&answer));
                }
                Ok((status, _)) => return push_failed(&format!("the hub answered with status {status}")),
                Err(why) => return push_failed(&why),
            }
        }
        Response::json(if is_applied { 200 } else { 409 }, JsonObject::new().number("sequence", lowest))
    }
}

/// The replica's sequence in the response to a push.
pub(crate) fn sequence(answer: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(answer).ok()?["sequence"].as_u64()
}

/// After this response, the origin sends the push again.
fn push_failed(why: &str) -> Response {
    console_error!("tollgate: a push to a hub failed: {why}");
    Response::error(503, "temporarily_unavailable", "a hub of this edge failed to apply the message")
}

/// Applies the parts of an answer in their order; see the invariant above. Returns true if the
/// replica is not complete.
fn apply_answer(gate: &mut Gate, answer: &[u8], asked_at_ms: u64) -> Result<bool, String> {
    let mut has_more = false;
    for part in protocol::read_parts(answer).ok_or("the hub's answer is malformed")? {
        match part {
            // Refused if this isolate is ahead of the hub. The proof shows whether both have the
            // same history.
            Part::Snapshot(message) => drop(gate.warm(message)),
            Part::Deltas(message) => drop(gate.push(message, asked_at_ms)),
            Part::FreshnessProof { age_ms, message } => {
                let applied = gate.accept_relayed(message, asked_at_ms.saturating_sub(age_ms));
                has_more = applied.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(has_more)
}

/// Chooses the isolate's hub: the isolates of a data center share one, which is near them. Without
/// a data center, the choice is random.
fn choose_hub(request: &web_sys::Request, count: u32) -> u32 {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &JsValue::from_str(name)).ok();
    let colo = get(request, "cf").and_then(|cf| get(&cf, "colo")).and_then(|colo| colo.as_string());
    match colo {
        // FNV-1a, so that similar names are distributed evenly.
        Some(colo) => {
            colo.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % count
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is from 0 to below count"
        )]
        None => (Math::random() * f64::from(count)) as u32 % count,
    }
}

/// Sends a request, or with a message a push, to a hub, and returns status and body of the
/// response. The error is one line for the log.
async fn send(
    env: &Env,
    hub: u32,
    url: &str,
    message: Option<&[u8]>,
    timeout_ms: u64,
) -> Result<(u16, Vec<u8>), String> {
    let answer = async {
        let init = web_sys::RequestInit::new();
        if let Some(message) = message {
            init.set_method("POST");
            init.set_body(&Uint8Array::from(message));
        }
        let request = web_sys::Request::new_with_str_and_init(url, &init).map_err(worker::Error::from)?;
        let stub = env.durable_object(BINDING)?.get_by_name(&format!("hub-{hub}"))?;
        let response: web_sys::Response = stub.fetch_with_request(request.into()).await?.into();
        match http::read_body(response.body(), MAX_FETCH_BYTES).await {
            Ok(body) => Ok((response.status(), body)),
            Err(BodyError::TooLarge) => Err(worker::Error::from("the hub's answer is too large")),
            Err(BodyError::Broken(why)) => Err(worker::Error::from(why)),
        }
    };
    match future::select(Box::pin(answer), Delay::from(Duration::from_millis(timeout_ms))).await {
        Either::Left((answer, _)) => answer.map_err(|error| error.to_string()),
        Either::Right(_) => Err(format!("the hub did not answer within {timeout_ms} ms")),
    }
}
