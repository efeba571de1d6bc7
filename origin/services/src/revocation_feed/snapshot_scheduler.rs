//! Publishing snapshots in the background: one of several origins builds them, all of them serve the same bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tollgate_core::{ConfigDigest, Snapshot};
use tollgate_model::error_chain::with_causes;
use tollgate_storage::{ClockReading, LeaderRole, MAX_SNAPSHOT_CLOCK_SKEW_MS};

use super::feed_responder::Configuration;
use super::snapshot_content::Content;
use super::{FeedError, FeedResponder};
use crate::feed_change::FeedChange;

/// Deltas after a snapshot, for each of its revoked tokens, after which a new one is built: an edge that starts then takes in a
/// quarter as much again. The bounds: what a message holds, and half of what an edge keeps beside its snapshot.
const DELTAS_FOR_EACH: u64 = 4;
const FEWEST_DELTAS: u64 = 1024;
const MOST_DELTAS: u64 = 32 * 1024;
/// How old a snapshot gets while the history moves.
const REBUILD_AFTER_MS: u64 = 5 * 60 * 1000;
/// How old it gets at all: then what expired meanwhile leaves it.
const RENEW_AFTER_MS: u64 = 60 * 60 * 1000;
/// How often it is looked whether one is due, when nothing happens.
const INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a build, in which others have the database to themselves.
const REST: Duration = Duration::from_millis(250);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the newest published snapshot.
#[derive(Clone, Copy)]
struct Newest {
    sequence: u64,
    built_ms: u64,
    revoked: u64,
    config: ConfigDigest,
    /// Who signed it, if that is the one who signs now.
    signer: Option<[u8; 32]>,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The configuration or the key that signs changed.
    Configuration,
    /// The revocations have moved on, or there is no snapshot yet.
    Build,
}

fn due(newest: Option<Newest>, head: u64, config: ConfigDigest, signer: [u8; 32], now_ms: u64) -> Due {
    let Some(newest) = newest else {
        return Due::Build;
    };
    let deltas = head.saturating_sub(newest.sequence);
    let age_ms = now_ms.saturating_sub(newest.built_ms);
    let many = deltas > (newest.revoked / DELTAS_FOR_EACH).clamp(FEWEST_DELTAS, MOST_DELTAS);
    let is_from_the_future = newest.built_ms > now_ms.saturating_add(MAX_SNAPSHOT_CLOCK_SKEW_MS);
    let old = deltas > 0 && age_ms > REBUILD_AFTER_MS || age_ms > RENEW_AFTER_MS || is_from_the_future;
    match (newest.config != config || newest.signer != Some(signer), many || old) {
        (true, _) => Due::Configuration,
        (false, true) => Due::Build,
        (false, false) => Due::Nothing,
    }
}

