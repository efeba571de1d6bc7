//! The bodies of an exchange that may become a stream.

use super::exchange::{Exchange, Side, State, StreamEnd};
use super::grpc;
use crate::response::BodyError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Body of a response, with its exchange. When the stream ends by the edge, the body ends with an
/// error: an HTTP/1.1 client sees a body without its last chunk, an HTTP/2 client a reset stream. A
/// gRPC call ends with the trailers of an error.
pub(crate) struct StreamedResponse<B> {
    /// None when the edge has ended the stream.
    body: Option<B>,
    exchange: Exchange,
    is_grpc: bool,
}

impl<B> StreamedResponse<B> {
    pub(crate) fn new(body: B, exchange: Exchange, is_grpc: bool) -> StreamedResponse<B> {
        StreamedResponse { body: Some(body), exchange, is_grpc }
    }

    /// The last frame of a stream that the edge ends. The upstream's body is dropped, and so its
    /// stream is reset, or its connection is closed.
    fn end(&mut self, end: StreamEnd) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.body.take()?;
        Some(if self.is_grpc { Ok(Frame::trailers(grpc::trailers(end))) } else { Err(end.into()) })
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for StreamedResponse<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Err(end) = ready!(self.exchange.poll_open(context)) {
                return Poll::Ready(self.end(end));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
                return Poll::Ready(frame);
            }
            ready!(self.exchange.poll_age(context));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

/// Body of a request, which stops with the stream of its response. It has no trailers: a server may
/// merge them into the headers (RFC 9110 section 6.5.1), where only the gate sets an identity.
pub(crate) struct StreamedRequest<B> {
    body: B,
    state: Arc<State>,
}

impl<B> StreamedRequest<B> {
    pub(crate) fn new(body: B, exchange: &Exchange) -> StreamedRequest<B> {
        StreamedRequest { body, state: Arc::clone(exchange.state()) }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for StreamedRequest<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Err(end) = ready!(self.state.poll_open(context, Side::Request)) {
            return Poll::Ready(Some(Err(end.into())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.filter(|frame| !frame.as_ref().is_ok_and(Frame::is_trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::{StreamKind, Streams};
    use super::*;
    use crate::metrics::RunnerMetrics;
    use crate::response::full;
    use http_body_util::{BodyExt as _, Empty};

    fn exchange() -> (Arc<Streams>, Exchange) {
        let streams = Streams::new(8, Arc::new(RunnerMetrics::new()));
        let mut exchange = Exchange::begin(&streams, None);
        exchange.become_tunnel();
        (streams, exchange)
    }

    /// A body of which nothing arrives.
    fn silent() -> impl Body<Data = Bytes, Error = BodyError> + Unpin {
        struct Silent;
        impl Body for Silent {
            type Data = Bytes;
            type Error = BodyError;
            fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
                Poll::Pending
            }
        }
        Silent
    }

    #[tokio::test]
    async fn response_ends_with_an_error_when_its_stream_ends() {
        let (streams, exchange) = exchange();
        let mut body = StreamedResponse::new(silent(), exchange, false);
        streams.end_all(StreamEnd::Revoked, |kind| kind == StreamKind::Tunnel);
        let error = body.frame().await.expect("a frame").expect_err("an error");
        assert_eq!(error.downcast_ref::<StreamEnd>(), Some(&StreamEnd::Revoked));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn grpc_response_ends_with_status_unauthenticated() {
        let (streams, exchange) = exchange();
        let mut body = StreamedResponse::new(silent(), exchange, true);
        streams.end_all(StreamEnd::Expired, |kind| kind == StreamKind::Tunnel);
        let trailers = body.frame().await.expect("a frame").expect("no error").into_trailers().expect("trailers");
        assert_eq!(trailers["grpc-status"], "16");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn waiting_response_is_woken_when_its_stream_ends() {
        let (streams, exchange) = exchange();
        let mut body = StreamedResponse::new(silent(), exchange, false);
        let reading = tokio::spawn(async move { body.frame().await.is_some_and(|frame| frame.is_err()) });
        tokio::task::yield_now().await;
        streams.end_all(StreamEnd::Revoked, |kind| kind == StreamKind::Tunnel);
        assert!(reading.await.expect("no panic"));
    }

    #[tokio::test]
    async fn trailers_of_a_client_never_reach_the_upstream() {
        let (_streams, exchange) = exchange();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-tollgate-subject", http::HeaderValue::from_static("root"));
        let sent = full("content").with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
        let received = StreamedRequest::new(sent, &exchange).collect().await.expect("complete");
        assert_eq!(received.trailers(), None);
        assert_eq!(received.to_bytes(), "content");
    }

    #[tokio::test]
    async fn complete_response_is_no_open_stream() {
        let metrics = Arc::new(RunnerMetrics::new());
        let streams = Streams::new(1, Arc::clone(&metrics));
        let mut exchange = Exchange::begin(&streams, None);
        exchange.become_tunnel();
        assert_eq!(metrics.counters.totals().open_streams(), 1);
        let body = StreamedResponse::new(Empty::new().map_err(|never| match never {}), exchange, false);
        assert_eq!(body.collect().await.expect("complete").to_bytes().len(), 0);
        assert_eq!(metrics.counters.totals().open_streams(), 0);
    }

    #[tokio::test]
    async fn stream_beyond_the_limit_ends() {
        let streams = Streams::new(1, Arc::new(RunnerMetrics::new()));
        let mut first = Exchange::begin(&streams, None);
        first.become_tunnel();
        let mut second = Exchange::begin(&streams, None);
        second.become_tunnel();
        assert_eq!(first.run(async { 1 }).await, Ok(1));
        assert_eq!(second.run(async { 1 }).await, Err(StreamEnd::TooMany));
    }
}
