//! Answers the requests of edges for deltas: many with one query and one signature.
//!
//! A request waits here until there are deltas, there is a new configuration, or its time is over.
//! Requests that are due at the same moment form a batch. For each sequence in it, the database is
//! read once, and one message is signed over the nonces of all edges that understand such messages
//! ([`NonceTree`]). So neither queries nor signatures grow with the number of edges.
//!
//! Invariant: a batch is complete before the database is read for it, so an answer has everything
//! that was committed before its request arrived.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch::Receiver;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollgate_core::{ConfigDigest, MAX_TREE_NONCES, Nonce, NonceTree};
use tollgate_model::error_chain::with_causes;

use super::feed_responder::{FeedError, FeedResponder, FeedState};
use crate::feed_change::FeedChange;

/// Interval at which requests are answered whose time is over, up to one interval early.
const TICK: Duration = Duration::from_millis(25);
/// Batches that are answered concurrently. Each uses one connection of the database.
const MAX_CONCURRENT_BATCHES: usize = 4;
/// Sequences of a batch. Those with few edges wait for the next batch, so that edges with unusual
/// sequences do not hold up the others.
const MAX_BATCH_SEQUENCES: usize = 64;

/// A request of an edge for deltas.
#[derive(Debug, Clone, Copy)]
pub struct DeltaRequest {
    /// The edge's sequence.
    pub after: u64,
    pub nonce: Option<Nonce>,
    /// Whether the edge understands messages that answer many requests.
    pub takes_shared: bool,
    /// Digest of the edge's configuration, if it takes a new one with deltas.
    pub config: Option<ConfigDigest>,
}

/// The message for one request, in two parts.
#[derive(Debug)]
pub struct DeltaAnswer {
    /// What all answers of the batch have in common.
    pub shared: Bytes,
    pub rest: Vec<u8>,
}

type Reply = Result<DeltaAnswer, FeedError>;

/// A request that waits for its answer.
struct Poll {
    request: DeltaRequest,
    deadline: Instant,
    /// The configuration that the edge has, as far as is known; another one is news.
    config: Option<ConfigDigest>,
    reply: oneshot::Sender<Reply>,
}

#[derive(Default)]
struct Queue {
    /// Requests for the next batch.
    due: Vec<Poll>,
    waiting: Vec<Poll>,
    /// The newest known sequence of the log.
    head: u64,
    /// Configuration of the newest known published snapshot.
    config: Option<ConfigDigest>,
    /// Number of that snapshot.
    snapshot: Option<u64>,
    is_stopped: bool,
}

impl Queue {
    fn is_due(&self, poll: &Poll, now: Instant) -> bool {
        let is_new_config = self.config.is_some() && poll.config.is_some() && self.config != poll.config;
        poll.request.after < self.head || is_new_config || poll.deadline <= now + TICK || self.is_stopped
    }

    /// Moves the due requests to the next batch, and drops those whose client has disconnected.
    fn move_due(&mut self, now: Instant) {
        for poll in mem::take(&mut self.waiting) {
            if poll.reply.is_closed() {
                continue;
            }
            match self.is_due(&poll, now) {
                true => self.due.push(poll),
                false => self.waiting.push(poll),
            }
        }
    }
}

