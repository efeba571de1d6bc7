//! Responds to edges: with the newest published snapshot, and with signed deltas.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch::Sender;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tollgate_core::{
    BuildError, ConfigDigest, Delta, DeltaParts, HashChain, MAX_DOCUMENT_BYTES, Nonce, SharedParts, SnapshotInfo,
    build_deltas, build_shared_deltas,
};
use tollgate_model::Audience;
use tollgate_model::encoding::base64url;
use tollgate_storage::{FeedPage, PublishedSnapshot, Store, StoreError};

use super::edge_config::{self, SignedConfig};
use super::snapshot_content::{SnapshotContent, SnapshotError};
use crate::signing_keys::SigningKeys;

/// Longest wait for a snapshot with the newest configuration. An edge requests a snapshot because
/// it learned that the configuration has changed, and publishing one takes milliseconds. After the
/// timeout the edge receives the snapshot that exists.
const CONFIG_TIMEOUT: Duration = Duration::from_millis(500);

/// How long publishing may fail before this origin reports that it is not ready. Retries recover
/// from shorter failures.
const MAX_FAILURE_DURATION: Duration = Duration::from_secs(10);

/// Pushes in memory, for edges with different sequences.
const MAX_SHARED_PUSHES: usize = 64;

/// Snapshots up to this size are compressed before they are served, larger ones in the background.
const MAX_BYTES_COMPRESSED_FIRST: usize = 1024 * 1024;

/// A signed snapshot.
#[derive(Debug)]
pub struct SnapshotFile {
    /// The message; clones share it.
    pub bytes: Bytes,
    /// Strong entity tag, with quotes.
    pub etag: String,
    config: ConfigDigest,
    info: SnapshotInfo,
    /// The configuration document; empty if it is not known, or too large for a message of deltas.
    document: Bytes,
    /// The compressed message, once it is made; empty if compression saves too little.
    gzip: OnceLock<Bytes>,
}

impl SnapshotFile {
    fn new(published: PublishedSnapshot, document: Bytes) -> SnapshotFile {
        let etag = format!("\"{}\"", base64url(&Sha256::digest(&published.message)));
        let info = SnapshotInfo {
            sequence: published.sequence,
            as_of_ms: published.as_of_ms,
            bytes: published.message.len() as u64,
        };
        let (bytes, config) = (published.message.into(), published.config);
        SnapshotFile { bytes, etag, config, info, document, gzip: OnceLock::new() }
    }

    /// The message compressed with gzip, if it is ready and smaller.
    #[must_use]
    pub fn gzip(&self) -> Option<&Bytes> {
        self.gzip.get().filter(|compressed| !compressed.is_empty())
    }

    /// Compresses the message, once for all responses. Filters and ids are random and hardly become
    /// smaller; the configuration does.
    fn compress(&self) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let compressed = encoder.write_all(&self.bytes).and_then(|()| encoder.finish()).unwrap_or_default();
        let is_smaller = !compressed.is_empty() && compressed.len() < self.bytes.len();
        // Nothing else sets it: a file is compressed once.
        let _ = self.gzip.set(if is_smaller { compressed.into() } else { Bytes::new() });
    }
}

/// The state of the log after a sequence, as read from the database.
pub(super) struct FeedState {
    /// Read before the database, so that no message claims to be newer than its content.
    now_ms: u64,
    after: u64,
    head: u64,
    chain: HashChain,
    /// The deltas that follow, at most as many as one message contains.
    pub(super) deltas: Vec<Delta>,
    epoch: u32,
    /// The configuration of the newest published snapshot.
    pub(super) config: ConfigDigest,
}

/// Work of the feed since the start.
#[derive(Debug, Default)]
pub struct FeedWork {
    /// Answers to edges that asked for deltas.
    pub answers: AtomicU64,
    /// Signed messages of deltas, pushes included.
    pub signatures: AtomicU64,
    /// Reads of the database for messages of deltas.
    pub reads: AtomicU64,
}

/// A signed message of deltas.
#[derive(Debug)]
pub struct DeltaMessage {
    /// Clones share them.
    pub bytes: Bytes,
    /// Sequence of an edge that has applied the message.
    pub last_sequence: u64,
    /// Whether the message has no delta, and only proves freshness.
    pub is_heartbeat: bool,
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
    /// The error of several requests.
    #[error(transparent)]
    Shared(Arc<FeedError>),
}

impl FeedError {
    /// The error for one of the requests that it concerns.
    pub(super) fn for_request(self: &Arc<FeedError>) -> FeedError {
        match &**self {
            FeedError::Gone => FeedError::Gone,
            FeedError::Ahead { newest } => FeedError::Ahead { newest: *newest },
            _ => FeedError::Shared(Arc::clone(self)),
        }
    }
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
    /// The configuration as last read for a request of a snapshot, and when that read began.
    last_config: tokio::sync::Mutex<Option<(Instant, ConfigDigest)>>,
    /// Pushes by the sequence before them, with the head of the log that they were read at.
    pushes: tokio::sync::Mutex<HashMap<u64, (u64, Arc<DeltaMessage>)>>,
    work: FeedWork,
}

