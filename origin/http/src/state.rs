//! Composition of the handlers' state. A handler takes the part that it needs as `State<Arc<…>>`,
//! so its signature says what it can reach. Only this module has all services at once.
//!
//! Each part is behind one `Arc`: a request clones that of the router and those that its handler
//! takes, and allocates nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::http::HeaderValue;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tollgate_config::{AccountSettings, GrantSettings, RegistrationMode, TlsSettings};
use tollgate_model::Audience;
use tollgate_model::registration::RegistrationPolicy;
use tollgate_services::admin::Administration;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_services::external_users::ExternalUserDirectory;
use tollgate_services::feed_change::FeedChange;
use tollgate_services::outbound_http::OutboundClient;
use tollgate_services::password_hashing::{PasswordHasher, VerifiedSecretCache};
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::request_objects::RequestObjectCache;
use tollgate_services::revocation_feed::{DeltaPolls, EdgeHeartbeats, FeedResponder, RegisteredEdges};
use tollgate_services::shared_signals::Transmitter;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::status_lists::StatusLists;
use tollgate_services::telemetry::{MetricSources, Metrics, SpanExporter};
use tollgate_storage::{Store, Writer};
use tollgate_system::Clock;

use crate::admin_api::auth::AdminApi;
use crate::allowed_origins::AllowedOrigins;
use crate::console::admin_session::ConsoleState;
use crate::edge_api::deltas::DeltaEndpoint;
use crate::edge_api::edge_feed::{EdgeAuthenticator, EdgeFeed};
use crate::edge_api::edge_rules::EdgeRules;
use crate::edge_api::introspect::EdgeIntrospectionEndpoint;
use crate::extract::proxies::Proxies;
use crate::failed_authentication::FailedAuthentications;
use crate::issuer::Issuer;
use crate::jwks::PublicKeys;
use crate::limits::RequestLimits;
use crate::long_polls::LongPolls;
use crate::oauth::assertion::ClientAssertions;
use crate::oauth::authorization::AuthorizationRequestReader;
use crate::oauth::authorization_response::AuthorizationResponses;
use crate::oauth::authorize::AuthorizationEndpoint;
use crate::oauth::bearer::BearerAuthenticator;
use crate::oauth::client_auth::ClientAuthenticator;
use crate::oauth::device::DeviceEndpoint;
use crate::oauth::dpop::ProofVerifier;
use crate::oauth::introspect::IntrospectionEndpoint;
use crate::oauth::issue::TokenIssuer;
use crate::oauth::par::PushedRequestEndpoint;
use crate::oauth::register::RegistrationEndpoint;
use crate::oauth::revoke::RevocationEndpoint;
use crate::oauth::token_request::TokenEndpoint;
use crate::oidc::metadata::ServerFeatures;
use crate::oidc::userinfo::UserInfoEndpoint;
use crate::operations::observe::RequestObserver;
use crate::operations::slow_requests::SlowRequestLog;
use crate::operations::state::{DatabaseStatus, LastCounts, Operations};
use crate::pages::brand::Appearance;
use crate::pages::browser::BrowserSessions;
use crate::pages::error::PublicPages;
use crate::pages::state::PageState;
use crate::shared_signals::receivers::SignalReceivers;
use crate::status_list::PublishedStatusLists;

/// The services and settings of an issuer, from which its router is built.
pub struct IssuerServices {
    pub clock: Clock,
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
    pub delta_polls: Arc<DeltaPolls>,
    /// Whether requests for deltas are answered only if an edge's key has signed them.
    pub registered_edges_only: bool,
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
    /// Where the issuer's metrics are added.
    pub metric_sources: MetricSources,
    /// Duration from which a request is logged as slow; none for never.
    pub slow_request: Option<Duration>,
    /// Whether `/metrics` is served here, and not only on its own listener.
    pub metrics_public: bool,
    /// Value of `Strict-Transport-Security`, if the issuer uses HTTPS.
    pub hsts: Option<HeaderValue>,
    /// Cancelled when the server stops accepting requests.
    pub draining: CancellationToken,
    /// Cancelled at shutdown; ends long polls.
    pub stop: CancellationToken,
}

/// The router's state. Handlers take parts of it.
#[derive(Clone)]
pub(crate) struct RouterState(Arc<Parts>);

/// Declares the parts, and lets handlers extract each by its type.
macro_rules! parts {
    ($($name:ident: $part:ty,)+) => {
        struct Parts {
            $($name: Arc<$part>,)+
        }

        $(impl FromRef<RouterState> for Arc<$part> {
            fn from_ref(state: &RouterState) -> Arc<$part> {
                Arc::clone(&state.0.$name)
            }
        })+
    };
}

