//! Waiting for conditions that no event announces.

use std::time::{Duration, Instant};

/// Time in which a condition comes true, also on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until a condition is true. Panics with `what`, which is awaited, if it does not come
/// true.
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < TIMEOUT, "{what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
