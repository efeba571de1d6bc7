//! Bound on long polls: requests that hold a connection for as long as nothing happens. Without one
//! of their own they could take all connections, and nobody else would be answered.
//!
//! Half of the connections may wait at once, and an eighth for one address. A poll beyond is
//! answered at once, with what there is: whoever sends it is no worse informed, only has to ask
//! again. Over HTTP/1.1 its connection is closed then, so that another can take its place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use tollgate_services::rate_limit::network;

/// Polls of one address that may always wait, however few connections there are.
const MIN_PER_NETWORK: usize = 8;

/// The polls that wait, of all issuers of a process.
pub struct LongPolls {
    max: usize,
    max_per_network: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    total: usize,
    /// Without those that have none.
    by_network: HashMap<String, usize>,
}

/// A poll that may wait, until it is dropped.
pub(super) struct LongPoll {
    polls: Arc<LongPolls>,
    network: String,
}

impl LongPolls {
    /// None waits yet. `max_connections`: how many may be open at once.
    pub fn new(max_connections: usize) -> Arc<LongPolls> {
        let max = max_connections / 2;
        let max_per_network = (max / 4).max(MIN_PER_NETWORK).min(max);
        Arc::new(LongPolls { max, max_per_network, waiting: Mutex::default() })
    }

    /// A poll from an address that may wait; none when there are too many.
    pub(super) fn begin(self: &Arc<LongPolls>, address: Option<IpAddr>) -> Option<LongPoll> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let mut waiting = self.lock();
        let of_network = waiting.by_network.get(&network).copied().unwrap_or_default();
        if waiting.total >= self.max || of_network >= self.max_per_network {
            return None;
        }
        waiting.total += 1;
        waiting.by_network.insert(network.clone(), of_network + 1);
        Some(LongPoll { polls: Arc::clone(self), network })
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Both numbers change under one lock, by code that does not panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        let mut waiting = self.polls.lock();
        waiting.total = waiting.total.saturating_sub(1);
        if let Some(of_network) = waiting.by_network.get_mut(&self.network) {
            *of_network = of_network.saturating_sub(1);
            if *of_network == 0 {
                waiting.by_network.remove(&self.network);
            }
        }
    }
}

/// Has the connection of a poll that could not wait be closed after its answer. HTTP/2 has no such
/// field: its connection is shared.
pub(super) fn close(version: Version, response: &mut Response) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn polls_have_a_bound_and_each_network_its_own() {
        let polls = LongPolls::new(200);
        let begin = |text: &str, count: usize| -> Vec<LongPoll> {
            (0..count).filter_map(|_| polls.begin(address(text))).collect()
        };
        let one = begin("192.0.2.1", 100);
        assert_eq!(one.len(), 25);
        let six = begin("2001:db8::1", 20);
        assert_eq!((six.len(), begin("2001:db8::2", 20).len()), (20, 5), "a /64 is one network");
        let others: Vec<Vec<LongPoll>> = (2..9).map(|last| begin(&format!("192.0.2.{last}"), 10)).collect();
        assert_eq!(others.iter().map(Vec::len).sum::<usize>(), 55, "all of them together");
        assert_eq!(polls.waiting(), 100);
        assert!(polls.begin(address("192.0.2.200")).is_none() && polls.begin(None).is_none());
        drop((one, six, others));
        assert_eq!((polls.waiting(), polls.lock().by_network.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn few_connections_leave_room_for_others() {
        let polls = LongPolls::new(16);
        let waiting: Vec<_> = (0..64).filter_map(|_| polls.begin(address("192.0.2.1"))).collect();
        assert_eq!(waiting.len(), 8);
    }
}