impl FeedResponder {
    /// Edges that are configured for no other audience guard `audience`. Snapshots are served while
    /// [`FeedResponder::run`] runs.
    #[must_use]
    pub fn new(store: Store, keys: SigningKeys, issuer: String, audience: Audience) -> FeedResponder {
        FeedResponder {
            store,
            keys,
            issuer,
            audience,
            served: Sender::new(None),
            failing_since: Mutex::default(),
            last_config: tokio::sync::Mutex::default(),
            pushes: tokio::sync::Mutex::default(),
            work: FeedWork::default(),
        }
    }

    /// What the feed has done since the start.
    #[must_use]
    pub fn work(&self) -> &FeedWork {
        &self.work
    }

    pub(super) fn count_answer(&self) {
        self.work.answers.fetch_add(1, Relaxed);
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
        let newest_config = self.newest_config().await?;
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

    /// Digest of the current configuration. Concurrent requests share a read that begins after each
    /// of them has arrived.
    async fn newest_config(&self) -> Result<ConfigDigest, FeedError> {
        let arrived = Instant::now();
        let mut last = self.last_config.lock().await;
        if let Some((begun, digest)) = *last
            && begun >= arrived
        {
            return Ok(digest);
        }
        let begun = Instant::now();
        let digest = self.config().await?.digest();
        *last = Some((begun, digest));
        Ok(digest)
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
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub(super) async fn serve(&self, published: PublishedSnapshot) -> Result<(), FeedError> {
        let config = self.config().await?;
        let is_known = config.digest() == published.config && config.document.len() <= MAX_DOCUMENT_BYTES;
        let document = if is_known { config.document.into() } else { Bytes::new() };
        let file = Arc::new(SnapshotFile::new(published, document));
        let (shared, is_small) = (Arc::clone(&file), file.bytes.len() <= MAX_BYTES_COMPRESSED_FIRST);
        let compressed = spawn_blocking(move || shared.compress());
        if is_small {
            // Without a compressed message, the plain one is served.
            let _ = compressed.await;
        }
        self.served.send_replace(Some(file));
        Ok(())
    }

    /// The configuration document with this digest, if it is in the served snapshot; else empty.
    pub(super) fn served_document(&self, config: ConfigDigest) -> Bytes {
        let served = self.served.borrow();
        served.as_ref().filter(|file| file.config == config).map(|file| file.document.clone()).unwrap_or_default()
    }

    /// Reads the state of the log after a sequence.
    ///
    /// # Errors
    /// When there are no deltas for that sequence, or the database fails.
    pub(super) async fn read(&self, after: u64) -> Result<FeedState, FeedError> {
        self.work.reads.fetch_add(1, Relaxed);
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
        Ok(FeedState { now_ms, after, head: head.sequence, chain, deltas, epoch, config })
    }

    fn parts<'a>(&'a self, state: &'a FeedState, nonce: Option<Nonce>) -> DeltaParts<'a> {
        DeltaParts {
            issuer: &self.issuer,
            after: state.after,
            head: state.head,
            as_of_ms: state.now_ms,
            chain: state.chain,
            config: state.config,
            epoch: state.epoch,
            deltas: &state.deltas,
            nonce,
        }
    }

    /// Signs a push, or the answer to one request.
    pub(super) fn build(&self, state: &FeedState, nonce: Option<Nonce>) -> Result<Vec<u8>, FeedError> {
        self.work.signatures.fetch_add(1, Relaxed);
        Ok(build_deltas(&self.parts(state, nonce), self.keys.current().snapshot_signer())?)
    }

    /// Signs the answer to all requests whose nonces have this root. `document` is the
    /// configuration, for edges that have another one; otherwise empty.
    pub(super) fn build_shared(&self, state: &FeedState, document: &[u8], root: Nonce) -> Result<Vec<u8>, FeedError> {
        self.work.signatures.fetch_add(1, Relaxed);
        let published = self.served.borrow().as_ref().map(|file| file.info);
        let shared = SharedParts { published, document, nonce: root };
        Ok(build_shared_deltas(&self.parts(state, None), &shared, self.keys.current().snapshot_signer())?)
    }

    /// The push for edges at sequence `after`: the deltas that follow, or a heartbeat. It has all
    /// deltas up to the sequence `newest` for which there is room. A push proves no freshness, so
    /// edges share it, and the database is read for one push at a time.
    ///
    /// # Errors
    /// When there are no deltas for that sequence, the database fails or the message cannot be
    /// built.
    pub async fn push(&self, after: u64, newest: u64) -> Result<Arc<DeltaMessage>, FeedError> {
        let mut pushes = self.pushes.lock().await;
        if let Some((_, message)) = pushes.get(&after).filter(|(head, _)| *head >= newest) {
            return Ok(Arc::clone(message));
        }
        let state = self.read(after).await?;
        let bytes = self.build(&state, None)?.into();
        let last_sequence = state.deltas.last().map_or(after, |delta| delta.sequence);
        let message = Arc::new(DeltaMessage { bytes, last_sequence, is_heartbeat: state.deltas.is_empty() });
        if pushes.len() >= MAX_SHARED_PUSHES {
            pushes.clear();
        }
        pushes.insert(after, (state.head, Arc::clone(&message)));
        Ok(message)
    }
}
