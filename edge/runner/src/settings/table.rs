//! Names and descriptions of the settings: `--help`, the settings file and the documentation follow
//! this table. The gate's own settings are in `tollgate_gate::SETTINGS`.

/// A setting that only `tollgate-edge` reads.
#[derive(Debug, Clone, Copy)]
pub struct RunnerSetting {
    /// The name as an environment variable.
    pub name: &'static str,
    /// The command line option, without `--`.
    pub flag: &'static str,
    /// Placeholder of the value in `--help`.
    pub value_name: &'static str,
    /// Meaning and default.
    pub description: &'static str,
}

pub(super) const LISTEN: &str = "TOLLGATE_EDGE_LISTEN";
pub(super) const COMPONENT: &str = "TOLLGATE_EDGE_COMPONENT";
pub(super) const STORE: &str = "TOLLGATE_EDGE_STORE";
pub(super) const SNAPSHOT_URL: &str = "TOLLGATE_EDGE_SNAPSHOT_URL";
pub(super) const MAX_CONNECTIONS: &str = "TOLLGATE_EDGE_MAX_CONNECTIONS";
pub(super) const TLS_CERTIFICATE: &str = "TOLLGATE_EDGE_TLS_CERTIFICATE";
pub(super) const TLS_KEY: &str = "TOLLGATE_EDGE_TLS_KEY";
pub(super) const TLS_CLIENT_CA: &str = "TOLLGATE_EDGE_TLS_CLIENT_CA";
pub(super) const TLS_CLIENT_AUTH: &str = "TOLLGATE_EDGE_TLS_CLIENT_AUTH";
pub(super) const HEAD_TIMEOUT: &str = "TOLLGATE_EDGE_HEAD_TIMEOUT";
pub(super) const BODY_TIMEOUT: &str = "TOLLGATE_EDGE_BODY_TIMEOUT";
pub(super) const IDLE_TIMEOUT: &str = "TOLLGATE_EDGE_IDLE_TIMEOUT";
pub(super) const WRITE_TIMEOUT: &str = "TOLLGATE_EDGE_WRITE_TIMEOUT";
pub(super) const CONNECT_TIMEOUT: &str = "TOLLGATE_EDGE_CONNECT_TIMEOUT";
pub(super) const READ_TIMEOUT: &str = "TOLLGATE_EDGE_READ_TIMEOUT";
pub(super) const UPSTREAM_IDLE_TIMEOUT: &str = "TOLLGATE_EDGE_UPSTREAM_IDLE_TIMEOUT";
pub(super) const MAX_STREAMS: &str = "TOLLGATE_EDGE_MAX_STREAMS";
pub(super) const STREAM_IDLE_TIMEOUT: &str = "TOLLGATE_EDGE_STREAM_IDLE_TIMEOUT";
pub(super) const UPGRADES: &str = "TOLLGATE_EDGE_UPGRADES";
pub(super) const ADMIN_LISTEN: &str = "TOLLGATE_EDGE_ADMIN_LISTEN";
pub(super) const PROXY_PROTOCOL: &str = "TOLLGATE_EDGE_PROXY_PROTOCOL";
pub(super) const SHUTDOWN_DELAY: &str = "TOLLGATE_EDGE_SHUTDOWN_DELAY";
pub(super) const SHUTDOWN_TIMEOUT: &str = "TOLLGATE_EDGE_SHUTDOWN_TIMEOUT";
/// The gate's setting, which in the runner may have several URLs.
pub(super) const UPSTREAM: &str = "TOLLGATE_EDGE_UPSTREAM";
pub(super) const UPSTREAMS: &str = "TOLLGATE_EDGE_UPSTREAMS";
pub(super) const HEALTH_CHECK_PATH: &str = "TOLLGATE_EDGE_HEALTH_CHECK_PATH";
pub(super) const HEALTH_CHECK_INTERVAL: &str = "TOLLGATE_EDGE_HEALTH_CHECK_INTERVAL";
pub(super) const HEALTH_CHECK_TIMEOUT: &str = "TOLLGATE_EDGE_HEALTH_CHECK_TIMEOUT";
pub(super) const HEALTH_CHECK_FAILURES: &str = "TOLLGATE_EDGE_HEALTH_CHECK_FAILURES";
pub(super) const HEALTH_CHECK_SUCCESSES: &str = "TOLLGATE_EDGE_HEALTH_CHECK_SUCCESSES";
pub(super) const EJECT_AFTER: &str = "TOLLGATE_EDGE_EJECT_AFTER";
pub(super) const EJECT_SECONDS: &str = "TOLLGATE_EDGE_EJECT_SECONDS";

