//! Spin mode: hosts the Spin component as Spin does. An instance answers up to 128 requests, 16 at
//! a time. It has access to Spin's variables, a key-value store, and the two hosts that it may
//! call.

mod allowed_hosts;
mod atomics;
mod host;
mod instances;
mod key_value;
mod outbound;
mod shared;

use crate::listener::ClientInfo;
use crate::response::{Body, json_error};
use crate::upstream::{Clients, HttpVersions};
use crate::{Program, Settings, StartError};
use allowed_hosts::AllowedHosts;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use instances::Instances;
use key_value::KeyValue;
use shared::Shared;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::handler::ProxyHandler;

/// Limit over all instances. Further requests wait for a permit.
const MAX_CONCURRENT_REQUESTS: usize = 1000;
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The hosted Spin component.
pub(crate) struct SpinGate {
    handler: ProxyHandler<Instances>,
    permits: Semaphore,
    shared: Arc<Shared>,
}

impl Drop for SpinGate {
    fn drop(&mut self) {
        self.shared.is_shutting_down.store(true, Ordering::Relaxed);
    }
}

impl SpinGate {
    /// Links the component. Instances are created as requests arrive.
    pub(crate) async fn start(program: Program, settings: &Settings) -> Result<SpinGate, StartError> {
        let failed = |error: wasmtime::Error| StartError::Failed(format!("the component cannot be hosted: {error:#}"));
        let key_value = KeyValue::open(settings.store.as_deref()).await.map_err(|error| {
            crate::SettingError::new("TOLLGATE_EDGE_STORE", format_args!("cannot be read: {error}"))
        })?;
        let (variables, allowed_hosts) = variables_and_hosts(settings)?;
        let client = Clients::new(&settings.upstreams.timeouts).pooled(HttpVersions::Http1).clone();
        let is_shutting_down = AtomicBool::new(false);
        let shared = Arc::new(Shared { variables, key_value, client, allowed_hosts, is_shutting_down });
        let instances = Instances::link(program, Arc::clone(&shared)).map_err(failed)?;
        let permits = Semaphore::new(MAX_CONCURRENT_REQUESTS);
        Ok(SpinGate { handler: ProxyHandler::new(instances), permits, shared })
    }

    pub(crate) async fn handle(&self, mut request: http::Request<Body>, client: &ClientInfo) -> http::Response<Body> {
        if prepare_as_spin(&mut request, client).is_none() {
            return json_error(StatusCode::BAD_REQUEST, "invalid_request", "the request has no valid target or Host");
        }
        let Ok(Ok(_permit)) = timeout(PERMIT_TIMEOUT, self.permits.acquire()).await else {
            return unavailable();
        };
        let request = request.map(|body| body.map_err(outbound::body_error).boxed_unsync());
        match self.handler.handle((), request).await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the Spin component failed to answer a request");
                unavailable()
            }
        }
    }
}

fn unavailable() -> http::Response<Body> {
    json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the gate did not answer; try again")
}

/// The component's variables and the hosts that it may call, as in `spin.toml`. The paths of the
/// two URLs have their own variables, because Spin allows none in `allowed_outbound_hosts`.
fn variables_and_hosts(settings: &Settings) -> Result<(BTreeMap<String, String>, AllowedHosts), crate::SettingError> {
    let gate_settings = settings.gate_settings.iter();
    let mut variables: BTreeMap<_, _> =
        gate_settings.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    for name in ["tollgate_edge_origin", "tollgate_edge_upstream"] {
        if let Some((host, path)) = variables.get(name).and_then(|url| tollgate_gate::split_path(url)) {
            let (host, path) = (host.to_owned(), path.to_owned());
            variables.insert(format!("{name}_path"), path);
            variables.insert(name.to_owned(), host);
        }
    }
    let host = |name: &str| variables.get(name).cloned().unwrap_or_default();
    let mut hosts = vec![host("tollgate_edge_origin"), host("tollgate_edge_upstream")];
    let mut named = Vec::new();
    for (name, upstream) in &settings.upstreams.named {
        let urls: Vec<&str> = upstream.iter().map(|upstream| upstream.url.as_str()).collect();
        hosts.extend(urls.iter().map(|url| tollgate_gate::split_path(url).map_or(*url, |(host, _)| host).to_owned()));
        named.push(format!("{name}={}", urls.join(",")));
    }
    variables.insert("tollgate_edge_upstreams".to_owned(), named.join(";"));
    let allowed_hosts = AllowedHosts::parse(hosts.iter().map(String::as_str)).map_err(|entry| {
        crate::SettingError::new(
            "TOLLGATE_EDGE_ORIGIN",
            format_args!("or TOLLGATE_EDGE_UPSTREAM has no host: {entry:?}"),
        )
    })?;
    Ok((variables, allowed_hosts))
}

/// Changes a request as Spin does: makes its URI absolute by the client's `Host`, appends the
/// `spin-*` headers after those that the client sent, and removes `Connection`.
fn prepare_as_spin<B>(request: &mut http::Request<B>, client: &ClientInfo) -> Option<()> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => request.headers().get(header::HOST)?.to_str().ok()?.to_owned(),
    };
    let target = request.uri().path_and_query()?.clone();
    let uri = Uri::builder().scheme(client.scheme).authority(authority).path_and_query(target).build().ok()?;
    request.headers_mut().remove(header::CONNECTION);
    let headers = [
        ("spin-path-info", uri.path().to_owned()),
        ("spin-full-url", uri.to_string()),
        ("spin-matched-route", "/...".to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", "/...".to_owned()),
        ("spin-component-route", String::new()),
        ("spin-client-addr", client.address.to_string()),
    ];
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
    }
    *request.uri_mut() = uri;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientInfo {
        ClientInfo { address: ([127, 0, 0, 1], 4000).into(), scheme: "http", certificate: None }
    }

    #[test]
    fn component_gets_an_absolute_uri_and_spin_headers_after_the_clients() {
        let mut request = http::Request::builder()
            .uri("/reports/7?page=2")
            .header("host", "api.example")
            .header("spin-client-addr", "192.0.2.9:1")
            .body(())
            .unwrap_or_default();
        assert_eq!(prepare_as_spin(&mut request, &client()), Some(()));
        assert_eq!(request.uri(), "http://api.example/reports/7?page=2");
        let addresses: Vec<_> = request.headers().get_all("spin-client-addr").iter().collect();
        assert_eq!(addresses, ["192.0.2.9:1", "127.0.0.1:4000"]);
    }

    #[test]
    fn request_without_a_host_is_refused() {
        let mut request = http::Request::builder().uri("/").body(()).unwrap_or_default();
        assert_eq!(prepare_as_spin(&mut request, &client()), None);
    }
}
