//! Syncs a gate with the origin: an isolate without a hub, or a hub for its isolates.

use std::{cell::RefCell, time::Duration};

use futures::future::{self, Either};
use tollgate_gate::{EdgeReport, Gate, MAX_FETCH_BYTES, Nonce, Question};
use worker::{AbortController, Delay, console_error, web_sys};

use crate::{
    http::{self, BodyError},
    now_ms, random,
};

/// Limit on the time until the origin begins its answer.
const FIRST_BYTE_TIMEOUT_MS: u64 = 1_500;
/// Limit on an answer of the origin, body included: a snapshot can have many megabytes.
const FETCH_TIMEOUT_MS: u64 = 30_000;
/// Limit on a sync. A waiting request does not wait for so long.
pub(crate) const SYNC_TIMEOUT_MS: u64 = FETCH_TIMEOUT_MS + 2 * FIRST_BYTE_TIMEOUT_MS;
/// Messages per sync. Each has up to 4096 changes, so this is more than any origin keeps.
const MAX_MESSAGES: usize = 16;

/// An answer of the origin that the gate has applied.
pub(crate) struct AppliedAnswer {
    pub(crate) is_snapshot: bool,
    /// The message as signed by the origin.
    pub(crate) message: Vec<u8>,
    /// Time of the request in Unix milliseconds.
    pub(crate) asked_at_ms: u64,
    /// Whether the replica is not complete yet. If false, it is complete as of the request.
    pub(crate) has_more: bool,
}

/// Fetches messages until the replica is complete, and calls `on_applied` with each answer. Each
/// request takes a report from `next_report`. Returns false after an error.
pub(crate) async fn sync(
    gate: &RefCell<Gate>,
    mut next_report: impl FnMut() -> Option<EdgeReport>,
    mut on_applied: impl FnMut(AppliedAnswer),
) -> bool {
    for _ in 0..MAX_MESSAGES {
        let (after, asked_at_ms) = (gate.borrow().next_after(), now_ms());
        let fetched = match random() {
            Ok(nonce) => {
                let question = Question { asked_at_ms, nonce: Nonce::from_bytes(nonce) };
                let target = match next_report() {
                    Some(report) => gate.borrow().next_fetch_reporting(0, &question, &report.to_string()),
                    None => gate.borrow().next_fetch(0, &question),
                };
                let url = format!("{}{target}", gate.borrow().settings().origin);
                get(&url).await.map(|answer| (question, answer))
            }
            Err(why) => Err(why),
        };
        let (question, (status, message)) = match fetched {
            Ok(answer) => answer,
            Err(why) => {
                console_error!("tollgate: the origin cannot be reached: {why}");
                gate.borrow_mut().fetch_failed(&why, now_ms());
                return false;
            }
        };
        let accepted = gate.borrow_mut().accept(status, &message, &question);
        match accepted {
            Ok(has_more) => {
                // After a 410, which has no message, the gate fetches the snapshot.
                if status == 200 {
                    on_applied(AppliedAnswer { is_snapshot: after.is_none(), message, asked_at_ms, has_more });
                }
                if !has_more {
                    return true;
                }
            }
            Err(error) => {
                console_error!("tollgate: the origin's answer was refused: {error}");
                return false;
            }
        }
    }
    false
}

/// Sends a GET. The error is one line for the log and the health report.
pub(crate) async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    let init = web_sys::RequestInit::new();
    init.set_redirect(web_sys::RequestRedirect::Manual); // the origin never redirects an edge
    let abort = AbortController::default();
    init.set_signal(Some(&*abort.signal()));
    let Some(response) = within(FIRST_BYTE_TIMEOUT_MS, http::fetch(url, &init)).await else {
        abort.abort();
        return Err(format!("no answer within {FIRST_BYTE_TIMEOUT_MS} ms"));
    };
    let response = response?;
    let Some(body) = within(FETCH_TIMEOUT_MS, http::read_response(&response, MAX_FETCH_BYTES)).await else {
        abort.abort();
        return Err(format!("the answer took longer than {FETCH_TIMEOUT_MS} ms"));
    };
    match body {
        Ok(body) => Ok((response.status(), body)),
        Err(BodyError::TooLarge) => Err(format!("the answer is larger than {MAX_FETCH_BYTES} bytes")),
        Err(BodyError::Broken(why)) => Err(why),
    }
}

/// The result of `work`; none if it takes longer.
pub(crate) async fn within<T>(timeout_ms: u64, work: impl Future<Output = T>) -> Option<T> {
    match future::select(Box::pin(work), Delay::from(Duration::from_millis(timeout_ms))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}
