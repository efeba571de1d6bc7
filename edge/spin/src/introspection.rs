//! Asks the origin about single tokens, one question at a time for a token.

use crate::edge::{Edge, now_ms};
use crate::fetch::{get, new_question};
use spin_sdk::wasip3::clocks::monotonic_clock;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tollgate_gate::TokenReference;

/// Age at which a question counts as lost, in milliseconds: its task may have been cancelled.
const FLIGHT_TIMEOUT_MS: u64 = 3_000;
/// Interval at which waiting requests check whether the question has ended.
const POLL_INTERVAL_NS: u64 = 2_000_000;

/// When the questions under way were asked, in Unix milliseconds, by their tokens.
pub(crate) type Flights = RefCell<BTreeMap<TokenReference, u64>>;

/// Asks the origin about a token, or waits for the question that another request asks. The gate
/// then has an answer, or knows that there is none.
pub(crate) async fn introspect(edge: &Edge, token: &TokenReference) {
    let is_under_way = || {
        let flights = edge.introspections.borrow();
        flights.get(token).is_some_and(|asked_at_ms| now_ms().saturating_sub(*asked_at_ms) < FLIGHT_TIMEOUT_MS)
    };
    if is_under_way() {
        while is_under_way() {
            monotonic_clock::wait_for(POLL_INTERVAL_NS).await;
        }
        return;
    }
    edge.introspections.borrow_mut().insert(token.clone(), now_ms());
    if let Err(why) = ask(edge, token).await {
        eprintln!("tollgate: a token cannot be introspected: {why}");
        edge.gate_mut().introspection_failed(token, now_ms());
    }
    let is_lost = |asked_at_ms: &u64| now_ms().saturating_sub(*asked_at_ms) >= FLIGHT_TIMEOUT_MS;
    edge.introspections.borrow_mut().retain(|asked, asked_at_ms| asked != token && !is_lost(asked_at_ms));
}

async fn ask(edge: &Edge, token: &TokenReference) -> Result<(), String> {
    let question = new_question();
    let target = edge.gate().next_introspection(token, &question).ok_or("the edge has no key")?;
    let url = format!("{}{target}", edge.gate().settings().origin);
    let (status, body) = get(&url).await?;
    let accepted = edge.gate_mut().accept_introspection(token, status, &body, &question);
    accepted.map_err(|error| error.to_string())
}
