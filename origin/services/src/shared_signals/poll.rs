//! Polling (RFC 8936): in one request, a receiver acknowledges tokens and requests more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_model::event_stream::Stream;
use tollgate_storage::{Signal, Store, StoreError};
use tollgate_system::Clock;

use super::event::Transmitter;
use crate::feed_change::FeedChange;
use crate::signing_keys::SigningError;

/// Tokens in a response, even if the receiver requests more.
const MAX_EVENTS: usize = 100;
/// Signals per query, and so the number of signals that may be acknowledged out of order.
const MAX_SIGNALS: u64 = 1000;
/// Longest wait of a request for new tokens, below the idle timeouts of common proxies.
const POLL_TIMEOUT: Duration = Duration::from_secs(30);

/// A poll request's body (RFC 8936 section 2.2). Unknown members are ignored.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollRequest {
    /// Maximum number of tokens in the response; 0 to acknowledge only.
    pub max_events: Option<u64>,
    /// Whether to respond immediately if there are no tokens.
    #[serde(default)]
    pub return_immediately: bool,
    /// `jti`s of received tokens.
    #[serde(default)]
    pub ack: Vec<String>,
    /// `jti`s of tokens that the receiver cannot process, and why.
    #[serde(default)]
    pub set_errs: BTreeMap<String, SetError>,
}

/// Why a receiver cannot process a token (RFC 8936 section 2.6); also the body of a rejected push
/// (RFC 8935 section 2.3).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = SecurityEventError)]
pub struct SetError {
    /// A code of the registry "Security Event Token Error Codes".
    pub err: String,
    /// Explanation for people.
    #[serde(default)]
    pub description: String,
}

/// Response to a poll (RFC 8936 section 2.3).
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollAnswer {
    /// The tokens by `jti`.
    pub sets: BTreeMap<String, String>,
    /// Whether more tokens are available.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_available: bool,
}

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] SigningError),
}

/// Responds to polls.
pub struct PollResponder {
    pub store: Store,
    pub transmitter: Arc<Transmitter>,
    pub clock: Clock,
    pub changes: Receiver<FeedChange>,
    /// Ends the wait at shutdown.
    pub stop: CancellationToken,
}

impl PollResponder {
    /// Records the acknowledgements, and returns the pending tokens. Waits for tokens unless the
    /// request asks for an immediate response.
    ///
    /// # Errors
    /// When the database fails or a token cannot be signed. The acknowledgements may be recorded or
    /// not, and may be repeated.
    pub async fn respond(mut self, stream: &Stream, request: &PollRequest) -> Result<PollAnswer, PollError> {
        let limit =
            request.max_events.map_or(MAX_EVENTS, |max| usize::try_from(max).unwrap_or(MAX_EVENTS).min(MAX_EVENTS));
        self.acknowledge(stream, request).await?;
        let deadline = Instant::now() + POLL_TIMEOUT;
        loop {
            self.changes.mark_unchanged();
            let answer = self.pending(stream, limit).await?;
            let is_complete = !answer.sets.is_empty() || request.return_immediately || limit == 0;
            if is_complete || self.stop.is_cancelled() || Instant::now() >= deadline {
                return Ok(answer);
            }
            tokio::select! {
                changed = self.changes.changed() => if changed.is_err() { return Ok(answer) },
                () = sleep_until(deadline) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Records the acknowledgements of the request. A `jti` of no pending token was acknowledged
    /// before, and is ignored.
    async fn acknowledge(&self, stream: &Stream, request: &PollRequest) -> Result<(), PollError> {
        if request.ack.is_empty() && request.set_errs.is_empty() {
            return Ok(());
        }
        for (jti, error) in &request.set_errs {
            // `Debug` escapes control characters, with which a receiver could forge log lines.
            let (err, description) = (truncated(&error.err), truncated(&error.description));
            tracing::warn!(stream = %stream.name, jti = ?truncated(jti), ?err, ?description, "receiver rejected a security event");
        }
        let acknowledged = |signal: &Signal| {
            let jti = self.transmitter.jti(stream, signal);
            let is_rejected = request.set_errs.contains_key(&jti);
            (is_rejected || request.ack.contains(&jti)).then_some(is_rejected)
        };
        let is_delivered = |signal: &Signal| stream.delivers(signal.event_type());
        let now_ms = self.clock.now_ms();
        Ok(self.store.acknowledge_signals(stream.number, MAX_SIGNALS, acknowledged, is_delivered, now_ms).await?)
    }

    async fn pending(&self, stream: &Stream, limit: usize) -> Result<PollAnswer, PollError> {
        let is_delivered = |signal: &Signal| stream.delivers(signal.event_type());
        let signals = self.store.list_pending_signals(stream.number, MAX_SIGNALS, is_delivered).await?;
        let mut answer = PollAnswer { more_available: signals.len() > limit, ..PollAnswer::default() };
        for signal in signals.iter().take(limit) {
            let token = self.transmitter.token(stream, signal).await?;
            answer.sets.insert(self.transmitter.jti(stream, signal), token);
        }
        Ok(answer)
    }
}

/// Truncates a receiver's text to the length of a line.
pub(super) fn truncated(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 8936 section 2.4.
    #[test]
    fn requests_of_the_rfc_are_parsed() {
        let parse = |text: &str| serde_json::from_str::<PollRequest>(text);
        let initial = parse(r#"{"maxEvents":10,"returnImmediately":true}"#).expect("a request");
        assert_eq!((initial.max_events, initial.return_immediately), (Some(10), true));
        let acks =
            parse(r#"{"ack":["4d3559ec67504aaba65d40b0363faad8","3d0c3cf797584bd193bd0fb1bd4e7d30"],"maxEvents":0}"#);
        let acks = acks.expect("a request");
        assert_eq!((acks.ack.len(), acks.max_events, acks.return_immediately), (2, Some(0), false));
        let errors = r#"{"setErrs":{"4d35":{"err":"authentication_failed","description":"The SET could not be authenticated"}}}"#;
        assert_eq!(parse(errors).expect("a request").set_errs["4d35"].err, "authentication_failed");
        for wrong in ["", "[]", r#"{"ack":"x"}"#, r#"{"maxEvents":-1}"#, r#"{"setErrs":{"x":{}}}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn response_has_the_members_of_the_rfc() {
        let answer = PollAnswer { sets: BTreeMap::from([("j".to_owned(), "a.b.c".to_owned())]), more_available: true };
        assert_eq!(serde_json::to_string(&answer).expect("JSON"), r#"{"sets":{"j":"a.b.c"},"moreAvailable":true}"#);
        assert_eq!(serde_json::to_string(&PollAnswer::default()).expect("JSON"), r#"{"sets":{}}"#);
    }
}
