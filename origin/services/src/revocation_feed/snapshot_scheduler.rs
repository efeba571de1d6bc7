//! Publishes snapshots in the background. The leader of several origins builds them; all origins
//! serve the same bytes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tollgate_core::{ConfigDigest, Snapshot};
use tollgate_model::error_chain::with_causes;
use tollgate_storage::{ClockReading, LeaderRole, MAX_SNAPSHOT_CLOCK_SKEW_MS};

use super::edge_config::SignedConfig;
use super::feed_responder::{FeedError, FeedResponder};
use super::snapshot_content::SnapshotContent;
use crate::feed_change::FeedChange;
use crate::leader_loop::run_while_leader;

/// A new snapshot is built when one delta per this number of revoked tokens has followed: an edge
/// that starts then applies deltas for a quarter of the snapshot's tokens.
const TOKENS_PER_DELTA: u64 = 4;
/// Lower bound of that number of deltas: as many as one message contains.
const MIN_DELTAS: u64 = 1024;
/// Upper bound: half of the deltas that an edge keeps in addition to its snapshot.
const MAX_DELTAS: u64 = 32 * 1024;
/// Maximum age of a snapshot that deltas have followed.
const MAX_AGE_WITH_DELTAS_MS: u64 = 5 * 60 * 1000;
/// Maximum age of any snapshot, after which revocations of expired tokens are dropped from it.
const MAX_AGE_MS: u64 = 60 * 60 * 1000;
/// Interval of checks whether a snapshot is due, if the feed does not change.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Delay after a build, in which other tasks have the database to themselves.
const BUILD_DELAY: Duration = Duration::from_millis(250);
/// Delay after the database failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The newest published snapshot.
#[derive(Clone, Copy)]
struct Newest {
    sequence: u64,
    built_ms: u64,
    revoked: u64,
    config: ConfigDigest,
    /// Public key that signed it, if it is the one that signs now.
    signer: Option<[u8; 32]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DueTask {
    None,
    /// The configuration or the signing key has changed.
    Reconfigure,
    /// The snapshot is too old, too many deltas have followed it, or there is none.
    Build,
}

fn due_task(newest: Option<Newest>, head: u64, config: ConfigDigest, signer: [u8; 32], now_ms: u64) -> DueTask {
    let Some(newest) = newest else {
        return DueTask::Build;
    };
    let deltas = head.saturating_sub(newest.sequence);
    let age_ms = now_ms.saturating_sub(newest.built_ms);
    let has_many_deltas = deltas > (newest.revoked / TOKENS_PER_DELTA).clamp(MIN_DELTAS, MAX_DELTAS);
    let is_from_the_future = newest.built_ms > now_ms.saturating_add(MAX_SNAPSHOT_CLOCK_SKEW_MS);
    let is_old = deltas > 0 && age_ms > MAX_AGE_WITH_DELTAS_MS || age_ms > MAX_AGE_MS || is_from_the_future;
    match (newest.config != config || newest.signer != Some(signer), has_many_deltas || is_old) {
        (true, _) => DueTask::Reconfigure,
        (false, true) => DueTask::Build,
        (false, false) => DueTask::None,
    }
}

impl FeedResponder {
    /// Serves published snapshots, and publishes them while this origin is the leader, until
    /// `stop`.
    pub async fn run(self: Arc<FeedResponder>, changes: Receiver<FeedChange>, stop: CancellationToken) {
        let (responder, changes) = (&*self, &changes);
        let publishing = run_while_leader(
            &responder.store,
            LeaderRole::SnapshotPublication,
            &stop,
            move || responder.publish_due_snapshots(changes.clone()),
            move |error: FeedError| {
                responder.record_failure();
                tracing::error!(error = with_causes(&error), "publishing snapshots was interrupted");
            },
        );
        tokio::select! {
            () = publishing => {}
            () = responder.serve_published(changes.clone()) => {}
        }
    }

    /// Serves each snapshot that this or another origin publishes.
    async fn serve_published(&self, mut changes: Receiver<FeedChange>) {
        let mut number = 0;
        loop {
            if let Err(error) = self.serve_newest(&mut number).await {
                tracing::error!(error = with_causes(&error), "the published snapshot cannot be read");
                sleep(RETRY_DELAY).await;
                continue;
            }
            // An error means that the origin shuts down.
            if changes.wait_for(|change| change.head.snapshot > number).await.is_err() {
                return;
            }
        }
    }

    /// Serves the newest published snapshot, if its number is above `number`, which it becomes.
    async fn serve_newest(&self, number: &mut u64) -> Result<(), FeedError> {
        if let Some(published) = self.store.find_published_snapshot().await?
            && published.number > *number
        {
            let newest = published.number;
            self.serve(published).await?;
            *number = newest;
        }
        Ok(())
    }

