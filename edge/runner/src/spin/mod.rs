//! Spin mode: the Spin component hosted as Spin hosts it. Instances are reused (128 requests each, 16 at a time), see
//! only Spin's variables, a key-value store and the two hosts they may call, and are given no policy by this crate.

mod host;
mod key_value;
mod outbound;
mod reuse;

use crate::answer::{Body, json_error};
use crate::{Program, Settings, StartError, forward};
use host::Shared;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use key_value::KeyValue;
use reuse::Instances;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::handler::ProxyHandler;

/// Requests that may be under way in all instances; more wait.
const AT_ONCE: usize = 1000;

/// The hosted component.
pub(crate) struct SpinGate {
    handler: ProxyHandler<Instances>,
    slots: Semaphore,
    shared: Arc<Shared>,
}

impl Drop for SpinGate {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
    }
}

impl SpinGate {
    /// Links the component; instances are made as requests come.
    pub(crate) async fn start(program: Program, settings: &Settings) -> Result<SpinGate, StartError> {
        let failed = |error: wasmtime::Error| StartError::Failed(format!("the component cannot be hosted: {error:#}"));
        let key_value = KeyValue::open(settings.store.as_deref()).await.map_err(|error| {
            crate::SettingError::new("TOLLGATE_EDGE_STORE", format_args!("cannot be read: {error}"))
        })?;
        let client = forward::client();
        let shared = Arc::new(Shared {
            variables: settings
                .of_gate
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect(),
            key_value,
            client,
            allowed: outbound::Allowed::hosts_of([settings.origin.as_str(), settings.upstream.as_str()]),
            ending: AtomicBool::new(false),
        });
        let instances = Instances::link(program, Arc::clone(&shared)).map_err(failed)?;
        Ok(SpinGate { handler: ProxyHandler::new(instances), slots: Semaphore::new(AT_ONCE), shared })
    }

    /// Answers a request by the component.
    pub(crate) async fn handle(&self, mut request: http::Request<Incoming>, peer: SocketAddr) -> http::Response<Body> {
        if as_spin_gives_it(&mut request, peer).is_none() {
            return json_error(StatusCode::BAD_REQUEST, "invalid_request", "the request has no usable target or host");
        }
        // Never closed, so a permit always comes.
        let _slot = self.slots.acquire().await;
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        match self.handler.handle((), request).await {
            Ok(answer) => answer.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the component did not answer");
                json_error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "the gate did not answer; try again",
                )
            }
        }
    }
}

/// Gives the request an absolute URI, made from the client's `Host`, and the `spin-*` headers; a client's own are dropped.
fn as_spin_gives_it<B>(request: &mut http::Request<B>, peer: SocketAddr) -> Option<()> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => request.headers().get(header::HOST)?.to_str().ok()?.to_owned(),
    };
    let target = request.uri().path_and_query()?.clone();
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(target).build().ok()?;
    let forged: Vec<HeaderName> =
        request.headers().keys().filter(|name| name.as_str().starts_with("spin-")).cloned().collect();
    for name in forged {
        request.headers_mut().remove(name);
    }
    let given = [
        ("spin-full-url", uri.to_string()),
        ("spin-path-info", uri.path().to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", "/...".to_owned()),
        ("spin-component-route", String::new()),
        ("spin-matched-route", "/...".to_owned()),
        ("spin-client-addr", peer.to_string()),
    ];
    for (name, value) in given {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
    }
    *request.uri_mut() = uri;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_sees_an_absolute_uri_and_no_forged_spin_header() {
        let mut request = http::Request::builder()
            .uri("/reports/7?page=2")
            .header("host", "api.example")
            .header("spin-client-addr", "192.0.2.9:1")
            .body(())
            .unwrap_or_default();
        assert_eq!(as_spin_gives_it(&mut request, ([127, 0, 0, 1], 4000).into()), Some(()));
        assert_eq!(request.uri(), "http://api.example/reports/7?page=2");
        assert_eq!(request.headers()["spin-client-addr"], "127.0.0.1:4000");
        assert_eq!(request.headers().get_all("spin-client-addr").iter().count(), 1);
    }

    #[test]
    fn a_request_without_a_host_is_not_passed_on() {
        let mut request = http::Request::builder().uri("/").body(()).unwrap_or_default();
        assert_eq!(as_spin_gives_it(&mut request, ([127, 0, 0, 1], 4000).into()), None);
    }
}
