//! One exchange of request and response, which may become a stream.

use super::registry::{StreamId, StreamKind, Streams};
use crate::Request;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Age at which an exchange becomes a stream. Most exchanges end earlier.
pub(super) const STREAM_AGE: Duration = Duration::from_millis(100);

/// Why the edge ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The token was revoked.
    Revoked,
    /// The token expired.
    Expired,
    /// The token's revocation status is unknown, because the replica is stale.
    Stale,
    /// The token cannot be identified any more, or the gate cannot answer.
    Unidentified,
    /// More streams are open than the edge may hold.
    TooMany,
    /// No data passed for the idle timeout.
    Idle,
    /// The edge shuts down.
    Shutdown,
}

impl StreamEnd {
    /// The reason for this code of the gate.
    pub(super) fn from_gate(code: &str) -> StreamEnd {
        match code {
            "revoked" => StreamEnd::Revoked,
            "expired" => StreamEnd::Expired,
            "stale" | "not_covered" => StreamEnd::Stale,
            _ => StreamEnd::Unidentified,
        }
    }

    /// The reason in logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            StreamEnd::Revoked => "revoked",
            StreamEnd::Expired => "expired",
            StreamEnd::Stale => "stale",
            StreamEnd::Unidentified => "unidentified",
            StreamEnd::TooMany => "too_many",
            StreamEnd::Idle => "idle",
            StreamEnd::Shutdown => "shutdown",
        }
    }

    /// Whether the client needs another token.
    pub(crate) fn needs_new_token(self) -> bool {
        matches!(self, StreamEnd::Revoked | StreamEnd::Expired | StreamEnd::Unidentified)
    }

    /// Whether the gate ended the stream.
    pub(super) fn is_by_gate(self) -> bool {
        self.needs_new_token() || self == StreamEnd::Stale
    }

    /// The reason for the client: at most 123 bytes, so that a WebSocket close frame can have it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            StreamEnd::Revoked => "the token was revoked",
            StreamEnd::Expired => "the token has expired",
            StreamEnd::Stale => "the token's revocation status is unknown",
            StreamEnd::Unidentified => "the token is no longer accepted",
            StreamEnd::TooMany => "too many open streams",
            StreamEnd::Idle => "idle for too long",
            StreamEnd::Shutdown => "the edge is shutting down",
        }
    }
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for StreamEnd {}

/// Whether data of a stream may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The gate waits for a fresher replica.
    Paused,
    Ended(StreamEnd),
}

/// The part of an exchange that reads the state.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Response,
    Request,
}

/// State of an exchange, shared by its bodies and the registry.
pub(super) struct State(Mutex<StateFields>);

struct StateFields {
    phase: Phase,
    /// By [`Side`].
    wakers: [Option<Waker>; 2],
}

impl State {
    fn new() -> State {
        State(Mutex::new(StateFields { phase: Phase::Open, wakers: [None, None] }))
    }

    /// Sets the phase, and returns whether it is another one. An end is final.
    pub(super) fn set(&self, phase: Phase) -> bool {
        let mut fields = self.lock();
        if fields.phase == phase || matches!(fields.phase, Phase::Ended(_)) {
            return false;
        }
        fields.phase = phase;
        let wakers = std::mem::take(&mut fields.wakers);
        drop(fields);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
        true
    }

    /// Ready while data may pass, and with the error when the stream ends. Wakes the task at each
    /// change, whatever it returns.
    pub(super) fn poll_open(&self, context: &mut Context<'_>, side: Side) -> Poll<Result<(), StreamEnd>> {
        let mut fields = self.lock();
        if let Phase::Ended(end) = fields.phase {
            return Poll::Ready(Err(end));
        }
        let waker = &mut fields.wakers[side as usize];
        match waker {
            Some(known) => known.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        if fields.phase == Phase::Open { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn lock(&self) -> MutexGuard<'_, StateFields> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange. Dropping it ends it.
pub(crate) struct Exchange {
    streams: Arc<Streams>,
    state: Arc<State>,
    began: Instant,
    stage: Stage,
}

enum Stage {
    /// Not a stream yet. The request identifies the token; none if the route's streams continue.
    Young { request: Option<Request>, timer: Option<Pin<Box<Sleep>>> },
    /// In the registry.
    Stream(StreamId),
    /// Not in the registry, because it is full.
    Refused,
}

impl Exchange {
    /// Begins an exchange. `request` is the one that the gate let pass; none if its stream
    /// continues without the token.
    pub(crate) fn begin(streams: &Arc<Streams>, request: Option<Request>) -> Exchange {
        let stage = Stage::Young { request, timer: None };
        Exchange { streams: Arc::clone(streams), state: Arc::new(State::new()), began: Instant::now(), stage }
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Makes the exchange a stream before its age does: an upgraded connection. If too many are
    /// open, it ends.
    pub(crate) fn become_tunnel(&mut self) {
        self.register(StreamKind::Tunnel);
    }

    fn register(&mut self, kind: StreamKind) {
        if let Stage::Young { request, .. } = &mut self.stage {
            let request = request.take();
            match self.streams.register(Arc::clone(&self.state), kind, request) {
                Some(id) => self.stage = Stage::Stream(id),
                None => {
                    self.stage = Stage::Refused;
                    self.end(StreamEnd::TooMany);
                }
            }
        }
    }

    /// Ends the exchange for another reason than its token.
    pub(super) fn end(&self, end: StreamEnd) {
        self.streams.end(&self.state, end);
    }

    /// Ready while data may pass, and with the error when the stream ends.
    pub(super) fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamEnd>> {
        if let Stage::Young { .. } = self.stage {
            if self.began.elapsed() < STREAM_AGE {
                return Poll::Ready(Ok(()));
            }
            self.register(StreamKind::Response);
        }
        self.state.poll_open(context, Side::Response)
    }

    /// Waits, while nothing arrives, until the exchange is old enough to be a stream. Pending for a
    /// stream.
    pub(super) fn poll_age(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Stage::Young { timer, .. } = &mut self.stage else { return Poll::Pending };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(self.began + STREAM_AGE)));
        ready!(timer.as_mut().poll(context));
        self.register(StreamKind::Response);
        Poll::Ready(())
    }

    /// Runs `work`, such as waiting for the upstream's response, while the exchange may go on.
    ///
    /// # Errors
    /// The end of the stream. `work` is then dropped by the caller.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StreamEnd> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            loop {
                if let Err(end) = ready!(self.poll_open(context)) {
                    return Poll::Ready(Err(end));
                }
                if let Poll::Ready(output) = work.as_mut().poll(context) {
                    return Poll::Ready(Ok(output));
                }
                ready!(self.poll_age(context));
            }
        })
        .await
    }

    /// Waits until the stream is paused or ends.
    pub(super) async fn interrupted(&mut self) {
        std::future::poll_fn(|context| match self.poll_open(context) {
            Poll::Ready(Ok(())) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Waits until data may pass.
    pub(super) async fn open(&mut self) -> Result<(), StreamEnd> {
        std::future::poll_fn(|context| self.poll_open(context)).await
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Stage::Stream(id) = self.stage {
            self.streams.remove(id);
        }
    }
}
