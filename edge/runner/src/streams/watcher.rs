//! Asks the gate about open streams: about all of them when the revocation log changes and when the
//! replica becomes stale, and about each when its ticket expires. Without open streams, it does
//! nothing.

use super::exchange::{Phase, StreamEnd};
use super::registry::{StreamId, Streams};
use crate::pool::Pool;
use crate::response::now_ms;
use crate::sync::ReplicaSync;
use crate::{StreamTicket, StreamVerdict, Validator};
use std::sync::Arc;
use std::time::Duration;

/// Streams of one call into the gate: an instance is busy for less than a millisecond.
const MAX_STREAMS_PER_CALL: usize = 512;
/// Limit on the time until the freshness of the replica is looked at again. Clocks may be set.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// The task that watches streams.
pub(crate) struct StreamWatcher {
    streams: Arc<Streams>,
    pool: Arc<Pool>,
    sync: Arc<ReplicaSync>,
}

impl StreamWatcher {
    pub(crate) fn new(streams: Arc<Streams>, pool: Arc<Pool>, sync: Arc<ReplicaSync>) -> StreamWatcher {
        StreamWatcher { streams, pool, sync }
    }

    /// Watches until it is dropped.
    pub(crate) async fn run(&self) {
        let mut sequence = self.pool.sequence();
        let mut stale_at_ms = 0;
        let mut checked_stale_at_ms = None;
        loop {
            self.identify_new().await;
            // Marked as seen before the check: a change during the check is another one.
            if self.streams.has_tickets() && sequence.has_changed().unwrap_or(false) {
                sequence.mark_unchanged();
                self.check_all().await;
            }
            self.check_expired().await;
            if self.streams.has_tickets() {
                stale_at_ms = self.stale_at_ms().await;
                if stale_at_ms <= now_ms() && checked_stale_at_ms != Some(stale_at_ms) {
                    checked_stale_at_ms = Some(stale_at_ms);
                    self.check_all().await;
                }
            }
            let has_tickets = self.streams.has_tickets();
            tokio::select! {
                () = self.streams.has_new() => {}
                // Fails only if the pool is gone, and with it this task.
                _ = sequence.changed(), if has_tickets => sequence.mark_changed(),
                () = self.sleep(stale_at_ms), if has_tickets => {}
            }
        }
    }

    /// Sleeps until a ticket expires or the replica becomes stale.
    async fn sleep(&self, stale_at_ms: u64) {
        let now_ms = now_ms();
        let times = [self.streams.next_expiry(), Some(stale_at_ms).filter(|at_ms| *at_ms > now_ms)];
        let next_ms = times.into_iter().flatten().min();
        let until = next_ms.map_or(MAX_SLEEP, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        tokio::time::sleep(until.min(MAX_SLEEP)).await;
    }

    /// Time from which on the replica is stale; 0 if it was never fresh, or if no instance is in
    /// service.
    async fn stale_at_ms(&self) -> u64 {
        let schedule = self.pool.on_any(Validator::stream_schedule).await;
        schedule.ok().and_then(|schedule| schedule.stale_at_ms).unwrap_or(0)
    }

    /// Gets the tickets of streams that are new, and checks each once.
    async fn identify_new(&self) {
        let mut identified = Vec::new();
        for (id, request) in self.streams.take_unidentified() {
            match self.pool.on_any(|validator| validator.stream_ticket(&request)).await {
                Ok(Some(issued)) => {
                    self.streams.identify(id, issued.ticket.clone(), issued.expires_at_ms);
                    identified.push((id, issued.ticket));
                }
                _ => self.streams.set(id, Phase::Ended(StreamEnd::Unidentified)),
            }
        }
        for some in identified.chunks(MAX_STREAMS_PER_CALL) {
            self.check(some.to_vec()).await;
        }
    }

    async fn check_all(&self) {
        let mut after = None;
        loop {
            let tickets = self.streams.tickets_after(after, MAX_STREAMS_PER_CALL);
            let Some((last, _)) = tickets.last() else { return };
            after = Some(*last);
            self.check(tickets).await;
        }
    }

    async fn check_expired(&self) {
        loop {
            let expired = self.streams.take_expired(now_ms(), MAX_STREAMS_PER_CALL);
            if expired.is_empty() {
                return;
            }
            self.check(expired).await;
        }
    }

    /// Checks these streams. Those that need a fresher replica are paused, and checked again by a
    /// task of their own, so that the others do not wait for the origin.
    async fn check(&self, tickets: Vec<(StreamId, StreamTicket)>) {
        let waiting = check_now(&self.streams, &self.pool, tickets, false).await;
        if waiting.is_empty() {
            return;
        }
        let (streams, pool, sync) = (Arc::clone(&self.streams), Arc::clone(&self.pool), Arc::clone(&self.sync));
        tokio::spawn(async move {
            sync.wait_for_fetch().await;
            check_now(&streams, &pool, waiting, true).await;
        });
    }
}

/// Applies the gate's verdicts on these streams. Returns those that are paused; none if they have
/// waited. Without an instance in service, nothing is known about a token, as with a stale replica.
async fn check_now(
    streams: &Streams,
    pool: &Pool,
    tickets: Vec<(StreamId, StreamTicket)>,
    has_waited: bool,
) -> Vec<(StreamId, StreamTicket)> {
    let (ids, tickets): (Vec<StreamId>, Vec<StreamTicket>) = tickets.into_iter().unzip();
    let verdicts = pool.on_any(|validator| validator.check_streams(&tickets, now_ms(), has_waited)).await;
    let verdicts = verdicts.unwrap_or_else(|_| match has_waited {
        true => vec![StreamVerdict::End("stale".to_owned()); ids.len()],
        false => vec![StreamVerdict::Wait; ids.len()],
    });
    let mut waiting = Vec::new();
    for ((id, ticket), verdict) in ids.into_iter().zip(tickets).zip(verdicts) {
        match verdict {
            StreamVerdict::Keep => streams.set(id, Phase::Open),
            StreamVerdict::Wait => {
                streams.set(id, Phase::Paused);
                waiting.push((id, ticket));
            }
            StreamVerdict::End(code) => streams.set(id, Phase::Ended(StreamEnd::from_gate(&code))),
        }
    }
    waiting
}
