//! Building snapshots that are exact: reading the store, and the arithmetic on a thread of its own.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tollgate_core::{Cascade, CascadeBuilder, RevocationId, SnapshotParts, build_snapshot};
use tollgate_storage::{ClockReading, PublishedSnapshot, SnapshotState, Store};

use super::FeedError;
use super::feed_responder::Configuration;

/// From this many revoked tokens on, the covered ones are told by a cascade, in about a byte each. Fewer are listed, 16 bytes
/// each: then no epoch need end and no record be read.
pub const CASCADE_FROM: usize = 1024;
/// Batches of ids that are read ahead of the arithmetic.
const READ_AHEAD: usize = 4;

/// All of a snapshot but its configuration, and what it takes to bring that up to date cheaply.
pub(super) struct Content {
    state: SnapshotState,
    /// The covered tokens' revocations; none when all are listed.
    cascade: Option<Arc<Cascade>>,
    /// The newest covered epoch; 0 when none is.
    epoch: u32,
    /// Up to where the cascade knows the history.
    cascade_sequence: u64,
    built_ms: u64,
}

impl Content {
    /// Reads and builds all anew. `time` is read before the store is, so the snapshot never claims to be newer than it is. What is void
    /// by every clock is left out.
    pub(super) async fn build(store: &Store, time: ClockReading) -> Result<Content, FeedError> {
        let (now, built_ms) = (time.settled_ms / 1000, time.snapshot_time_ms());
        let state = store.snapshot_reader(now).await?.read_state().await?;
        if state.revoked.len() < CASCADE_FROM {
            let cascade_sequence = state.head.sequence;
            return Ok(Content { state, cascade: None, epoch: 0, cascade_sequence, built_ms });
        }
        // First the epoch ends, then the store is read: so every token of the covered epochs is on record in what is read.
        let covered = store.close_epoch().await?;
        let mut reader = store.snapshot_reader(now).await?;
        let state = reader.read_state().await?;
        let is_covered = |epoch: &Option<u32>| epoch.is_some_and(|epoch| epoch <= covered);
        let revoked: Vec<RevocationId> =
            state.revoked.iter().filter(|(_, epoch)| is_covered(epoch)).map(|(id, _)| *id).collect();
        let about = reader.estimate_token_count().await?;
        let (batches, mut received) = mpsc::channel::<Vec<RevocationId>>(READ_AHEAD);
        let building = spawn_blocking(move || {
            let mut builder = CascadeBuilder::new(revoked, about)?;
            while let Some(ids) = received.blocking_recv() {
                builder.add_covered(ids)?;
            }
            builder.finish()
        });
        // Should reading fail, this returns, and what the builder makes of half the tokens is nobody's.
        loop {
            let ids = reader.next_covered_ids(covered).await?;
            if ids.is_empty() || batches.send(ids).await.is_err() {
                break;
            }
        }
        drop(batches);
        let cascade = Some(Arc::new(building.await.map_err(|_| FeedError::Interrupted)??));
        let cascade_sequence = state.head.sequence;
        Ok(Content { state, cascade, epoch: covered, cascade_sequence, built_ms })
    }

    /// Brings it up to date without building a cascade. False, and it stays as it was, if that cannot be: a covered token was
    /// revoked or reinstated since.
    pub(super) async fn advance(&mut self, store: &Store, time: ClockReading) -> Result<bool, FeedError> {
        let state = store.snapshot_reader(time.settled_ms / 1000).await?.read_state().await?;
        // Asked after the state was read, so that nothing in the state escapes the question.
        if self.cascade.is_none() || store.has_covered_change_since(self.cascade_sequence, self.epoch).await? {
            return Ok(false);
        }
        self.state = state;
        Ok(true)
    }

    /// The number of revoked tokens.
    pub(super) fn revoked(&self) -> u64 {
        self.state.revoked.len() as u64
    }

    /// Whether all revoked tokens are listed: then building anew is cheap.
    pub(super) fn is_listed(&self) -> bool {
        self.cascade.is_none()
    }

    /// The signed snapshot with this configuration.
    pub(super) async fn compose(
        &self,
        issuer: &str,
        config: &Configuration,
        now_ms: u64,
    ) -> Result<PublishedSnapshot, FeedError> {
        let is_listed = |epoch: &Option<u32>| epoch.is_none_or(|epoch| epoch > self.epoch);
        let others: Vec<RevocationId> =
            self.state.revoked.iter().filter(|(_, epoch)| is_listed(epoch)).map(|(id, _)| *id).collect();
        let (groups, before, cascade) = (self.state.groups.clone(), self.state.before, self.cascade.clone());
        let (sequence, chain, epoch) = (self.state.head.sequence, self.state.chain, self.epoch);
        let (keys, issuer, digest) = (Arc::clone(&config.keys), issuer.to_owned(), config.digest());
        let config = config.document.clone();
        // Milliseconds for many revocations: not on a thread that serves others meanwhile.
        let built = spawn_blocking(move || {
            let parts = SnapshotParts {
                epoch,
                everything_before: before,
                groups: &groups,
                others: &others,
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
            revoked: self.revoked(),
            config: digest,
            message: built.await.map_err(|_| FeedError::Interrupted)??,
        })
    }
}
