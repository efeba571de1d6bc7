//! Asks the origin about single tokens, one question at a time for a token.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use tollgate_gate::{Nonce, Question, TokenReference};
use worker::{Delay, console_error};

use crate::{isolate::Isolate, now_ms, origin, random};

/// Age at which a question counts as lost: the runtime may have ended the request that asked it,
/// without running destructors.
const FLIGHT_TIMEOUT_MS: u64 = 3_000;
/// Interval at which waiting requests check whether the question has ended. The runtime does not
/// let a request wait for a promise of another one.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// When the questions under way were asked, in Unix milliseconds, by their tokens.
pub(crate) type Flights = RefCell<BTreeMap<TokenReference, u64>>;

/// Asks the origin about a token, or waits for the question that another request asks. The gate
/// then has an answer, or knows that there is none.
pub(crate) async fn introspect(isolate: &Isolate, token: &TokenReference) {
    let is_under_way = || {
        let flights = isolate.introspections.borrow();
        flights.get(token).is_some_and(|asked_at_ms| now_ms().saturating_sub(*asked_at_ms) < FLIGHT_TIMEOUT_MS)
    };
    if is_under_way() {
        while is_under_way() {
            Delay::from(POLL_INTERVAL).await;
        }
        return;
    }
    isolate.introspections.borrow_mut().insert(token.clone(), now_ms());
    if let Err(why) = ask(isolate, token).await {
        console_error!("tollgate: a token cannot be introspected: {why}");
        isolate.gate.borrow_mut().introspection_failed(token, now_ms());
    }
    let is_lost = |asked_at_ms: &u64| now_ms().saturating_sub(*asked_at_ms) >= FLIGHT_TIMEOUT_MS;
    isolate.introspections.borrow_mut().retain(|asked, asked_at_ms| asked != token && !is_lost(asked_at_ms));
}

async fn ask(isolate: &Isolate, token: &TokenReference) -> Result<(), String> {
    let question = Question { asked_at_ms: now_ms(), nonce: Nonce::from_bytes(random()?) };
    let target = isolate.gate.borrow().next_introspection(token, &question).ok_or("the edge has no key")?;
    let url = format!("{}{target}", isolate.gate.borrow().settings().origin);
    let (status, body) = origin::get(&url).await?;
    let accepted = isolate.gate.borrow_mut().accept_introspection(token, status, &body, &question);
    accepted.map_err(|error| error.to_string())
}
