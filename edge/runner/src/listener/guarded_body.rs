//! The body of a response, which keeps its request open until it is sent.

use super::connections::RequestGuard;
use crate::response::{Body, BodyError};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Frames of an HTTP/2 response. Small, so that a slow client is seen to make progress.
const MAX_HTTP2_FRAME_BYTES: usize = 16 << 10;

/// A response body that ends its request when it is dropped.
pub(super) struct GuardedBody {
    body: Body,
    request: Option<RequestGuard>,
    is_http2: bool,
    /// Data of the last frame that is not sent yet.
    rest: Bytes,
    has_ended: bool,
}

impl GuardedBody {
    pub(super) fn new(body: Body, request: Option<RequestGuard>, is_http2: bool) -> GuardedBody {
        GuardedBody { body, request, is_http2, rest: Bytes::new(), has_ended: false }
    }

    fn set_waiting_for_client(&self, is_waiting: bool) {
        if let Some(request) = self.request.as_ref().filter(|_| self.is_http2) {
            request.set_waiting_for_client(is_waiting);
        }
    }

    /// The next part of the last frame.
    fn next_part(&mut self) -> Frame<Bytes> {
        let part = self.rest.split_to(self.rest.len().min(MAX_HTTP2_FRAME_BYTES));
        self.set_waiting_for_client(true);
        Frame::data(part)
    }
}

impl Drop for GuardedBody {
    fn drop(&mut self) {
        let is_finished = self.has_ended || <GuardedBody as http_body::Body>::is_end_stream(self);
        if let Some(request) = self.request.as_mut().filter(|_| is_finished) {
            request.set_finished();
        }
    }
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_part())));
        }
        self.set_waiting_for_client(false);
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(Some(Ok(frame))) if self.is_http2 => match frame.into_data() {
                Ok(data) if data.len() > MAX_HTTP2_FRAME_BYTES => {
                    self.rest = data;
                    Poll::Ready(Some(Ok(self.next_part())))
                }
                Ok(data) => {
                    self.set_waiting_for_client(true);
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(trailers) => {
                    self.has_ended = true;
                    Poll::Ready(Some(Ok(trailers)))
                }
            },
            // An error of the body is not the client's doing either.
            Poll::Ready(None | Some(Err(_))) => {
                self.has_ended = true;
                polled
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::full;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn http2_response_is_sent_in_small_frames() {
        let content: Vec<u8> = (0..40_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut body = GuardedBody::new(full(content.clone()), None, true);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(40_000));
        let (mut sent, mut sizes) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.expect("no error").into_data().expect("data");
            sizes.push(data.len());
            sent.extend_from_slice(&data);
        }
        assert_eq!((sent, sizes), (content, vec![16_384, 16_384, 7_232]));
    }
}
