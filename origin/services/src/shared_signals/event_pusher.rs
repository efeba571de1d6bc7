//! Pushes security event tokens (RFC 8935), one request each, in the order of their sequence.
//!
//! As with edges there is no queue: the store knows each stream's place, and what follows it is sent until it is
//! acknowledged. A token that was acknowledged in the moment the origin died is sent again, the same byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::sync::watch::Receiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_keys::{IssueError, SealError};
use tollgate_model::error_chain::with_causes;
use tollgate_model::event_stream::{Delivery, PushUrl, Stream};
use tollgate_storage::{LeaderRole, Signal, Store, StoreError};
use tollgate_system::{clock, rng};

use super::poll::shortened;
use super::{SetError, Transmitter};
use crate::feed_change::FeedChange;
use crate::revocation_feed::edge_pusher::pause;
use crate::telemetry::traced;

/// Receivers check a signature and perhaps write to a database.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the database failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// A refusal is a code and a sentence.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Signals read at a time.
const WINDOW: u64 = 100;

#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] IssueError),
    #[error("the authorization to push with cannot be used: {0}")]
    Secret(#[from] SealError),
    #[error("the authorization to push with is not a header's value")]
    Header(#[from] reqwest::header::InvalidHeaderValue),
    #[error("the receiver was not reached: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver refuses tokens for now: {0}")]
    Refused(String),
}

/// What a receiver made of a token.
enum DeliveryOutcome {
    Taken,
    /// It will never take it.
    Refused(String),
}

/// Pushes to receivers; shared by the tasks that do it.
pub struct SecurityEventPusher {
    store: Store,
    transmitter: Arc<Transmitter>,
    http: reqwest::Client,
}

impl SecurityEventPusher {
    /// A courier of this transmitter's tokens.
    ///
    /// # Errors
    /// When no HTTP client can be made, for want of trusted certificates.
    pub fn new(store: Store, transmitter: Arc<Transmitter>) -> Result<SecurityEventPusher, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PUSH_TIMEOUT)
            // A redirect would send the authorization where the operator did not register it.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(SecurityEventPusher { store, transmitter, http })
    }

    /// Pushes until `stop`, whenever this origin has the seat for it.
    pub async fn run(self, wake: Receiver<FeedChange>, stop: CancellationToken) {
        let courier = Arc::new(self);
        tokio::select! {
            () = stop.cancelled() => {}
            () = async {
                loop {
                    let error = Arc::clone(&courier).serve_while_seated(&wake).await;
                    tracing::error!(%error, "pushing security events is interrupted");
                    sleep(STORE_PAUSE).await;
                }
            } => {}
        }
    }

    /// Waits for the seat and serves the streams until it is lost. Dropping what serves them ends every push under way.
    async fn serve_while_seated(self: Arc<SecurityEventPusher>, wake: &Receiver<FeedChange>) -> StoreError {
        let mut seat = match self.store.acquire_leader_lock(LeaderRole::SecurityEventPush).await {
            Ok(seat) => seat,
            Err(error) => return error,
        };
        tokio::select! {
            error = seat.wait_until_lost() => error,
            error = self.serve_streams(wake.clone()) => error,
        }
    }

    /// Serves the pushed streams, each by a task of its own, following changes of the list, until it cannot be read.
    async fn serve_streams(self: Arc<SecurityEventPusher>, mut wake: Receiver<FeedChange>) -> StoreError {
        let mut tasks = JoinSet::new();
        let mut serving: BTreeMap<u64, AbortHandle> = BTreeMap::new();
        loop {
            let version = wake.borrow_and_update().head.version;
            let streams = match self.store.list_streams().await {
                Ok(streams) => streams,
                Err(error) => return error,
            };
            serving.retain(|number, task| {
                let keep = streams.iter().any(|stream| stream.number == *number);
                if !keep {
                    task.abort();
                }
                keep
            });
            for stream in streams.into_iter().filter(|stream| stream.delivery != Delivery::Poll) {
                serving
                    .entry(stream.number)
                    .or_insert_with(|| tasks.spawn(Arc::clone(&self).serve(stream, wake.clone())));
            }
            while tasks.try_join_next().is_some() {}
            // The watch ends only when the origin does; then so does this, from outside.
            let _ = wake.wait_for(|wake| wake.head.version != version).await;
        }
    }

    /// Brings one stream up to date, again and again.
    async fn serve(self: Arc<SecurityEventPusher>, stream: Stream, mut wake: Receiver<FeedChange>) {
        let mut failures: u32 = 0;
        loop {
            wake.mark_unchanged();
            match self.catch_up(&stream, &mut failures).await {
                Ok(()) => {
                    if wake.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let error = with_causes(&error);
                    tracing::warn!(stream = %stream.name, failures, error, "a security event was not delivered");
                    if let Err(error) = self.store.record_stream_problem(stream.number, &error).await {
                        tracing::error!(%error, "the store failed");
                    }
                    sleep(pause(failures, rng::jitter())).await;
                }
            }
        }
    }

    /// Sends all that the stream has not acknowledged. What stands first is sent first: a receiver that saw a revocation and
    /// its end the other way round would believe the wrong one.
    async fn catch_up(&self, stream: &Stream, failures: &mut u32) -> Result<(), PushError> {
        let Delivery::Push { url, sealed_authorization } = &stream.delivery else {
            return Ok(());
        };
        let authorization = self.authorization(stream, url, sealed_authorization.as_deref())?;
        let tells = |signal: &Signal| stream.delivers(signal.event_type());
        loop {
            let pending = self.store.list_pending_signals(stream.number, WINDOW, tells).await?;
            if pending.is_empty() {
                return Ok(());
            }
            for signal in pending {
                let token = self.transmitter.token(stream, &signal)?;
                let receipt = self.push(url, authorization.as_ref(), token).await?;
                *failures = 0;
                if let DeliveryOutcome::Refused(why) = &receipt {
                    tracing::error!(stream = %stream.name, sequence = signal.sequence, why, "a receiver refused an event");
                }
                let refused = matches!(receipt, DeliveryOutcome::Refused(_));
                let this = |other: &Signal| (other.sequence == signal.sequence).then_some(refused);
                self.store.acknowledge_signals(stream.number, WINDOW, this, tells, clock::now_ms()).await?;
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
        let mut answer = traced(request).send().await?;
        let status = answer.status();
        // RFC 8935 section 2.2 has 202; receivers that say 200 or 204 mean the same.
        if matches!(status, StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT) {
            return Ok(DeliveryOutcome::Taken);
        }
        if status != StatusCode::BAD_REQUEST {
            return Err(PushError::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(PushError::Status(status));
            }
        }
        judge(&body)
    }
}

/// What a 400 means (RFC 8935 section 2.4). `invalid_request` is about this token alone, which will be the same the next time:
/// it is given up, lest all that follows waits for ever. The other codes are about keys, names and credentials, which
/// somebody will put right: it is sent again.
fn judge(body: &[u8]) -> Result<DeliveryOutcome, PushError> {
    let error: SetError = serde_json::from_slice(body).map_err(|_| PushError::Status(StatusCode::BAD_REQUEST))?;
    // A stranger's words: `Debug` escapes what would forge lines.
    let why = format!("{:?} {:?}", shortened(&error.err), shortened(&error.description));
    if error.err == "invalid_request" { Ok(DeliveryOutcome::Refused(why)) } else { Err(PushError::Refused(why)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_given_up_only_when_it_will_never_do() {
        assert!(matches!(judge(br#"{"err":"invalid_request","description":"x"}"#), Ok(DeliveryOutcome::Refused(_))));
        for code in
            ["invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied", "new"]
        {
            let body = format!(r#"{{"err":"{code}"}}"#);
            assert!(matches!(judge(body.as_bytes()), Err(PushError::Refused(_))), "{code}");
        }
        assert!(matches!(judge(b"<html>"), Err(PushError::Status(_))));
    }
}