    /// Publishes a snapshot whenever one is due, until publishing fails.
    async fn publish_due_snapshots(&self, changes: Receiver<FeedChange>) -> FeedError {
        match self.try_publish_due_snapshots(changes).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_publish_due_snapshots(&self, mut changes: Receiver<FeedChange>) -> Result<Infallible, FeedError> {
        let signer = self.keys.current().snapshot_signer().public_key();
        let mut newest = self.store.find_published_snapshot().await?.map(|published| Newest {
            sequence: published.sequence,
            built_ms: published.built_ms,
            revoked: published.revoked,
            config: published.config,
            signer: Snapshot::decode(published.message, &[signer]).is_ok().then_some(signer),
        });
        // Content of the newest snapshot. It is unknown after a start, so the first change of the
        // configuration builds a snapshot.
        let mut content: Option<SnapshotContent> = None;
        loop {
            changes.mark_unchanged();
            let config = self.config().await?;
            let head = self.store.get_feed_head().await?.sequence;
            let signer = config.keys.snapshot_signer().public_key();
            match due_task(newest, head, config.digest(), signer, self.store.read_clocks().snapshot_time_ms()) {
                DueTask::None => {
                    self.record_success();
                    // An error means that the origin shuts down, which drops this future.
                    let _ = timeout(POLL_INTERVAL, changes.changed()).await;
                    continue;
                }
                DueTask::Reconfigure if let Some(content) = &mut content => {
                    newest = Some(self.reconfigure(content, &config).await?);
                }
                DueTask::Reconfigure | DueTask::Build => {
                    let (published, built) = self.rebuild(&config).await?;
                    newest = Some(published);
                    content = Some(built);
                }
            }
            sleep(BUILD_DELAY).await;
        }
    }

    async fn rebuild(&self, config: &SignedConfig) -> Result<(Newest, SnapshotContent), FeedError> {
        let (time, started) = (self.store.read_clocks(), Instant::now());
        let content = SnapshotContent::build(&self.store, time).await?;
        let newest = self.publish(&content, config, time).await?;
        let took_ms = started.elapsed().as_millis();
        tracing::info!(sequence = newest.sequence, revoked = newest.revoked, took_ms, "published a snapshot");
        Ok((newest, content))
    }

    /// Publishes a new configuration with the existing cascade, if there is one. An edge accepts no
    /// snapshot older than its replica. So if the cascade is outdated, the result has the build
    /// time 0, and a new snapshot is built next.
    async fn reconfigure(&self, content: &mut SnapshotContent, config: &SignedConfig) -> Result<Newest, FeedError> {
        let time = self.store.read_clocks();
        let is_up_to_date = content.try_update(&self.store, time).await?;
        if !is_up_to_date && content.is_listed() {
            *content = SnapshotContent::build(&self.store, time).await?;
        }
        let newest = self.publish(content, config, time).await?;
        tracing::info!(sequence = newest.sequence, is_up_to_date, "published a new configuration");
        let built_ms = if is_up_to_date || content.is_listed() { newest.built_ms } else { 0 };
        Ok(Newest { built_ms, ..newest })
    }

    async fn publish(
        &self,
        content: &SnapshotContent,
        config: &SignedConfig,
        time: ClockReading,
    ) -> Result<Newest, FeedError> {
        let snapshot = content.compose(&self.issuer, config, time.snapshot_time_ms()).await?;
        if self.store.publish_snapshot(&snapshot, &config.keys.unpublished()).await?.is_none() {
            return Err(FeedError::Superseded);
        }
        let signer = Some(config.keys.snapshot_signer().public_key());
        let (sequence, built_ms, revoked, config) =
            (snapshot.sequence, snapshot.built_ms, snapshot.revoked, snapshot.config);
        Ok(Newest { sequence, built_ms, revoked, config, signer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_is_due_after_many_deltas_or_at_its_maximum_age() {
        let (one, other) = (ConfigDigest::of(b"one"), ConfigDigest::of(b"other"));
        let of =
            |revoked| Some(Newest { sequence: 10, built_ms: 1_000_000, revoked, config: one, signer: Some([1; 32]) });
        let at = |newest, head, config, age_ms| due_task(newest, head, config, [1; 32], 1_000_000 + age_ms);
        assert_eq!(at(None, 0, one, 0), DueTask::Build);
        assert_eq!(at(of(0), 10, one, MAX_AGE_WITH_DELTAS_MS + 1), DueTask::None);
        assert_eq!(at(of(0), 11, one, MAX_AGE_WITH_DELTAS_MS), DueTask::None);
        assert_eq!(at(of(0), 11, one, MAX_AGE_WITH_DELTAS_MS + 1), DueTask::Build);
        assert_eq!(at(of(0), 10, one, MAX_AGE_MS + 1), DueTask::Build);
        assert_eq!(due_task(of(0), 10, one, [1; 32], 1_000_000 - MAX_SNAPSHOT_CLOCK_SKEW_MS - 1), DueTask::Build);
        assert_eq!(at(of(0), 10, other, 0), DueTask::Reconfigure);
        assert_eq!(at(of(0), 10 + MIN_DELTAS, one, 0), DueTask::None);
        assert_eq!(at(of(0), 11 + MIN_DELTAS, one, 0), DueTask::Build);
        assert_eq!(at(of(1_000_000), 11 + MIN_DELTAS, one, 0), DueTask::None);
        assert_eq!(at(of(1_000_000), 11 + MAX_DELTAS, one, 0), DueTask::Build);
    }
}
