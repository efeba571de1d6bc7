//! The settings of running it: where figures and traces go, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::Setting;
use super::{SettingError, Sources};

/// `TOLLGATE_DRAIN` at most, in seconds.
const MAX_DRAIN: u64 = 300;

pub(super) const EXPLAINED: [Setting; 4] = [
    Setting::new(
        "TOLLGATE_METRICS_LISTEN",
        "metrics-listen",
        "Where to answer /metrics, on a listener of its own that clients cannot reach",
    )
    .of("address and port", "127.0.0.1:9090")
    .otherwise("nowhere"),
    Setting::new(
        "TOLLGATE_METRICS_PUBLIC",
        "metrics-public",
        "Whether to answer /metrics with everything else too: anybody who reaches the origin can then read it",
    )
    .of("true or false", "true")
    .or("false"),
    Setting::new(
        "TOLLGATE_DRAIN",
        "drain",
        "How long /health/ready says 503 at the end before no new connections are taken: long enough for a balancer to look",
    )
    .of("seconds, 0 to 300", "10")
    .or("0"),
    Setting::new(
        "TOLLGATE_OTLP_ENDPOINT",
        "otlp-endpoint",
        "The OpenTelemetry collector that is told of each request, by OTLP over HTTP as protobuf",
    )
    .of("URL, to which /v1/traces is added", "http://127.0.0.1:4318"),
];

/// The settings of running it, checked.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// Where to answer `/metrics` on a listener of its own.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether to answer `/metrics` with everything else.
    pub metrics_public: bool,
    /// How long to be known as ending before new connections are refused.
    pub drain: Duration,
    /// The collector that is told of requests.
    pub otlp_endpoint: Option<String>,
}

impl WatchSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<WatchSettings, SettingError> {
        let drain = sources.parse("TOLLGATE_DRAIN", |text| {
            let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_DRAIN);
            seconds.ok_or("must be seconds, 0 to 300")
        })?;
        Ok(WatchSettings {
            metrics_listen: sources.parse("TOLLGATE_METRICS_LISTEN", super::checked_address)?,
            metrics_public: sources.parse("TOLLGATE_METRICS_PUBLIC", super::checked_flag)?.unwrap_or(false),
            drain: Duration::from_secs(drain.unwrap_or(0)),
            otlp_endpoint: sources.parse("TOLLGATE_OTLP_ENDPOINT", checked_endpoint)?,
        })
    }
}

fn checked_endpoint(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let plain = url.is_some_and(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
    if plain { Ok(text.to_owned()) } else { Err("must be a URL that begins with http:// or https://, without a query") }
}
