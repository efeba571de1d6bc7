//! Client connections: their maximum number, and timeouts for each. The maximum leaves files for
//! connections to the upstream and the origin. At the maximum, a new connection displaces the one
//! that has been waiting for a request the longest. The same maximum bounds the requests that are
//! being answered, of which an HTTP/2 connection can have many.
//!
//! Never: connections without requests keep out others, or use up the process's files.

use crate::settings::ClientTimeouts;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// Files for everything except connections: listener, sync, store, cache of compiled components.
const RESERVED_FILES: u64 = 128;
/// Minimum of the connection limit, whatever the system's limit on files.
const MIN_CONNECTIONS: usize = 8;
/// Requests of an HTTP/2 connection that the client may cancel, beyond as many as it lets finish.
const MAX_CANCELLED_REQUESTS: u32 = 256;

/// All client connections.
pub(crate) struct Connections {
    max: usize,
    timeouts: ClientTimeouts,
    registry: Mutex<Registry>,
    /// Notified when a connection ends, and when one becomes idle at the maximum.
    has_room: Notify,
}

#[derive(Default)]
struct Registry {
    open: usize,
    /// Requests that are being answered.
    requests: usize,
    next_ticket: u64,
    /// Connections that are waiting for a request, the longest wait first.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Connections {
    /// Allows `max` connections, or fewer if the process may not open two files for each: one for
    /// the client and one for the upstream.
    pub(crate) fn new(max: usize, timeouts: ClientTimeouts) -> Arc<Connections> {
        let max = max.min(file_limit());
        tracing::debug!(max, "connection limit");
        Arc::new(Connections { max, timeouts, registry: Mutex::default(), has_room: Notify::new() })
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
            state: Mutex::new(ConnectionState {
                ticket: 0,
                since: Instant::now(),
                phase: Phase::Head,
                is_http2: false,
                requests: Vec::new(),
                next_request: 0,
                cancelled: 0,
            }),
            displaced: Arc::default(),
            is_flooding: Notify::new(),
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
    is_flooding: Notify,
}

struct ConnectionState {
    /// Key in [`Registry::waiting`].
    ticket: u64,
    since: Instant,
    phase: Phase,
    /// Known from the first request on.
    is_http2: bool,
    /// The requests that are being answered.
    requests: Vec<OpenRequest>,
    next_request: u64,
    /// Cancelled requests less finished ones.
    cancelled: u32,
}

struct OpenRequest {
    id: u64,
    /// Time since which the client has been blocking the response by flow control (HTTP/2).
    blocked_since: Option<Instant>,
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
pub(crate) struct RequestGuard {
    connection: Arc<Connection>,
    request: u64,
    is_finished: bool,
}

impl RequestGuard {
    /// Records whether the response's body waits for the client, after it has given data to send.
    pub(crate) fn set_waiting_for_client(&self, is_waiting: bool) {
        let mut state = self.connection.lock();
        if let Some(request) = state.requests.iter_mut().find(|request| request.id == self.request) {
            request.blocked_since = is_waiting.then(Instant::now);
        }
    }

    /// Records that the whole response was sent.
    pub(crate) fn set_finished(&mut self) {
        self.is_finished = true;
    }
}

impl Connection {
    /// Begins a request, when its head has arrived. None if the maximum of requests is being
    /// answered.
    pub(crate) fn begin_request(self: &Arc<Self>, is_http2: bool) -> Option<RequestGuard> {
        let mut state = self.lock();
        let request = state.next_request;
        state.next_request += 1;
        state.requests.push(OpenRequest { id: request, blocked_since: None });
        state.is_http2 = is_http2;
        state.phase = Phase::Answer;
        let mut registry = self.connections.lock();
        registry.waiting.remove(&state.ticket);
        registry.requests += 1;
        let is_allowed = registry.requests <= self.connections.max;
        drop(registry);
        drop(state);
        let guard = RequestGuard { connection: Arc::clone(self), request, is_finished: false };
        is_allowed.then_some(guard)
    }

    /// Resolves when the client cancels far more requests than it lets finish, so that they cost
    /// more work than the limit on concurrent requests allows.
    pub(crate) async fn is_flooding(&self) {
        self.is_flooding.notified().await;
    }

    /// Whether the client has been blocking a response by flow control for too long.
    pub(crate) fn has_blocked_response(&self) -> bool {
        let is_blocked = |since: Instant| since.elapsed() > self.timeouts().write;
        self.lock().requests.iter().any(|request| request.blocked_since.is_some_and(is_blocked))
    }

    /// Time by which the head of the first request must have arrived.
    pub(crate) fn first_request_deadline(&self) -> Instant {
        self.lock().since + self.timeouts().head
    }

    pub(crate) fn timeouts(&self) -> &ClientTimeouts {
        &self.connections.timeouts
    }

