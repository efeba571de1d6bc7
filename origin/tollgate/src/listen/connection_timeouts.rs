//! An I/O stream that fails with `TimedOut` when the client takes too long to send a request's
//! head, to send the next request, or to read a response. The body of a request has its own timeout
//! (`connection_service.rs`).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Clone, Copy)]
pub(super) struct ConnectionTimeouts {
    /// From the first byte of a request to the end of its head. For the first request, from the
    /// start of the connection, including the TLS handshake.
    head: Duration,
    /// From the end of a response to the first byte of the next request.
    idle: Duration,
    /// While the client reads no byte of a response.
    write: Duration,
}

impl ConnectionTimeouts {
    /// `idle` is longer than the minute for which many proxies keep connections, so that a proxy
    /// does not send a request on a connection that is just being closed.
    pub(super) const DEFAULT: ConnectionTimeouts = ConnectionTimeouts {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };
}

/// Activity of a connection: recorded by the HTTP service, read by the stream to choose a timeout.
pub(super) struct Activity {
    timeouts: ConnectionTimeouts,
    state: Mutex<State>,
}

struct State {
    /// Requests whose response is not complete.
    active_requests: usize,
    has_received_request: bool,
    /// When the last active request ended, or when the connection began.
    idle_since: Instant,
    /// When the first byte of the next request's head was read.
    head_since: Option<Instant>,
    /// HTTP/2, where some frames belong to no request.
    is_http2: bool,
}

/// An active request; it ends when this is dropped.
pub(super) struct ActiveRequest(Arc<Activity>);

impl Activity {
    pub(super) fn new(timeouts: ConnectionTimeouts) -> Arc<Activity> {
        let now = Instant::now();
        let state = State {
            active_requests: 0,
            has_received_request: false,
            idle_since: now,
            head_since: None,
            is_http2: false,
        };
        Arc::new(Activity { timeouts, state: Mutex::new(state) })
    }

    /// Deadline for the head of the first request.
    pub(super) fn first_request_deadline(&self) -> Instant {
        self.lock().idle_since + self.timeouts.head
    }

    /// Records that the head of a request is complete.
    pub(super) fn begin_request(self: &Arc<Activity>) -> ActiveRequest {
        let mut state = self.lock();
        state.active_requests += 1;
        state.has_received_request = true;
        state.head_since = None;
        drop(state);
        ActiveRequest(Arc::clone(self))
    }

    fn record_read(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if !state.has_received_request {
            // The first bytes of the HTTP/2 preface (RFC 9113 §3.4) suffice: HTTP/1 has no method
            // PRI.
            state.is_http2 |= bytes.starts_with(b"PRI");
        } else if state.active_requests == 0 {
            let now = Instant::now();
            match state.is_http2 {
                true => state.idle_since = now,
                false => state.head_since = state.head_since.or(Some(now)),
            }
        }
    }

    /// Deadline for the next byte; none while the client waits for a response.
    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        match (state.active_requests, state.has_received_request, state.head_since) {
            (1.., _, _) => None,
            (0, false, _) => Some(state.idle_since + self.timeouts.head),
            (0, true, Some(since)) => Some(since + self.timeouts.head),
            (0, true, None) => Some(state.idle_since + self.timeouts.idle),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.active_requests = state.active_requests.saturating_sub(1);
        state.idle_since = Instant::now();
    }
}

