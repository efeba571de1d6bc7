//! The isolate's side of the hubs: fetching messages from its own hub, and handing
//! pushes to the directory, which sends them to all hubs.
//!
//! Isolates of one [`HubLocation`] share its hubs: one at first, more as their requests
//! need it ([`HubSpread`]). Quiet isolates ask their hub, never the origin: an
//! isolate asks the origin only while its hub fails.
//!
//! # Invariant: a replica is never taken for fresher than it is
//! 1. Only one thing proves freshness: an answer that the origin signed, to a request of the hub,
//!    with the request's nonce. All that the origin had acknowledged before that request is in the
//!    hub's replica after that answer.
//! 2. The hub reports by its own clock how long before the arrival of the isolate's request it sent
//!    its own, or how long after. The isolate adds that to the time at which it sent its request,
//!    by *its* clock. That time is earlier than the arrival. So the isolate may take the proof for
//!    older than it is, never for fresher, however far apart the two clocks are. Should the hub's
//!    clock be set forward while it holds the request, the proof is too fresh by the time that the
//!    hub may hold it, at most.
//! 3. All other messages are applied by [`Gate::warm`] and [`Gate::push`], which cannot prove
//!    freshness. If one of them is missing or refused, the proof is refused too, because its
//!    signature covers the hash chain of the history. An older answer never becomes a proof: the
//!    gate would be fresh without the changes after it.
//!
//! The isolate checks every signature. It trusts the hub for the age and the check of
//! the nonce, within a minute of the origin's own time in the proof. Only this Worker
//! can reach its hubs.

use std::cell::{Cell, RefCell};

use tollgate_gate::{
    EdgeReport, Freshness, Gate, HubLocation, HubSpread, JsonObject, MAX_FETCH_BYTES, ProofUse, RateLimit,
    RateLimitBucket, Response,
};
use worker::{Env, js_sys::Uint8Array, web_sys};

use crate::{
    cf::Cf,
    http::{self, BodyError},
    now_ms,
    origin::within,
    protocol::{self, HubRequest, MessagesRequest, Part, SNAPSHOT_PART_BYTES, SnapshotId, id_text, snapshot_id},
    random, setting,
};

/// Durable Object namespace of the hubs. Without it, each isolate fetches from the
/// origin.
const BINDING: &str = "TOLLGATE_HUB";
/// Setting: most hubs of one location.
const HUBS: &str = "TOLLGATE_EDGE_HUBS";
const DEFAULT_HUBS: u32 = 8;
const MAX_HUBS: u32 = 64;
/// Name of the object that knows all hubs.
pub(crate) const DIRECTORY: &str = "directory";
/// Longer than the hub waits for the origin, and short enough for a fetch from the
/// origin within the time that a request waits.
const HUB_TIMEOUT_MS: u64 = 1_200;
/// Limit on one part of a snapshot.
const PART_TIMEOUT_MS: u64 = 5_000;
/// If the proof announces a new configuration, a second request fetches its snapshot.
const MAX_REQUESTS: usize = 2;
/// The hubs may have to catch up before they answer. The origin waits 5 seconds.
const PUSH_TIMEOUT_MS: u64 = 4_500;
const LIMIT_TIMEOUT_MS: u64 = 500;
/// Delay until a failed hub is asked again.
const RETRY_DELAY_MS: u64 = 5_000;
/// The runtime ends work 30 seconds after the response of the request that started
/// it.
const MAX_HOLD_MS: u64 = 20_000;
/// Limit on a sync with the hub, apart from the time for which the hub holds the
/// request.
pub(crate) const SYNC_TIMEOUT_MS: u64 = 30_000;

/// Result of a sync with a hub.
pub(crate) enum HubSync {
    /// The replica has all that the hub has.
    Complete,
    /// The hub lacks messages.
    Incomplete,
    /// The hub has no fresh answer, because the origin does not answer.
    OriginFailing,
}

/// The hubs, from the view of one isolate.
pub(crate) struct Hubs {
    location: HubLocation,
    max: u32,
    spread: Cell<HubSpread>,
    /// How long the hub may hold a request until there is a change.
    hold_ms: u64,
    /// Time of the next attempt after a failure, in Unix milliseconds.
    retry_at_ms: Cell<u64>,
}

