//! The rest of a request's body that nobody has read when the response is ready. Without reading
//! it, an HTTP/2 stream is reset after the response (RFC 9113 section 8.1), and common clients,
//! such as curl 7.88, then lose the response.

use crate::response::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// Largest rest that is read.
const MAX_DRAINED_BYTES: usize = 64 * 1024;
/// For reading it; it delays the response.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Gets a body that is dropped before its end.
#[derive(Clone, Default)]
pub(super) struct UnreadBody(Arc<Mutex<Option<Body>>>);

impl UnreadBody {
    /// The body, which comes here if it is dropped before its end.
    pub(super) fn watch(&self, body: Body) -> Body {
        WatchedBody { body: Some(body), unread: self.clone() }.boxed_unsync()
    }

    /// Reads what is left of a small body that was dropped. A client that does not send it in time
    /// gets its response all the same.
    pub(super) async fn drain(&self) {
        let Some(mut body) = self.lock().take() else { return };
        if body.size_hint().lower() > MAX_DRAINED_BYTES as u64 {
            return;
        }
        let read = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > MAX_DRAINED_BYTES {
                    return;
                }
            }
        };
        let _ = timeout(DRAIN_TIMEOUT, read).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct WatchedBody {
    /// None once it has ended.
    body: Option<Body>,
    unread: UnreadBody,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.unread.lock() = Some(body);
        }
    }
}