impl FeedResponder {
    /// Serves what is published, and publishes whenever this origin has the publisher's seat, until `stop`.
    pub async fn run(self: Arc<FeedResponder>, wake: Receiver<FeedChange>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow(wake.clone()) => {}
            () = async {
                loop {
                    let error = self.publish_while_seated(wake.clone()).await;
                    self.note_failure();
                    tracing::error!(error = with_causes(&error), "publishing snapshots is interrupted");
                    sleep(PAUSE).await;
                }
            } => {}
        }
    }

    /// Takes over whatever any origin publishes.
    async fn follow(&self, mut wake: Receiver<FeedChange>) {
        let mut number = 0;
        loop {
            match self.store.find_published_snapshot().await {
                Ok(published) => {
                    if let Some(published) = published.filter(|published| published.number > number) {
                        number = published.number;
                        self.serve(published);
                    }
                    // The watch ends only when the origin does; then so does this, from outside.
                    if wake.wait_for(|wake| wake.head.snapshot > number).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "the published snapshot cannot be read");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn publish_while_seated(&self, wake: Receiver<FeedChange>) -> FeedError {
        let mut seat = match self.store.acquire_leader_lock(LeaderRole::SnapshotPublication).await {
            Ok(seat) => seat,
            Err(error) => return error.into(),
        };
        tracing::info!("publishing snapshots");
        tokio::select! {
            error = seat.wait_until_lost() => error.into(),
            Err(error) = self.keep_publishing(wake) => error,
        }
    }

    async fn keep_publishing(&self, mut wake: Receiver<FeedChange>) -> Result<std::convert::Infallible, FeedError> {
        let signer = self.keys.current().snapshot_signer().public_key();
        let mut newest = self.store.find_published_snapshot().await?.map(|published| Newest {
            sequence: published.sequence,
            built_ms: published.built_ms,
            revoked: published.revoked,
            config: published.config,
            signer: Snapshot::decode(published.message, &[signer]).is_ok().then_some(signer),
        });
        // What the newest was made of; after a start that is not known, and a change of the configuration builds anew, once.
        let mut content: Option<Content> = None;
        loop {
            wake.mark_unchanged();
            let config = self.config().await?;
            let head = self.store.get_feed_head().await?.sequence;
            let signer = config.keys.snapshot_signer().public_key();
            let due = due(newest, head, config.digest(), signer, self.store.read_clocks().snapshot_time_ms());
            match due {
                Due::Nothing => {
                    self.note_success();
                    // Only an ended watch makes this an error, and then this ends from outside.
                    let _ = timeout(INTERVAL, wake.changed()).await;
                    continue;
                }
                Due::Configuration if let Some(content) = &mut content => {
                    newest = Some(self.reconfigure(content, &config).await?);
                }
                Due::Configuration | Due::Build => {
                    let (made, built) = self.rebuild(&config).await?;
                    newest = Some(made);
                    content = Some(built);
                }
            }
            sleep(REST).await;
        }
    }

    async fn rebuild(&self, config: &Configuration) -> Result<(Newest, Content), FeedError> {
        let (time, started) = (self.store.read_clocks(), Instant::now());
        let content = Content::build(&self.store, time).await?;
        let newest = self.publish(&content, config, time).await?;
        let took_ms = started.elapsed().as_millis();
        tracing::info!(sequence = newest.sequence, revoked = newest.revoked, took_ms, "published a snapshot");
        Ok((newest, content))
    }

    /// Publishes another configuration, with the same cascade if there is one. An edge takes no snapshot that is older than what
    /// it holds: if the cascade is behind the history, the caller is told that it is so old that it builds anew.
    async fn reconfigure(&self, content: &mut Content, config: &Configuration) -> Result<Newest, FeedError> {
        let time = self.store.read_clocks();
        let up_to_date = content.advance(&self.store, time).await?;
        if !up_to_date && content.is_listed() {
            *content = Content::build(&self.store, time).await?;
        }
        let newest = self.publish(content, config, time).await?;
        tracing::info!(sequence = newest.sequence, up_to_date, "published a change of the configuration");
        let built_ms = if up_to_date || content.is_listed() { newest.built_ms } else { 0 };
        Ok(Newest { built_ms, ..newest })
    }

    async fn publish(
        &self,
        content: &Content,
        config: &Configuration,
        time: ClockReading,
    ) -> Result<Newest, FeedError> {
        let snapshot = content.compose(&self.issuer, config, time.snapshot_time_ms()).await?;
        if self.store.publish_snapshot(&snapshot, &config.keys.unpublished()).await?.is_none() {
            return Err(FeedError::Overtaken);
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
    fn a_snapshot_is_due_when_much_or_long_ago() {
        let (one, other) = (ConfigDigest::of(b"one"), ConfigDigest::of(b"other"));
        let of =
            |revoked| Some(Newest { sequence: 10, built_ms: 1_000_000, revoked, config: one, signer: Some([1; 32]) });
        let at = |newest, head, config, age_ms| due(newest, head, config, [1; 32], 1_000_000 + age_ms);
        assert_eq!(at(None, 0, one, 0), Due::Build);
        assert_eq!(at(of(0), 10, one, REBUILD_AFTER_MS + 1), Due::Nothing);
        assert_eq!(at(of(0), 11, one, REBUILD_AFTER_MS), Due::Nothing);
        assert_eq!(at(of(0), 11, one, REBUILD_AFTER_MS + 1), Due::Build);
        assert_eq!(at(of(0), 10, one, RENEW_AFTER_MS + 1), Due::Build);
        assert_eq!(due(of(0), 10, one, [1; 32], 1_000_000 - MAX_SNAPSHOT_CLOCK_SKEW_MS - 1), Due::Build);
        assert_eq!(at(of(0), 10, other, 0), Due::Configuration);
        assert_eq!(at(of(0), 10 + FEWEST_DELTAS, one, 0), Due::Nothing);
        assert_eq!(at(of(0), 11 + FEWEST_DELTAS, one, 0), Due::Build);
        assert_eq!(at(of(1_000_000), 11 + FEWEST_DELTAS, one, 0), Due::Nothing);
        assert_eq!(at(of(1_000_000), 11 + MOST_DELTAS, one, 0), Due::Build);
    }
}
