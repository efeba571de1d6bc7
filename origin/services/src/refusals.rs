//! Refused requests of clients: a line in the log for each, and the last ones of each client in
//! memory, so that an integrator's mistake can be found.
//!
//! Each process has its own and forgets them when it stops. Never: a secret, a token or a code; the
//! value of a parameter is kept only if [`is_shown`] lists it. Text of a request is shortened, and
//! characters that a reader would not see are escaped. Lines and memory are bounded, whatever is
//! sent.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tollgate_model::log_limit::LogLimit;
use tollgate_model::rate_limit::Rate;
use tollgate_model::text::escape_invisible;
use tollgate_model::{ClientId, SecretKind};

/// Refusals that are kept of a client.
const MAX_PER_CLIENT: usize = 20;
/// Clients of which refusals are kept. Of further ones, the client whose last refusal is the oldest
/// is forgotten.
const MAX_CLIENTS: usize = 256;
/// Characters of a text that are kept.
const MAX_TEXT_CHARS: usize = 300;

/// Lines in the log for a client, in this period and in one burst; requests without a registered
/// client share one such limit.
const MAX_CLIENT_LINES: u32 = 30;
/// Lines in the log for all clients together.
const MAX_LINES: u32 = 300;
const LINES_PERIOD: Duration = Duration::from_secs(60);

/// Parameters whose value may be shown: none of them is a secret.
const SHOWN_PARAMETERS: [&str; 14] = [
    "audience",
    "client_assertion_type",
    "code_challenge_method",
    "grant_type",
    "post_logout_redirect_uri",
    "prompt",
    "redirect_uri",
    "requested_token_type",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "subject_token_type",
    "token_type_hint",
];

/// Whether the value of a parameter may be shown.
#[must_use]
pub fn is_shown(parameter: &str) -> bool {
    SHOWN_PARAMETERS.contains(&parameter)
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RefusedRequest {
    /// Unix second of the refusal.
    pub at: u64,
    /// The request ID of the response, of error pages and of the log.
    pub request_id: String,
    /// Route of the request.
    pub endpoint: String,
    /// Error code of the response.
    #[schema(value_type = String)]
    pub error: &'static str,
    /// What is wrong.
    pub reason: String,
    /// The parameter that is wrong, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parameter: Option<&'static str>,
    /// Its value in the request, shortened. Secrets are never kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
}

/// The refused requests of this process.
#[derive(Debug)]
pub struct RefusalLog {
    state: Mutex<State>,
    started: Instant,
}

#[derive(Debug, Default)]
struct State {
    lines: LogLimit,
    unregistered_lines: LogLimit,
    clients: HashMap<ClientId, ClientRefusals>,
}

#[derive(Debug, Default)]
struct ClientRefusals {
    lines: LogLimit,
    /// The oldest first.
    recent: VecDeque<RefusedRequest>,
}

/// Numbers of refusals that were not logged before a line: of the same client, and of all clients
/// beyond their common limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LeftOut {
    client: u64,
    all: u64,
}

impl Default for RefusalLog {
    fn default() -> RefusalLog {
        RefusalLog { state: Mutex::default(), started: Instant::now() }
    }
}

impl RefusalLog {
    /// Logs and keeps a refusal. `client`: the registered client that the request names, whether or
    /// not it authenticated.
    pub fn record(&self, client: Option<&ClientId>, refused: RefusedRequest) {
        let refused = RefusedRequest {
            // A reason may quote a part of the request.
            reason: without_secrets(&refused.reason),
            received: refused.received.as_deref().map(without_secrets),
            ..refused
        };
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(left_out) = self.keep(client, &refused, now) {
            let RefusedRequest { request_id, endpoint, error, reason, parameter, .. } = &refused;
            tracing::info!(
                endpoint,
                client = client.map_or("unknown", ClientId::as_str),
                error,
                reason,
                parameter,
                request_id,
                left_out = left_out.client,
                left_out_of_all = left_out.all,
                "request refused"
            );
        }
    }

    /// Keeps a refusal. If it may be logged, returns how many were left out before it.
    fn keep(&self, client: Option<&ClientId>, refused: &RefusedRequest, now: u64) -> Option<LeftOut> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { lines, unregistered_lines, clients } = &mut *state;
        let own_lines = match client {
            None => unregistered_lines,
            Some(id) => {
                if !clients.contains_key(id) && clients.len() >= MAX_CLIENTS {
                    forget_oldest(clients);
                }
                let refusals = clients.entry(id.clone()).or_default();
                if refusals.recent.len() >= MAX_PER_CLIENT {
                    refusals.recent.pop_front();
                }
                refusals.recent.push_back(refused.clone());
                &mut refusals.lines
            }
        };
        let (own_rate, rate) = (Rate::new(MAX_CLIENT_LINES, LINES_PERIOD)?, Rate::new(MAX_LINES, LINES_PERIOD)?);
        let is_allowed = own_lines.acquire(own_rate, now) && lines.acquire(rate, now);
        is_allowed.then(|| LeftOut { client: own_lines.take_left_out(), all: lines.take_left_out() })
    }

    /// The last refusals of a client, the newest first.
    #[must_use]
    pub fn recent(&self, client: &ClientId) -> Vec<RefusedRequest> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clients.get(client).map(|refusals| refusals.recent.iter().rev().cloned().collect()).unwrap_or_default()
    }
}

