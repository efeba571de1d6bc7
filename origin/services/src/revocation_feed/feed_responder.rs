//! Responds to edges: with the newest published snapshot, and with deltas signed for each request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tollgate_core::{BuildError, ConfigDigest, DeltaParts, Nonce, build_deltas};
use tollgate_model::Audience;
use tollgate_model::encoding::base64url;
use tollgate_storage::{FeedPage, PublishedSnapshot, Store, StoreError};

use super::edge_config::{self, SignedConfig};
use super::snapshot_content::{SnapshotContent, SnapshotError};
use crate::feed_change::FeedChange;
use crate::signing_keys::SigningKeys;

/// Longest wait for a snapshot with the newest configuration. An edge requests a snapshot because
/// it learned that the configuration has changed, and publishing one takes milliseconds. After the
/// timeout the edge receives the snapshot that exists.
const CONFIG_TIMEOUT: Duration = Duration::from_millis(500);

/// How long publishing may fail before this origin reports that it is not ready. Retries recover
/// from shorter failures.
const MAX_FAILURE_DURATION: Duration = Duration::from_secs(10);

/// A signed snapshot.
#[derive(Debug)]
pub struct SnapshotFile {
    /// The message; clones share it.
    pub bytes: Bytes,
    /// Strong entity tag, with quotes.
    pub etag: String,
    config: ConfigDigest,
}

/// A signed message of deltas.
#[derive(Debug)]
pub struct DeltaMessage {
    pub bytes: Vec<u8>,
    /// Sequence of an edge that has applied the message.
    pub last_sequence: u64,
    /// Whether the message has no delta, and only proves freshness.
    pub is_heartbeat: bool,
    config: ConfigDigest,
}

