//! A body with a limit on the time that its sender takes.

use crate::response::BodyError;
use crate::upstream::Lease;
use bytes::Bytes;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Rate at which a request's body extends its time, as in Apache's `RequestReadTimeout`.
const MIN_BYTES_PER_SECOND: u64 = 500;

/// Limit on the sender's time.
#[derive(Clone, Copy)]
enum TimeLimit {
    /// Until the next frame.
    Read(Duration),
    /// For the whole body, by the bytes received so far.
    MinRate { started: Instant, timeout: Duration, bytes: u64 },
}

impl TimeLimit {
    fn deadline(self) -> Instant {
        match self {
            TimeLimit::Read(timeout) => Instant::now() + timeout,
            TimeLimit::MinRate { started, timeout, bytes } => {
                let millis = bytes.saturating_mul(1000) / MIN_BYTES_PER_SECOND;
                // The bound of one year prevents an overflow.
                started + timeout + Duration::from_millis(millis.min(1 << 35))
            }
        }
    }
}

/// A body that fails with [`TooSlow`] when its time is over.
pub(crate) struct TimedBody {
    body: Incoming,
    limit: TimeLimit,
    sleep: Pin<Box<Sleep>>,
    /// Counts the request at the upstream's address.
    lease: Option<Lease>,
}

impl TimedBody {
    /// Limits each pause between frames.
    pub(crate) fn with_read_timeout(body: Incoming, timeout: Duration) -> TimedBody {
        TimedBody::new(body, TimeLimit::Read(timeout))
    }

    /// Requires the minimum rate of a request's body after `timeout`.
    pub(crate) fn of_request(body: Incoming, timeout: Duration) -> TimedBody {
        TimedBody::new(body, TimeLimit::MinRate { started: Instant::now(), timeout, bytes: 0 })
    }

    fn new(body: Incoming, limit: TimeLimit) -> TimedBody {
        TimedBody { body, limit, sleep: Box::pin(sleep_until(limit.deadline())), lease: None }
    }

    /// Holds the lease as long as the body.
    pub(crate) fn with_lease(self, lease: Option<Lease>) -> TimedBody {
        TimedBody { lease, ..self }
    }
}

#[derive(Debug)]
pub(crate) struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body arrived too slowly")
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
            if !matches!(polled, Some(Ok(_))) {
                drop(self.lease.take());
            }
            if let (TimeLimit::MinRate { bytes, .. }, Some(Ok(frame))) = (&mut self.limit, &polled) {
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
