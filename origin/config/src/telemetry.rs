//! The settings of metrics, traces, and the log of what is slow.

use std::net::SocketAddr;
use std::time::Duration;

use super::checks::{checked_address, checked_flag};
use super::setting::Setting;
use super::sources::{SettingError, Sources};

pub(super) const SETTINGS: [Setting; 8] = [
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
        "TOLLGATE_PROFILES",
        "profiles",
        "Whether the metrics listener serves profiles of the process below /debug/pprof/: they show its work, and take time",
    )
    .allowed_values("true or false", "true")
    .default("false"),
    Setting::new(
        "TOLLGATE_OTLP_ENDPOINT",
        "otlp-endpoint",
        "OpenTelemetry collector that receives traces, metrics and logs (OTLP over HTTP, protobuf)",
    )
    .allowed_values("URL, to which /v1/traces, /v1/metrics and /v1/logs are added", "http://127.0.0.1:4318"),
    Setting::new("TOLLGATE_OTLP_SIGNALS", "otlp-signals", "What the collector receives")
        .allowed_values("traces, metrics, logs, with commas", "traces,metrics,logs")
        .default("traces"),
    Setting::new("TOLLGATE_OTLP_INTERVAL", "otlp-interval", "How often the collector receives metrics")
        .allowed_values("seconds, 1 to 3600", "15")
        .default("60"),
    Setting::new(
        "TOLLGATE_SLOW_REQUEST_MS",
        "slow-request-ms",
        "Duration from which a request is logged as slow, with what it waited for; the wait of a long poll does not count",
    )
    .allowed_values("milliseconds, 0 for none", "250")
    .default("1000"),
    Setting::new(
        "TOLLGATE_SLOW_QUERY_MS",
        "slow-query-ms",
        "Duration from which a statement of the database is logged as slow",
    )
    .allowed_values("milliseconds, 0 for none", "100")
    .default("500"),
];

const DEFAULT_OTLP_INTERVAL: u64 = 60;
const MAX_OTLP_INTERVAL: u64 = 3600;
/// Milliseconds.
const DEFAULT_SLOW_REQUEST: u64 = 1000;
const DEFAULT_SLOW_QUERY: u64 = 500;

/// Where metrics, traces and exported logs go, and what is slow.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// The separate listener of `/metrics`.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the main listener serves `/metrics`, too.
    pub metrics_public: bool,
    /// Whether the separate listener serves profiles.
    pub has_profiles: bool,
    /// The OpenTelemetry collector.
    pub otlp_endpoint: Option<String>,
    /// What it receives.
    pub otlp_signals: OtlpSignals,
    /// How often it receives metrics.
    pub otlp_interval: Duration,
    /// Duration from which requests are logged as slow; none for never.
    pub slow_request: Option<Duration>,
    /// Duration from which statements of the database are logged as slow; none for never.
    pub slow_query: Option<Duration>,
}

/// What an OpenTelemetry collector receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtlpSignals {
    pub has_traces: bool,
    pub has_metrics: bool,
    pub has_logs: bool,
}

impl TelemetrySettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<TelemetrySettings, SettingError> {
        Ok(TelemetrySettings {
            metrics_listen: sources.parse("TOLLGATE_METRICS_LISTEN", checked_address)?,
            metrics_public: sources.parse("TOLLGATE_METRICS_PUBLIC", checked_flag)?.unwrap_or(false),
            has_profiles: sources.parse("TOLLGATE_PROFILES", checked_flag)?.unwrap_or(false),
            otlp_endpoint: sources.parse("TOLLGATE_OTLP_ENDPOINT", checked_endpoint)?,
            otlp_signals: sources.parse("TOLLGATE_OTLP_SIGNALS", checked_signals)?.unwrap_or(OtlpSignals {
                has_traces: true,
                has_metrics: false,
                has_logs: false,
            }),
            otlp_interval: Duration::from_secs(
                sources.parse("TOLLGATE_OTLP_INTERVAL", checked_interval)?.unwrap_or(DEFAULT_OTLP_INTERVAL),
            ),
            slow_request: threshold(
                sources.parse("TOLLGATE_SLOW_REQUEST_MS", checked_threshold)?.unwrap_or(DEFAULT_SLOW_REQUEST),
            ),
            slow_query: threshold(
                sources.parse("TOLLGATE_SLOW_QUERY_MS", checked_threshold)?.unwrap_or(DEFAULT_SLOW_QUERY),
            ),
        })
    }
}

/// A threshold in milliseconds; 0 stands for none.
fn threshold(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}

fn checked_threshold(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "must be a number of milliseconds")
}

fn checked_interval(text: &str) -> Result<u64, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_OTLP_INTERVAL).contains(seconds));
    seconds.ok_or("must be a number of seconds from 1 to 3600")
}

fn checked_signals(text: &str) -> Result<OtlpSignals, &'static str> {
    let mut signals = OtlpSignals { has_traces: false, has_metrics: false, has_logs: false };
    for name in text.split(',') {
        match name.trim() {
            "traces" => signals.has_traces = true,
            "metrics" => signals.has_metrics = true,
            "logs" => signals.has_logs = true,
            _ => return Err("must be one or more of traces, metrics and logs, with commas"),
        }
    }
    Ok(signals)
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
