//! What answers requests: the component in one of two modes, or the relay.

use crate::Settings;
use crate::component::ComponentGate;
use crate::listener::ClientInfo;
use crate::relay::Relay;
use crate::response::{Body, full, json_error};
use crate::spin::SpinGate;
use http::{HeaderValue, StatusCode, Uri, header};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

/// Path of the gate's health report.
const HEALTH_PATH: &str = "/_tollgate/health";

pub(crate) struct Gate {
    host: Host,
    /// The program is about to stop: proxies in front of it should send requests elsewhere.
    is_draining: AtomicBool,
}

/// The host of the component.
pub(crate) enum Host {
    Component(Box<ComponentGate>),
    Spin(Box<SpinGate>),
    /// Not a component: answers edges.
    Relay(Box<Relay>),
}

impl Gate {
    pub(crate) fn new(host: Host) -> Gate {
        Gate { host, is_draining: AtomicBool::new(false) }
    }

    pub(crate) async fn handle(&self, request: http::Request<Body>, client: &ClientInfo) -> http::Response<Body> {
        if self.is_draining.load(Ordering::Relaxed) && request.uri().path() == HEALTH_PATH {
            return json_error(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the edge is shutting down");
        }
        match &self.host {
            Host::Component(gate) => Box::pin(gate.handle(request, client)).await,
            Host::Spin(gate) => Box::pin(gate.handle(request, client)).await,
            Host::Relay(relay) => Box::pin(relay.handle(request)).await,
        }
    }

    /// The health report: 200 while the replica is fresh enough for decisions, else 503.
    pub(crate) async fn health(&self) -> http::Response<Body> {
        let mut request = http::Request::new(full(""));
        *request.uri_mut() = Uri::from_static(HEALTH_PATH);
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.handle(request, &ClientInfo { address, scheme: "http", certificate: None }).await
    }

    /// From now on, health reports say that the edge is shutting down.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Sends further requests to the upstreams of these settings.
    pub(crate) fn reload(&self, settings: &Settings) {
        match &self.host {
            Host::Component(gate) => gate.reload(settings),
            // These send their requests themselves.
            Host::Spin(_) | Host::Relay(_) => {}
        }
    }

    /// Ends upgraded connections, which are no running requests.
    pub(crate) async fn end_tunnels(&self) {
        match &self.host {
            Host::Component(gate) => gate.end_tunnels().await,
            Host::Spin(_) | Host::Relay(_) => {}
        }
    }

    /// Metrics in the text format of Prometheus; none where no component of
    /// this program counts.
    pub(crate) async fn metrics_text(&self) -> Option<String> {
        match &self.host {
            Host::Component(gate) => gate.metrics_text().await,
            Host::Spin(_) | Host::Relay(_) => None,
        }
    }
}
