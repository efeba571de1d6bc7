//! Keeps the instance's replica fresh: by the messages that other instances fetched, else by a
//! fetch from the origin. All instances together poll the origin at most four times a second. An
//! instance runs one refresh at a time, shared by all its requests; it outlives the request that
//! started it.

use crate::edge::{Edge, now_ms};
use crate::http::{self, BodyError};
use crate::shared::{self, PollClaim};
use spin_sdk::http::Response;
use spin_sdk::wasip3;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::Method;
use spin_sdk::wasip3::random::random;
use std::cell::RefCell;
use std::rc::Rc;
use tollgate_gate::{EdgeReport, Freshness, Gate, MAX_FETCH_BYTES, MessageLog, Nonce, Question};

/// How long a request waits for a refresh before it is decided by the replica as it is.
const FETCH_WAIT_NS: u64 = 2_000_000_000;
/// Interval at which a waiting request checks whether the refresh has ended. It must poll, because
/// in the component model only the host can wake a task.
const POLL_INTERVAL_NS: u64 = 2_000_000;
/// Interval at which a waiting request looks for messages of other instances.
const SHARED_LOG_POLL_INTERVAL_NS: u64 = 5_000_000;
/// Limit on connecting, on the first byte and on each pause of the origin's answer.
const READ_TIMEOUT_NS: u64 = 1_500_000_000;
/// Limit on the whole body of the origin's answer.
const BODY_TIMEOUT_NS: u64 = 30_000_000_000;
/// Interval at which an instance that gets requests looks for messages of other instances: so much
/// later than the instance that got a push do the others know of it.
const LOOK_INTERVAL_MS: u64 = 20;
/// Path of the target of a fetch for a snapshot.
const SNAPSHOT_PATH: &str = "/edge/v1/snapshot";
/// Messages per sync. Each has up to 4096 changes, so this is more than any origin keeps.
const MAX_MESSAGES: usize = 16;

/// Keeps the replica fresh in the background: by messages of other instances, and by a fetch if a
/// refresh is due.
pub(crate) fn keep_fresh(edge: &Rc<Edge>) {
    let is_look_due = now_ms().abs_diff(edge.looked_at_ms.get()) >= LOOK_INTERVAL_MS;
    if is_look_due || edge.gate().freshness(now_ms()) != Freshness::Fresh {
        start_refresh(edge);
    }
}

/// Starts a refresh unless one is running. It outlives the request.
fn start_refresh(edge: &Rc<Edge>) {
    if !edge.is_refreshing.replace(true) {
        let guard = RefreshGuard(Rc::clone(edge));
        wasip3::spawn(async move { refresh(&guard.0).await });
    }
}

/// Waits until the replica is no longer stale or a refresh, of any instance, has failed; at most
/// [`FETCH_WAIT_NS`]. After a failure, refreshes run in the background and no request waits.
pub(crate) async fn wait_for_refresh(edge: &Rc<Edge>) {
    let deadline = monotonic_clock::now().saturating_add(FETCH_WAIT_NS);
    loop {
        start_refresh(edge);
        while !edge.has_failed.get() && edge.is_refreshing.get() && monotonic_clock::now() < deadline {
            monotonic_clock::wait_for(POLL_INTERVAL_NS).await;
        }
        let is_stale = edge.gate().freshness(now_ms()) == Freshness::Stale;
        if !is_stale || edge.has_failed.get() {
            return;
        }
        if monotonic_clock::now() >= deadline {
            edge.has_failed.set(true); // no other request waits for this refresh
            return;
        }
        monotonic_clock::wait_for(SHARED_LOG_POLL_INTERVAL_NS).await;
    }
}

/// A running refresh; ends when it is dropped, also if its task is cancelled.
struct RefreshGuard(Rc<Edge>);

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        self.0.is_refreshing.set(false);
    }
}

/// Refreshes the replica by the messages of other instances. If these are not fresh, this instance
/// polls the origin, unless another one is doing so.
async fn refresh(edge: &Edge) {
    shared::catch_up(edge).await;
    if edge.gate().freshness(now_ms()) == Freshness::Fresh {
        edge.has_failed.set(false);
        return;
    }
    let min_interval_ms = edge.gate().settings().refresh_after_ms;
    match shared::claim_poll(min_interval_ms) {
        PollClaim::Other => edge.has_failed.set(false),
        PollClaim::Failing => edge.has_failed.set(true),
        PollClaim::Ours(poll) => {
            // The last poll of another instance may have failed.
            edge.has_failed.set(poll.is_failing(now_ms()));
            let is_complete = sync_with_origin(edge).await;
            edge.has_failed.set(!is_complete);
            if is_complete {
                shared::store(edge).await;
            }
            poll.finish(is_complete).await;
        }
    }
}

