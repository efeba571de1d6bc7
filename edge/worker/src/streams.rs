//! Streams through the Worker: WebSockets, and bodies that may last. Each ends when the gate no
//! longer accepts the token of its request.
//!
//! A stream runs in the context of its own request, because the runtime lets no other one use its
//! sockets and timers. So each has a timer of its own; the fetches that keep the replica fresh are
//! shared by all.

use std::{rc::Rc, time::Duration};

use futures::{
    StreamExt as _,
    future::{self, Either},
};
use tollgate_gate::{Refusal, StreamTicket, StreamVerdict, may_stay_open, stream_check_delay_ms};
use worker::{
    Context, Delay, Env, EventStream, Response, Result, WebSocket, WebSocketPair, WebsocketEvent, console_error,
    js_sys::{self, Function, Reflect, futures::JsFuture},
    wasm_bindgen::{JsCast, JsValue},
    web_sys,
};

use crate::{fetch, http, isolate::Isolate, now_ms, with_gate_request};

/// The token is no longer good (RFC 6455 section 7.4.1: policy violation).
const POLICY_VIOLATION: u16 = 1008;
/// The connection to the other side broke (internal error).
const INTERNAL_ERROR: u16 = 1011;
/// The token's revocation status is unknown (registered by IANA).
const TRY_AGAIN_LATER: u16 = 1013;

/// Watches the token of a stream, which is open until the watch is dropped.
pub(crate) struct StreamWatch {
    isolate: Rc<Isolate>,
    env: Env,
    context: Rc<Context>,
    /// None if the token cannot be identified: the stream ends.
    ticket: Option<StreamTicket>,
}

impl StreamWatch {
    /// A watch for the stream of an allowed request.
    pub(crate) fn new(isolate: &Rc<Isolate>, env: &Env, context: &Rc<Context>, request: &web_sys::Request) -> Self {
        isolate.gate.borrow().counters().stream_opened();
        Self {
            isolate: Rc::clone(isolate),
            env: env.clone(),
            context: Rc::clone(context),
            ticket: with_gate_request(isolate, request, |gate, request| gate.stream_ticket(request)),
        }
    }

    /// Waits until the gate no longer accepts the token.
    async fn ended(&self) -> Refusal {
        let refusal = self.refused().await;
        self.isolate.gate.borrow().counters().stream_cut();
        refusal
    }

    async fn refused(&self) -> Refusal {
        let Some(ticket) = &self.ticket else { return Refusal::UnknownKey };
        loop {
            let mut verdict = self.check(ticket, false);
            if verdict == StreamVerdict::Wait {
                fetch::wait_for_fetch(&self.isolate, &self.env, &self.context).await;
                verdict = self.check(ticket, true);
            }
            if let StreamVerdict::End(refusal) = verdict {
                return refusal;
            }
            fetch::keep_fresh(&self.isolate, &self.env, &self.context);
            Delay::from(Duration::from_millis(stream_check_delay_ms(ticket, now_ms()))).await;
        }
    }

    fn check(&self, ticket: &StreamTicket, has_waited: bool) -> StreamVerdict {
        self.isolate.gate.borrow().check_stream(ticket, now_ms(), has_waited)
    }
}

impl Drop for StreamWatch {
    fn drop(&mut self) {
        self.isolate.gate.borrow().counters().stream_closed();
    }
}

/// Whether the response may stay open. Others are left to the runtime.
pub(crate) fn may_last(response: &web_sys::Response) -> bool {
    let header = |name| response.headers().get(name).ok().flatten();
    let is_long = || may_stay_open(header("content-type").as_deref(), header("content-length").as_deref());
    response.status() == 101 || (response.body().is_some() && is_long())
}

/// The response, which ends when the token is no longer good.
pub(crate) fn watch(response: web_sys::Response, watch: StreamWatch) -> Result<web_sys::Response> {
    match response.status() {
        101 => watch_web_socket(response, watch),
        _ => watch_body(response, watch),
    }
}

