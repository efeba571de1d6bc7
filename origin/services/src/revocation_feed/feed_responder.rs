//! What edges are given: the newest published snapshot, and deltas, signed when they are asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tollgate_core::{BuildError, ConfigDigest, DeltaParts, Nonce, build_deltas};
use tollgate_keys::KeyRing;
use tollgate_model::Audience;
use tollgate_model::encoding::base64url;
use tollgate_storage::{FeedPage, PublishedSnapshot, Store, StoreError};

use super::edge_config;
use super::snapshot_content::Content;
use crate::feed_change::FeedChange;
use crate::signing_keys::SigningKeys;

/// How long a snapshot with the newest configuration is waited for. An edge asks because it heard of a change of that, and
/// publishing one takes milliseconds; if it does not, the edge gets what there is.
const CONFIGURATION_WAIT: Duration = Duration::from_millis(500);

/// How long publishing may fail until this origin says that it is not ready: a moment's failure is made good by the next try.
const FAILING_AFTER: Duration = Duration::from_secs(10);

/// A signed snapshot and its name.
#[derive(Debug)]
pub struct SnapshotFile {
    /// The message; clones share it.
    pub bytes: Bytes,
    /// A strong entity tag, quotes included.
    pub etag: String,
    config: ConfigDigest,
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
    #[error("a newer snapshot was published meanwhile")]
    Overtaken,
    #[error("the configuration could not be written: {0}")]
    Config(#[from] serde_json::Error),
}

/// What a snapshot says beside revocations, with the keys that are in it and sign it.
pub(super) struct Configuration {
    pub(super) document: Vec<u8>,
    pub(super) keys: Arc<KeyRing>,
}

impl Configuration {
    pub(super) fn digest(&self) -> ConfigDigest {
        ConfigDigest::of(&self.document)
    }
}

/// Answers edges; one for the process, shared.
pub struct FeedResponder {
    pub(super) store: Store,
    pub(super) keys: SigningKeys,
    pub(super) issuer: String,
    audience: Audience,
    /// The newest published snapshot, as far as this origin has read it.
    served: Sender<Option<Arc<SnapshotFile>>>,
    /// Since when this origin fails to publish, if it does.
    failing_since: Mutex<Option<Instant>>,
}

impl FeedResponder {
    /// A publisher of this issuer's feed; edges guard `audience` unless told another. It serves snapshots while it
    /// [runs](FeedResponder::run).
    #[must_use]
    pub fn new(store: Store, keys: SigningKeys, issuer: String, audience: Audience) -> FeedResponder {
        FeedResponder { store, keys, issuer, audience, served: Sender::new(None), failing_since: Mutex::default() }
    }

    /// Whether this origin has failed to publish for so long that edges miss it.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let since = *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= FAILING_AFTER)
    }

    pub(super) fn note_failure(&self) {
        self.failing_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    pub(super) fn note_success(&self) {
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest published snapshot. Waits for the first one of all to be built, and never for another.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn snapshot(&self) -> Result<Arc<SnapshotFile>, FeedError> {
        let wanted = self.config().await?.digest();
        let mut served = self.served.subscribe();
        let has_it = |file: &Option<Arc<SnapshotFile>>| file.as_ref().is_some_and(|file| file.config == wanted);
        if let Ok(Ok(file)) = timeout(CONFIGURATION_WAIT, served.wait_for(has_it)).await
            && let Some(file) = file.as_ref()
        {
            return Ok(Arc::clone(file));
        }
        let file = served.wait_for(Option::is_some).await.map_err(|_| FeedError::Interrupted)?;
        file.as_ref().map(Arc::clone).ok_or(FeedError::Interrupted)
    }

    /// A snapshot as of now, for a file: built here, published nowhere.
    ///
    /// # Errors
    /// When the store fails or the message cannot be built.
    pub async fn export(&self) -> Result<Vec<u8>, FeedError> {
        let time = self.store.read_clocks();
        let content = Content::build(&self.store, time).await?;
        Ok(content.compose(&self.issuer, &self.config().await?, time.snapshot_time_ms()).await?.message)
    }

    /// The configuration as of now.
    pub(super) async fn config(&self) -> Result<Configuration, FeedError> {
        let keys = self.keys.reload().await?;
        let routes = self.store.list_routes().await?;
        let document = edge_config::document(self.audience.as_str(), &keys.public_jwks(), &routes)?;
        Ok(Configuration { document, keys })
    }

    /// Serves a published snapshot from now on.
    pub(super) fn serve(&self, published: PublishedSnapshot) {
        let etag = format!("\"{}\"", base64url(&Sha256::digest(&published.message)));
        let file = SnapshotFile { bytes: published.message.into(), etag, config: published.config };
        self.served.send_replace(Some(Arc::new(file)));
    }

    /// The message for an edge that holds `after`: what follows, or a heartbeat. With a nonce it is the answer to the question
    /// that had it, and no other.
    ///
    /// # Errors
    /// When there is none for that sequence, the store fails or the message cannot be built.
    pub async fn deltas(&self, after: u64, nonce: Option<Nonce>) -> Result<DeltaMessage, FeedError> {
        // Read before the store is, so that the message never claims to be newer than it is.
        let now_ms = self.store.read_clocks().now_ms;
        let page = self.store.get_feed_page(after).await?;
        if after > page.head.sequence {
            return Err(FeedError::Ahead { newest: page.head.sequence });
        }
        let FeedPage { head, chain: Some(chain), deltas, epoch, config } = page else {
            return Err(FeedError::Gone);
        };
        // That of the newest published snapshot, so that an edge that asks for a snapshot because of it finds it there.
        let digest = match config {
            Some(digest) => digest,
            None => self.config().await?.digest(),
        };
        let parts = DeltaParts {
            issuer: &self.issuer,
            after,
            head: head.sequence,
            as_of_ms: now_ms,
            chain,
            config: digest,
            epoch,
            deltas: &deltas,
            nonce,
        };
        let bytes = build_deltas(&parts, self.keys.current().snapshot_signer())?;
        let reaches = deltas.last().map_or(after, |delta| delta.sequence);
        Ok(DeltaMessage { bytes, reaches, heartbeat: deltas.is_empty(), digest })
    }

    /// As [`FeedResponder::deltas`], but while there is nothing new waits, for `wait` at most or until `stop`. A change of the
    /// configuration is news too.
    ///
    /// # Errors
    /// As for [`FeedResponder::deltas`].
    pub async fn wait_for_deltas(
        &self,
        after: u64,
        nonce: Option<Nonce>,
        wait: Duration,
        mut wake: Receiver<FeedChange>,
        stop: &CancellationToken,
    ) -> Result<DeltaMessage, FeedError> {
        let until = Instant::now() + wait;
        wake.mark_unchanged();
        let mut message = self.deltas(after, nonce).await?;
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
            message = self.deltas(after, nonce).await?;
        }
    }
}
