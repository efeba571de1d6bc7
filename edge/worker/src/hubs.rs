//! The isolate's side of the hubs: asking its own, and pushing to all.
//!
//! # Freshness is never over-claimed
//! A revoked token must not pass because somebody believed to be fresher than it was. So:
//! 1. Freshness comes from one thing only: an answer that the origin signed, to a question that the hub asked it (the word), and
//!    in which the hub found the nonce of its question. Whatever the origin had acknowledged before that question is in what the
//!    hub held with that answer.
//! 2. The hub tells how long ago it asked, by its own clock. The isolate counts that back from the moment at which it asked
//!    the hub, by *its* own clock, which is earlier than the moment from which the hub counted. So the isolate takes the word
//!    for older than it is by the way to the hub, never for younger, however far apart the two clocks are.
//! 3. All other parts are taken by [`Gate::warm`] and [`Gate::push`], which bring knowledge and cannot bring freshness. If one
//!    of them is missing or refused, the word does not join on and is refused as well: its signature covers the history's
//!    fingerprint. An older answer is never taken for a word: it would make the gate fresh that lacks what came since.
//!
//! Every signature is checked here. The hub is trusted for the age and for having checked the nonce, and even that not by more
//! than a minute, for the word bears the origin's own time. Only this Worker reaches its hubs: no stranger can answer for one.

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
    protocol::{self, PUSH, Part, Question},
    setting,
};

/// The Durable Object namespace of the hubs. Without it every isolate asks the origin itself.
const BINDING: &str = "TOLLGATE_HUB";
/// How many hubs share the isolates.
const COUNT: &str = "TOLLGATE_EDGE_HUBS";
/// A push goes to all of them at once, so there must not be too many.
const MOST_HUBS: u32 = 64;
/// How long an isolate waits for its hub, in milliseconds: longer than the hub waits for the origin, and short enough that
/// the origin can still be asked within the time that a request waits.
const ANSWER_LIMIT: u64 = 1_200;
/// The word may tell of a new configuration; then a second question brings the snapshot that has it.
const MOST_QUESTIONS: usize = 2;
/// How long a hub is waited for by a push: the hub may have to catch up first. The origin waits 5 seconds.
const PUSH_LIMIT: u64 = 4_000;
/// After a hub failed the isolate leaves it alone for this long, in milliseconds, so that requests do not wait for it in vain.
const PAUSE: u64 = 5_000;

/// The hubs as one isolate sees them.
pub(crate) struct Hubs {
    count: u32,
    /// The one that this isolate asks.
    mine: u32,
    /// When it may be asked again after it failed, in Unix milliseconds.
    paused_until: Cell<u64>,
}

impl Hubs {
    /// The hubs, if they are bound. The error is one line that names the setting at fault.
    pub(crate) fn bound(env: &Env, request: &web_sys::Request) -> Result<Option<Self>, String> {
        let count = match setting(env, COUNT).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            None => 1,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=MOST_HUBS).contains(count))
                .ok_or_else(|| format!("{COUNT} must be a whole number from 1 to {MOST_HUBS}, not {text:?}"))?,
        };
        let hubs = || Self { count, mine: choose(request, count), paused_until: Cell::new(0) };
        Ok(env.durable_object(BINDING).ok().map(|_| hubs()))
    }

    /// Whether the hub is worth asking: it did not fail a moment ago.
    pub(crate) fn may_be_asked(&self) -> bool {
        now_ms() >= self.paused_until.get()
    }

    /// Brings `gate` what the isolate's hub has. True when the gate knows of more that the hub did not bring. The error is a
    /// line for the log.
    pub(crate) async fn ask(&self, env: &Env, gate: &RefCell<Gate>) -> Result<bool, String> {
        for _ in 0..MOST_QUESTIONS {
            match self.ask_once(env, gate).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => {
                    self.paused_until.set(now_ms() + PAUSE);
                    return Err(why);
                }
            }
        }
        Ok(true)
    }

    async fn ask_once(&self, env: &Env, gate: &RefCell<Gate>) -> Result<bool, String> {
        let asked_at = now_ms();
        let question = Question {
            after: gate.borrow().next_after(),
            waits: gate.borrow().freshness(asked_at) == Freshness::Stale,
        };
        match send(env, self.mine, &question.url(), None, ANSWER_LIMIT).await? {
            (200, answer) => take(&mut gate.borrow_mut(), &answer, asked_at),
            (status, _) => Err(format!("it answered with status {status}")),
        }
    }

    /// Pushes to every hub. The answer is that of the hub that holds least, for only that much can be taken as delivered; the
    /// origin then sends what follows, and the other hubs pass over what they hold already.
    pub(crate) async fn push(&self, env: &Env, message: &[u8]) -> Response {
        let pushes = (0..self.count).map(|hub| send(env, hub, PUSH, Some(message), PUSH_LIMIT));
        let (mut joined, mut lowest) = (true, Some(u64::MAX));
        for answer in future::join_all(pushes).await {
            match answer {
                Ok((status @ (200 | 409), answer)) => {
                    joined &= status == 200;
                    // None, for a hub without a snapshot, is less than any sequence.
                    lowest = lowest.min(sequence(&answer));
                }
                Ok((status, _)) => return not_taken(&format!("it answered with status {status}")),
                Err(why) => return not_taken(&why),
            }
        }
        Response::json(if joined { 200 } else { 409 }, JsonObject::new().number("sequence", lowest))
    }
}