/// The requests for deltas of an issuer's edges.
pub struct DeltaPolls {
    feed: Arc<FeedResponder>,
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl DeltaPolls {
    /// Requests are answered while [`DeltaPolls::run`] runs, and one by one after it has ended.
    #[must_use]
    pub fn new(feed: Arc<FeedResponder>) -> Arc<DeltaPolls> {
        Arc::new(DeltaPolls { feed, queue: Mutex::default(), arrived: Notify::new() })
    }

    /// Answers as soon as there are deltas or a new configuration, at the latest after `wait`.
    ///
    /// # Errors
    /// When there are no deltas for the sequence, the database fails or the message cannot be
    /// built.
    pub async fn answer(&self, request: DeltaRequest, wait: Duration) -> Reply {
        let (reply, answered) = oneshot::channel();
        if !self.enqueue(request, wait, reply) {
            let (reply, answered) = oneshot::channel();
            let poll = Poll { request, deadline: Instant::now(), config: None, reply };
            self.answer_sequence(request.after, vec![poll]).await;
            return answered.await.unwrap_or(Err(FeedError::Interrupted));
        }
        answered.await.unwrap_or(Err(FeedError::Interrupted))
    }

    /// Adds a request to the queue; false after the end of [`DeltaPolls::run`].
    fn enqueue(&self, request: DeltaRequest, wait: Duration, reply: oneshot::Sender<Reply>) -> bool {
        let mut queue = self.lock();
        if queue.is_stopped {
            return false;
        }
        let now = Instant::now();
        let poll = Poll { request, deadline: now + wait, config: request.config.or(queue.config), reply };
        // An edge that is ahead of the log is answered at once; it may be this origin that has not
        // seen the newest change yet.
        match queue.is_due(&poll, now) || request.after > queue.head {
            true => queue.due.push(poll),
            false => queue.waiting.push(poll),
        }
        drop(queue);
        self.arrived.notify_one();
        true
    }

    /// Answers requests until `stop`.
    pub async fn run(self: Arc<DeltaPolls>, mut changes: Receiver<FeedChange>, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_BATCHES));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last_scan: Option<(FeedChange, Instant)> = None;
        while !stop.is_cancelled() {
            let change = *changes.borrow_and_update();
            self.observe(change).await;
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let now = Instant::now();
            // Requests that are due arrive in the next batch by themselves.
            if last_scan.is_none_or(|(seen, at)| seen != change || now >= at + TICK) {
                self.lock().move_due(now);
                last_scan = Some((change, now));
            }
            match self.take_batch() {
                Some(batch) => drop(tokio::spawn(Arc::clone(&self).answer_batch(batch, permit))),
                None => drop(permit),
            }
            let (has_waiting, has_due) = {
                let queue = self.lock();
                (!queue.waiting.is_empty(), !queue.due.is_empty())
            };
            if has_due {
                continue;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                () = self.arrived_due() => {}
                _ = tick.tick(), if has_waiting => {}
                () = stop.cancelled() => {}
            }
        }
        // After the last batch, no request returns to the queue.
        let Ok(_all) = permits.acquire_many(MAX_CONCURRENT_BATCHES as u32).await else { return };
        let rest = {
            let mut queue = self.lock();
            queue.is_stopped = true;
            queue.move_due(Instant::now());
            mem::take(&mut queue.due)
        };
        for (after, polls) in by_sequence(rest) {
            self.answer_sequence(after, polls).await;
        }
    }

    /// Waits for a request that is due, or for the first one that waits.
    async fn arrived_due(&self) {
        let was_waiting = !self.lock().waiting.is_empty();
        loop {
            self.arrived.notified().await;
            let queue = self.lock();
            if !queue.due.is_empty() || !was_waiting && !queue.waiting.is_empty() {
                return;
            }
        }
    }

    /// Takes note of a change of the log or of the published snapshot.
    async fn observe(&self, change: FeedChange) {
        let is_same_snapshot = {
            let mut queue = self.lock();
            queue.head = queue.head.max(change.head.sequence);
            queue.snapshot == Some(change.head.snapshot)
        };
        if is_same_snapshot {
            return;
        }
        match self.feed.read(change.head.sequence).await {
            Ok(state) => {
                let mut queue = self.lock();
                (queue.config, queue.snapshot) = (Some(state.config), Some(change.head.snapshot));
            }
            // Each answer reads the configuration by itself.
            Err(error) => tracing::debug!(error = with_causes(&error), "the configuration of edges cannot be read"),
        }
    }

    /// The due requests by their sequence; those of the most common sequences.
    fn take_batch(&self) -> Option<Vec<(u64, Vec<Poll>)>> {
        let mut queue = self.lock();
        let mut batch = by_sequence(mem::take(&mut queue.due));
        batch.sort_unstable_by_key(|(_, polls)| std::cmp::Reverse(polls.len()));
        let rest = batch.split_off(batch.len().min(MAX_BATCH_SEQUENCES));
        queue.due = rest.into_iter().flat_map(|(_, polls)| polls).collect();
        Some(batch).filter(|batch| !batch.is_empty())
    }

    async fn answer_batch(self: Arc<DeltaPolls>, batch: Vec<(u64, Vec<Poll>)>, permit: OwnedSemaphorePermit) {
        for (after, polls) in batch {
            self.answer_sequence(after, polls).await;
        }
        drop(permit);
        self.arrived.notify_one();
    }

    /// Answers requests with the same sequence.
    async fn answer_sequence(&self, after: u64, polls: Vec<Poll>) {
        match self.feed.read(after).await {
            Ok(state) => self.send_answers(&state, polls),
            Err(error) => {
                let error = shared_error(error);
                polls.into_iter().for_each(|poll| self.send(poll, Err(error.for_request())));
            }
        }
    }

    fn send_answers(&self, state: &FeedState, polls: Vec<Poll>) {
        let document = self.feed.served_document(state.config);
        let [mut shared, mut shared_with_document, mut unshared, mut early] = <[Vec<Poll>; 4]>::default();
        let now = Instant::now();
        let is_stopped = self.lock().is_stopped;
        for poll in polls {
            let lacks_config = poll.request.config.is_some_and(|config| config != state.config);
            // Without a document, an edge that reports another configuration is answered when that
            // of the origin changes, so that it does not poll without a pause.
            let is_new_config = match lacks_config && document.is_empty() {
                true => false,
                false => poll.config.is_some_and(|config| config != state.config),
            };
            let is_news = !state.deltas.is_empty() || is_new_config;
            if !is_news && !is_stopped && poll.deadline > now + TICK {
                early.push(Poll { config: Some(state.config), ..poll });
            } else if poll.request.nonce.is_none() || !poll.request.takes_shared {
                unshared.push(poll);
            } else if lacks_config && !document.is_empty() {
                shared_with_document.push(poll);
            } else {
                shared.push(poll);
            }
        }
        self.wait_again(early);
        self.send_shared(state, b"", shared);
        self.send_shared(state, &document, shared_with_document);
        self.send_unshared(state, unshared);
    }

    /// Returns requests to the queue for which there is no news yet.
    fn wait_again(&self, polls: Vec<Poll>) {
        if polls.is_empty() {
            return;
        }
        let mut queue = self.lock();
        for poll in polls {
            // The log may have changed since the database was read for this batch.
            match poll.request.after < queue.head {
                true => queue.due.push(poll),
                false => queue.waiting.push(poll),
            }
        }
        drop(queue);
        self.arrived.notify_one();
    }

    /// Signs one message for all requests.
    fn send_shared(&self, state: &FeedState, document: &[u8], mut polls: Vec<Poll>) {
        while !polls.is_empty() {
            let rest = polls.split_off(polls.len().min(MAX_TREE_NONCES));
            let nonces: Vec<Nonce> = polls.iter().filter_map(|poll| poll.request.nonce).collect();
            let Some(tree) = NonceTree::new(&nonces) else { return };
            match self.feed.build_shared(state, document, tree.root()) {
                Ok(message) => {
                    let message = Bytes::from(message);
                    for (position, poll) in polls.into_iter().enumerate() {
                        let answer = tree.answer(&message, position).ok_or(FeedError::Interrupted);
                        let answer = answer.map(|(shared, rest)| (message.slice_ref(shared), rest));
                        self.send(poll, answer);
                    }
                }
                Err(error) => {
                    let error = shared_error(error);
                    polls.into_iter().for_each(|poll| self.send(poll, Err(error.for_request())));
                }
            }
            polls = rest;
        }
    }

    /// Signs a message for each nonce, for edges that understand no other, and one for all requests
    /// without a nonce.
    fn send_unshared(&self, state: &FeedState, polls: Vec<Poll>) {
        let mut without_nonce: Option<Bytes> = None;
        for poll in polls {
            let message = match (poll.request.nonce, &without_nonce) {
                (None, Some(message)) => Ok(message.clone()),
                (nonce, _) => self.feed.build(state, nonce).map(Bytes::from),
            };
            if let (None, Ok(message)) = (poll.request.nonce, &message) {
                without_nonce = Some(message.clone());
            }
            self.send(poll, message.map(|message| (message, Vec::new())));
        }
    }

    fn send(&self, poll: Poll, answer: Result<(Bytes, Vec<u8>), FeedError>) {
        self.feed.count_answer();
        // The client may have disconnected.
        let _ = poll.reply.send(answer.map(|(shared, rest)| DeltaAnswer { shared, rest }));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Poisoned only by a panic, and the code under the lock does not panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of several requests, logged once unless it lies with them.
fn shared_error(error: FeedError) -> Arc<FeedError> {
    if !matches!(error, FeedError::Gone | FeedError::Ahead { .. }) {
        tracing::error!(error = with_causes(&error), "the revocation feed failed");
    }
    Arc::new(error)
}

fn by_sequence(polls: Vec<Poll>) -> Vec<(u64, Vec<Poll>)> {
    let mut groups: HashMap<u64, Vec<Poll>> = HashMap::new();
    for poll in polls {
        groups.entry(poll.request.after).or_default().push(poll);
    }
    groups.into_iter().collect()
}