    fn end_request(&self, request: u64, is_finished: bool) {
        let mut state = self.lock();
        state.requests.retain(|open| open.id != request);
        state.cancelled = if is_finished { state.cancelled.saturating_sub(1) } else { state.cancelled + 1 };
        // An HTTP/1.1 connection ends with the first request that its client cancels.
        let is_flooding = state.is_http2 && state.cancelled > MAX_CANCELLED_REQUESTS;
        drop(state);
        if is_flooding {
            self.is_flooding.notify_one();
        }
        self.connections.lock().requests -= 1;
        self.wait_for_request(Phase::Idle);
    }

    /// Resolves when a new connection displaces this one.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.lock().phase == Phase::Answer
    }

    /// Waits for the next request, unless one is being answered.
    fn wait_for_request(&self, phase: Phase) {
        // Locked throughout, so that no request begins meanwhile.
        let mut state = self.lock();
        if !state.requests.is_empty() {
            return;
        }
        let mut registry = self.connections.lock();
        let ticket = registry.next_ticket;
        registry.next_ticket += 1;
        registry.waiting.insert(ticket, Arc::clone(&self.displaced));
        let is_full = registry.open >= self.connections.max;
        drop(registry);
        (state.ticket, state.since, state.phase) = (ticket, Instant::now(), phase);
        drop(state);
        if is_full {
            self.connections.has_room.notify_one();
        }
    }

    fn record_read(&self) {
        let mut state = self.lock();
        // On an HTTP/2 connection, these may be bytes that belong to no request.
        if state.phase == Phase::Idle && !state.is_http2 {
            (state.since, state.phase) = (Instant::now(), Phase::Head);
        }
    }

    /// Time by which the client must send more bytes; none while a request is being answered.
    fn read_deadline(&self) -> Option<Instant> {
        let state = self.lock();
        match state.phase {
            Phase::Idle => Some(state.since + self.timeouts().idle),
            Phase::Head => Some(state.since + self.timeouts().head),
            Phase::Answer => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.connection.end_request(self.request, self.is_finished);
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
        let timeout = self.connection.timeouts().write;
        let write_timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
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
            let timeouts = self.connection.timeouts();
            let at = deadline.unwrap_or_else(|| Instant::now() + timeouts.idle.min(timeouts.write));
            let read_timer = self.read_timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if deadline.is_some_and(|deadline| read_timer.deadline() != deadline) {
                read_timer.as_mut().reset(at);
            }
            ready!(read_timer.as_mut().poll(context));
            if deadline.is_some() && self.connection.read_deadline() == deadline {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends no request")));
            }
            if self.connection.has_blocked_response() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not accept the response",
                )));
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
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    const TIMEOUTS: ClientTimeouts =
        ClientTimeouts { head: LIMIT, body: LIMIT, idle: LIMIT, write: Duration::ZERO, stream: LIMIT };

    #[tokio::test]
    async fn http2_connection_has_as_many_requests_as_there_may_be_connections() {
        let connections = Connections::new(2, TIMEOUTS);
        let connection = connections.open().await;
        let (first, _second) = (connection.begin_request(true), connection.begin_request(true));
        assert!(first.is_some() && connection.begin_request(true).is_none());
        drop(first);
        assert!(connection.begin_request(true).is_some() && connection.is_answering());
    }

    #[tokio::test]
    async fn response_that_the_client_does_not_accept_is_noticed() {
        let connections = Connections::new(1, TIMEOUTS);
        let connection = connections.open().await;
        let request = connection.begin_request(true).expect("allowed");
        request.set_waiting_for_client(true);
        while !connection.has_blocked_response() {
            tokio::task::yield_now().await;
        }
        request.set_waiting_for_client(false);
        assert!(!connection.has_blocked_response());
    }

    #[tokio::test]
    async fn client_that_cancels_its_requests_is_noticed() {
        let connections = Connections::new(1, TIMEOUTS);
        let connection = connections.open().await;
        let end = |is_finished| {
            let mut request = connection.begin_request(true).expect("allowed");
            if is_finished {
                request.set_finished();
            }
        };
        for _ in 0..=MAX_CANCELLED_REQUESTS {
            end(true);
            end(false);
        }
        assert!(timeout(Duration::ZERO, connection.is_flooding()).await.is_err(), "it lets as many finish");
        for _ in 0..=MAX_CANCELLED_REQUESTS {
            end(false);
        }
        timeout(LIMIT, connection.is_flooding()).await.expect("it is noticed");
    }

    #[tokio::test]
    async fn connection_that_becomes_idle_is_displaced_by_a_waiting_one() {
        let connections = Connections::new(1, TIMEOUTS);
        let first = connections.open().await;
        let request = first.begin_request(false);
        let second = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.open().await }
        });
        tokio::task::yield_now().await; // waits: the only connection is answering
        drop(request);
        timeout(LIMIT, first.displaced()).await.expect("the idle connection is displaced");
        drop(first);
        assert!(timeout(LIMIT, second).await.is_ok_and(|opened| opened.is_ok()), "the waiting connection is open");
    }
}
