//! A body that fails when its sender takes too long.

use crate::answer::BodyError;
use bytes::Bytes;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a client may take to send a body: this, and so many bytes a second behind it. Apache's `RequestReadTimeout` has the
/// same by default.
const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(20);
const MIN_BYTES_PER_SECOND: u64 = 500;

/// How long a sender may take.
#[derive(Clone, Copy)]
enum Limit {
    /// Until each next frame.
    Pause(Duration),
    /// Altogether, by the bytes that came.
    Rate { began: Instant, bytes: u64 },
}

impl Limit {
    fn deadline(self) -> Instant {
        match self {
            Limit::Pause(pause) => Instant::now() + pause,
            Limit::Rate { began, bytes } => {
                let millis = bytes.saturating_mul(1000) / MIN_BYTES_PER_SECOND;
                // Nobody sends for longer than a year.
                began + REQUEST_BODY_TIMEOUT + Duration::from_millis(millis.min(1 << 35))
            }
        }
    }
}

/// A body with a limit on its time.
pub(crate) struct TimedBody {
    body: Incoming,
    limit: Limit,
    sleep: Pin<Box<Sleep>>,
}

impl TimedBody {
    /// The body of an answer: no pause in it is longer than this.
    pub(crate) fn with_pause(body: Incoming, pause: Duration) -> TimedBody {
        TimedBody::new(body, Limit::Pause(pause))
    }

    /// The body of a client's request: it comes at a rate that is worth to wait for.
    pub(crate) fn of_request(body: Incoming) -> TimedBody {
        TimedBody::new(body, Limit::Rate { began: Instant::now(), bytes: 0 })
    }

    fn new(body: Incoming, limit: Limit) -> TimedBody {
        TimedBody { body, limit, sleep: Box::pin(sleep_until(limit.deadline())) }
    }
}

/// The sender of a body took too long.
#[derive(Debug)]
pub(crate) struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl std::error::Error for TooSlow {}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) {
            if let (Limit::Rate { bytes, .. }, Some(Ok(frame))) = (&mut self.limit, &polled) {
                *bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            let deadline = self.limit.deadline();
            self.sleep.as_mut().reset(deadline);
            return Poll::Ready(polled.map(|frame| frame.map_err(Into::into)));
        }
        self.sleep.as_mut().poll(context).map(|()| Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
