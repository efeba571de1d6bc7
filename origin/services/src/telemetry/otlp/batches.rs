//! A bounded queue whose items are sent to the collector in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_model::error_chain::with_causes;

use super::Collector;
use tollgate_profiles::protobuf::Message;

/// Items in a queue.
const MAX_QUEUED: usize = 8192;
/// Items per message.
const MAX_BATCH: usize = 512;
/// How long an item waits for others of its batch.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// The sending end of a queue. Clones share it.
#[derive(Debug)]
pub(super) struct Queue<T>(Arc<QueueEnd<T>>);

#[derive(Debug)]
struct QueueEnd<T> {
    sender: mpsc::Sender<T>,
    dropped: AtomicU64,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue(Arc::clone(&self.0))
    }
}

/// What the items of a queue are, and how they are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signal<T> {
    /// Path at the collector.
    pub(super) path: &'static str,
    /// Name for the log.
    pub(super) name: &'static str,
    /// Encodes a batch.
    pub(super) encode: fn(&[T]) -> Message,
}

impl<T: Send + Sync + 'static> Queue<T> {
    /// A queue, and the task to spawn, which sends its items until `stop`.
    pub(super) fn new(
        collector: Collector,
        signal: Signal<T>,
        stop: CancellationToken,
    ) -> (Queue<T>, impl Future<Output = ()> + Send + use<T>) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        let queue = Queue(Arc::new(QueueEnd { sender, dropped: AtomicU64::new(0) }));
        let task = send_batches(collector, signal, queue.clone(), receiver, stop);
        (queue, task)
    }

    /// Queues an item, unless the queue is full.
    pub(super) fn push(&self, item: T) {
        if self.0.sender.try_send(item).is_err() {
            self.0.dropped.fetch_add(1, Relaxed);
        }
    }
}

async fn send_batches<T: Send + Sync + 'static>(
    collector: Collector,
    signal: Signal<T>,
    queue: Queue<T>,
    mut receiver: mpsc::Receiver<T>,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        let is_stopped = tokio::select! {
            count = receiver.recv_many(&mut batch, MAX_BATCH) => count == 0,
            () = stop.cancelled() => true,
        };
        if is_stopped {
            // The items in the queue are still sent.
            while let Ok(item) = receiver.try_recv() {
                batch.push(item);
            }
        } else {
            fill_batch(&mut batch, &mut receiver, &stop).await;
        }
        for items in batch.chunks(MAX_BATCH) {
            let message = (signal.encode)(items);
            if let Err(error) = collector.send(signal.path, message).await {
                let (signal, items) = (signal.name, items.len());
                tracing::warn!(signal, items, error = with_causes(&error), "the collector did not accept telemetry");
            }
        }
        batch.clear();
        let dropped = queue.0.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!(signal = signal.name, dropped, "telemetry was dropped because its queue was full");
        }
        if is_stopped {
            return;
        }
    }
}

/// Waits up to [`BATCH_DELAY`] for more items.
async fn fill_batch<T>(batch: &mut Vec<T>, receiver: &mut mpsc::Receiver<T>, stop: &CancellationToken) {
    let more =
        async { while batch.len() < MAX_BATCH && receiver.recv_many(batch, MAX_BATCH - batch.len()).await > 0 {} };
    tokio::select! {
        _ = timeout(BATCH_DELAY, more) => {}
        () = stop.cancelled() => {}
    }
}
