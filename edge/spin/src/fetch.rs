//! Keeping the gate fresh: by what other instances were answered, else by the origin itself, which all instances together ask
//! four times a second at most. One attempt at a time, shared by every request that wants it, and outliving the request that
//! started it.

use crate::http::{self, BodyError};
use crate::shared::{self, Claim};
use crate::state::{Edge, now_ms};
use spin_sdk::http::Response;
use spin_sdk::wasip3;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::Method;
use spin_sdk::wasip3::random::random;
use std::cell::RefCell;
use std::rc::Rc;
use tollgate_gate::{Freshness, Gate, MAX_FETCH_BYTES, MessageLog, Nonce, Question};

/// How long a request waits before it is decided on what the gate holds, in nanoseconds.
const WAIT: u64 = 2_000_000_000;
/// How often a waiting request looks whether an attempt is over, in nanoseconds. It has to look: a task of the component
/// model cannot be woken by another one, only by the host.
const LOOK: u64 = 2_000_000;
/// How often it looks whether another instance has an answer, in nanoseconds.
const LOOK_AT_OTHERS: u64 = 5_000_000;
/// Limit on connecting, on the first byte and on every pause of the origin's answer, in nanoseconds.
const TIMEOUT: u64 = 1_500_000_000;
/// Limit on its whole body, in nanoseconds.
const BODY_TIMEOUT: u64 = 30_000_000_000;
/// What the gate asks when it wants a snapshot.
const SNAPSHOT: &str = "/edge/v1/snapshot";
/// Messages taken in one go: 4096 changes each, so more than any origin keeps.
const MAX_MESSAGES: usize = 16;

/// Starts an attempt unless one is under way. It runs on after the request that started it is answered. True if it was started.
pub(crate) fn start(edge: &Rc<Edge>) -> bool {
    if edge.fetching.replace(true) {
        return false;
    }
    let running = Running(Rc::clone(edge));
    wasip3::spawn(async move { refresh(&running.0).await });
    true
}

/// Waits until the gate is fresh enough to decide or an attempt, of whichever instance, came to nothing; for [`WAIT`] at most.
/// While attempts fail, only the request that starts one waits for it.
pub(crate) async fn required(edge: &Rc<Edge>) {
    let deadline = monotonic_clock::now().saturating_add(WAIT);
    loop {
        let is_starter = start(edge);
        let may_wait = || is_starter || !edge.has_failed.get();
        while may_wait() && edge.fetching.get() && monotonic_clock::now() < deadline {
            monotonic_clock::wait_for(LOOK).await;
        }
        let is_due = edge.gate().freshness(now_ms()) == Freshness::Stale;
        if !is_due || edge.has_failed.get() || monotonic_clock::now() >= deadline {
            return;
        }
        monotonic_clock::wait_for(LOOK_AT_OTHERS).await;
    }
}

/// An attempt under way; ends with it, even when its task is cancelled.
struct Running(Rc<Edge>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetching.set(false);
    }
}

/// One attempt: what others learnt is enough, or it is this instance's turn to ask, or another is asking.
async fn refresh(edge: &Edge) {
    shared::catch_up(edge).await;
    if edge.gate().freshness(now_ms()) == Freshness::Fresh {
        edge.has_failed.set(false);
        return;
    }
    let interval_ms = edge.gate().settings().refresh_after_ms;
    match shared::claim_question(interval_ms) {
        Claim::Theirs => edge.has_failed.set(false),
        Claim::Failed => edge.has_failed.set(true),
        Claim::Ours(question) => {
            // What others saw fail, this instance need not see fail by itself.
            edge.has_failed.set(question.are_failing(now_ms()));
            let is_complete = ask(edge).await;
            edge.has_failed.set(!is_complete);
            if is_complete {
                shared::keep_record(edge).await;
            }
            question.ended(is_complete).await;
        }
    }
}

/// Asks the origin for what is new, or from time to time for all that is new since the snapshot. True when the gate is
/// complete.
async fn ask(edge: &Edge) -> bool {
    let should_be_packed = edge.record.borrow().should_be_compacted(&edge.gate());
    if should_be_packed && repack(edge).await {
        return true;
    }
    pull(&edge.gate, &edge.record).await
}