/// The sequence that an answer to a push, or a health report, says is held.
pub(crate) fn sequence(answer: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(answer).ok()?["sequence"].as_u64()
}

/// The origin tries again after an answer of this kind.
fn not_taken(why: &str) -> Response {
    console_error!("tollgate: a hub did not take a push: {why}");
    Response::error(503, "temporarily_unavailable", "a hub of this edge did not take the message")
}

/// Takes the parts in their order. What a part is decides what it may bring; see above. True when the gate wants more.
fn take(gate: &mut Gate, answer: &[u8], asked_at: u64) -> Result<bool, String> {
    let mut more = false;
    for part in protocol::read(answer).ok_or("its answer is of an unknown form")? {
        match part {
            // Refused when this isolate is further than the hub; then the word tells whether that is well.
            Part::Snapshot(message) => drop(gate.warm(message)),
            Part::Deltas(message) => drop(gate.push(message, asked_at)),
            Part::Word { age_ms, message } => {
                let word = gate.accept_relayed(message, asked_at.saturating_sub(age_ms));
                more = word.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(more)
}

/// All isolates of a data centre share a hub, so that a hub has its askers near; where there is none to tell, chance decides.
fn choose(request: &web_sys::Request, count: u32) -> u32 {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &JsValue::from_str(name)).ok();
    let colo = get(request, "cf").and_then(|cf| get(&cf, "colo")).and_then(|colo| colo.as_string());
    match colo {
        // FNV-1a, so that neighbouring names do not share a hub more often than chance has it.
        Some(colo) => {
            colo.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % count
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to below count")]
        None => (Math::random() * f64::from(count)) as u32 % count,
    }
}

/// Sends a question, or a message to push, to a hub; its status and body. The error is a line for the log.
async fn send(env: &Env, hub: u32, url: &str, message: Option<&[u8]>, limit: u64) -> Result<(u16, Vec<u8>), String> {
    let answer = async {
        let init = web_sys::RequestInit::new();
        if let Some(message) = message {
            init.set_method("POST");
            init.set_body(&Uint8Array::from(message));
        }
        let request = web_sys::Request::new_with_str_and_init(url, &init).map_err(worker::Error::from)?;
        let stub = env.durable_object(BINDING)?.get_by_name(&format!("hub-{hub}"))?;
        let response: web_sys::Response = stub.fetch_with_request(request.into()).await?.into();
        match http::bounded(response.body(), MAX_FETCH_BYTES).await {
            Ok(body) => Ok((response.status(), body)),
            Err(BodyError::TooLarge) => Err(worker::Error::from("its answer is too large")),
            Err(BodyError::Broken(why)) => Err(worker::Error::from(why)),
        }
    };
    match future::select(Box::pin(answer), Delay::from(Duration::from_millis(limit))).await {
        Either::Left((answer, _)) => answer.map_err(|error| error.to_string()),
        Either::Right(_) => Err(format!("it did not answer within {limit} ms")),
    }
}