/// An I/O stream that fails with `TimedOut` when a read, write or idle timeout expires.
pub(super) struct TimeoutStream<T> {
    stream: T,
    activity: Arc<Activity>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<T> TimeoutStream<T> {
    pub(super) fn new(stream: T, activity: Arc<Activity>) -> TimeoutStream<T> {
        TimeoutStream { stream, activity, read_timer: None, write_timer: None }
    }

    /// Returns the result of a write, or an error if the write timeout has expired.
    fn check_write_timeout<R>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.write_timer = None;
            return poll;
        }
        let timeout = self.activity.timeouts.write;
        let write_timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        ready!(write_timer.as_mut().poll(cx));
        Poll::Ready(Err(timed_out("timeout while sending the response")))
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for TimeoutStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
                self.activity.record_read(bytes);
            }
            return Poll::Ready(read);
        }
        let Some(deadline) = self.activity.deadline() else {
            return Poll::Pending;
        };
        let read_timer = self.read_timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if read_timer.deadline() != deadline {
            read_timer.as_mut().reset(deadline);
        }
        ready!(read_timer.as_mut().poll(cx));
        // The timer may have been set for an earlier wait.
        match self.activity.deadline() {
            Some(deadline) if deadline <= Instant::now() => {
                Poll::Ready(Err(timed_out("timeout while waiting for a request")))
            }
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_write_timeout(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_write_timeout(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.check_write_timeout(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.check_write_timeout(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const SHORT: ConnectionTimeouts = ConnectionTimeouts {
        head: Duration::from_millis(20),
        idle: Duration::from_millis(60),
        write: Duration::from_millis(20),
    };

    /// Duration from `since` to the deadline.
    fn wait(activity: &Activity, since: Instant) -> Option<Duration> {
        activity.deadline().map(|deadline| deadline - since)
    }

    #[tokio::test]
    async fn head_and_idle_timeouts_apply_in_turn() {
        let activity = Activity::new(ConnectionTimeouts::DEFAULT);
        let start = activity.lock().idle_since;
        let ConnectionTimeouts { head, idle, .. } = ConnectionTimeouts::DEFAULT;
        assert_eq!(wait(&activity, start), Some(head), "for the first request");
        activity.record_read(b"GE");
        assert_eq!(wait(&activity, start), Some(head), "more bytes do not extend the timeout");
        let (one, other) = (activity.begin_request(), activity.begin_request());
        drop(one);
        activity.record_read(b"body");
        assert_eq!(activity.deadline(), None, "no timeout while the client waits for a response");
        drop(other);
        let ended = activity.lock().idle_since;
        assert_eq!(wait(&activity, ended), Some(idle), "for the next request");
        activity.record_read(b"GE");
        let first = activity.lock().head_since.expect("the next request has begun");
        assert_eq!(wait(&activity, first), Some(head));
        tokio::time::sleep(MILLI).await;
        activity.record_read(b"T");
        assert_eq!(wait(&activity, first), Some(head), "more bytes do not extend the timeout");
    }

    #[tokio::test]
    async fn http2_frames_outside_requests_restart_the_idle_timeout() {
        let activity = Activity::new(ConnectionTimeouts::DEFAULT);
        activity.record_read(b"PRI * HTTP/2.0");
        drop(activity.begin_request());
        tokio::time::sleep(MILLI).await;
        activity.record_read(b"ping");
        let since = activity.lock().idle_since;
        assert_eq!(wait(&activity, since), Some(ConnectionTimeouts::DEFAULT.idle));
    }

    #[tokio::test]
    async fn read_times_out_without_a_request() {
        let activity = Activity::new(SHORT);
        let (mut client, end) = duplex(64);
        let mut stream = TimeoutStream::new(end, Arc::clone(&activity));
        let start = Instant::now();
        let error = stream.read(&mut [0; 64]).await.expect_err("no data");
        assert!(error.kind() == io::ErrorKind::TimedOut && start.elapsed() >= SHORT.head);

        let request = activity.begin_request();
        client.write_all(b"body").await.expect("sent");
        assert_eq!(stream.read(&mut [0; 64]).await.expect("read"), 4);
        let mut bytes = [0; 64];
        let waiting = tokio::time::timeout(3 * SHORT.idle, stream.read(&mut bytes)).await;
        assert!(waiting.is_err(), "no timeout while the client waits for a response");
        drop(request);
        let start = Instant::now();
        let error = stream.read(&mut [0; 64]).await.expect_err("no data");
        assert!(error.kind() == io::ErrorKind::TimedOut && start.elapsed() + MILLI >= SHORT.idle);
    }

    #[tokio::test]
    async fn write_times_out_when_the_client_does_not_read() {
        let (_client, end) = duplex(8);
        let mut stream = TimeoutStream::new(end, Activity::new(SHORT));
        let error = stream.write_all(&[0; 64]).await.expect_err("the client does not read");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
