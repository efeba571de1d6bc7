//! The settings of metrics and traces.

use std::net::SocketAddr;

use super::checks::{checked_address, checked_flag};
use super::setting::Setting;
use super::sources::{SettingError, Sources};

pub(super) const SETTINGS: [Setting; 3] = [
    Setting::new(
        "TOLLGATE_METRICS_LISTEN",
        "metrics-listen",
        "Address and port of a separate listener for /metrics, which clients cannot reach",
    )
    .allowed_values("address and port", "127.0.0.1:9090"),
    Setting::new(
        "TOLLGATE_METRICS_PUBLIC",
        "metrics-public",
        "Whether the main listener serves /metrics, too: then anyone who reaches the origin can read it",
    )
    .allowed_values("true or false", "true")
    .default("false"),
    Setting::new(
        "TOLLGATE_OTLP_ENDPOINT",
        "otlp-endpoint",
        "OpenTelemetry collector that receives a trace span for each request (OTLP over HTTP, protobuf)",
    )
    .allowed_values("URL, to which /v1/traces is added", "http://127.0.0.1:4318"),
];

/// Where metrics and traces go.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// The separate listener of `/metrics`.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the main listener serves `/metrics`, too.
    pub metrics_public: bool,
    /// The collector of trace spans.
    pub otlp_endpoint: Option<String>,
}

impl TelemetrySettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<TelemetrySettings, SettingError> {
        Ok(TelemetrySettings {
            metrics_listen: sources.parse("TOLLGATE_METRICS_LISTEN", checked_address)?,
            metrics_public: sources.parse("TOLLGATE_METRICS_PUBLIC", checked_flag)?.unwrap_or(false),
            otlp_endpoint: sources.parse("TOLLGATE_OTLP_ENDPOINT", checked_endpoint)?,
        })
    }
}

fn checked_endpoint(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let is_plain =
        url.is_some_and(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
    match is_plain {
        true => Ok(text.to_owned()),
        false => Err("must be an http:// or https:// URL without a query"),
    }
}