impl Hubs {
    /// The hubs, if they are bound. The error is one line that names the invalid
    /// setting.
    pub(crate) fn from_env(env: &Env, request: &web_sys::Request, gate: &Gate) -> Result<Option<Self>, String> {
        let max = match setting(env, HUBS).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            None => DEFAULT_HUBS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=MAX_HUBS).contains(count))
                .ok_or_else(|| format!("{HUBS} must be a whole number from 1 to {MAX_HUBS}, not {text:?}"))?,
        };
        if env.durable_object(BINDING).is_err() {
            return Ok(None);
        }
        let (refresh_ms, max_ms) = (gate.settings().refresh_after_ms, gate.settings().max_staleness_ms);
        Ok(Some(Self {
            location: Cf::of(request).location(),
            max,
            spread: Cell::new(HubSpread::new(max, u32::from_be_bytes(random()?))),
            // Fresh until the next answer: with the age before it, at most the staleness bound.
            hold_ms: refresh_ms.min(max_ms - refresh_ms).min(MAX_HOLD_MS),
            retry_at_ms: Cell::new(0),
        }))
    }

    /// Name of the isolate's hub.
    pub(crate) fn own(&self) -> String {
        self.location.hub(self.spread.get().index())
    }

    /// How long the hub may hold a request until there is a change; 0 for not at all.
    pub(crate) fn hold_ms(&self) -> u64 {
        self.hold_ms
    }

    /// Whether the isolate's hub may be asked: it has not failed a moment ago.
    pub(crate) fn is_available(&self) -> bool {
        now_ms() >= self.retry_at_ms.get()
    }

    /// Syncs `gate` with the isolate's hub, which hands `report` on. The error is one line for the
    /// log.
    pub(crate) async fn sync(
        &self,
        env: &Env,
        gate: &RefCell<Gate>,
        mut report: Option<EdgeReport>,
    ) -> Result<HubSync, String> {
        for _ in 0..MAX_REQUESTS {
            match self.fetch_messages(env, gate, report.take()).await {
                Ok(HubSync::Incomplete) => {}
                Ok(result) => return Ok(result),
                Err(why) => {
                    self.retry_at_ms.set(now_ms() + RETRY_DELAY_MS);
                    return Err(why);
                }
            }
        }
        Ok(HubSync::Incomplete)
    }

    async fn fetch_messages(
        &self,
        env: &Env,
        gate: &RefCell<Gate>,
        report: Option<EdgeReport>,
    ) -> Result<HubSync, String> {
        let (hub, asked_at_ms) = (self.own(), now_ms());
        let after = gate.borrow().next_after();
        let is_awaited = gate.borrow().freshness(asked_at_ms) == Freshness::Stale;
        let hold_ms = if is_awaited || after.is_none() { 0 } else { self.hold_ms };
        let report = report.map(Box::new);
        let request = HubRequest::Messages(MessagesRequest { hub: hub.clone(), after, is_awaited, hold_ms, report });
        let answer = match send(env, &hub, &request, None, HUB_TIMEOUT_MS + hold_ms).await? {
            (200, answer) => answer,
            (status, _) => return Err(format!("the hub answered with status {status}")),
        };
        let (load, parts) = protocol::read_answer(&answer).ok_or("the hub's answer is malformed")?;
        let mut spread = self.spread.get();
        spread.observe(load, now_ms());
        self.spread.set(spread);
        apply_answer(env, &hub, gate, &parts, asked_at_ms, hold_ms).await
    }

    /// Hands a push to the directory, with the time of its proof. The response has
    /// the lowest sequence of all hubs, because only so much is delivered.
    pub(crate) async fn push(&self, env: &Env, message: &[u8], at_ms: Option<u64>) -> Response {
        let request = HubRequest::PushToAll { at_ms };
        match send(env, DIRECTORY, &request, Some(message), PUSH_TIMEOUT_MS).await {
            Ok((status @ (200 | 409), body)) => {
                Response::json(status, JsonObject::new().number("sequence", sequence(&body)))
            }
            Ok((400, _)) => Response::error(400, "invalid_message", "the message is not as the origin signs it"),
            Ok((403, _)) => Response::error(403, "access_denied", "the push is old, or was received before"),
            Ok((status, _)) => push_failed(&format!("the directory answered with status {status}")),
            Err(why) => push_failed(&why),
        }
    }

    /// Counts a request that a route's rate limit applies to, for all isolates.
    /// Returns the seconds after which the next one may be sent, if this one
    /// exceeds the limit. The error is one line for the log.
    pub(crate) async fn count_request(
        &self,
        env: &Env,
        bucket: RateLimitBucket,
        limit: &RateLimit,
    ) -> Result<Option<u64>, String> {
        let RateLimit { requests, seconds, .. } = *limit;
        let request = HubRequest::Limit { bucket: bucket.number(), requests, seconds };
        let counter = format!("limits-{}", bucket.number() % u64::from(self.max));
        match send(env, &counter, &request, None, LIMIT_TIMEOUT_MS).await? {
            (200, _) => Ok(None),
            (429, seconds) => {
                let seconds = std::str::from_utf8(&seconds).ok().and_then(|seconds| seconds.parse().ok());
                seconds.map(Some).ok_or_else(|| "the hub's answer is malformed".to_owned())
            }
            (status, _) => Err(format!("the hub answered with status {status}")),
        }
    }

    /// Records the use of a DPoP proof, for all isolates. Returns whether it is the first. The
    /// error is one line for the log.
    pub(crate) async fn record_proof(&self, env: &Env, proof_use: ProofUse) -> Result<bool, String> {
        let keeper = format!("proofs-{}", u32::from(proof_use.id[0]) % self.max);
        match send(env, &keeper, &HubRequest::Proof(proof_use), None, LIMIT_TIMEOUT_MS).await? {
            (200, _) => Ok(true),
            (409, _) => Ok(false),
            (status, _) => Err(format!("the hub answered with status {status}")),
        }
    }
}