/// The response with a body that breaks off when the token is no longer good.
fn watch_body(response: web_sys::Response, watch: StreamWatch) -> Result<web_sys::Response> {
    let Some(body) = response.body() else { return Ok(response) };
    let transform = identity_transform()?;
    let abort = web_sys::AbortController::new()?;
    let options = js_sys::Object::new();
    Reflect::set(&options, &JsValue::from_str("signal"), &abort.signal())?;
    let pipe_to: Function = Reflect::get(&body, &JsValue::from_str("pipeTo"))?.dyn_into()?;
    let piped: js_sys::Promise = pipe_to.call2(&body, &transform.writable(), &options)?.dyn_into()?;
    let context = Rc::clone(&watch.context);
    context.wait_until(async move {
        let (piped, ended) = (Box::pin(JsFuture::from(piped)), Box::pin(watch.ended()));
        if let Either::Right((refusal, piped)) = future::select(piped, ended).await {
            abort.abort_with_reason(&JsValue::from_str(&refusal.to_string()));
            // Its rejection is expected, and would be logged if nothing awaited it.
            drop(piped.await);
        }
    });
    http::with_body(&response, Some(&transform.readable()), &response.headers())
}

/// A stream of bytes whose chunks the runtime passes on without the Worker.
fn identity_transform() -> Result<web_sys::TransformStream> {
    let constructor = Reflect::get(&js_sys::global(), &JsValue::from_str("IdentityTransformStream"))?;
    let transform = Reflect::construct(&constructor.dyn_into::<Function>()?, &js_sys::Array::new())?;
    Ok(transform.unchecked_into())
}

/// The response to a client whose WebSocket the upstream has accepted.
fn watch_web_socket(response: web_sys::Response, watch: StreamWatch) -> Result<web_sys::Response> {
    let protocol = response.headers().get("sec-websocket-protocol")?;
    let Some(upstream) = Response::from(response).websocket() else {
        return http::json_error(502, "bad_gateway", "the upstream's response has no WebSocket");
    };
    let pair = WebSocketPair::new()?;
    let client = pair.server;
    let mut accepted = Response::from_websocket(pair.client)?;
    if let Some(protocol) = protocol {
        accepted.headers_mut().set("sec-websocket-protocol", &protocol)?;
    }
    let context = Rc::clone(&watch.context);
    context.wait_until(async move {
        if let Err(error) = relay(&client, &upstream, &watch).await {
            console_error!("tollgate: a WebSocket failed: {error}");
            close(&client, INTERNAL_ERROR, "");
            close(&upstream, INTERNAL_ERROR, "");
        }
    });
    Ok(accepted.into())
}

/// Passes messages both ways until one side closes, or the token is no longer good.
async fn relay(client: &WebSocket, upstream: &WebSocket, watch: &StreamWatch) -> Result<()> {
    for socket in [client, upstream] {
        // With a Blob, the content would have to be awaited.
        socket.as_ref().set_binary_type(web_sys::BinaryType::Arraybuffer);
    }
    // The listeners first: no message that follows the acceptance is lost.
    let (from_client, from_upstream) = (client.events()?, upstream.events()?);
    client.accept()?;
    upstream.accept()?;
    let passed = future::join(pass(from_client, upstream), pass(from_upstream, client));
    match future::select(Box::pin(passed), Box::pin(watch.ended())).await {
        Either::Left(((outbound, inbound), _)) => outbound.and(inbound),
        Either::Right((refusal, _)) => {
            let code = match refusal {
                Refusal::Stale | Refusal::NotCovered => TRY_AGAIN_LATER,
                _ => POLICY_VIOLATION,
            };
            let reason = refusal.to_string();
            close(client, code, &reason);
            close(upstream, code, &reason);
            Ok(())
        }
    }
}

/// Passes the messages of one side to the other, and its close frame.
async fn pass(mut from: EventStream<'_>, to: &WebSocket) -> Result<()> {
    while let Some(event) = from.next().await {
        match event? {
            WebsocketEvent::Message(message) => {
                let data = message.as_ref().data();
                match data.as_string() {
                    Some(text) => to.send_with_str(text)?,
                    None => to.as_ref().send_with_array_buffer(data.unchecked_ref())?,
                }
            }
            WebsocketEvent::Close(event) => close(to, event.code(), &event.reason()),
        }
    }
    Ok(())
}

/// Closes a side, unless it has closed. The codes that no frame may have mean that the connection
/// ended without one (RFC 6455 section 7.4.1).
fn close(socket: &WebSocket, code: u16, reason: &str) {
    let closed = match code {
        1005 => socket.close(None, None::<&str>),
        1006 | 1015 => socket.close(Some(INTERNAL_ERROR), Some("the other side disconnected")),
        code => socket.close(Some(code), Some(reason)),
    };
    // Fails if the side has closed already.
    drop(closed);
}
