//! Builds snapshots: reads the database, and builds the cascade on a blocking thread.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tollgate_core::{BuildError, Cascade, CascadeBuilder, RevocationId, SnapshotParts, build_snapshot};
use tollgate_storage::{ClockReading, PublishedSnapshot, SnapshotState, Store, StoreError};

use super::edge_config::SignedConfig;

/// Number of revoked tokens from which on a snapshot contains a cascade, with about one byte for
/// each revoked token. Fewer are listed with 16 bytes each, which needs no closed epoch and no read
/// of the token records.
pub const MIN_CASCADE_TOKENS: usize = 1024;
/// Batches of token ids that are read ahead of the cascade builder.
const MAX_QUEUED_BATCHES: usize = 4;

/// Why a snapshot cannot be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("building the snapshot was interrupted")]
    Interrupted,
}

/// A snapshot without its configuration, which may be replaced without building the cascade again.
pub(super) struct SnapshotContent {
    state: SnapshotState,
    /// Revoked tokens of the covered epochs; none if all revoked tokens are listed.
    cascade: Option<Arc<Cascade>>,
    /// The newest covered epoch; 0 if none is covered.
    epoch: u32,
    /// Sequence up to which the cascade contains all revocations.
    cascade_sequence: u64,
    built_ms: u64,
}

impl SnapshotContent {
    /// Builds the content from the database. `time` was read before, so that the snapshot never
    /// claims to be newer than its content. Revocations that are void by every clock are left out.
    pub(super) async fn build(store: &Store, time: ClockReading) -> Result<SnapshotContent, SnapshotError> {
        let (now, built_ms) = (time.settled_ms / 1000, time.snapshot_time_ms());
        let state = store.snapshot_reader(now).await?.read_state().await?;
        if state.revoked.len() < MIN_CASCADE_TOKENS {
            let cascade_sequence = state.head.sequence;
            return Ok(SnapshotContent { state, cascade: None, epoch: 0, cascade_sequence, built_ms });
        }
        // The epoch is closed before the records are read, so the records contain every token of
        // the covered epochs.
        let covered = store.close_epoch().await?;
        let mut reader = store.snapshot_reader(now).await?;
        let state = reader.read_state().await?;
        let is_covered = |epoch: &Option<u32>| epoch.is_some_and(|epoch| epoch <= covered);
        let revoked: Vec<RevocationId> =
            state.revoked.iter().filter(|(_, epoch)| is_covered(epoch)).map(|(id, _)| *id).collect();
        let estimated_tokens = reader.estimate_token_count().await?;
        let (batches, mut received) = mpsc::channel::<Vec<RevocationId>>(MAX_QUEUED_BATCHES);
        let building = spawn_blocking(move || {
            let mut builder = CascadeBuilder::new(revoked, estimated_tokens)?;
            while let Some(ids) = received.blocking_recv() {
                builder.add_covered(ids)?;
            }
            builder.finish()
        });
        // If a read fails, this function returns, and the incomplete cascade is dropped.
        loop {
            let ids = reader.next_covered_ids(covered).await?;
            if ids.is_empty() || batches.send(ids).await.is_err() {
                break;
            }
        }
        drop(batches);
        let cascade = Some(Arc::new(building.await.map_err(|_| SnapshotError::Interrupted)??));
        let cascade_sequence = state.head.sequence;
        Ok(SnapshotContent { state, cascade, epoch: covered, cascade_sequence, built_ms })
    }

    /// Brings the content up to date without building the cascade. Returns false, and changes
    /// nothing, if a covered token was revoked or reinstated since the cascade was built.
    pub(super) async fn try_update(&mut self, store: &Store, time: ClockReading) -> Result<bool, SnapshotError> {
        let state = store.snapshot_reader(time.settled_ms / 1000).await?.read_state().await?;
        // Queried after the state was read, so that the query sees every change in the state.
        if self.cascade.is_none() || store.has_covered_change_since(self.cascade_sequence, self.epoch).await? {
            return Ok(false);
        }
        self.state = state;
        Ok(true)
    }

    pub(super) fn revoked_count(&self) -> u64 {
        self.state.revoked.len() as u64
    }

    /// Whether all revoked tokens are listed, so that building the content is cheap.
    pub(super) fn is_listed(&self) -> bool {
        self.cascade.is_none()
    }

    /// Signs the snapshot with this configuration.
    pub(super) async fn compose(
        &self,
        issuer: &str,
        config: &SignedConfig,
        now_ms: u64,
    ) -> Result<PublishedSnapshot, SnapshotError> {
        let is_listed = |epoch: &Option<u32>| epoch.is_none_or(|epoch| epoch > self.epoch);
        let listed: Vec<RevocationId> =
            self.state.revoked.iter().filter(|(_, epoch)| is_listed(epoch)).map(|(id, _)| *id).collect();
        let (groups, before, cascade) = (self.state.groups.clone(), self.state.before, self.cascade.clone());
        let (sequence, chain, epoch) = (self.state.head.sequence, self.state.chain, self.epoch);
        let (keys, issuer, digest) = (Arc::clone(&config.keys), issuer.to_owned(), config.digest());
        let config = config.document.clone();
        // Takes milliseconds if there are many revocations, too long for an async thread.
        let built = spawn_blocking(move || {
            let parts = SnapshotParts {
                epoch,
                everything_before: before,
                groups: &groups,
                others: &listed,
                covered: cascade.as_deref(),
                ..SnapshotParts::new(&issuer, sequence, now_ms, chain, &config)
            };
            build_snapshot(&parts, keys.snapshot_signer())
        });
        Ok(PublishedSnapshot {
            number: 0,
            sequence,
            epoch,
            as_of_ms: now_ms,
            built_ms: self.built_ms,
            revoked: self.revoked_count(),
            config: digest,
            message: built.await.map_err(|_| SnapshotError::Interrupted)??,
        })
    }
}