/// Asks for the changes since the snapshot once more, in as few messages as the origin can give, for a new instance checks the
/// signature of each. False when that came to nothing.
async fn repack(edge: &Edge) -> bool {
    let settings = edge.gate().settings().clone();
    let (gate, record) = (RefCell::new(Gate::new(settings)), RefCell::<MessageLog>::default());
    let is_warm = edge.gate().snapshot().is_some_and(|snapshot| gate.borrow_mut().warm(snapshot).is_ok());
    let is_complete = is_warm && pull(&gate, &record).await;
    let mut record: MessageLog = record.into_inner();
    record.mark_compacted();
    let (new, has_new_snapshot) = (gate.borrow(), !record.has_snapshot_of(&edge.gate()));
    if let Some(snapshot) = new.snapshot().filter(|_| has_new_snapshot) {
        drop(edge.gate_mut().warm(snapshot)); // refused when it is not newer; then the messages tell
    }
    // The gate in service says whether it is the same history, by finding every message to join on to what it holds.
    let is_ours = is_complete
        && record.apply_to(&mut edge.gate_mut(), now_ms()).is_ok()
        && new.sequence() >= edge.gate().sequence();
    if is_ours {
        edge.record.replace(record);
    } else {
        edge.record.borrow_mut().mark_compacted(); // not tried again before there are many more
    }
    is_ours
}

/// Takes messages from the origin until the gate has no more to ask, and keeps them. True when nothing went wrong.
async fn pull(gate: &RefCell<Gate>, record: &RefCell<MessageLog>) -> bool {
    for _ in 0..MAX_MESSAGES {
        let question = question();
        let (target, before) = (gate.borrow().next_fetch(0, &question), gate.borrow().sequence());
        let url = format!("{}{target}", gate.borrow().settings().origin);
        let (status, body) = match get(&url).await {
            Ok(answer) => answer,
            Err(why) => {
                eprintln!("tollgate: the origin cannot be asked: {why}");
                gate.borrow_mut().fetch_failed(&why, now_ms());
                return false;
            }
        };
        let accepted = gate.borrow_mut().accept(status, &body, &question);
        let more = match accepted {
            Ok(more) => more,
            Err(error) => {
                eprintln!("tollgate: the origin's answer is refused: {error}");
                return false;
            }
        };
        if status == 200 {
            let is_snapshot = target == SNAPSHOT;
            if is_snapshot {
                shared::keep_snapshot(&body).await;
            } else {
                record.borrow_mut().append(&gate.borrow(), before, &body, (!more).then_some(question.asked_at_ms));
            }
        }
        if !more {
            return true;
        }
    }
    false
}

/// A question asked now.
fn question() -> Question {
    let mut nonce = [0; Nonce::LEN];
    for half in nonce.as_chunks_mut().0 {
        *half = random::get_random_u64().to_be_bytes();
    }
    Question { asked_at_ms: now_ms(), nonce: Nonce::from_bytes(nonce) }
}

/// GETs `url`; the error is a line for the log and the health report.
async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let options = http::timeouts(TIMEOUT, TIMEOUT, TIMEOUT);
    let request = http::request(&Method::Get, url, Vec::new(), None, Some(options)).map_err(|code| code.to_string())?;
    let response = client::send(request).await.map_err(|code| code.to_string())?;
    let response: Response = spin_sdk::http::FromResponse::from_response(response).map_err(|code| code.to_string())?;
    let status = response.status().as_u16();
    match http::bounded(response.into_body(), MAX_FETCH_BYTES, BODY_TIMEOUT).await {
        Ok(body) => Ok((status, body)),
        Err(BodyError::TooLarge) => Err(format!("the answer is larger than {MAX_FETCH_BYTES} bytes")),
        Err(BodyError::Broken(code)) => Err(code.to_string()),
        Err(BodyError::Late) => Err("the answer came too slowly".to_owned()),
    }
}