/// Settings that only `tollgate-edge` reads.
pub const RUNNER_SETTINGS: &[RunnerSetting] = &[
    setting(LISTEN, "listen", "ADDRESS", "address to listen on [default: 127.0.0.1:8787]"),
    setting(COMPONENT, "component", "FILE", "file of the component [default: in this program, or else in its folder]"),
    setting(STORE, "store", "FOLDER", "folder for the cold-start store [default: memory only]"),
    setting(
        SNAPSHOT_URL,
        "snapshot-url",
        "URL",
        "another place of the origin's snapshot, such as a cache or an object store [default: none]",
    ),
    setting(
        MAX_CONNECTIONS,
        "max-connections",
        "COUNT",
        "maximum number of client connections, and of requests at a time [default: 10000, or what the system allows]",
    ),
    setting(
        ADMIN_LISTEN,
        "admin-listen",
        "ADDRESS",
        "address of a listener of its own for health and metrics, only for operators [default: none]",
    ),
    setting(
        PROXY_PROTOCOL,
        "proxy-protocol",
        "BOOL",
        "connections of trusted proxies begin with a header of the PROXY protocol, true or false [default: false]",
    ),
    setting(
        SHUTDOWN_DELAY,
        "shutdown-delay",
        "SECONDS",
        "seconds for which health reports fail before the edge accepts no more requests, 0 to 3600 [default: 0]",
    ),
    setting(
        SHUTDOWN_TIMEOUT,
        "shutdown-timeout",
        "SECONDS",
        "seconds for running requests at the end, 1 to 3600 [default: 10]",
    ),
    setting(
        TLS_CERTIFICATE,
        "tls-certificate",
        "FILE",
        "PEM file of the certificate chain: the listener then speaks HTTPS [default: none]",
    ),
    setting(TLS_KEY, "tls-key", "FILE", "PEM file of the certificate's private key [default: none]"),
    setting(
        TLS_CLIENT_CA,
        "tls-client-ca",
        "FILE",
        "PEM file of the authorities of client certificates [default: none]",
    ),
    setting(
        TLS_CLIENT_AUTH,
        "tls-client-auth",
        "MODE",
        "clients that are asked for a certificate: off, any, authorities or required [default: authorities if there \
         is a file of them, else off]",
    ),
    setting(
        HEAD_TIMEOUT,
        "head-timeout",
        "SECONDS",
        "seconds for the TLS handshake and the head of a request, 1 to 3600 [default: 10]",
    ),
    setting(
        BODY_TIMEOUT,
        "body-timeout",
        "SECONDS",
        "seconds for a request's body, 1 to 3600, extended by a second for each 500 bytes [default: 20]",
    ),
    setting(
        IDLE_TIMEOUT,
        "idle-timeout",
        "SECONDS",
        "seconds for which an idle client connection is kept, 1 to 86400 [default: 75]",
    ),
    setting(
        WRITE_TIMEOUT,
        "write-timeout",
        "SECONDS",
        "seconds in which the client must read more of a response, 1 to 3600 [default: 30]",
    ),
    setting(
        CONNECT_TIMEOUT,
        "connect-timeout",
        "SECONDS",
        "seconds for a connection to an upstream, 1 to 3600 [default: 5]",
    ),
    setting(
        READ_TIMEOUT,
        "read-timeout",
        "SECONDS",
        "seconds of each pause in an upstream's response, 1 to 86400 [default: 600]",
    ),
    setting(
        UPSTREAM_IDLE_TIMEOUT,
        "upstream-idle-timeout",
        "SECONDS",
        "seconds for which an idle connection to an upstream is kept, 1 to 86400 [default: 30]",
    ),
    setting(MAX_STREAMS, "max-streams", "COUNT", "maximum number of open streams, 1 to 10000000 [default: 100000]"),
    setting(
        STREAM_IDLE_TIMEOUT,
        "stream-idle-timeout",
        "SECONDS",
        "seconds without data after which a WebSocket ends, 1 to 86400 [default: 600]",
    ),
    setting(
        UPGRADES,
        "upgrades",
        "PROTOCOLS",
        "protocols to which clients may upgrade a connection, comma separated, or none [default: websocket]",
    ),
    setting(
        UPSTREAMS,
        "upstreams",
        "NAME=URL,URL;…",
        "upstreams that routes name, each with one or more URLs: orders=http://10.0.0.1,http://10.0.0.2;media=https://m \
         [default: none]",
    ),
    setting(
        HEALTH_CHECK_PATH,
        "health-check-path",
        "PATH",
        "path by which the URLs of upstreams are checked, such as /health [default: none, no checks]",
    ),
    setting(
        HEALTH_CHECK_INTERVAL,
        "health-check-interval",
        "SECONDS",
        "seconds between two checks of a URL, 1 to 3600 [default: 10]",
    ),
    setting(
        HEALTH_CHECK_TIMEOUT,
        "health-check-timeout",
        "SECONDS",
        "seconds for the answer to a check, 1 to 60 [default: 2]",
    ),
    setting(
        HEALTH_CHECK_FAILURES,
        "health-check-failures",
        "COUNT",
        "failed checks after which a URL gets no more requests, 1 to 100 [default: 2]",
    ),
    setting(
        HEALTH_CHECK_SUCCESSES,
        "health-check-successes",
        "COUNT",
        "passed checks after which it gets requests again, 1 to 100 [default: 2]",
    ),
    setting(
        EJECT_AFTER,
        "eject-after",
        "COUNT",
        "failed requests in a row after which a URL gets none for a time, 0 to 1000; 0: never [default: 5]",
    ),
    setting(
        EJECT_SECONDS,
        "eject-seconds",
        "SECONDS",
        "seconds of that time at first, 1 to 3600; it grows with each further time [default: 10]",
    ),
];