parts! {
    issuer: Issuer,
    appearance: Appearance,
    public_keys: PublicKeys,
    features: ServerFeatures,
    // Layers of all requests.
    observer: RequestObserver,
    public_pages: PublicPages,
    allowed_origins: AllowedOrigins,
    limits: RequestLimits,
    // OAuth and OpenID Connect.
    bearers: BearerAuthenticator,
    token: TokenEndpoint,
    authorization: AuthorizationEndpoint,
    pushed_requests: PushedRequestEndpoint,
    device: DeviceEndpoint,
    introspection: IntrospectionEndpoint,
    revocation: RevocationEndpoint,
    registration: RegistrationEndpoint,
    user_info: UserInfoEndpoint,
    // People.
    pages: PageState,
    console: ConsoleState,
    admin_api: AdminApi,
    // Edges, verifiers, receivers, operators.
    edge_feed: EdgeFeed,
    deltas: DeltaEndpoint,
    edge_introspection: EdgeIntrospectionEndpoint,
    edge_rules: EdgeRules,
    status_lists: PublishedStatusLists,
    receivers: SignalReceivers,
    operations: Operations,
}

/// Makes a part from its own fields and those that it shares with others, by their names.
macro_rules! part {
    ($part:ident { $($own:tt)* } with $($source:ident { $($field:ident),+ }),+) => {
        $part { $($($field: $source.$field.clone(),)+)+ $($own)* }
    };
}

impl RouterState {
    pub(crate) fn observer(&self) -> Arc<RequestObserver> {
        Arc::clone(&self.0.observer)
    }

    pub(crate) fn public_pages(&self) -> Arc<PublicPages> {
        Arc::clone(&self.0.public_pages)
    }

    pub(crate) fn allowed_origins(&self) -> Arc<AllowedOrigins> {
        Arc::clone(&self.0.allowed_origins)
    }

    pub(crate) fn limits(&self) -> Arc<RequestLimits> {
        Arc::clone(&self.0.limits)
    }

    /// Composes the parts.
    pub(crate) fn new(services: IssuerServices) -> RouterState {
        let IssuerServices { grants, tls, accounts, external_users, outbound, .. } = services;
        let IssuerServices { feed, delta_polls, edge_heartbeats, feed_changes, long_polls, stop, .. } = services;
        let registered_edges =
            services.registered_edges_only.then(|| RegisteredEdges::new(services.store.clone(), feed_changes.clone()));
        let IssuerServices { status_lists, transmitter, span_exporter, metrics_public, draining, .. } = services;
        let IssuerServices { metric_sources, slow_request, .. } = services;
        let common = Common {
            issuer: Arc::new(Issuer {
                url: services.issuer,
                default_audience: services.default_audience,
                token_lifetime: services.token_lifetime,
                status_claim: services.status_claim,
                http_redirects: grants.http_redirects,
                hsts: services.hsts,
            }),
            clock: services.clock,
            store: services.store,
            writer: services.writer,
            cache: services.cache,
            keys: services.keys,
            client_keys: Arc::new(services.client_keys),
            password_hasher: services.password_hasher,
            rate_limiter: Arc::new(services.rate_limiter),
            proxies: Arc::new(Proxies::new(&grants)),
            metrics: services.metrics,
            appearance: services.appearance,
        };
        let ahead = services.admin.key_policy.ahead;
        let commands = Arc::new(services.admin);
        let authentication = Authentication::new(&common, services.verified_secrets, outbound.clone(), &grants);
        let pages = Arc::new(common.pages(&authentication, &grants, accounts, external_users));
        let allowed_origins = Arc::new(AllowedOrigins::new(
            common.store.clone(),
            common.cache.clone(),
            grants.registration == RegistrationMode::Open,
        ));
        let edge_feed = Arc::new(EdgeFeed { responder: Arc::clone(&feed), polls: delta_polls });
        let edge_introspection = part!(EdgeIntrospectionEndpoint {
            edges: RegisteredEdges::new(common.store.clone(), feed_changes.clone()),
        } with common { issuer, clock, store, keys });
        let deltas = common.delta_endpoint(&edge_feed, edge_heartbeats, registered_edges, &long_polls);
        let operations = part!(Operations {
            database: DatabaseStatus::new(common.store.clone()),
            feed,
            feed_changes: feed_changes.clone(),
            allowed_origins: Arc::clone(&allowed_origins),
            long_polls: Arc::clone(&long_polls),
            metrics_public,
            draining,
            last_counts: LastCounts::default(),
        } with common { clock, writer, cache, keys, password_hasher, rate_limiter, metrics });
        let operations = Arc::new(operations);
        let metric_source = Arc::downgrade(&operations);
        metric_sources.add(&common.issuer.url, metric_source);
        let observer = common.observer(&authentication, span_exporter, slow_request, &commands);
        let receivers = part!(SignalReceivers {
            transmitter,
            feed_changes,
            long_polls,
            stop,
        } with common { issuer, clock, store, proxies }, authentication { bearers });
        RouterState(Arc::new(Parts {
            public_keys: Arc::new(PublicKeys::new(common.keys.clone(), ahead)),
            observer: Arc::new(observer),
            public_pages: Arc::new(common.public_pages()),
            allowed_origins,
            limits: Arc::new(common.limits()),
            token: Arc::new(common.token_endpoint(&authentication, &grants, &pages)),
            authorization: Arc::clone(&pages.authorization),
            pushed_requests: Arc::new(common.pushed_request_endpoint(&authentication)),
            device: Arc::new(common.device_endpoint(&authentication)),
            introspection: Arc::new(common.introspection_endpoint(&authentication)),
            revocation: Arc::new(common.revocation_endpoint(&authentication)),
            registration: Arc::new(common.registration_endpoint(&authentication, &grants, outbound)),
            user_info: Arc::new(common.user_info_endpoint(&authentication)),
            features: Arc::new(common.features(grants, tls)),
            console: Arc::new(ConsoleState { pages: Arc::clone(&pages), commands: Arc::clone(&commands) }),
            admin_api: Arc::new(AdminApi { issuer: Arc::clone(&common.issuer), commands }),
            pages,
            edge_feed,
            deltas: Arc::new(deltas),
            edge_introspection: Arc::new(edge_introspection),
            edge_rules: Arc::new(common.edge_rules()),
            status_lists: Arc::new(PublishedStatusLists { lists: status_lists, clock: common.clock.clone() }),
            receivers: Arc::new(receivers),
            operations,
            bearers: authentication.bearers,
            appearance: common.appearance,
            issuer: common.issuer,
        }))
    }
}

