//! The addresses of an upstream, and which of them gets a request.

use super::client::HttpVersions;
use super::retry_budget::RetryBudget;
use super::target::{Lease, Target};
use crate::settings::{EjectionSettings, MAX_TARGETS, UpstreamUrl};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The addresses of one upstream.
pub(super) struct TargetPool {
    /// One to [`MAX_TARGETS`].
    targets: Vec<Arc<Target>>,
    next: AtomicUsize,
    pub(super) retries: RetryBudget,
}

/// The targets that a request was sent to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried(u64);

/// A target that gets a request.
pub(super) struct Chosen {
    pub(super) target: Arc<Target>,
    /// None if there is no other target to compare it with.
    pub(super) lease: Option<Lease>,
}

impl TargetPool {
    pub(super) fn new(urls: &[UpstreamUrl], ejection: EjectionSettings) -> TargetPool {
        let targets = urls.iter().take(MAX_TARGETS).map(|url| Target::new(url.clone(), ejection)).collect();
        TargetPool { targets, next: AtomicUsize::new(0), retries: RetryBudget::default() }
    }

    pub(super) fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// Whether a target may speak HTTP/2.
    pub(super) fn may_speak_http2(&self) -> bool {
        self.targets.iter().any(|target| target.url.versions != HttpVersions::Http1)
    }

    /// The available target that answers the fewest requests; of several, each in turn. If none is
    /// available, a request's first target is one that is not: it may be better than its record.
    pub(super) fn choose(&self, tried: &mut Tried) -> Option<Chosen> {
        if let [target] = self.targets.as_slice() {
            let is_first = tried.0 == 0;
            tried.0 = 1;
            return is_first.then(|| Chosen { target: Arc::clone(target), lease: None });
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let indexes = (0..self.targets.len()).map(|step| start.wrapping_add(step) % self.targets.len());
        let untried = indexes.filter(|index| tried.0 & (1_u64 << *index) == 0);
        let (index, target) = untried
            .map(|index| (index, &self.targets[index]))
            .min_by_key(|(_, target)| (!target.is_available(), target.in_flight()))?;
        if tried.0 != 0 && !target.is_available() {
            return None;
        }
        tried.0 |= 1_u64 << index;
        Some(Chosen { target: Arc::clone(target), lease: Some(target.lease()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn pool(count: usize) -> TargetPool {
        let url = |number| UpstreamUrl { url: format!("http://{number}"), versions: HttpVersions::Http1 };
        let urls: Vec<_> = (0..count).map(url).collect();
        TargetPool::new(&urls, EjectionSettings { after: 1, time: Duration::from_secs(3600) })
    }

    fn first(pool: &TargetPool) -> Chosen {
        pool.choose(&mut Tried::default()).expect("a target")
    }

    #[test]
    fn requests_go_to_each_target_in_turn() {
        let pool = pool(3);
        let urls: Vec<_> = (0..6).map(|_| first(&pool).target.url.url.clone()).collect();
        assert_eq!(urls, ["http://0", "http://1", "http://2", "http://0", "http://1", "http://2"]);
    }

    #[test]
    fn target_with_fewer_requests_gets_the_next() {
        let pool = pool(2);
        let (slow, other) = (first(&pool), first(&pool));
        assert_ne!(slow.target.url, other.target.url);
        drop(other);
        for _ in 0..3 {
            assert_ne!(first(&pool).target.url, slow.target.url);
        }
    }

    #[test]
    fn ejected_target_gets_requests_only_if_all_are_ejected() {
        let pool = pool(2);
        let ejected = first(&pool).target;
        ejected.record(false);
        for _ in 0..4 {
            assert_ne!(first(&pool).target.url, ejected.url);
        }
        first(&pool).target.record(false);
        let urls: Vec<_> = (0..2).map(|_| first(&pool).target.url.url.clone()).collect();
        assert!(urls.contains(&ejected.url.url), "{urls:?}");
    }

    #[test]
    fn request_is_not_sent_to_a_target_twice() {
        for count in [1, 2, 64] {
            let (pool, mut tried, mut urls) = (pool(count), Tried::default(), Vec::new());
            while let Some(chosen) = pool.choose(&mut tried) {
                urls.push(chosen.target.url.url.clone());
            }
            urls.sort();
            urls.dedup();
            assert_eq!(urls.len(), count);
        }
    }
}
