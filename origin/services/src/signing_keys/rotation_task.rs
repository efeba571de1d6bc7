//! Background task that rotates keys and keeps the key ring up to date.

use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_model::error_chain::with_causes;
use tollgate_model::key_schedule::KeyPolicy;

use super::current::SigningKeys;
use super::error::SigningKeysError;
use super::rotation::run_due_tasks;
use crate::feed_change::FeedChange;

/// Interval of checks for due tasks, if the keys do not change.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Delay after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Runs due tasks of the key schedule and keeps the key ring up to date, until `stop`.
pub async fn run_rotation(
    keys: SigningKeys,
    policy: KeyPolicy,
    mut changes: Receiver<FeedChange>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = async {
            loop {
                let version = changes.borrow_and_update().head.version;
                let delay = match run_due_tasks_and_reload(&keys, policy).await {
                    Ok(delay) => delay,
                    Err(error) => {
                        tracing::error!(error = with_causes(&error), "key rotation failed; retrying");
                        RETRY_DELAY
                    }
                };
                // An error means that the origin shuts down, which drops this future.
                let _ = timeout(delay, changes.wait_for(|change| change.head.version != version)).await;
            }
        } => {}
    }
}

/// Runs due tasks, reloads the keys, and returns the delay until the next task.
async fn run_due_tasks_and_reload(keys: &SigningKeys, policy: KeyPolicy) -> Result<Duration, SigningKeysError> {
    // Retired keys are destroyed, so a clock that jumped must not retire any.
    run_due_tasks(keys.store(), keys.master(), policy, keys.store().settled_now()).await?;
    let change = keys.reload().await?.next_change();
    let until = change.map(|change| change.saturating_mul(1000).saturating_sub(keys.clock().now_ms()));
    Ok(until.map_or(POLL_INTERVAL, |ms| Duration::from_millis(ms.max(1))).min(POLL_INTERVAL))
}
