//! A route rule: the requests that it applies to, what it requires of them, and how they are
//! forwarded.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::UnknownStatusPolicy;

/// Requirements for requests with some hosts, paths and methods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    pub(super) index: Option<usize>,
    pub(super) path: String,
    pub(super) hosts: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) scope: Vec<String>,
    pub(super) is_public: bool,
    pub(super) requires_binding: bool,
    pub(super) allows_encoded_slash: bool,
    pub(super) removes_token: bool,
    pub(super) on_stale: UnknownStatusPolicy,
    pub(super) on_not_covered: UnknownStatusPolicy,
    pub(super) streams: StreamPolicy,
    /// Rules for the token that few routes have. `None` costs nothing where there are none.
    pub(super) token_rules: Option<Box<TokenRules>>,
    pub(super) audience: Option<String>,
    pub(super) max_staleness_ms: Option<u64>,
    pub(super) upstream: Option<String>,
    pub(super) max_body_bytes: Option<u64>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) cors: Option<Box<Cors>>,
    pub(super) headers: Vec<(String, String)>,
}

/// Requirements on a token beyond scope and audience. An empty list requires nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenRules {
    /// Scope values of which the token must have one.
    pub scope_any: Vec<String>,
    /// Clients of which one must be the token's.
    pub clients: Vec<String>,
    /// Conditions on claims, all of which must hold.
    pub claims: Vec<ClaimRule>,
    /// Authentication context classes of which one must be the token's `acr`, in the order of
    /// preference.
    pub acr: Vec<String>,
    /// Seconds since the user's last active authentication (`auth_time`), at most.
    pub max_age: Option<u64>,
}

/// A condition on one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    /// Name of the claim.
    pub name: String,
    /// What must hold for its value.
    pub condition: ClaimCondition,
}

/// What must hold for the value of a claim. A claim that is missing meets no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimCondition {
    /// It is this value.
    Equals(ClaimValue),
    /// It is one of these values.
    OneOf(Vec<ClaimValue>),
    /// It is an array with this element, or a text with this value among those that it separates by
    /// spaces, as `scope` does.
    Contains(ClaimValue),
}

/// A value that a claim is compared with. Values of different types are never equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimValue {
    /// A text.
    Text(String),
    /// `true`, `false` or a whole number, as JSON writes it.
    Literal(String),
}

/// What happens to an open stream when its token is revoked or expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamPolicy {
    /// It is ended.
    #[default]
    End,
    /// It continues until client or upstream end it.
    Continue,
}

/// Most requests in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Number of requests.
    pub requests: u32,
    /// Length of the period, in seconds.
    pub seconds: u32,
    /// Which requests are counted together.
    pub by: RateLimitKey,
}

/// Which requests a rate limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitKey {
    /// Those of one client.
    Client,
    /// Those of one subject.
    Subject,
    /// Those from one network address.
    Address,
}

/// Cross-origin requests that browsers may make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// Origins that may, or `*` for all.
    pub origins: Vec<String>,
    /// Methods that they may use; empty for those of the rule.
    pub methods: Vec<String>,
    /// Request headers that they may send.
    pub headers: Vec<String>,
    /// Response headers that they may read.
    pub expose: Vec<String>,
    /// Whether requests may have credentials of the browser.
    pub allows_credentials: bool,
    /// Seconds for which a browser may keep the answer to a preflight request.
    pub max_age: Option<u64>,
}

impl Route {
    /// Position in [`Config::routes`](crate::Config::routes). None for the route of requests that
    /// no rule matches.
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// The path as written: `/a`, `/a/*`, or with parameters `/a/{id}`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Hosts that it applies to, `api.example` or `*.example`; empty for all.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Methods that it applies to; empty for all.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Scope values that the token must have, all of them.
    pub fn scope(&self) -> &[String] {
        &self.scope
    }

    /// Whether the route requires no token.
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// What to do when the token is not revoked in the replica, but the replica is older than the
    /// staleness bound.
    pub fn on_stale(&self) -> UnknownStatusPolicy {
        self.on_stale
    }

    /// What to do when the replica is older than the staleness bound and the token may be newer
    /// than the replica.
    pub fn on_not_covered(&self) -> UnknownStatusPolicy {
        self.on_not_covered
    }

    /// Requirements on the token beyond scope and audience.
    pub fn token_rules(&self) -> Option<&TokenRules> {
        self.token_rules.as_deref()
    }

    /// Scope values of which the token must have one; empty if none is required.
    pub fn scope_any(&self) -> &[String] {
        self.token_rules().map_or(&[], |rules| &rules.scope_any)
    }

    /// Clients of which one must be the token's; empty for all.
    pub fn clients(&self) -> &[String] {
        self.token_rules().map_or(&[], |rules| &rules.clients)
    }

    /// Conditions on claims, all of which must hold.
    pub fn claims(&self) -> &[ClaimRule] {
        self.token_rules().map_or(&[], |rules| &rules.claims)
    }

    /// Authentication context classes of which one must be the token's; empty for all.
    pub fn acr(&self) -> &[String] {
        self.token_rules().map_or(&[], |rules| &rules.acr)
    }

    /// Seconds since the user's last active authentication, at most.
    pub fn max_age(&self) -> Option<u64> {
        self.token_rules().and_then(|rules| rules.max_age)
    }

    /// The audience of tokens, if it is another than the edge's.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// Whether the token must be bound to a key, by DPoP or a certificate.
    pub fn requires_binding(&self) -> bool {
        self.requires_binding
    }

    /// The staleness bound, if it is another than the edge's.
    pub fn max_staleness_ms(&self) -> Option<u64> {
        self.max_staleness_ms
    }

    /// Name of the upstream, if it is another than the edge's first.
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// Most bytes of a request's body.
    pub fn max_body_bytes(&self) -> Option<u64> {
        self.max_body_bytes
    }

    /// Time until the upstream must begin its response.
    pub fn timeout_ms(&self) -> Option<u64> {
        self.timeout_ms
    }

    /// The rate limit.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// What happens to open streams when their token is revoked or expires.
    pub fn streams(&self) -> StreamPolicy {
        self.streams
    }

    /// Cross-origin requests that browsers may make.
    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_deref()
    }

    /// Whether paths may contain an encoded slash (`%2F`).
    pub fn allows_encoded_slash(&self) -> bool {
        self.allows_encoded_slash
    }

    /// Names of request headers for the upstream, each with the claim that it carries.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Whether the upstream gets the request without its token.
    pub fn removes_token(&self) -> bool {
        self.removes_token
    }

    // Not inlined, to keep components small.
    #[inline(never)]
    pub(super) fn token_rules_mut(&mut self) -> &mut TokenRules {
        self.token_rules.get_or_insert_default()
    }
}
