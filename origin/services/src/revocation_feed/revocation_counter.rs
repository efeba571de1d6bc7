//! Counts revocations for the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_core::RevokedBefore;
use tollgate_storage::{Store, StoreError};

use crate::feed_change::FeedChange;
use crate::telemetry::Metrics;

/// Delay after the database failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Counts the revocations in the feed from now on, until `stop`: those of this process, of other
/// origins on the database, and of the command line.
pub async fn count_revocations(
    metrics: Arc<Metrics>,
    store: Store,
    mut changes: Receiver<FeedChange>,
    stop: CancellationToken,
) {
    let mut counted = changes.borrow_and_update().head.sequence;
    loop {
        tokio::select! {
            changed = changes.wait_for(|change| change.head.sequence != counted) => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        match count_after(&metrics, &store, counted).await {
            Ok(newest) => counted = newest,
            Err(error) => {
                tracing::debug!(%error, "revocations could not be counted");
                if stop.run_until_cancelled(sleep(RETRY_DELAY)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Counts the revocations after a sequence, and returns the newest sequence. Deltas that are
/// deleted already are skipped.
async fn count_after(metrics: &Metrics, store: &Store, sequence: u64) -> Result<u64, StoreError> {
    let page = store.get_feed_page(sequence).await?;
    for delta in page.deltas.iter().filter(|delta| delta.revoked_before != RevokedBefore::NOT_REVOKED) {
        metrics.revoked(delta.kind.name());
    }
    Ok(page.deltas.last().map_or(page.head.sequence, |delta| delta.sequence))
}
