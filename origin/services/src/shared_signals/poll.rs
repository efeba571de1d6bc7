//! Polling (RFC 8936): a receiver acknowledges what it has and asks for more, in one request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_keys::IssueError;
use tollgate_model::event_stream::Stream;
use tollgate_storage::{Signal, Store, StoreError};
use tollgate_system::clock;

use super::Transmitter;
use crate::feed_change::FeedChange;

/// Tokens in an answer at most, whatever is asked for.
const MAX_EVENTS: usize = 100;
/// Signals looked at at a time: also how many may be acknowledged out of order.
const WINDOW: u64 = 1000;
/// How long a request waits for something to tell: below the idle limits of common proxies.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A poll request's body (RFC 8936 section 2.2). Members that are not known are ignored.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollRequest {
    /// Tokens wanted at most; 0 to acknowledge only.
    pub max_events: Option<u64>,
    /// Whether to answer at once when there is nothing.
    #[serde(default)]
    pub return_immediately: bool,
    /// `jti`s that arrived.
    #[serde(default)]
    pub ack: Vec<String>,
    /// `jti`s that the receiver cannot use, and why.
    #[serde(default)]
    pub set_errs: BTreeMap<String, SetError>,
}

/// Why a receiver cannot use a token (RFC 8936 section 2.6), and the body of a refused push (RFC 8935 section 2.3).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = SecurityEventError)]
pub struct SetError {
    /// A code of the registry "Security Event Token Error Codes".
    pub err: String,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// A poll's answer (RFC 8936 section 2.3).
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PollAnswer {
    /// The tokens by `jti`.
    pub sets: BTreeMap<String, String>,
    /// Whether there are more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_available: bool,
}

/// A poll failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are their sources'")]
pub enum PollError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] IssueError),
}

/// Answers polls.
pub struct PollResponder {
    /// Remembers.
    pub store: Store,
    /// Makes the tokens.
    pub transmitter: Arc<Transmitter>,
    /// Tells that there may be news.
    pub wake: Receiver<FeedChange>,
    /// Ends waiting at shutdown.
    pub stop: CancellationToken,
}

impl PollResponder {
    /// Takes the acknowledgements and answers with what is left, waiting for it unless told not to.
    ///
    /// # Errors
    /// When the store fails or a token cannot be signed; what was acknowledged may be taken or not, and can be sent again.
    pub async fn answer(mut self, stream: &Stream, request: &PollRequest) -> Result<PollAnswer, PollError> {
        let wanted =
            request.max_events.map_or(MAX_EVENTS, |max| usize::try_from(max).unwrap_or(MAX_EVENTS).min(MAX_EVENTS));
        self.acknowledge(stream, request).await?;
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            self.wake.mark_unchanged();
            let answer = self.pending(stream, wanted).await?;
            let done = !answer.sets.is_empty() || request.return_immediately || wanted == 0;
            if done || self.stop.is_cancelled() || Instant::now() >= until {
                return Ok(answer);
            }
            tokio::select! {
                changed = self.wake.changed() => if changed.is_err() { return Ok(answer) },
                () = sleep_until(until) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Records what the request says arrived. A `jti` of nothing outstanding was acknowledged before, and is ignored.
    async fn acknowledge(&self, stream: &Stream, request: &PollRequest) -> Result<(), PollError> {
        if request.ack.is_empty() && request.set_errs.is_empty() {
            return Ok(());
        }
        for (jti, error) in &request.set_errs {
            // The receiver's words are put into the log by `Debug`, which escapes what would forge lines.
            let (err, description) = (shortened(&error.err), shortened(&error.description));
            tracing::warn!(stream = %stream.name, jti = ?shortened(jti), ?err, ?description, "a receiver refused an event");
        }
        let acknowledged = |signal: &Signal| {
            let jti = self.transmitter.jti(stream, signal);
            let refused = request.set_errs.contains_key(&jti);
            (refused || request.ack.contains(&jti)).then_some(refused)
        };
        let tells = |signal: &Signal| stream.delivers(signal.event_type());
        Ok(self.store.acknowledge_signals(stream.number, WINDOW, acknowledged, tells, clock::now_ms()).await?)
    }

    async fn pending(&self, stream: &Stream, wanted: usize) -> Result<PollAnswer, PollError> {
        let tells = |signal: &Signal| stream.delivers(signal.event_type());
        let signals = self.store.list_pending_signals(stream.number, WINDOW, tells).await?;
        let mut answer = PollAnswer { more_available: signals.len() > wanted, ..PollAnswer::default() };
        for signal in signals.iter().take(wanted) {
            answer.sets.insert(self.transmitter.jti(stream, signal), self.transmitter.token(stream, signal)?);
        }
        Ok(answer)
    }
}

/// A stranger's text, no longer than a line.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 8936 section 2.4.
    #[test]
    fn the_rfcs_requests_are_read() {
        let read = |text: &str| serde_json::from_str::<PollRequest>(text);
        let initial = read(r#"{"maxEvents":10,"returnImmediately":true}"#).expect("a request");
        assert_eq!((initial.max_events, initial.return_immediately), (Some(10), true));
        let acks =
            read(r#"{"ack":["4d3559ec67504aaba65d40b0363faad8","3d0c3cf797584bd193bd0fb1bd4e7d30"],"maxEvents":0}"#);
        let acks = acks.expect("a request");
        assert_eq!((acks.ack.len(), acks.max_events, acks.return_immediately), (2, Some(0), false));
        let errors = r#"{"setErrs":{"4d35":{"err":"authentication_failed","description":"The SET could not be authenticated"}}}"#;
        assert_eq!(read(errors).expect("a request").set_errs["4d35"].err, "authentication_failed");
        for wrong in ["", "[]", r#"{"ack":"x"}"#, r#"{"maxEvents":-1}"#, r#"{"setErrs":{"x":{}}}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_has_the_rfcs_members() {
        let answer = PollAnswer { sets: BTreeMap::from([("j".to_owned(), "a.b.c".to_owned())]), more_available: true };
        assert_eq!(serde_json::to_string(&answer).expect("JSON"), r#"{"sets":{"j":"a.b.c"},"moreAvailable":true}"#);
        assert_eq!(serde_json::to_string(&PollAnswer::default()).expect("JSON"), r#"{"sets":{}}"#);
    }
}