fn forget_oldest(clients: &mut HashMap<ClientId, ClientRefusals>) {
    let last = |refusals: &ClientRefusals| refusals.recent.back().map_or(0, |last| last.at);
    let oldest = clients.iter().min_by_key(|(_, refusals)| last(refusals)).map(|(id, _)| id.clone());
    if let Some(oldest) = oldest {
        clients.remove(&oldest);
    }
}

/// A text as it is kept. One with a secret, which was sent in the wrong parameter, is hidden.
fn without_secrets(value: &str) -> String {
    let is_secret = SecretKind::ALL.map(SecretKind::prefix).iter().chain(&["eyJ"]).any(|prefix| value.contains(prefix));
    if is_secret { "(hidden: it may be a secret)".to_owned() } else { bounded(value) }
}

/// A text as it is kept: its first characters, with invisible ones escaped.
fn bounded(text: &str) -> String {
    let cut: String = text.chars().take(MAX_TEXT_CHARS).collect();
    let end = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{end}", escape_invisible(&cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(at: u64, received: &str) -> RefusedRequest {
        RefusedRequest {
            at,
            request_id: "1".to_owned(),
            endpoint: "/oauth/authorize".to_owned(),
            error: "invalid_request",
            reason: "redirect_uri is not registered".to_owned(),
            parameter: Some("redirect_uri"),
            received: Some(received.to_owned()),
        }
    }

    fn client(id: &str) -> ClientId {
        id.parse().expect("an id")
    }

    #[test]
    fn recent_refusals_are_bounded_by_client_and_overall() {
        let (log, shop) = (RefusalLog::default(), client("shop"));
        for at in 0..30 {
            log.record(Some(&shop), refused(at, "https://shop.example/"));
        }
        let recent = log.recent(&shop);
        assert_eq!((recent.len(), recent[0].at, recent[19].at), (20, 29, 10), "the newest first");
        for number in 0..300 {
            log.record(Some(&client(&format!("c{number}"))), refused(100 + number, ""));
        }
        assert!(log.recent(&shop).is_empty(), "the client that was refused longest ago is forgotten");
        assert_eq!(log.recent(&client("c299")).len(), 1);
        assert_eq!(log.state.lock().unwrap_or_else(PoisonError::into_inner).clients.len(), MAX_CLIENTS);
    }

    #[test]
    fn lines_are_bounded_by_client_and_overall_and_say_what_was_left_out() {
        let (log, shop, one) = (RefusalLog::default(), client("shop"), refused(1, ""));
        let lines = |count: usize| (0..count).filter(|_| log.keep(Some(&shop), &one, 0).is_some()).count();
        assert_eq!(lines(100), 30);
        let later = 60_000_000;
        assert_eq!(log.keep(Some(&shop), &one, later), Some(LeftOut { client: 70, all: 0 }));
        let others = (0..1000).map(|number| client(&format!("c{number}")));
        let written = others.filter(|id| log.keep(Some(id), &one, later).is_some()).count();
        assert_eq!(written, 299, "with the line before");
        let next = log.keep(None, &one, 2 * later).expect("a line");
        assert_eq!((next.client, next.all), (0, 701));
    }

    #[test]
    fn received_text_is_bounded_escaped_and_never_a_secret() {
        let (log, shop) = (RefusalLog::default(), client("shop"));
        let values =
            ["a\r\nforged line", "\u{202e}gnp", &"x".repeat(5000), "tgs_EO_lqqc1aKPrhaxQ", "eyJhbGciOiJub25lIn0.e30."];
        for value in values {
            log.record(Some(&shop), refused(1, value));
        }
        let received: Vec<String> = log.recent(&shop).into_iter().rev().filter_map(|one| one.received).collect();
        assert_eq!(received[0], "a\\u{d}\\u{a}forged line");
        assert_eq!(received[1], "\\u{202e}gnp");
        assert_eq!(received[2].chars().count(), MAX_TEXT_CHARS + 1);
        let reason = "the scope value tgs_EO_lqqc1aKPrhaxQ is not registered".to_owned();
        log.record(Some(&shop), RefusedRequest { reason, ..refused(2, "") });
        assert!(log.recent(&shop)[0].reason.starts_with("(hidden"));
        assert!(received[3..].iter().all(|value| value.starts_with("(hidden")), "{received:?}");
    }
}
