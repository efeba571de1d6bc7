//! Runs a background task on one of several origins: the one that holds the lock of its role.
//!
//! If the task fails or the lock is lost, the origin competes for the lock again after a delay.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tollgate_storage::{LeaderRole, Store, StoreError};
use tollgate_system::rng;

use crate::back_off::BackOff;

/// The maximum is short, because edges and receivers wait meanwhile.
const BACK_OFF: BackOff = BackOff { first_delay: Duration::from_millis(100), max_delay: Duration::from_secs(1) };
/// A failure after a term of this length counts as the first.
const STABLE_TERM: Duration = Duration::from_secs(10);

/// Runs `task` while this origin leads `role`, until `stop`. When the lock is lost, the task's
/// future is dropped, so it must own all that it has started. `on_failure` learns of each failure.
pub(crate) async fn run_while_leader<E, F>(
    store: &Store,
    role: LeaderRole,
    stop: &CancellationToken,
    mut task: impl FnMut() -> F,
    on_failure: impl Fn(E),
) where
    E: From<StoreError>,
    F: Future<Output = E>,
{
    let mut failures = 0_u32;
    let terms = async {
        loop {
            let began = Instant::now();
            on_failure(lead(store, role, &mut task).await);
            failures = if began.elapsed() < STABLE_TERM { failures.saturating_add(1) } else { 1 };
            sleep(BACK_OFF.delay(failures, rng::jitter())).await;
        }
    };
    tokio::select! {
        () = terms => {}
        () = stop.cancelled() => {}
    }
}

/// One term: waits for the lock, then runs the task until it fails or the lock is lost.
async fn lead<E, F>(store: &Store, role: LeaderRole, task: &mut impl FnMut() -> F) -> E
where
    E: From<StoreError>,
    F: Future<Output = E>,
{
    let mut lock = match store.acquire_leader_lock(role).await {
        Ok(lock) => lock,
        Err(error) => return error.into(),
    };
    tracing::info!(?role, "elected leader");
    tokio::select! {
        error = lock.wait_until_lost() => error.into(),
        error = task() => error,
    }
}
