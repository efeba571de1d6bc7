//! Bodies that may last: each breaks off when the gate no longer accepts the token of its request.
//! Others are passed on by the host, without this instance.

use crate::edge::{Edge, now_ms};
use crate::fetch;
use crate::http;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};
use std::rc::Rc;
use tollgate_gate::{Refusal, StreamTicket, StreamVerdict, may_stay_open, stream_check_delay_ms};

/// Bytes of a body that are in memory.
const BUFFER_BYTES: usize = 16 << 10;

type TrailersReader = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// Whether the response may stay open. Others are left to the host.
pub(crate) fn may_last(headers: &[(String, Vec<u8>)]) -> bool {
    let header = |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let text = |name: &str| header(name).and_then(|(_, value)| core::str::from_utf8(value).ok());
    may_stay_open(text("content-type"), text("content-length"))
}

/// The body and its trailers, which break off when the gate no longer accepts the token. Without a
/// ticket, the token cannot be identified, and they break off immediately.
pub(crate) fn watch(
    edge: &Rc<Edge>,
    ticket: Option<StreamTicket>,
    contents: StreamReader<u8>,
    trailers: TrailersReader,
) -> (StreamReader<u8>, TrailersReader) {
    let (mut writer, watched) = wit_stream::new();
    let (trailers_writer, watched_trailers) = wit_future::new(|| Ok(None));
    let edge = Rc::clone(edge);
    edge.gate().counters().stream_opened();
    spawn(async move {
        let refusal = pass_until_refused(&edge, ticket.as_ref(), contents, &mut writer).await;
        edge.gate().counters().stream_closed();
        let result = match refusal {
            None => trailers.await,
            Some(refusal) => {
                edge.gate().counters().stream_cut();
                Err(http::internal(refusal))
            }
        };
        drop(writer);
        // The body is complete only with this result. Fails if the client has disconnected.
        let _ = trailers_writer.write(result).await;
    });
    (watched, watched_trailers)
}

/// Passes the body until it ends, or returns why the gate no longer accepts the token.
async fn pass_until_refused(
    edge: &Rc<Edge>,
    ticket: Option<&StreamTicket>,
    contents: StreamReader<u8>,
    to: &mut StreamWriter<u8>,
) -> Option<Refusal> {
    let Some(ticket) = ticket else { return Some(Refusal::UnknownKey) };
    let (mut pass, mut refused) = (pin!(pass(contents, to)), pin!(refused(edge, ticket)));
    poll_fn(|context| match refused.as_mut().poll(context) {
        Poll::Ready(refusal) => Poll::Ready(Some(refusal)),
        Poll::Pending => pass.as_mut().poll(context).map(|()| None),
    })
    .await
}

async fn pass(mut from: StreamReader<u8>, to: &mut StreamWriter<u8>) {
    loop {
        let (status, bytes) = from.read(Vec::with_capacity(BUFFER_BYTES)).await;
        let is_complete = !matches!(status, StreamResult::Complete(_));
        // Bytes that remain are dropped: the client has disconnected.
        if !to.write_all(bytes).await.is_empty() || is_complete {
            return;
        }
    }
}

/// Waits until the gate no longer accepts the token.
async fn refused(edge: &Rc<Edge>, ticket: &StreamTicket) -> Refusal {
    loop {
        let mut verdict = edge.gate().check_stream(ticket, now_ms(), false);
        if verdict == StreamVerdict::Wait {
            fetch::wait_for_refresh(edge).await;
            verdict = edge.gate().check_stream(ticket, now_ms(), true);
        }
        if let StreamVerdict::End(refusal) = verdict {
            return refusal;
        }
        fetch::keep_fresh(edge);
        monotonic_clock::wait_for(stream_check_delay_ms(ticket, now_ms()).saturating_mul(1_000_000)).await;
    }
}
