//! Clients' connections: so many at once that files are left for the upstream's and the feed's, each with an end to the time
//! it may take. When there are as many as there may be, the one that waits for a request the longest makes room.
//!
//! What never happens: connections that send nothing keep those out that do, or hold the process's last files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// From the first byte of a request to the end of its head; of a new connection, from its beginning.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between an answer and the first byte of the next request. Proxies keep connections for a minute, and must not find them
/// closed in the moment that they use them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Without a byte of an answer taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Files that the process needs beside the connections: the listener, the feed, the store, the component's cache.
const OTHER_FILES: u64 = 128;

/// All connections.
pub(crate) struct Connections {
    max: usize,
    registry: Mutex<Registry>,
    /// Notified when a connection ends, and when one becomes idle while no further one may be open.
    room: Notify,
}

#[derive(Default)]
struct Registry {
    open: usize,
    next_ticket: u64,
    /// Connections that wait for a request, the one that waits the longest first.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Connections {
    /// Connections of which `max` may be open at once, or fewer if the process may not open two files for each: one for the
    /// client and one for the upstream.
    pub(crate) fn new(max: usize) -> Arc<Connections> {
        let max = max.min(openable());
        tracing::debug!(max, "connections at once");
        Arc::new(Connections { max, registry: Mutex::default(), room: Notify::new() })
    }

    /// Makes room for a new connection, at the cost of the one that waits for a request the longest; waits while all are busy.
    pub(crate) async fn open(self: &Arc<Self>) -> Arc<Connection> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if let Some(connection) = self.try_open() {
                return connection;
            }
            room.await;
        }
    }

    fn try_open(self: &Arc<Self>) -> Option<Arc<Connection>> {
        let mut registry = self.lock();
        if registry.open >= self.max {
            if let Some((_, longest)) = registry.waiting.pop_first() {
                longest.notify_one();
            }
            return None;
        }
        registry.open += 1;
        drop(registry);
        let connection = Connection {
            connections: Arc::clone(self),
            phase: Mutex::new(Phase { ticket: 0, since: Instant::now(), awaits: Awaits::Head }),
            displaced: Arc::default(),
        };
        connection.wait_for_request(Awaits::Head);
        Some(Arc::new(connection))
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
pub(crate) struct Connection {
    connections: Arc<Connections>,
    phase: Mutex<Phase>,
    displaced: Arc<Notify>,
}

struct Phase {
    /// Its place among those that wait for a request.
    ticket: u64,
    since: Instant,
    awaits: Awaits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// The first byte of the next request.
    Request,
    /// The end of a request's head.
    Head,
    /// Our answer.
    Answer,
}

/// A request that is being answered, until it is dropped.
pub(crate) struct Answering(Arc<Connection>);

impl Connection {
    /// A request's head is there.
    pub(crate) fn begin(self: &Arc<Self>) -> Answering {
        let mut phase = self.lock();
        phase.awaits = Awaits::Answer;
        let ticket = phase.ticket;
        drop(phase);
        self.connections.lock().waiting.remove(&ticket);
        Answering(Arc::clone(self))
    }

    /// Resolves when the connection has to make room.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }

    /// Whether a request is being answered.
    pub(crate) fn is_answering(&self) -> bool {
        self.lock().awaits == Awaits::Answer
    }

    fn wait_for_request(&self, awaits: Awaits) {
        let mut registry = self.connections.lock();
        let ticket = registry.next_ticket;
        registry.next_ticket += 1;
        registry.waiting.insert(ticket, Arc::clone(&self.displaced));
        let is_full = registry.open >= self.connections.max;
        drop(registry);
        *self.lock() = Phase { ticket, since: Instant::now(), awaits };
        if is_full {
            self.connections.room.notify_one();
        }
    }

    fn bytes_came(&self) {
        let mut phase = self.lock();
        if phase.awaits == Awaits::Request {
            *phase = Phase { since: Instant::now(), awaits: Awaits::Head, ..*phase };
        }
    }

    /// When there must be more bytes; none while the client waits for us.
    fn deadline(&self) -> Option<Instant> {
        let phase = self.lock();
        match phase.awaits {
            Awaits::Request => Some(phase.since + IDLE_TIMEOUT),
            Awaits::Head => Some(phase.since + HEAD_TIMEOUT),
            Awaits::Answer => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.wait_for_request(Awaits::Request);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let ticket = self.lock().ticket;
        let mut registry = self.connections.lock();
        registry.waiting.remove(&ticket);
        registry.open = registry.open.saturating_sub(1);
        drop(registry);
        self.connections.room.notify_one();
    }
}

/// Connections that this process can serve, once it may open as many files as the system lets it.
fn openable() -> usize {
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        current = maximum;
    }
    let files = current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX).max(8)
}

/// A stream that fails with `TimedOut` when the client takes too long to send or to take.
pub(crate) struct TimedStream<T> {
    stream: T,
    connection: Arc<Connection>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<T> TimedStream<T> {
    pub(crate) fn new(stream: T, connection: Arc<Connection>) -> TimedStream<T> {
        TimedStream { stream, connection, reading: None, writing: None }
    }

    fn written<R>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.writing = None;
            return poll;
        }
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIMEOUT)));
        ready!(writing.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer is not taken")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            if buffer.filled().len() > before {
                self.connection.bytes_came();
            }
            return Poll::Ready(read);
        }
        // A timer runs during an answer, too: nobody need poll the stream when the answer ends, and then it begins to be idle.
        loop {
            let deadline = self.connection.deadline();
            let at = deadline.unwrap_or_else(|| Instant::now() + IDLE_TIMEOUT);
            let reading = self.reading.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if deadline.is_some_and(|deadline| reading.deadline() != deadline) {
                reading.as_mut().reset(at);
            }
            ready!(reading.as_mut().poll(context));
            if deadline.is_some() && self.connection.deadline() == deadline {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request comes")));
            }
            self.reading = None;
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.written(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_becomes_idle_makes_room_for_one_that_waits() {
        let connections = Connections::new(1);
        let first = connections.open().await;
        let answering = first.begin();
        let second = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.open().await }
        });
        tokio::task::yield_now().await; // it waits: the only connection is busy
        drop(answering);
        timeout(WRITE_TIMEOUT, first.displaced()).await.expect("the idle connection is asked to make room");
        drop(first);
        assert!(timeout(WRITE_TIMEOUT, second).await.is_ok_and(|opened| opened.is_ok()), "the one that waits is open");
    }
}
