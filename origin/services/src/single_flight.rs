//! State that is renewed by one task at a time, for all that wait for it (single flight). The task
//! continues when its callers are cancelled, so a client that disconnects does not cause the next
//! one to start the work again.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Clones share the state.
#[derive(Default)]
pub struct SingleFlight<S>(Arc<Mutex<S>>);

impl<S> Clone for SingleFlight<S> {
    fn clone(&self) -> SingleFlight<S> {
        SingleFlight(Arc::clone(&self.0))
    }
}

impl<S: Send + 'static> SingleFlight<S> {
    /// Whether the state is being read or renewed now.
    pub fn is_busy(&self) -> bool {
        self.0.try_lock().is_err()
    }

    /// Returns what `ready` finds in the state. If it finds nothing, the state is renewed first,
    /// and the result is what it finds then.
    pub async fn get<T, F>(
        &self,
        ready: impl Fn(&S) -> Option<T>,
        renew: impl FnOnce(OwnedMutexGuard<S>) -> F,
    ) -> Option<T>
    where
        F: Future<Output = OwnedMutexGuard<S>> + Send + 'static,
    {
        let state = Arc::clone(&self.0).lock_owned().await;
        if let Some(found) = ready(&state) {
            return Some(found);
        }
        let state = tokio::spawn(renew(state)).await.ok()?;
        ready(&state)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;
    use tokio::time::{Duration, timeout};

    use super::*;

    #[tokio::test]
    async fn renewal_is_shared_and_continues_when_its_caller_is_cancelled() {
        let (flight, renewals, may_end) =
            (SingleFlight::<Option<u32>>::default(), Arc::default(), Arc::new(Notify::new()));
        let get = || {
            let (flight, renewals, may_end) =
                (flight.clone(), Arc::<AtomicU32>::clone(&renewals), Arc::clone(&may_end));
            async move {
                let renew = |mut state: OwnedMutexGuard<Option<u32>>| async move {
                    renewals.fetch_add(1, Ordering::SeqCst);
                    may_end.notified().await;
                    *state = Some(7);
                    state
                };
                flight.get(|state| *state, renew).await
            }
        };
        assert!(timeout(Duration::from_millis(20), get()).await.is_err(), "cancelled");
        let waiting: Vec<_> = (0..50).map(|_| tokio::spawn(get())).collect();
        tokio::task::yield_now().await;
        may_end.notify_one();
        for found in waiting {
            assert_eq!(found.await.expect("no panic"), Some(7));
        }
        assert_eq!(renewals.load(Ordering::SeqCst), 1);
    }
}
