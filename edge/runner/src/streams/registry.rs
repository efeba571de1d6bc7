//! All open streams.

use super::exchange::{Phase, State, StreamEnd};
use crate::metrics::RunnerMetrics;
use crate::{Request, StreamTicket};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub(super) type StreamId = u64;

/// Longer than a tunnel waits for the peers' close frames.
const TUNNEL_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The open streams.
pub(crate) struct Streams {
    /// Most streams that may be open.
    max: usize,
    registry: Mutex<Registry>,
    /// Notified when a stream is to be identified.
    has_new: Notify,
    /// Number of open tunnels.
    tunnels: watch::Sender<usize>,
    metrics: Arc<RunnerMetrics>,
}

/// What kind of stream an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// A response whose body is still being sent.
    Response,
    /// An upgraded connection.
    Tunnel,
}

#[derive(Default)]
struct Registry {
    next_id: StreamId,
    streams: BTreeMap<StreamId, Stream>,
    /// Requests of streams whose tickets the gate has not issued yet.
    unidentified: Vec<(StreamId, Request)>,
    /// Expiry in Unix milliseconds, and id, of streams with a ticket.
    expiries: BTreeSet<(u64, StreamId)>,
}

struct Stream {
    state: Arc<State>,
    kind: StreamKind,
    /// None for a stream that continues whatever becomes of its token, and for one that is not
    /// identified yet.
    ticket: Option<(StreamTicket, u64)>,
}

impl Streams {
    /// Allows `max` open streams.
    pub(crate) fn new(max: usize, metrics: Arc<RunnerMetrics>) -> Arc<Streams> {
        Arc::new(Streams {
            max,
            registry: Mutex::default(),
            has_new: Notify::new(),
            tunnels: watch::Sender::new(0),
            metrics,
        })
    }

    /// Adds a stream; none if as many are open as may be. `request` identifies its token; none for
    /// a stream that continues without.
    pub(super) fn register(&self, state: Arc<State>, kind: StreamKind, request: Option<Request>) -> Option<StreamId> {
        let mut registry = self.lock();
        if registry.streams.len() >= self.max {
            return None;
        }
        let id = registry.next_id;
        registry.next_id += 1;
        registry.streams.insert(id, Stream { state, kind, ticket: None });
        if kind == StreamKind::Tunnel {
            self.tunnels.send_modify(|count| *count += 1);
        }
        self.metrics.counters.stream_opened();
        if let Some(request) = request {
            registry.unidentified.push((id, request));
            drop(registry);
            self.has_new.notify_one();
        }
        Some(id)
    }

    pub(super) fn remove(&self, id: StreamId) {
        let mut registry = self.lock();
        if let Some(stream) = registry.streams.remove(&id) {
            if let Some((_, expires_at_ms)) = stream.ticket {
                registry.expiries.remove(&(expires_at_ms, id));
            }
            if stream.kind == StreamKind::Tunnel {
                self.tunnels.send_modify(|count| *count = count.saturating_sub(1));
            }
            self.metrics.counters.stream_closed();
        }
    }

    /// Waits until a stream is to be identified.
    pub(super) async fn has_new(&self) {
        self.has_new.notified().await;
    }

    /// Streams whose tickets are to be issued.
    pub(super) fn take_unidentified(&self) -> Vec<(StreamId, Request)> {
        std::mem::take(&mut self.lock().unidentified)
    }

    /// Stores a stream's ticket.
    pub(super) fn identify(&self, id: StreamId, ticket: StreamTicket, expires_at_ms: u64) {
        let mut registry = self.lock();
        if let Some(stream) = registry.streams.get_mut(&id) {
            stream.ticket = Some((ticket, expires_at_ms));
            registry.expiries.insert((expires_at_ms, id));
        }
    }

    /// Up to `count` streams with a ticket, in the order of their ids, after `after`.
    pub(super) fn tickets_after(&self, after: Option<StreamId>, count: usize) -> Vec<(StreamId, StreamTicket)> {
        let registry = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let streams = registry.streams.range((start, Bound::Unbounded));
        let with_ticket = streams.filter_map(|(id, stream)| Some((*id, stream.ticket.as_ref()?.0.clone())));
        with_ticket.take(count).collect()
    }

    /// Up to `count` streams whose tickets have expired at `now_ms`. Each is returned once.
    pub(super) fn take_expired(&self, now_ms: u64, count: usize) -> Vec<(StreamId, StreamTicket)> {
        let mut registry = self.lock();
        let mut expired = Vec::new();
        while expired.len() < count
            && let Some(&(expires_at_ms, id)) = registry.expiries.first()
            && expires_at_ms <= now_ms
        {
            registry.expiries.pop_first();
            let ticket = registry.streams.get(&id).and_then(|stream| stream.ticket.as_ref());
            expired.extend(ticket.map(|(ticket, _)| (id, ticket.clone())));
        }
        expired
    }

    /// Whether a stream can end with its token.
    pub(super) fn has_tickets(&self) -> bool {
        self.next_expiry().is_some()
    }

    /// Time at which the next ticket expires, in Unix milliseconds.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.lock().expiries.first().map(|&(expires_at_ms, _)| expires_at_ms)
    }

    /// Sets the phase of a stream, if it is still open.
    pub(super) fn set(&self, id: StreamId, phase: Phase) {
        let state = self.lock().streams.get(&id).map(|stream| Arc::clone(&stream.state));
        match (state, phase) {
            (Some(state), Phase::Ended(end)) => self.end(&state, end),
            (Some(state), phase) => {
                state.set(phase);
            }
            (None, _) => {}
        }
    }

    /// Ends a stream, unless it has ended.
    pub(super) fn end(&self, state: &State, end: StreamEnd) {
        if state.set(Phase::Ended(end)) {
            tracing::debug!(reason = end.code(), "stream ended by the edge");
            if end.is_by_gate() {
                self.metrics.counters.stream_cut();
            }
        }
    }

    /// Ends the tunnels, because the edge shuts down, and waits until they have closed.
    pub(crate) async fn end_tunnels(&self) {
        self.end_all(StreamEnd::Shutdown, |kind| kind == StreamKind::Tunnel);
        // Fails only if the sender is gone, which this has.
        let _ = timeout(TUNNEL_CLOSE_TIMEOUT, self.tunnels.subscribe().wait_for(|count| *count == 0)).await;
    }

    /// Ends all streams of some kinds.
    pub(super) fn end_all(&self, end: StreamEnd, is_included: impl Fn(StreamKind) -> bool) {
        let registry = self.lock();
        let included = registry.streams.values().filter(|stream| is_included(stream.kind));
        let states: Vec<Arc<State>> = included.map(|stream| Arc::clone(&stream.state)).collect();
        drop(registry);
        for state in states {
            self.end(&state, end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
