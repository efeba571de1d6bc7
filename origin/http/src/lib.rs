//! The origin's HTTP interface. Each endpoint has a file with a straight-line handler:
//! authenticate, decide, commit, respond.
//!
//! Never: SQL in a handler; details of an internal failure in a response. OAuth endpoints return
//! errors as RFC 6749 JSON, all others as `application/problem+json`.

mod admin_api;
mod allowed_origins;
mod console;
mod cors;
mod edge_api;
mod extract;
mod failed_authentication;
mod hsts;
mod json;
mod jwks;
mod limits;
mod long_polls;
mod oauth;
mod openapi;
mod operations;
mod pages;
mod problem;
mod ratelimit_headers;
mod router;
mod shared_signals;
mod status_list;

pub use allowed_origins::AllowedOrigins;
pub use hsts::of_issuer as hsts_of_issuer;
pub use long_polls::LongPolls;
pub use oauth::certificate::Certificate;
pub use operations::metrics::listener as metrics_listener;
pub use operations::observe::Refusal;
pub use pages::brand::Appearance;
pub use problem::Problem;
pub use router::router;

use std::sync::Arc;

use axum::http::HeaderValue;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tollgate_config::{AccountSettings, GrantSettings, TlsSettings};
use tollgate_model::{Actor, Audience};
use tollgate_services::admin::Administration;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_services::external_users::ExternalUserDirectory;
use tollgate_services::feed_change::FeedChange;
use tollgate_services::outbound_http::OutboundClient;
use tollgate_services::password_hashing::{PasswordHasher, VerifiedSecretCache};
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::revocation_feed::{EdgeHeartbeats, FeedResponder};
use tollgate_services::shared_signals::Transmitter;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::status_lists::StatusLists;
use tollgate_services::telemetry::{Metrics, SpanExporter, TraceContext};
use tollgate_storage::{Store, Termination, Writer};

/// State of the handlers of one issuer.
pub struct App {
    pub clock: tollgate_system::Clock,
    /// The database.
    pub store: Store,
    /// Cache of clients, resource servers and tokens, validated by version.
    pub cache: RegistrationCache,
    /// HTTP client for URLs that clients registered.
    pub outbound: OutboundClient,
    /// Cache of the public keys of clients.
    pub client_keys: ClientKeyCache,
    /// Hashes passwords and chosen secrets.
    pub password_hasher: PasswordHasher,
    /// Cache of client secrets that were verified lately.
    pub verified_secrets: VerifiedSecretCache,
    /// Origins that CORS allows.
    pub allowed_origins: AllowedOrigins,
    /// Limit of waiting long polls.
    pub long_polls: Arc<LongPolls>,
    /// Rate limits.
    pub rate_limiter: RateLimiter,
    /// Settings of grants, registration and trusted proxies.
    pub grants: GrantSettings,
    /// TLS settings, if this server terminates TLS.
    pub tls: Option<TlsSettings>,
    /// Messages and branding of pages.
    pub appearance: Arc<Appearance>,
    /// Settings of accounts.
    pub accounts: AccountSettings,
    /// External user directory.
    pub external_users: Option<ExternalUserDirectory>,
    /// Writes tokens and revocations, with group commit.
    pub writer: Writer,
    /// Signing keys.
    pub keys: SigningKeys,
    /// The commands of administrators.
    pub admin: Administration,
    /// Snapshots and deltas for edges.
    pub feed: Arc<FeedResponder>,
    /// Token status lists.
    pub status_lists: StatusLists,
    /// Whether access tokens have a `status` claim.
    pub status_claim: bool,
    /// Issuer of security event tokens.
    pub transmitter: Arc<Transmitter>,
    /// Recent heartbeats of edges.
    pub edge_heartbeats: Arc<EdgeHeartbeats>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens whose client names none.
    pub default_audience: Audience,
    /// Lifetime of access tokens, in seconds.
    pub token_lifetime: u64,
    /// Change notices of the revocation feed.
    pub feed_changes: Receiver<FeedChange>,
    /// Counters of this process.
    pub metrics: Arc<Metrics>,
    /// Exporter of trace spans.
    pub span_exporter: SpanExporter,
    /// Whether `/metrics` is served here, and not only on its own listener.
    pub metrics_public: bool,
    /// Value of `Strict-Transport-Security`, if the issuer uses HTTPS.
    pub hsts: Option<HeaderValue>,
    /// Cancelled when the server stops accepting requests.
    pub draining: CancellationToken,
    /// Cancelled at shutdown; ends long polls.
    pub stop: CancellationToken,
}

/// State as axum passes it.
pub type AppState = Arc<App>;

impl App {
    /// How what `by` ends is recorded: back-channel logouts that follow belong to the current
    /// request's trace.
    pub(crate) fn termination(&self, by: &Actor, reason: &'static str) -> Termination {
        Termination { trace: TraceContext::current().traceparent(), ..Termination::new(by, reason, self.clock.now()) }
    }

    /// A path of this issuer as browsers see it, for links, forms, redirects and cookies. The URL
    /// of an issuer may have a path, which is removed before requests reach the handlers.
    #[must_use]
    pub fn issuer_path(&self, path: &str) -> String {
        let after_scheme = self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, rest)| rest);
        let base = after_scheme.split_once('/').map_or("", |(_, base)| base);
        if base.is_empty() { path.to_owned() } else { format!("/{base}{path}") }
    }
}
