//! Client connections: their maximum number, and timeouts for each. The maximum leaves files for
//! connections to the upstream and the origin. At the maximum, a new connection displaces the one
//! that has been waiting for a request the longest.
//!
//! Never: connections without requests keep out others, or use up the process's files.

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

/// From the first byte of a request to the end of its head; on a new connection, from its start.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From a response to the first byte of the next request. Longer than the minute for which proxies
/// keep idle connections, so that they do not send a request on a closed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Limit on each pause in which the client reads nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Files for everything except connections: listener, sync, store, cache of compiled components.
const RESERVED_FILES: u64 = 128;
/// Minimum of the connection limit, whatever the system's limit on files.
const MIN_CONNECTIONS: usize = 8;

/// All client connections.
pub(crate) struct Connections {
    max: usize,
    registry: Mutex<Registry>,
    /// Notified when a connection ends, and when one becomes idle at the maximum.
    has_room: Notify,
}

#[derive(Default)]
struct Registry {
    open: usize,
    next_ticket: u64,
    /// Connections that are waiting for a request, the longest wait first.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Connections {
    /// Allows `max` connections, or fewer if the process may not open two files for each: one for
    /// the client and one for the upstream.
    pub(crate) fn new(max: usize) -> Arc<Connections> {
        let max = max.min(file_limit());
        tracing::debug!(max, "connection limit");
        Arc::new(Connections { max, registry: Mutex::default(), has_room: Notify::new() })
    }

    /// Opens a connection. At the maximum, displaces the one that has been waiting for a request
    /// the longest; waits while all are answering.
    pub(crate) async fn open(self: &Arc<Self>) -> Arc<Connection> {
        loop {
            let mut has_room = std::pin::pin!(self.has_room.notified());
            has_room.as_mut().enable();
            if let Some(connection) = self.try_open() {
                return connection;
            }
            has_room.await;
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
            state: Mutex::new(ConnectionState { ticket: 0, since: Instant::now(), phase: Phase::Head }),
            displaced: Arc::default(),
        };
        connection.wait_for_request(Phase::Head);
        Some(Arc::new(connection))
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Connection {
    connections: Arc<Connections>,
    state: Mutex<ConnectionState>,
    displaced: Arc<Notify>,
}

struct ConnectionState {
    /// Key in [`Registry::waiting`].
    ticket: u64,
    since: Instant,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the first byte of the next request.
    Idle,
    /// Waits for the end of a request's head.
    Head,
    /// Answers a request.
    Answer,
}

/// A request that is being answered; ends when it is dropped.
pub(crate) struct RequestGuard(Arc<Connection>);

impl Connection {
    /// Begins a request, when its head has arrived.
    pub(crate) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.lock();
        state.phase = Phase::Answer;
        let ticket = state.ticket;
        drop(state);
        self.connections.lock().waiting.remove(&ticket);
        RequestGuard(Arc::clone(self))
    }

    /// Resolves when a new connection displaces this one.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.lock().phase == Phase::Answer
    }

    fn wait_for_request(&self, phase: Phase) {
        let mut registry = self.connections.lock();
        let ticket = registry.next_ticket;
        registry.next_ticket += 1;
        registry.waiting.insert(ticket, Arc::clone(&self.displaced));
        let is_full = registry.open >= self.connections.max;
        drop(registry);
        *self.lock() = ConnectionState { ticket, since: Instant::now(), phase };
        if is_full {
            self.connections.has_room.notify_one();
        }
    }

    fn record_read(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            *state = ConnectionState { since: Instant::now(), phase: Phase::Head, ..*state };
        }
    }

    /// Time by which the client must send more bytes; none while a request is being answered.
    fn read_deadline(&self) -> Option<Instant> {
        let state = self.lock();
        match state.phase {
            Phase::Idle => Some(state.since + IDLE_TIMEOUT),
            Phase::Head => Some(state.since + HEAD_TIMEOUT),
            Phase::Answer => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.wait_for_request(Phase::Idle);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let ticket = self.lock().ticket;
        let mut registry = self.connections.lock();
        registry.waiting.remove(&ticket);
        registry.open = registry.open.saturating_sub(1);
        drop(registry);
        self.connections.has_room.notify_one();
    }
}

/// Raises the process's limit on files to the system's, and returns the connections that it allows.
fn file_limit() -> usize {
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        current = maximum;
    }
    let files = current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(RESERVED_FILES) / 2).unwrap_or(usize::MAX).max(MIN_CONNECTIONS)
}

/// A stream that fails with `TimedOut` if the client is too slow to send or to read.
pub(crate) struct TimedStream<T> {
    stream: T,
    connection: Arc<Connection>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<T> TimedStream<T> {
    pub(crate) fn new(stream: T, connection: Arc<Connection>) -> TimedStream<T> {
        TimedStream { stream, connection, read_timer: None, write_timer: None }
    }

    fn check_write_timeout<R>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.write_timer = None;
            return poll;
        }
        let write_timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIMEOUT)));
        ready!(write_timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read the response")))
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
                self.connection.record_read();
            }
            return Poll::Ready(read);
        }
        // The timer also runs while a request is being answered: nothing else polls the stream when
        // the answer ends and the connection becomes idle.
        loop {
            let deadline = self.connection.read_deadline();
            let at = deadline.unwrap_or_else(|| Instant::now() + IDLE_TIMEOUT);
            let read_timer = self.read_timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if deadline.is_some_and(|deadline| read_timer.deadline() != deadline) {
                read_timer.as_mut().reset(at);
            }
            ready!(read_timer.as_mut().poll(context));
            if deadline.is_some() && self.connection.read_deadline() == deadline {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends no request")));
            }
            self.read_timer = None;
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check_write_timeout(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.check_write_timeout(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.check_write_timeout(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.check_write_timeout(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn connection_that_becomes_idle_is_displaced_by_a_waiting_one() {
        let connections = Connections::new(1);
        let first = connections.open().await;
        let request = first.begin_request();
        let second = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.open().await }
        });
        tokio::task::yield_now().await; // waits: the only connection is answering
        drop(request);
        timeout(WRITE_TIMEOUT, first.displaced()).await.expect("the idle connection is displaced");
        drop(first);
        assert!(
            timeout(WRITE_TIMEOUT, second).await.is_ok_and(|opened| opened.is_ok()),
            "the waiting connection is open"
        );
    }
}
