//! Pushes security event tokens (RFC 8935), one per request, in the order of their sequence.
//!
//! There is no queue, as with edges: the database has each stream's position, and the signals after
//! it are sent until they are acknowledged. If the origin dies before an acknowledgement is
//! recorded, the same token is sent again, byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::sync::watch::Receiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_keys::SealError;
use tollgate_model::error_chain::with_causes;
use tollgate_model::event_stream::{Delivery, PushUrl, Stream};
use tollgate_storage::{LeaderRole, Signal, Store, StoreError};
use tollgate_system::{Clock, rng};

use super::event::Transmitter;
use super::poll::{SetError, truncated};
use crate::back_off::BackOff;
use crate::feed_change::FeedChange;
use crate::leader_loop::run_while_leader;
use crate::signing_keys::SigningError;
use crate::telemetry::traced;

/// Receivers check a signature and may write to a database.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
const BACK_OFF: BackOff = BackOff { first_delay: Duration::from_millis(100), max_delay: Duration::from_secs(30) };
/// An error response has a code and a description.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;
/// Signals per query.
const MAX_SIGNALS: u64 = 100;

#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] SigningError),
    #[error("the Authorization header of the stream cannot be decrypted: {0}")]
    Secret(#[from] SealError),
    #[error("the Authorization header of the stream is not a valid header value")]
    Header(#[from] reqwest::header::InvalidHeaderValue),
    #[error("the receiver cannot be reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the receiver responded with status {0}")]
    Status(StatusCode),
    #[error("the receiver refuses tokens at present: {0}")]
    Refused(String),
}

/// Final outcome of a delivery.
enum DeliveryOutcome {
    Accepted,
    /// The receiver would reject this token each time. Contains the receiver's error.
    Rejected(String),
}

/// Sends security event tokens to the receivers of pushed streams.
pub struct SecurityEventPusher {
    store: Store,
    transmitter: Arc<Transmitter>,
    clock: Clock,
    http: reqwest::Client,
}

impl SecurityEventPusher {
    /// # Errors
    /// When the HTTP client cannot be built, for example without trusted certificates.
    pub fn new(
        store: Store,
        transmitter: Arc<Transmitter>,
        clock: Clock,
    ) -> Result<SecurityEventPusher, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PUSH_TIMEOUT)
            // A redirect would send the Authorization header to a URL that the operator did not
            // register.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(SecurityEventPusher { store, transmitter, clock, http })
    }

    /// Pushes while this origin is the leader, until `stop`.
    pub async fn run(self, changes: Receiver<FeedChange>, stop: CancellationToken) {
        let pusher = Arc::new(self);
        run_while_leader(
            &pusher.store,
            LeaderRole::SecurityEventPush,
            &stop,
            || Arc::clone(&pusher).push_to_all(changes.clone()),
            |error: StoreError| tracing::error!(%error, "pushing security events was interrupted"),
        )
        .await;
    }

    /// Runs a task for each pushed stream, and follows changes of the list. Returns when the list
    /// cannot be read. When the future is dropped, all pushes are cancelled.
    async fn push_to_all(self: Arc<SecurityEventPusher>, mut changes: Receiver<FeedChange>) -> StoreError {
        let mut tasks = JoinSet::new();
        let mut running: BTreeMap<u64, AbortHandle> = BTreeMap::new();
        loop {
            let version = changes.borrow_and_update().head.version;
            let streams = match self.store.list_streams().await {
                Ok(streams) => streams,
                Err(error) => return error,
            };
            running.retain(|number, task| {
                let is_registered = streams.iter().any(|stream| stream.number == *number);
                if !is_registered {
                    task.abort();
                }
                is_registered
            });
            for stream in streams.into_iter().filter(|stream| stream.delivery != Delivery::Poll) {
                running
                    .entry(stream.number)
                    .or_insert_with(|| tasks.spawn(Arc::clone(&self).keep_up_to_date(stream, changes.clone())));
            }
            while tasks.try_join_next().is_some() {}
            // An error means that the origin shuts down, which drops this future.
            let _ = changes.wait_for(|change| change.head.version != version).await;
        }
    }

    /// Sends each new signal to one receiver.
    async fn keep_up_to_date(self: Arc<SecurityEventPusher>, stream: Stream, mut changes: Receiver<FeedChange>) {
        let mut failures: u32 = 0;
        loop {
            changes.mark_unchanged();
            match self.catch_up(&stream, &mut failures).await {
                Ok(()) => {
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let error = with_causes(&error);
                    tracing::warn!(stream = %stream.name, failures, error, "security event not delivered; retrying later");
                    if let Err(error) = self.store.record_stream_problem(stream.number, &error).await {
                        tracing::error!(%error, "the error of a stream could not be recorded");
                    }
                    sleep(BACK_OFF.delay(failures, rng::jitter())).await;
                }
            }
        }
    }

    /// Sends all signals that are not acknowledged, in order: a receiver that saw a reinstatement
    /// before its revocation would keep the wrong state.
    async fn catch_up(&self, stream: &Stream, failures: &mut u32) -> Result<(), PushError> {
        let Delivery::Push { url, sealed_authorization } = &stream.delivery else {
            return Ok(());
        };
        let authorization = self.authorization(stream, url, sealed_authorization.as_deref())?;
        let is_delivered = |signal: &Signal| stream.delivers(signal.event_type());
        loop {
            let pending = self.store.list_pending_signals(stream.number, MAX_SIGNALS, is_delivered).await?;
            if pending.is_empty() {
                return Ok(());
            }
            for signal in pending {
                let token = self.transmitter.token(stream, &signal).await?;
                let outcome = self.push(url, authorization.as_ref(), token).await?;
                *failures = 0;
                if let DeliveryOutcome::Rejected(why) = &outcome {
                    tracing::error!(stream = %stream.name, sequence = signal.sequence, why, "receiver rejected a security event");
                }
                let is_rejected = matches!(outcome, DeliveryOutcome::Rejected(_));
                let acknowledged = |other: &Signal| (other.sequence == signal.sequence).then_some(is_rejected);
                let now_ms = self.clock.now_ms();
                self.store.acknowledge_signals(stream.number, MAX_SIGNALS, acknowledged, is_delivered, now_ms).await?;
            }
        }
    }

    fn authorization(
        &self,
        stream: &Stream,
        url: &PushUrl,
        sealed: Option<&[u8]>,
    ) -> Result<Option<HeaderValue>, PushError> {
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let plain = self.transmitter.keys().open_secret(sealed, &Stream::secret_context(&stream.name, url))?;
        let mut value = HeaderValue::from_str(&plain)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn push(
        &self,
        url: &PushUrl,
        authorization: Option<&HeaderValue>,
        token: String,
    ) -> Result<DeliveryOutcome, PushError> {
        let mut request = self
            .http
            .post(url.as_str())
            .header(CONTENT_TYPE, "application/secevent+jwt")
            .header(ACCEPT, "application/json")
            .body(token);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut response = traced(request).send().await?;
        let status = response.status();
        // RFC 8935 section 2.2 requires 202; receivers that respond with 200 or 204 mean the same.
        if matches!(status, StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT) {
            return Ok(DeliveryOutcome::Accepted);
        }
        if status != StatusCode::BAD_REQUEST {
            return Err(PushError::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_RESPONSE_BYTES {
                return Err(PushError::Status(status));
            }
        }
        interpret_bad_request(&body)
    }
}

/// Interprets the body of a 400 (RFC 8935 section 2.4). `invalid_request` concerns this token,
/// which would be the same in the next attempt: it is skipped, so that it does not block all later
/// tokens. The other codes concern keys, names and credentials, which the receiver or the operator
/// will correct: the token is sent again.
fn interpret_bad_request(body: &[u8]) -> Result<DeliveryOutcome, PushError> {
    let error: SetError = serde_json::from_slice(body).map_err(|_| PushError::Status(StatusCode::BAD_REQUEST))?;
    // `Debug` escapes control characters, with which a receiver could forge log lines.
    let why = format!("{:?} {:?}", truncated(&error.err), truncated(&error.description));
    if error.err == "invalid_request" { Ok(DeliveryOutcome::Rejected(why)) } else { Err(PushError::Refused(why)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_invalid_request_skips_a_token() {
        assert!(matches!(
            interpret_bad_request(br#"{"err":"invalid_request","description":"x"}"#),
            Ok(DeliveryOutcome::Rejected(_))
        ));
        for code in
            ["invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied", "new"]
        {
            let body = format!(r#"{{"err":"{code}"}}"#);
            assert!(matches!(interpret_bad_request(body.as_bytes()), Err(PushError::Refused(_))), "{code}");
        }
        assert!(matches!(interpret_bad_request(b"<html>"), Err(PushError::Status(_))));
    }
}
