//! A connection that ends when the other end takes too long: to send a request's
//! head, to send the next request, or to take an answer. A request's body has its own
//! time (`requests.rs`).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection waits for what.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a request to the end of its head; of a new connection,
    /// from its beginning, the TLS handshake included.
    head: Duration,
    /// Between an answer and the first byte of the next request.
    idle: Duration,
    /// Without a byte of an answer taken.
    write: Duration,
}

impl Patience {
    /// Proxies keep connections for a minute, and must not find them closed in the
    /// moment that they use them.
    pub(super) const USUAL: Patience =
        Patience { head: Duration::from_secs(10), idle: Duration::from_secs(75), write: Duration::from_secs(30) };
}

/// What a connection is at, told by those who read its requests to those who read its
/// bytes.
pub(super) struct Activity {
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    /// Requests that are being answered.
    running: usize,
    /// Whether there was ever one.
    begun: bool,
    /// Since when nothing runs.
    idle_since: Instant,
    /// Since when the next request's head comes in.
    head_since: Option<Instant>,
    /// Whether it speaks HTTP/2, where bytes come that belong to no request.
    is_http2: bool,
}

/// A request that is being answered, until it is dropped.
pub(super) struct Running(Arc<Activity>);

impl Activity {
    /// A connection that begins now.
    pub(super) fn new(patience: Patience) -> Arc<Activity> {
        let now = Instant::now();
        let state = State { running: 0, begun: false, idle_since: now, head_since: None, is_http2: false };
        Arc::new(Activity { patience, state: Mutex::new(state) })
    }

    /// When the first request's head must be there.
    pub(super) fn first_by(&self) -> Instant {
        self.lock().idle_since + self.patience.head
    }

    /// A request's head is there.
    pub(super) fn begin(self: &Arc<Activity>) -> Running {
        let mut state = self.lock();
        state.running += 1;
        state.begun = true;
        state.head_since = None;
        drop(state);
        Running(Arc::clone(self))
    }

    fn arrived(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if !state.begun {
            // The preface of HTTP/2 (RFC 9113 §3.4), of which the first bytes are enough: no
            // method of HTTP/1 is called PRI.
            state.is_http2 |= bytes.starts_with(b"PRI");
        } else if state.running == 0 {
            let now = Instant::now();
            match state.is_http2 {
                true => state.idle_since = now,
                false => state.head_since = state.head_since.or(Some(now)),
            }
        }
    }

    /// When there must be more bytes; none while the other end waits for us.
    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        match (state.running, state.begun, state.head_since) {
            (1.., _, _) => None,
            (0, false, _) => Some(state.idle_since + self.patience.head),
            (0, true, Some(since)) => Some(since + self.patience.head),
            (0, true, None) => Some(state.idle_since + self.patience.idle),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = state.running.saturating_sub(1);
        state.idle_since = Instant::now();
    }
}

/// A connection with an end to its patience.
pub(super) struct Patient<T> {
    stream: T,
    activity: Arc<Activity>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<T> Patient<T> {
    pub(super) fn new(stream: T, activity: Arc<Activity>) -> Patient<T> {
        Patient { stream, activity, reading: None, writing: None }
    }

    /// Ends the connection if nothing was taken for too long.
    fn written<R>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.writing = None;
            return poll;
        }
        let patience = self.activity.patience.write;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        ready!(writing.as_mut().poll(cx));
        Poll::Ready(Err(late("the answer is not taken")))
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
                self.activity.arrived(bytes);
            }
            return Poll::Ready(read);
        }
        let Some(deadline) = self.activity.deadline() else {
            return Poll::Pending;
        };
        let reading = self.reading.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if reading.deadline() != deadline {
            reading.as_mut().reset(deadline);
        }
        ready!(reading.as_mut().poll(cx));
        // A timer that was set for an earlier wait may ring when the next one has begun.
        match self.activity.deadline() {
            Some(deadline) if deadline <= Instant::now() => Poll::Ready(Err(late("no request comes"))),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const SHORT: Patience =
        Patience { head: Duration::from_millis(20), idle: Duration::from_millis(60), write: Duration::from_millis(20) };

    /// From when a wait is counted, and how long it is.
    fn wait(activity: &Activity, since: Instant) -> Option<Duration> {
        activity.deadline().map(|deadline| deadline - since)
    }

    #[tokio::test]
    async fn each_thing_is_waited_for_in_its_own_time() {
        let activity = Activity::new(Patience::USUAL);
        let began = activity.lock().idle_since;
        let Patience { head, idle, .. } = Patience::USUAL;
        assert_eq!(wait(&activity, began), Some(head), "for the first request");
        activity.arrived(b"GE");
        assert_eq!(wait(&activity, began), Some(head), "bytes give no more time");
        let (one, other) = (activity.begin(), activity.begin());
        drop(one);
        activity.arrived(b"body");
        assert_eq!(activity.deadline(), None, "who is answered waits for us");
        drop(other);
        let ended = activity.lock().idle_since;
        assert_eq!(wait(&activity, ended), Some(idle), "for the next request");
        activity.arrived(b"GE");
        let first = activity.lock().head_since.expect("the next request comes");
        assert_eq!(wait(&activity, first), Some(head));
        tokio::time::sleep(MILLI).await;
        activity.arrived(b"T");
        assert_eq!(wait(&activity, first), Some(head), "bytes give no more time");
    }

    #[tokio::test]
    async fn in_http2_bytes_come_that_are_no_request() {
        let activity = Activity::new(Patience::USUAL);
        activity.arrived(b"PRI * HTTP/2.0");
        drop(activity.begin());
        tokio::time::sleep(MILLI).await;
        activity.arrived(b"ping");
        let since = activity.lock().idle_since;
        assert_eq!(wait(&activity, since), Some(Patience::USUAL.idle));
    }

    #[tokio::test]
    async fn a_connection_that_waits_in_vain_ends() {
        let activity = Activity::new(SHORT);
        let (mut other, end) = duplex(64);
        let mut patient = Patient::new(end, Arc::clone(&activity));
        let began = Instant::now();
        let error = patient.read(&mut [0; 64]).await.expect_err("nothing comes");
        assert!(error.kind() == io::ErrorKind::TimedOut && began.elapsed() >= SHORT.head);

        let running = activity.begin();
        other.write_all(b"body").await.expect("sent");
        assert_eq!(patient.read(&mut [0; 64]).await.expect("read"), 4);
        let mut bytes = [0; 64];
        let waiting = tokio::time::timeout(3 * SHORT.idle, patient.read(&mut bytes)).await;
        assert!(waiting.is_err(), "who is answered waits for us");
        drop(running);
        let began = Instant::now();
        let error = patient.read(&mut [0; 64]).await.expect_err("nothing comes");
        assert!(error.kind() == io::ErrorKind::TimedOut && began.elapsed() + MILLI >= SHORT.idle);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_given_up() {
        let (_other, end) = duplex(8);
        let mut patient = Patient::new(end, Activity::new(SHORT));
        let error = patient.write_all(&[0; 64]).await.expect_err("nobody takes it");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