/// Why an edge receives no message.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("deltas after that sequence are no longer kept: fetch the snapshot")]
    Gone,
    #[error("that sequence is ahead of this origin, whose newest sequence is {newest}")]
    Ahead { newest: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the message cannot be built: {0}")]
    Build(#[from] BuildError),
    #[error("building the message was interrupted")]
    Interrupted,
    #[error("another origin has published a newer snapshot")]
    Superseded,
    #[error("the configuration cannot be encoded: {0}")]
    Config(#[from] serde_json::Error),
}

impl From<SnapshotError> for FeedError {
    fn from(error: SnapshotError) -> FeedError {
        match error {
            SnapshotError::Store(error) => FeedError::Store(error),
            SnapshotError::Build(error) => FeedError::Build(error),
            SnapshotError::Interrupted => FeedError::Interrupted,
        }
    }
}

/// The feed of one issuer, shared by all requests.
pub struct FeedResponder {
    pub(super) store: Store,
    pub(super) keys: SigningKeys,
    pub(super) issuer: String,
    audience: Audience,
    /// The newest published snapshot that this origin has read.
    served: Sender<Option<Arc<SnapshotFile>>>,
    /// Since when publishing fails.
    failing_since: Mutex<Option<Instant>>,
}

impl FeedResponder {
    /// Edges that are configured for no other audience guard `audience`. Snapshots are served while
    /// [`FeedResponder::run`] runs.
    #[must_use]
    pub fn new(store: Store, keys: SigningKeys, issuer: String, audience: Audience) -> FeedResponder {
        FeedResponder { store, keys, issuer, audience, served: Sender::new(None), failing_since: Mutex::default() }
    }

    /// Whether publishing has failed for so long that edges are affected.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let since = *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= MAX_FAILURE_DURATION)
    }

    pub(super) fn record_failure(&self) {
        self.failing_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    pub(super) fn record_success(&self) {
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest published snapshot. Waits until the first one is built, but for no later one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Arc<SnapshotFile>, FeedError> {
        let newest_config = self.config().await?.digest();
        let mut served = self.served.subscribe();
        let is_newest =
            |file: &Option<Arc<SnapshotFile>>| file.as_ref().is_some_and(|file| file.config == newest_config);
        if let Ok(Ok(file)) = timeout(CONFIG_TIMEOUT, served.wait_for(is_newest)).await
            && let Some(file) = file.as_ref()
        {
            return Ok(Arc::clone(file));
        }
        let file = served.wait_for(Option::is_some).await.map_err(|_| FeedError::Interrupted)?;
        file.as_ref().map(Arc::clone).ok_or(FeedError::Interrupted)
    }

    /// Builds a snapshot of the current state without publishing it.
    ///
    /// # Errors
    /// When the database fails or the message cannot be built.
    pub async fn export(&self) -> Result<Vec<u8>, FeedError> {
        let time = self.store.read_clocks();
        let content = SnapshotContent::build(&self.store, time).await?;
        Ok(content.compose(&self.issuer, &self.config().await?, time.snapshot_time_ms()).await?.message)
    }

    /// The current configuration of edges.
    pub(super) async fn config(&self) -> Result<SignedConfig, FeedError> {
        let keys = self.keys.reload().await?;
        let routes = self.store.list_routes().await?;
        let resources = self.store.list_resources().await?;
        let document = edge_config::document(self.audience.as_str(), &keys.public_jwks(), &routes, &resources)?;
        Ok(SignedConfig { document, keys })
    }

    /// Serves a published snapshot from now on.
    pub(super) fn serve(&self, published: PublishedSnapshot) {
        let etag = format!("\"{}\"", base64url(&Sha256::digest(&published.message)));
        let file = SnapshotFile { bytes: published.message.into(), etag, config: published.config };
        self.served.send_replace(Some(Arc::new(file)));
    }

    /// The message for an edge at sequence `after`: the deltas that follow, or a heartbeat. A nonce
    /// makes it the response to one request only.
    ///
    /// # Errors
    /// When there are no deltas for that sequence, the database fails or the message cannot be
    /// built.
    pub async fn deltas(&self, after: u64, nonce: Option<Nonce>) -> Result<DeltaMessage, FeedError> {
        // The time is read before the database, so that the message never claims to be newer than
        // its content.
        let now_ms = self.store.read_clocks().now_ms;
        let page = self.store.get_feed_page(after).await?;
        if after > page.head.sequence {
            return Err(FeedError::Ahead { newest: page.head.sequence });
        }
        let FeedPage { head, chain: Some(chain), deltas, epoch, config } = page else {
            return Err(FeedError::Gone);
        };
        // The configuration of the newest published snapshot: an edge that sees a new one here
        // finds it in the snapshot that it requests next.
        let config = match config {
            Some(digest) => digest,
            None => self.config().await?.digest(),
        };
        let parts = DeltaParts {
            issuer: &self.issuer,
            after,
            head: head.sequence,
            as_of_ms: now_ms,
            chain,
            config,
            epoch,
            deltas: &deltas,
            nonce,
        };
        let bytes = build_deltas(&parts, self.keys.current().snapshot_signer())?;
        let last_sequence = deltas.last().map_or(after, |delta| delta.sequence);
        Ok(DeltaMessage { bytes, last_sequence, is_heartbeat: deltas.is_empty(), config })
    }

    /// Returns as soon as there are deltas or a new configuration, after `wait`, or at `stop`.
    ///
    /// # Errors
    /// As for [`FeedResponder::deltas`].
    pub async fn wait_for_deltas(
        &self,
        after: u64,
        nonce: Option<Nonce>,
        wait: Duration,
        mut changes: Receiver<FeedChange>,
        stop: &CancellationToken,
    ) -> Result<DeltaMessage, FeedError> {
        let deadline = Instant::now() + wait;
        changes.mark_unchanged();
        let mut message = self.deltas(after, nonce).await?;
        let first_config = message.config;
        loop {
            let has_news = !message.is_heartbeat || message.config != first_config;
            if has_news || stop.is_cancelled() || Instant::now() >= deadline {
                return Ok(message);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(message) },
                () = sleep_until(deadline) => {}
                () = stop.cancelled() => {}
            }
            changes.mark_unchanged();
            message = self.deltas(after, nonce).await?;
        }
    }
}