/// Options of the gate's settings: the option, the placeholder of its value and the setting.
/// Secrets have none, because other users can see the arguments of a process.
pub const GATE_FLAGS: [(&str, &str, &str); 21] = [
    ("origin", "URL", "TOLLGATE_EDGE_ORIGIN"),
    ("allow-http-origin", "BOOL", "TOLLGATE_EDGE_ALLOW_HTTP_ORIGIN"),
    ("upstream", "URL", "TOLLGATE_EDGE_UPSTREAM"),
    ("snapshot-key", "KEY", "TOLLGATE_EDGE_SNAPSHOT_KEY"),
    ("audience", "AUDIENCE", "TOLLGATE_EDGE_AUDIENCE"),
    ("issuer", "ISSUER", "TOLLGATE_EDGE_ISSUER"),
    ("leeway-seconds", "SECONDS", "TOLLGATE_EDGE_LEEWAY_SECONDS"),
    ("refresh-after-ms", "MS", "TOLLGATE_EDGE_REFRESH_AFTER_MS"),
    ("max-staleness-ms", "MS", "TOLLGATE_EDGE_MAX_STALENESS_MS"),
    ("allow-plain-jwt", "BOOL", "TOLLGATE_EDGE_ALLOW_PLAIN_JWT"),
    ("cached-tokens", "COUNT", "TOLLGATE_EDGE_CACHED_TOKENS"),
    ("key-tables", "SIZE", "TOLLGATE_EDGE_KEY_TABLES"),
    ("identity-audience", "AUDIENCE", "TOLLGATE_EDGE_IDENTITY_AUDIENCE"),
    ("identity-prefix", "PREFIX", "TOLLGATE_EDGE_IDENTITY_PREFIX"),
    ("trusted-proxies", "ADDRESSES", "TOLLGATE_EDGE_TRUSTED_PROXIES"),
    ("upstream-timeout", "SECONDS", "TOLLGATE_EDGE_UPSTREAM_TIMEOUT"),
    ("server-timing", "BOOL", "TOLLGATE_EDGE_SERVER_TIMING"),
    ("start-traces", "BOOL", "TOLLGATE_EDGE_START_TRACES"),
    ("public-url", "URL", "TOLLGATE_EDGE_PUBLIC_URL"),
    ("client-certificate-header", "NAME", "TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER"),
    ("dpop-nonce", "BOOL", "TOLLGATE_EDGE_DPOP_NONCE"),
];

/// Deprecated options with the deprecated names of their settings.
pub const DEPRECATED_FLAGS: [(&str, &str); 2] =
    [("soft-ms", "TOLLGATE_EDGE_SOFT_MS"), ("hard-ms", "TOLLGATE_EDGE_HARD_MS")];

const fn setting(
    name: &'static str,
    flag: &'static str,
    value_name: &'static str,
    description: &'static str,
) -> RunnerSetting {
    RunnerSetting { name, flag, value_name, description }
}
