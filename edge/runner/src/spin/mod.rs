//! Spin mode: the Spin component hosted as Spin hosts it. Instances are reused (128 requests each, 16 at a time), see
//! only Spin's variables, a key-value store and the two hosts they may call, and are given no policy by this crate.

mod atomics;
mod host;
mod key_value;
mod outbound;
mod reuse;

use crate::answer::{Body, json_error};
use crate::{Program, Settings, StartError, forward};
use host::Shared;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use key_value::KeyValue;
use outbound::Allowed;
use reuse::Instances;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::handler::ProxyHandler;

/// Requests that may be under way in all instances; more wait, for so long.
const MAX_REQUESTS: usize = 1000;
const REQUEST_WAIT: Duration = Duration::from_secs(5);

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
        let (variables, allowed) = manifest(settings)?;
        let client = forward::client();
        let shared = Arc::new(Shared { variables, key_value, client, allowed, ending: AtomicBool::new(false) });
        let instances = Instances::link(program, Arc::clone(&shared)).map_err(failed)?;
        Ok(SpinGate { handler: ProxyHandler::new(instances), slots: Semaphore::new(MAX_REQUESTS), shared })
    }

    /// Answers a request by the component.
    pub(crate) async fn handle(&self, mut request: http::Request<Body>, peer: SocketAddr) -> http::Response<Body> {
        if as_spin_gives_it(&mut request, peer).is_none() {
            return json_error(StatusCode::BAD_REQUEST, "invalid_request", "the request has no usable target or host");
        }
        let Ok(Ok(_slot)) = timeout(REQUEST_WAIT, self.slots.acquire()).await else {
            return unavailable();
        };
        let request = request.map(|body| body.map_err(outbound::failed_body).boxed_unsync());
        match self.handler.handle((), request).await {
            Ok(answer) => answer.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the component did not answer");
                unavailable()
            }
        }
    }
}

fn unavailable() -> http::Response<Body> {
    json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the gate did not answer; try again")
}

/// What `spin.toml` makes of the settings: the component's variables, and the hosts that it may call. The paths of the two
/// addresses have variables of their own, for Spin allows none in `allowed_outbound_hosts`.
fn manifest(settings: &Settings) -> Result<(BTreeMap<String, String>, Allowed), crate::SettingError> {
    let of_gate = settings.of_gate.iter();
    let mut variables: BTreeMap<_, _> =
        of_gate.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    for name in ["tollgate_edge_origin", "tollgate_edge_upstream"] {
        if let Some((host, path)) = variables.get(name).and_then(|address| tollgate_gate::split_path(address)) {
            let (host, path) = (host.to_owned(), path.to_owned());
            variables.insert(format!("{name}_path"), path);
            variables.insert(name.to_owned(), host);
        }
    }
    let host = |name: &str| variables.get(name).cloned().unwrap_or_default();
    let hosts = [host("tollgate_edge_origin"), host("tollgate_edge_upstream")];
    let allowed = Allowed::hosts(hosts.iter().map(String::as_str)).map_err(|entry| {
        crate::SettingError::new(
            "TOLLGATE_EDGE_ORIGIN",
            format_args!("or TOLLGATE_EDGE_UPSTREAM has no host: {entry:?}"),
        )
    })?;
    Ok((variables, allowed))
}

/// Gives the request an absolute URI, made from the client's `Host`, and the `spin-*` headers, behind those that a client sent
/// by these names; takes `Connection` away.
fn as_spin_gives_it<B>(request: &mut http::Request<B>, peer: SocketAddr) -> Option<()> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => request.headers().get(header::HOST)?.to_str().ok()?.to_owned(),
    };
    let target = request.uri().path_and_query()?.clone();
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(target).build().ok()?;
    request.headers_mut().remove(header::CONNECTION);
    let given = [
        ("spin-path-info", uri.path().to_owned()),
        ("spin-full-url", uri.to_string()),
        ("spin-matched-route", "/...".to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", "/...".to_owned()),
        ("spin-component-route", String::new()),
        ("spin-client-addr", peer.to_string()),
    ];
    for (name, value) in given {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
    }
    *request.uri_mut() = uri;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_sees_an_absolute_uri_and_our_headers_behind_the_clients() {
        let mut request = http::Request::builder()
            .uri("/reports/7?page=2")
            .header("host", "api.example")
            .header("spin-client-addr", "192.0.2.9:1")
            .body(())
            .unwrap_or_default();
        assert_eq!(as_spin_gives_it(&mut request, ([127, 0, 0, 1], 4000).into()), Some(()));
        assert_eq!(request.uri(), "http://api.example/reports/7?page=2");
        let addresses: Vec<_> = request.headers().get_all("spin-client-addr").iter().collect();
        assert_eq!(addresses, ["192.0.2.9:1", "127.0.0.1:4000"]);
    }

    #[test]
    fn a_request_without_a_host_is_not_passed_on() {
        let mut request = http::Request::builder().uri("/").body(()).unwrap_or_default();
        assert_eq!(as_spin_gives_it(&mut request, ([127, 0, 0, 1], 4000).into()), None);
    }
}