/// What most parts have a share in.
struct Common {
    issuer: Arc<Issuer>,
    clock: Clock,
    store: Store,
    writer: Writer,
    cache: RegistrationCache,
    keys: SigningKeys,
    client_keys: Arc<ClientKeyCache>,
    password_hasher: PasswordHasher,
    rate_limiter: Arc<RateLimiter>,
    proxies: Arc<Proxies>,
    metrics: Arc<Metrics>,
    appearance: Arc<Appearance>,
}

/// How requests are authenticated.
struct Authentication {
    failures: FailedAuthentications,
    clients: Arc<ClientAuthenticator>,
    bearers: Arc<BearerAuthenticator>,
    proofs: Arc<ProofVerifier>,
    reader: Arc<AuthorizationRequestReader>,
}

impl Authentication {
    fn new(
        common: &Common,
        verified_secrets: VerifiedSecretCache,
        outbound: OutboundClient,
        grants: &GrantSettings,
    ) -> Authentication {
        let (clock, metrics, writer) = (common.clock.clone(), Arc::clone(&common.metrics), common.writer.clone());
        let failures = FailedAuthentications::new(clock, metrics, writer);
        let proofs = Arc::new(ProofVerifier::new(
            Arc::clone(&common.issuer),
            common.clock.clone(),
            common.keys.clone(),
            common.writer.clone(),
            grants.dpop_nonce_required,
        ));
        let bearers = part!(BearerAuthenticator {
            proofs: Arc::clone(&proofs),
        } with common { issuer, clock, store, cache, keys, proxies });
        let clients = part!(ClientAuthenticator {
            assertions: part!(ClientAssertions {} with common { issuer, clock, cache, client_keys, writer }),
            verified_secrets,
            failures: failures.clone(),
        } with common { clock, store, cache, password_hasher, rate_limiter, proxies });
        let reader = part!(AuthorizationRequestReader {
            request_objects: RequestObjectCache::new(outbound),
            has_front_channel_tokens: grants.legacy.has_front_channel_tokens,
        } with common { issuer, clock, keys, client_keys });
        Authentication {
            failures,
            clients: Arc::new(clients),
            bearers: Arc::new(bearers),
            proofs,
            reader: Arc::new(reader),
        }
    }
}

impl Common {
    fn features(&self, grants: GrantSettings, tls: Option<TlsSettings>) -> ServerFeatures {
        part!(ServerFeatures {
            grants,
            tls,
        } with self { issuer, appearance, keys })
    }