/// Fetches new messages from the origin, or compacts the log. Returns whether the replica is
/// complete.
async fn sync_with_origin(edge: &Edge) -> bool {
    let should_be_compacted = edge.log.borrow().should_be_compacted(&edge.gate());
    if should_be_compacted && compact_log(edge).await {
        return true;
    }
    fetch_all(&edge.gate, &edge.log, edge.take_due_report()).await
}

/// Fetches all changes after the snapshot again, in as few messages as the origin can send, because
/// a new instance checks the signature of each. Returns whether the log was replaced.
async fn compact_log(edge: &Edge) -> bool {
    let settings = edge.gate().settings().clone();
    let (gate, log) = (RefCell::new(Gate::new(settings)), RefCell::<MessageLog>::default());
    let is_warm = edge.gate().snapshot().is_some_and(|snapshot| gate.borrow_mut().warm(snapshot).is_ok());
    let is_complete = is_warm && fetch_all(&gate, &log, None).await;
    let mut log: MessageLog = log.into_inner();
    log.mark_compacted();
    let (new_gate, has_new_snapshot) = (gate.borrow(), !log.has_snapshot_of(&edge.gate()));
    if let Some(snapshot) = new_gate.snapshot().filter(|_| has_new_snapshot) {
        drop(edge.gate_mut().warm(snapshot)); // refused if it is not newer; then the messages decide
    }
    // The gate in service must accept all messages of the new log: they must have the same history.
    let is_valid = is_complete
        && log.apply_to(&mut edge.gate_mut(), now_ms()).is_ok()
        && new_gate.sequence() >= edge.gate().sequence();
    if is_valid {
        edge.log.replace(log);
    } else {
        edge.log.borrow_mut().mark_compacted(); // tried again after many more messages
    }
    is_valid
}

/// Fetches messages until the replica is complete, and appends them to `log`. The first request has
/// the report. Returns false after an error.
async fn fetch_all(gate: &RefCell<Gate>, log: &RefCell<MessageLog>, mut report: Option<EdgeReport>) -> bool {
    for _ in 0..MAX_MESSAGES {
        let question = new_question();
        let target = match report.take() {
            Some(report) => gate.borrow().next_fetch_reporting(0, &question, &report.to_string()),
            None => gate.borrow().next_fetch(0, &question),
        };
        let before = gate.borrow().sequence();
        let url = format!("{}{target}", gate.borrow().settings().origin);
        let (status, body) = match get(&url).await {
            Ok(answer) => answer,
            Err(why) => {
                eprintln!("tollgate: the origin cannot be reached: {why}");
                gate.borrow_mut().fetch_failed(&why, now_ms());
                return false;
            }
        };
        let accepted = gate.borrow_mut().accept(status, &body, &question);
        let has_more = match accepted {
            Ok(has_more) => has_more,
            Err(error) => {
                eprintln!("tollgate: the origin's answer was refused: {error}");
                return false;
            }
        };
        let is_snapshot = target.starts_with(SNAPSHOT_PATH);
        if status == 200 && !is_snapshot {
            log.borrow_mut().append(&gate.borrow(), before, &body, (!has_more).then_some(question.asked_at_ms));
        }
        if !has_more {
            return true;
        }
    }
    false
}

/// A question with the current time and a new nonce.
pub(crate) fn new_question() -> Question {
    Question { asked_at_ms: now_ms(), nonce: random_nonce() }
}

/// 128 random bits.
pub(crate) fn random_nonce() -> Nonce {
    let mut nonce = [0; Nonce::LEN];
    for half in nonce.as_chunks_mut().0 {
        *half = random::get_random_u64().to_be_bytes();
    }
    Nonce::from_bytes(nonce)
}

/// Sends a GET. The error is one line for the log and the health report.
pub(crate) async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let options = http::timeouts(READ_TIMEOUT_NS, READ_TIMEOUT_NS, READ_TIMEOUT_NS);
    let request = http::request(&Method::Get, url, Vec::new(), None, Some(options)).map_err(|code| code.to_string())?;
    let response = client::send(request).await.map_err(|code| code.to_string())?;
    let response: Response = spin_sdk::http::FromResponse::from_response(response).map_err(|code| code.to_string())?;
    let status = response.status().as_u16();
    match http::read_body(response.into_body(), MAX_FETCH_BYTES, BODY_TIMEOUT_NS).await {
        Ok(body) => Ok((status, body)),
        Err(BodyError::TooLarge) => Err(format!("the answer is larger than {MAX_FETCH_BYTES} bytes")),
        Err(BodyError::Broken(code)) => Err(code.to_string()),
        Err(BodyError::TooSlow) => Err("the answer arrived too slowly".to_owned()),
    }
}
