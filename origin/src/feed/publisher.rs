//! Builds and signs what edges ask for.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_core::{BuildError, ConfigDigest, DeltaParts, SnapshotParts, build_deltas, build_snapshot};

use super::{Wake, config};
use crate::domain::Audience;
use crate::encoding::base64url;
use crate::keys::KeyRing;
use crate::store::{FeedPage, Head, Store, StoreError};

/// How long a built snapshot is served while nothing changes. Far below the 60 s that an edge lets `as_of` be off, and so
/// short that with several origins an edge hardly ever meets one older than what it holds.
const SNAPSHOT_SERVED_MS: u64 = 5_000;

/// A signed snapshot and its name.
#[derive(Debug)]
pub struct SnapshotFile {
    /// The message.
    pub bytes: Vec<u8>,
    /// A strong entity tag, quotes included.
    pub etag: String,
    head: Head,
    as_of_ms: u64,
}

/// A signed message of deltas.
#[derive(Debug)]
pub struct DeltaMessage {
    /// The message.
    pub bytes: Vec<u8>,
    /// The sequence an edge holds that took it.
    pub reaches: u64,
    /// Whether it brings nothing but freshness.
    pub heartbeat: bool,
    digest: ConfigDigest,
}

/// Why an edge gets no message.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum FeedError {
    #[error("deltas after that sequence are no longer kept: take the snapshot")]
    Gone,
    #[error("this origin has not come that far: its newest sequence is {newest}")]
    Ahead { newest: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the message could not be built: {0}")]
    Build(#[from] BuildError),
    #[error("building the message was interrupted")]
    Interrupted,
    #[error("the configuration could not be written: {0}")]
    Config(#[from] serde_json::Error),
}

/// Builds messages for edges; one for the process, shared.
pub struct Publisher {
    store: Store,
    keys: Arc<KeyRing>,
    issuer: String,
    audience: Audience,
    /// Held while building, so that many edges that ask at once wait for one build.
    cached: Mutex<Option<Arc<SnapshotFile>>>,
}

impl Publisher {
    /// A publisher of this issuer's feed; edges guard `audience` unless told another.
    #[must_use]
    pub fn new(store: Store, keys: Arc<KeyRing>, issuer: String, audience: Audience) -> Publisher {
        Publisher { store, keys, issuer, audience, cached: Mutex::new(None) }
    }

    /// The snapshot, as of now or, if nothing changed since, of a few seconds ago.
    ///
    /// # Errors
    /// When the store fails or the message cannot be built.
    pub async fn snapshot(&self, now_ms: u64) -> Result<Arc<SnapshotFile>, FeedError> {
        let mut cached = self.cached.lock().await;
        if let Some(file) = cached.as_ref() {
            let recent = now_ms.saturating_sub(file.as_of_ms) < SNAPSHOT_SERVED_MS && file.as_of_ms <= now_ms;
            if recent && file.head == self.store.head().await? {
                return Ok(Arc::clone(file));
            }
        }
        let file = Arc::new(self.build_snapshot(now_ms).await?);
        *cached = Some(Arc::clone(&file));
        Ok(file)
    }

    /// `now_ms` was read before the store is, so the message never claims to be fresher than it is.
    async fn build_snapshot(&self, now_ms: u64) -> Result<SnapshotFile, FeedError> {
        let input = self.store.snapshot_input(now_ms / 1000).await?;
        let config = config::document(self.audience.as_str(), &self.keys.public_jwks(), &input.routes)?;
        let (keys, issuer) = (Arc::clone(&self.keys), self.issuer.clone());
        // Milliseconds for a hundred thousand revocations: not on a thread that serves others meanwhile.
        let built = tokio::task::spawn_blocking(move || {
            let parts = SnapshotParts {
                issuer: &issuer,
                sequence: input.head.sequence,
                as_of_ms: now_ms,
                chain: input.chain,
                config: &config,
                revoked: &input.revoked,
            };
            build_snapshot(&parts, keys.snapshot_signer()).map(|bytes| (bytes, input.head))
        });
        let (bytes, head) = built.await.map_err(|_| FeedError::Interrupted)??;
        let etag = format!("\"{}\"", base64url(&Sha256::digest(&bytes)));
        Ok(SnapshotFile { bytes, etag, head, as_of_ms: now_ms })
    }

    /// The message for an edge that holds `after`: what follows, or a heartbeat.
    ///
    /// # Errors
    /// When there is none for that sequence, the store fails or the message cannot be built.
    pub async fn deltas(&self, after: u64, now_ms: u64) -> Result<DeltaMessage, FeedError> {
        let page = self.store.feed_page(after).await?;
        if after > page.head.sequence {
            return Err(FeedError::Ahead { newest: page.head.sequence });
        }
        let FeedPage { head, chain: Some(chain), deltas, routes } = page else {
            return Err(FeedError::Gone);
        };
        let config = config::document(self.audience.as_str(), &self.keys.public_jwks(), &routes)?;
        let digest = ConfigDigest::of(&config);
        let parts = DeltaParts {
            issuer: &self.issuer,
            after,
            head: head.sequence,
            as_of_ms: now_ms,
            chain,
            config: digest,
            deltas: &deltas,
        };
        let bytes = build_deltas(&parts, self.keys.snapshot_signer())?;
        let reaches = deltas.last().map_or(after, |delta| delta.sequence);
        Ok(DeltaMessage { bytes, reaches, heartbeat: deltas.is_empty(), digest })
    }

    /// As [`Publisher::deltas`], but while there is nothing new waits, for `wait` at most or until `stop`. A change of the
    /// configuration is news too.
    ///
    /// # Errors
    /// As for [`Publisher::deltas`].
    pub async fn deltas_or_wait(
        &self,
        after: u64,
        wait: Duration,
        mut wake: Receiver<Wake>,
        stop: &CancellationToken,
        clock: fn() -> u64,
    ) -> Result<DeltaMessage, FeedError> {
        let until = Instant::now() + wait;
        wake.mark_unchanged();
        let mut message = self.deltas(after, clock()).await?;
        let digest_at_first = message.digest;
        loop {
            let news = !message.heartbeat || message.digest != digest_at_first;
            if news || stop.is_cancelled() || Instant::now() >= until {
                return Ok(message);
            }
            tokio::select! {
                changed = wake.changed() => if changed.is_err() { return Ok(message) },
                () = sleep_until(until) => {}
                () = stop.cancelled() => {}
            }
            wake.mark_unchanged();
            message = self.deltas(after, clock()).await?;
        }
    }
}