/// The replica's sequence in the response to a push.
pub(crate) fn sequence(answer: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(answer).ok()?["sequence"].as_u64()
}

/// After this response, the origin sends the push again.
pub(crate) fn push_failed(why: &str) -> Response {
    worker::console_error!("tollgate: a push to a hub failed: {why}");
    Response::error(503, "temporarily_unavailable", "a hub of this edge failed to apply the message")
}

/// Applies the parts of an answer in their order; see the invariant above.
async fn apply_answer(
    env: &Env,
    hub: &str,
    gate: &RefCell<Gate>,
    parts: &[Part<'_>],
    asked_at_ms: u64,
    hold_ms: u64,
) -> Result<HubSync, String> {
    let (mut has_more, mut is_failing) = (false, false);
    for part in parts {
        match part {
            Part::Snapshot { id, bytes } => {
                let has_it = gate.borrow().snapshot().and_then(snapshot_id) == Some(*id);
                if !has_it {
                    let snapshot = fetch_snapshot(env, hub, id, *bytes).await?;
                    // Refused if this isolate is ahead of the hub. The proof shows whether both
                    // have the same history.
                    drop(gate.borrow_mut().warm(&snapshot));
                }
            }
            Part::Deltas(message) => drop(gate.borrow_mut().push(message, asked_at_ms)),
            Part::FreshnessProof { age_ms, message } => {
                // Later than the request at most by the time that the hub may hold it.
                let later_ms = age_ms.saturating_neg().min(i64::try_from(hold_ms).unwrap_or(i64::MAX));
                let proven_at_ms = asked_at_ms.saturating_add_signed(later_ms).min(now_ms());
                let applied = gate.borrow_mut().accept_relayed(message, proven_at_ms);
                has_more = applied.map_err(|error| error.to_string())?;
            }
            Part::Error(why) => {
                gate.borrow_mut().record_error(why, now_ms());
                is_failing = true;
            }
        }
    }
    Ok(match (is_failing, has_more) {
        (true, _) => HubSync::OriginFailing,
        (false, true) => HubSync::Incomplete,
        (false, false) => HubSync::Complete,
    })
}

/// Fetches the hub's snapshot part by part.
async fn fetch_snapshot(env: &Env, hub: &str, id: &SnapshotId, bytes: u64) -> Result<Vec<u8>, String> {
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= MAX_FETCH_BYTES);
    let bytes = bytes.ok_or("the hub's snapshot is too large")?;
    let mut snapshot = Vec::with_capacity(bytes);
    for part in 0..bytes.div_ceil(SNAPSHOT_PART_BYTES) {
        let request = HubRequest::SnapshotPart { id: id_text(id), part };
        match send(env, hub, &request, None, PART_TIMEOUT_MS).await? {
            (200, octets) => snapshot.extend(octets),
            (404, _) => return Err("the hub has another snapshot meanwhile".to_owned()),
            (status, _) => return Err(format!("the hub answered with status {status}")),
        }
    }
    Ok(snapshot)
}

/// Sends a request to the hub of this name, with a message if it is a push, and
/// returns status and body of the response. The error is one line for the log.
pub(crate) async fn send(
    env: &Env,
    hub: &str,
    request: &HubRequest,
    message: Option<&[u8]>,
    timeout_ms: u64,
) -> Result<(u16, Vec<u8>), String> {
    let answer = async {
        let init = web_sys::RequestInit::new();
        if !matches!(request, HubRequest::Messages(_) | HubRequest::SnapshotPart { .. }) {
            init.set_method("POST");
        }
        if let Some(message) = message {
            init.set_body(&Uint8Array::from(message));
        }
        let request = web_sys::Request::new_with_str_and_init(&request.to_url(), &init).map_err(worker::Error::from)?;
        let hubs = env.durable_object(BINDING)?;
        let stub = match HubLocation::of_hub(hub).hint() {
            Some(hint) => hubs.get_by_name_with_location_hint(hub, hint)?,
            None => hubs.get_by_name(hub)?,
        };
        let response: web_sys::Response = stub.fetch_with_request(request.into()).await?.into();
        match http::read_response(&response, MAX_FETCH_BYTES).await {
            Ok(body) => Ok((response.status(), body)),
            Err(BodyError::TooLarge) => Err(worker::Error::from("the hub's answer is too large")),
            Err(BodyError::Broken(why)) => Err(worker::Error::from(why)),
        }
    };
    match within(timeout_ms, answer).await {
        Some(answer) => answer.map_err(|error| error.to_string()),
        None => Err(format!("the hub did not answer within {timeout_ms} ms")),
    }
}
