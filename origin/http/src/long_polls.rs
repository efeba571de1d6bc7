//! Limit of concurrent long polls, each of which holds a connection. Without it they could occupy
//! all connections.
//!
//! At most half of the connections may be waiting polls, and an eighth those of one network, except
//! for registered edges, which may be a fleet behind one address. Polls
//! beyond are answered immediately with the current state, and the client polls again. Over
//! HTTP/1.1 their connection is closed, to make room for another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::Response;
use tollgate_services::rate_limit::network;
use tollgate_system::current_request::{Measurement, Part, measure};

/// Lower bound of the limit of a network, for servers with few connections.
const MIN_POLLS_PER_NETWORK: usize = 8;

/// Waiting long polls of all issuers of a process.
pub struct LongPolls {
    max: usize,
    max_per_network: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    total: usize,
    /// Networks with at least one waiting poll.
    by_network: HashMap<String, usize>,
}

/// Permit of a poll to wait, returned on drop.
pub(super) struct LongPoll {
    polls: Arc<LongPolls>,
    /// None for a registered edge.
    network: Option<String>,
    _waiting: Measurement,
}

impl LongPolls {
    /// The limits for a server with this many connections.
    pub fn new(max_connections: usize) -> Arc<LongPolls> {
        let max = max_connections / 2;
        let max_per_network = (max / 4).max(MIN_POLLS_PER_NETWORK).min(max);
        Arc::new(LongPolls { max, max_per_network, waiting: Mutex::default() })
    }

    /// Permits a poll from an address to wait; none if too many wait already.
    pub(super) fn begin(self: &Arc<LongPolls>, address: Option<IpAddr>) -> Option<LongPoll> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let mut waiting = self.lock();
        let of_network = waiting.by_network.get(&network).copied().unwrap_or_default();
        if waiting.total >= self.max || of_network >= self.max_per_network {
            return None;
        }
        waiting.total += 1;
        waiting.by_network.insert(network.clone(), of_network + 1);
        Some(self.permit(Some(network)))
    }

    /// Permits the poll of an edge that has proven which one it is; none if too many wait already.
    pub(super) fn begin_authenticated(self: &Arc<LongPolls>) -> Option<LongPoll> {
        let mut waiting = self.lock();
        if waiting.total >= self.max {
            return None;
        }
        waiting.total += 1;
        Some(self.permit(None))
    }

    fn permit(self: &Arc<LongPolls>, network: Option<String>) -> LongPoll {
        LongPoll { polls: Arc::clone(self), network, _waiting: measure(Part::LongPoll, "long poll") }
    }

    /// Number of waiting polls.
    pub(super) fn waiting_count(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Poisoned only by a panic, and the code under the lock does not panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        let mut waiting = self.polls.lock();
        waiting.total = waiting.total.saturating_sub(1);
        let Some(network) = &self.network else { return };
        if let Some(of_network) = waiting.by_network.get_mut(network) {
            *of_network = of_network.saturating_sub(1);
            if *of_network == 0 {
                waiting.by_network.remove(network);
            }
        }
    }
}

/// Closes the connection after the response to a poll that was not permitted to wait. An HTTP/2
/// connection is shared with other requests and stays open.
pub(super) fn close_connection(version: Version, response: &mut Response) {
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
    fn polls_are_limited_in_total_and_per_network() {
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
        assert_eq!(polls.waiting_count(), 100);
        assert!(polls.begin(address("192.0.2.200")).is_none() && polls.begin(None).is_none());
        assert!(polls.begin_authenticated().is_none(), "registered edges, too");
        drop((one, six, others));
        assert_eq!((polls.waiting_count(), polls.lock().by_network.len()), (0, 0), "all permits are returned");
    }

    #[test]
    fn registered_edges_of_one_network_may_use_the_whole_limit() {
        let polls = LongPolls::new(200);
        let fleet: Vec<LongPoll> = (0..200).filter_map(|_| polls.begin_authenticated()).collect();
        assert_eq!((fleet.len(), polls.waiting_count()), (100, 100));
        drop(fleet);
        assert_eq!(polls.waiting_count(), 0);
    }

    #[test]
    fn few_connections_leave_room_for_others() {
        let polls = LongPolls::new(16);
        let waiting: Vec<_> = (0..64).filter_map(|_| polls.begin(address("192.0.2.1"))).collect();
        assert_eq!(waiting.len(), 8);
    }
}