    fn observer(
        &self,
        authentication: &Authentication,
        span_exporter: SpanExporter,
        slow_request: Option<Duration>,
        commands: &Administration,
    ) -> RequestObserver {
        part!(RequestObserver {
            span_exporter,
            slow_requests: SlowRequestLog::new(slow_request),
        } with self { issuer, clock, proxies, metrics }, authentication { failures }, commands { refusals })
    }

    fn delta_endpoint(
        &self,
        feed: &Arc<EdgeFeed>,
        heartbeats: Arc<EdgeHeartbeats>,
        registered: Option<RegisteredEdges>,
        long_polls: &Arc<LongPolls>,
    ) -> DeltaEndpoint {
        DeltaEndpoint {
            feed: Arc::clone(feed),
            edges: EdgeAuthenticator::new(heartbeats, self.keys.clone(), self.clock.clone(), registered),
            long_polls: Arc::clone(long_polls),
            proxies: Arc::clone(&self.proxies),
        }
    }

    fn public_pages(&self) -> PublicPages {
        PublicPages { issuer: Arc::clone(&self.issuer), appearance: Arc::clone(&self.appearance) }
    }

    fn limits(&self) -> RequestLimits {
        RequestLimits { rate_limiter: Arc::clone(&self.rate_limiter), proxies: Arc::clone(&self.proxies) }
    }

    fn token_issuer(&self) -> TokenIssuer {
        part!(TokenIssuer {} with self { issuer, clock, store, writer, cache, keys })
    }

    fn token_endpoint(
        &self,
        authentication: &Authentication,
        grants: &GrantSettings,
        pages: &Arc<PageState>,
    ) -> TokenEndpoint {
        part!(TokenEndpoint {
            tokens: self.token_issuer(),
            refresh: grants.refresh,
            password_grant: grants.legacy.has_password_grant.then(|| Arc::clone(pages)),
        } with authentication { clients, bearers, proofs }, self { client_keys, metrics })
    }

    fn pushed_request_endpoint(&self, authentication: &Authentication) -> PushedRequestEndpoint {
        part!(PushedRequestEndpoint {} with self { clock, store }, authentication { clients, reader, proofs })
    }

    fn device_endpoint(&self, authentication: &Authentication) -> DeviceEndpoint {
        part!(DeviceEndpoint {} with self { issuer, clock, store, keys, proxies }, authentication { clients })
    }

    fn introspection_endpoint(&self, authentication: &Authentication) -> IntrospectionEndpoint {
        part!(IntrospectionEndpoint {} with
            self { issuer, clock, store, cache, keys, metrics },
            authentication { clients, bearers })
    }

    fn revocation_endpoint(&self, authentication: &Authentication) -> RevocationEndpoint {
        part!(RevocationEndpoint {} with self { issuer, clock, store, writer, keys }, authentication { clients })
    }

    fn registration_endpoint(
        &self,
        authentication: &Authentication,
        grants: &GrantSettings,
        outbound: OutboundClient,
    ) -> RegistrationEndpoint {
        part!(RegistrationEndpoint {
            mode: grants.registration,
            policy: RegistrationPolicy {
                schemes: grants.registration_schemes.clone(),
                http_redirects: grants.http_redirects,
                has_front_channel_tokens: grants.legacy.has_front_channel_tokens,
                profile: grants.profile,
            },
            outbound,
        } with self { issuer, clock, store }, authentication { bearers })
    }

    fn user_info_endpoint(&self, authentication: &Authentication) -> UserInfoEndpoint {
        part!(UserInfoEndpoint {} with self { issuer, clock, store, keys }, authentication { bearers })
    }

    fn edge_rules(&self) -> EdgeRules {
        EdgeRules::new(Arc::clone(&self.issuer), self.cache.clone(), self.keys.clone())
    }

    fn pages(
        &self,
        authentication: &Authentication,
        grants: &GrantSettings,
        accounts: AccountSettings,
        external_users: Option<ExternalUserDirectory>,
    ) -> PageState {
        let sessions = Arc::new(part!(BrowserSessions {} with self { issuer, clock, store }));
        let authorization = part!(AuthorizationEndpoint {
            refresh: grants.refresh,
            sessions: Arc::clone(&sessions),
            responses: part!(AuthorizationResponses {} with self { issuer, clock, keys, appearance }),
            front_channel: grants.legacy.has_front_channel_tokens.then(|| self.token_issuer()),
        } with self { issuer, clock, store, keys }, authentication { reader });
        part!(PageState {
            accounts,
            external_users,
            sessions,
            authorization: Arc::new(authorization),
        } with
            self { issuer, clock, store, writer, keys, appearance, password_hasher, rate_limiter, proxies, metrics },
            authentication { failures })
    }
}
