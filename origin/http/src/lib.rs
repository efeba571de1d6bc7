//! The origin's HTTP interface. One file an endpoint, each a straight line: authenticate, ask the
//! domain, commit, answer.
//!
//! Handlers never see SQL. Errors of OAuth endpoints are RFC 6749 JSON, those of the edges' are
//! `application/problem+json`; what went wrong inside goes to the log, never to the client.

mod admin_api;
mod allowed_origins;
mod client_address;
mod console;
mod cookies;
mod cors;
mod edge_api;
mod failed_authentication;
mod header_list;
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

/// What handlers share.
pub struct App {
    pub clock: tollgate_system::Clock,
    /// The database.
    pub store: Store,
    /// What of it is in memory.
    pub cache: RegistrationCache,
    /// Asks addresses that clients registered.
    pub outbound: OutboundClient,
    /// Finds clients' own keys.
    pub client_keys: ClientKeyCache,
    /// Checks passwords.
    pub password_hasher: PasswordHasher,
    /// Clients' secrets that it found right lately.
    pub verified_secrets: VerifiedSecretCache,
    /// Where apps in browsers are.
    pub allowed_origins: AllowedOrigins,
    /// How many long polls may wait.
    pub long_polls: Arc<LongPolls>,
    /// How often what may be asked for.
    pub rate_limiter: RateLimiter,
    /// How long grants last, who may register, and which proxies are believed.
    pub grants: GrantSettings,
    /// How HTTPS is answered, if it is: which clients' certificates may come that way.
    pub tls: Option<TlsSettings>,
    /// The texts and the look of pages.
    pub appearance: Arc<Appearance>,
    /// Whether people may make accounts, and who else may vouch for them.
    pub accounts: AccountSettings,
    /// Who else knows users.
    pub external_users: Option<ExternalUserDirectory>,
    /// Issues and revokes, many at a time.
    pub writer: Writer,
    /// Signs and recognises tokens.
    pub keys: SigningKeys,
    /// The commands of administrators.
    pub admin: Administration,
    /// Answers edges.
    pub feed: Arc<FeedResponder>,
    /// Answers verifiers of others.
    pub status_lists: StatusLists,
    /// Whether access tokens say where their status stands.
    pub status_claim: bool,
    /// Makes security event tokens.
    pub transmitter: Arc<Transmitter>,
    /// The edges heard of lately.
    pub edge_heartbeats: Arc<EdgeHeartbeats>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens of clients that have none of their own.
    pub default_audience: Audience,
    /// How long tokens live, in seconds.
    pub token_lifetime: u64,
    /// Tells that the feed moved.
    pub feed_changes: Receiver<FeedChange>,
    /// What it counts of itself.
    pub metrics: Arc<Metrics>,
    /// Where answered requests are told of.
    pub span_exporter: SpanExporter,
    /// Whether `/metrics` is answered with everything else, not on a listener of its own alone.
    pub metrics_public: bool,
    /// The `Strict-Transport-Security` of all answers, if they have one.
    pub hsts: Option<HeaderValue>,
    /// Cancelled when no more requests should be sent here: the origin is about to end.
    pub draining: CancellationToken,
    /// Ends long polls at shutdown.
    pub stop: CancellationToken,
}

/// The shared state as axum hands it around.
pub type AppState = Arc<App>;

impl App {
    /// How what `by` ends is recorded: back-channel logouts that follow belong to the current
    /// request's trace.
    pub(crate) fn termination(&self, by: &Actor, reason: &'static str) -> Termination {
        Termination { trace: TraceContext::current().traceparent(), ..Termination::new(by, reason, self.clock.now()) }
    }

    /// A path of this issuer as browsers know it, for links, forms, redirects and cookies: an issuer may itself have a path, which
    /// requests have lost when they come to its handlers.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        let after_scheme = self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, rest)| rest);
        let base = after_scheme.split_once('/').map_or("", |(_, base)| base);
        if base.is_empty() { path.to_owned() } else { format!("/{base}{path}") }
    }
}
