//! The gate: decides on requests and tokens, by a replica of known freshness.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use tollgate_core::{
    Config, ConfigDigest, Nonce, Possession, ProofError, ProofUse, Refusal, ReplaySet, ReplicaView, Route,
    TokenReference, TokenRequirements, UnknownStatusPolicy, VerifiedToken, verify_all,
};

use crate::bearer::{self, AccessToken, Scheme};
use crate::cors::{self, Preflight};
use crate::counters::{Counters, RouteTotals};
use crate::error_form;
use crate::identity_token::{IdentityIssuer, JWKS_PATH};
use crate::introspection::{IntrospectionRequest, Introspections, Obstacle, is_introspected};
use crate::json::JsonObject;
use crate::message::{Decision, Forward, ForwardRoute, Header, RefusedRequest, Request, Response};
use crate::path;
use crate::replica_state::ReplicaState;
use crate::resource_metadata::{self, Resources};
use crate::routing::{authority, find_route, route_label};
use crate::settings::Settings;

/// Path for proxies that ask the gate about a request (`auth_request`, `forwardAuth`, `ext_authz`).
const VALIDATE_PATH: &str = "/_tollgate/validate";

/// Age of the replica up to which a route that accepts tokens of unknown status does so without a
/// wait.
const MAX_ALLOWED_AGE_MS: u64 = 60_000;

/// Freshness of the gate's replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Younger than the refresh-after age.
    Fresh,
    /// Older than the refresh-after age: fetch in the background.
    RefreshDue,
    /// Older than the staleness bound, or never complete: decisions that need a fresh replica wait
    /// for a fetch.
    Stale,
}

/// The gate of one edge. It reads no clock and opens no connection: its host supplies the time and
/// the origin's messages.
#[derive(Debug)]
pub struct Gate {
    settings: Settings,
    pub(crate) state: ReplicaState,
    /// Uses of DPoP proofs. A gate runs on one thread and records one at a time, so the borrow
    /// never fails.
    used_proofs: RefCell<ReplaySet>,
    /// The proof that the last decision used.
    last_proof_use: Cell<Option<ProofUse>>,
    pub(crate) introspections: Introspections,
    pub(crate) counters: Counters,
    /// Configuration whose route rules the counters count.
    pub(crate) counted_config: Option<ConfigDigest>,
    pub(crate) takes_config_deltas: bool,
    /// Signs the identity for the upstream, if the settings have a key and the host supplied random
    /// bits.
    identity_issuer: Option<IdentityIssuer>,
}

impl Gate {
    /// A gate without a replica: it answers 503 until it has a snapshot and a proof of freshness.
    pub fn new(settings: Settings) -> Self {
        let state = ReplicaState::new(&settings);
        Self {
            state,
            settings,
            used_proofs: RefCell::default(),
            last_proof_use: Cell::new(None),
            introspections: Introspections::default(),
            counters: Counters::default(),
            counted_config: None,
            takes_config_deltas: false,
            identity_issuer: None,
        }
    }

    /// Sets the random bits of this instance, from which the identifiers of identity tokens are
    /// derived. Without them, upstreams get no signed identity.
    #[must_use]
    pub fn with_instance_seed(self, seed: Nonce) -> Self {
        let settings = self.settings.identity_token.clone();
        Self { identity_issuer: settings.map(|settings| IdentityIssuer::new(settings, seed)), ..self }
    }

    /// Lets the origin send a new configuration with deltas instead of a snapshot. For a host whose
    /// gates apply every answer: a [`MessageLog`](crate::MessageLog) has no place for it.
    #[must_use]
    pub fn with_config_deltas(self) -> Self {
        Self { takes_config_deltas: true, ..self }
    }

    /// What the gate passed, refused and decided by, since it was opened. Its host counts streams
    /// and upstream times there.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The gate's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Freshness at `now_ms` (Unix milliseconds, here and below): whether a fetch is due.
    pub fn freshness(&self, now_ms: u64) -> Freshness {
        let strictest = self.strictest_staleness_ms();
        match self.state.age_ms(now_ms) {
            Some(age) if age <= self.settings.refresh_after_ms.min(strictest) => Freshness::Fresh,
            Some(age) if age <= self.settings.max_staleness_ms => Freshness::RefreshDue,
            _ => Freshness::Stale,
        }
    }

    /// Decides on a request: first the gate's own paths, then the route rule, then the token. Set
    /// `has_waited` after a fetch was awaited for [`Decision::Wait`], or if none is to be awaited:
    /// then the gate decides by the replica that it has.
    pub fn decide(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Decision {
        match self.decide_by_path(request, now_ms, has_waited) {
            Decision::Answer(response) => Decision::Answer(error_form::negotiate(request, response)),
            decision => decision,
        }
    }

    fn decide_by_path(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Decision {
        match (request.method, request.path()) {
            ("GET" | "HEAD", "/_tollgate/health") => Decision::Answer(self.health(now_ms)),
            (_, path) if path == VALIDATE_PATH || path.starts_with("/_tollgate/validate/") => {
                self.validate(request, now_ms, has_waited)
            }
            ("POST", "/_tollgate/push") => self.decide_push(request, now_ms),
            (_, path) if is_gate_path(path) => {
                Decision::Answer(Response::error(404, "not_found", "the gate has no such page"))
            }
            _ => self.well_known(request, now_ms, has_waited).unwrap_or_else(|| {
                match self.authorize(request, authority(request), now_ms, has_waited) {
                    Authorization::Allowed(forward) => Decision::Forward(forward),
                    Authorization::Refused(response) | Authorization::Preflight(response) => Decision::Answer(response),
                    Authorization::NeedsFreshReplica => Decision::Wait,
                    Authorization::NeedsIntrospection(reference) => Decision::Introspect(reference),
                }
            }),
        }
    }

    /// Answers with the edge's own documents below `/.well-known/`, if its settings name a key for
    /// identity tokens or a public URL. All other requests are the upstream's.
    fn well_known(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Option<Decision> {
        if !request.target.starts_with("/.well-known/") {
            return None;
        }
        if request.path() == JWKS_PATH && matches!(request.method, "GET" | "HEAD") {
            return self.settings.identity_token.as_ref().map(|settings| Decision::Answer(settings.jwks()));
        }
        if self.settings.public_url.is_none() || !resource_metadata::is_metadata_path(request.path()) {
            return None;
        }
        match self.state.replica() {
            _ if !has_waited && self.state.age_ms(now_ms).is_none() => Some(Decision::Wait),
            None => Some(Decision::Answer(bearer::unavailable("this edge has no snapshot yet"))),
            Some(replica) => {
                let resources = Resources::new(&self.settings, replica.config())?;
                Some(Decision::Answer(resources.answer(request)))
            }
        }
    }

    /// Verifies one token without a request, at the Unix time `now` in seconds.
    ///
    /// # Errors
    /// The first check that failed; [`Refusal::Stale`] also without a snapshot.
    pub fn verify(&self, token: &[u8], scope: &[String], now: u64) -> Result<VerifiedToken, Refusal> {
        let now_ms = now.saturating_mul(1000);
        let (requirements, view) = self.requirements(scope, [UnknownStatusPolicy::Deny; 2], now_ms)?;
        self.state.verifier().verify(token, &requirements, &view, now).cloned()
    }

    /// Verifies many tokens as [`verify`](Self::verify) does one, in less time for each.
    pub fn verify_all(&self, tokens: &[&[u8]], scope: &[String], now: u64) -> Vec<Result<VerifiedToken, Refusal>> {
        match self.requirements(scope, [UnknownStatusPolicy::Deny; 2], now.saturating_mul(1000)) {
            Ok((requirements, view)) => verify_all(tokens, self.state.verifier().keys(), &requirements, &view, now),
            Err(refusal) => tokens.iter().map(|_| Err(refusal.clone())).collect(),
        }
    }

    /// Answers `/_tollgate/validate` for a proxy that asks before it forwards. The response always
    /// has all identity headers, so that a proxy that copies them overwrites those of its client.
    fn validate(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Decision {
        let may_wait = !has_waited && self.freshness(now_ms) == Freshness::Stale;
        if may_wait && self.state.age_ms(now_ms).is_none() {
            return Decision::Wait; // which headers the proxy must send depends on the route rules
        }
        let (original, authority) = match self.original_request(request) {
            Ok(original) => original,
            Err(problem) => {
                return Decision::Answer(self.refused(bearer::invalid_request(problem), "invalid_request", None, None));
            }
        };
        Decision::Answer(match self.authorize(&original, authority, now_ms, has_waited) {
            Authorization::Allowed(Forward { identity, .. }) => self.allow_proxy(identity),
            // The upstream answers it.
            Authorization::Preflight(response) if response.status == 204 => self.allow_proxy(Vec::new()),
            Authorization::Refused(response) | Authorization::Preflight(response) => response,
            Authorization::NeedsFreshReplica => return Decision::Wait,
            Authorization::NeedsIntrospection(reference) => return Decision::Introspect(reference),
        })
    }

    /// Allows a proxy to forward a request with this identity. The response has the headers that
    /// the request has no value for, too, without value: the proxy overwrites those of its client.
    fn allow_proxy(&self, mut identity: Vec<Header>) -> Response {
        let mapped = self.state.replica().map_or(&[][..], |replica| replica.config().header_names());
        let headers = &self.settings.identity_headers;
        let signed = self.identity_issuer.as_ref().map(|_| headers.signed().clone());
        let names = headers.names().iter().cloned().chain(signed);
        for name in names.chain(mapped.iter().map(|name| Cow::Owned(name.clone()))) {
            if !identity.iter().any(|(known, _)| *known == name) {
                identity.push((name, String::new()));
            }
        }
        Response { headers: identity, ..Response::new(200) }.with("cache-control", "no-store")
    }

    /// The request that a proxy asks about, and its host. Envoy (`ext_authz`) keeps the method and
    /// appends the path; nginx (`auth_request`) is configured to send both in `X-Original-*`;
    /// Traefik (`forwardAuth`) and Caddy send them in `X-Forwarded-*`.
    ///
    /// A proxy sets the headers of one family and passes on the others from its client. If the gate
    /// took URI, method and host from different families, the client could choose the route rule.
    /// So only one family may be present, and it must be complete.
    fn original_request<'a>(&self, request: &Request<'a>) -> Result<(Request<'a>, Option<&'a str>), &'static str> {
        if let Some(target) = request.target.strip_prefix(VALIDATE_PATH).filter(|rest| rest.starts_with('/')) {
            return Ok((Request { target, ..*request }, authority(request)));
        }
        let original = OriginalHeaders::read(request, ["x-original-uri", "x-original-method", "x-original-host"])?;
        let forwarded = OriginalHeaders::read(request, ["x-forwarded-uri", "x-forwarded-method", "x-forwarded-host"])?;
        let from_proxy = match (original.is_empty(), forwarded.is_empty()) {
            (false, false) => {
                return Err("X-Original-* and X-Forwarded-Uri or -Method are both set");
            }
            (false, true) => original,
            (true, _) => forwarded,
        };
        let config = self.state.replica().map(tollgate_core::Replica::config);
        let has_routes = config.is_some_and(|config| !config.routes().is_empty());
        let has_methods = config.is_some_and(Config::has_method_routes);
        match (from_proxy.target, from_proxy.method) {
            // Without them, a misconfigured proxy would bypass the rules for paths and methods. A
            // missing host is ambiguous where a rule depends on it.
            (None, _) if has_routes => Err("the proxied request's URI is missing: set X-Original-URI"),
            (_, None) if has_methods => Err("the proxied request's method is missing: set X-Original-Method"),
            (target, method) => {
                let request = Request { method: method.unwrap_or("GET"), target: target.unwrap_or("/"), ..*request };
                Ok((request, from_proxy.host))
            }
        }
    }

    /// Decides on a request by its host, its path, its route rule and its token. If the replica is
    /// stale and the request has not waited yet, outcomes that a fresher replica could change wait
    /// for it; the others do not.
    fn authorize(
        &self,
        request: &Request<'_>,
        authority: Option<&str>,
        now_ms: u64,
        has_waited: bool,
    ) -> Authorization {
        let may_wait = !has_waited && self.freshness(now_ms) == Freshness::Stale;
        let refuse =
            |response, reason, route, client| Authorization::Refused(self.refused(response, reason, route, client));
        let invalid = |problem: &str| refuse(bearer::invalid_request(problem), "invalid_request", None, None);
        let path = match path::decode(request.path()) {
            Ok(path) => path,
            Err(why) => return invalid(why),
        };
        let access_token = bearer::access_token(request);
        if let AccessToken::Invalid(why) = access_token {
            return invalid(why);
        }
        // The rules in a snapshot from a cold-start store may have changed long ago.
        let was_fresh_once = self.state.age_ms(now_ms).is_some();
        let replica = match self.state.replica() {
            _ if may_wait && !was_fresh_once => return Authorization::NeedsFreshReplica,
            Some(replica) => replica,
            None => return refuse(bearer::unavailable("this edge has no snapshot yet"), "no_snapshot", None, None),
        };
        let config = replica.config();
        if let Some(preflight) = Preflight::read(request)
            && let Ok(route) = find_route(config, authority, preflight.method, &path)
            && let Some(cors) = route.cors()
        {
            return Authorization::Preflight(preflight.answer(cors));
        }
        let route = match find_route(config, authority, request.method, &path) {
            Ok(route) => route,
            Err(why) => return invalid(&why),
        };
        match self.authorize_on_route(request, route, access_token, now_ms, has_waited) {
            Authorization::Allowed(mut forward) => {
                forward.removed_headers = self.removed_headers(request, config, route);
                forward.response_headers =
                    route.cors().map_or_else(Vec::new, |cors| cors::response_headers(cors, request));
                Authorization::Allowed(forward)
            }
            Authorization::Refused(mut response) => {
                if let Some(resources) = Resources::new(&self.settings, config) {
                    resources.extend_challenges(&mut response, route);
                }
                if let Some(cors) = route.cors() {
                    response.headers.extend(cors::response_headers(cors, request));
                }
                Authorization::Refused(response)
            }
            outcome => outcome,
        }
    }

    /// Decides on a request by its route rule and its token.
    fn authorize_on_route(
        &self,
        request: &Request<'_>,
        route: &Route,
        access_token: AccessToken<'_>,
        now_ms: u64,
        has_waited: bool,
    ) -> Authorization {
        let is_stale = self.is_stale(route, now_ms);
        let may_wait = !has_waited && is_stale;
        let forward = |verified: Option<&VerifiedToken>| {
            let identity = verified.map(|verified| self.identity(verified, route, now_ms / 1000));
            let (identity, route) = (identity.unwrap_or_default(), ForwardRoute::new(route, verified));
            Forward { identity, route, ..Forward::default() }
        };
        let allowed = |forward| {
            self.counters.passed(route.index());
            Authorization::Allowed(forward)
        };
        let AccessToken::Token(token, scheme) = access_token else {
            let scheme = if route.requires_binding() { Scheme::Dpop } else { Scheme::Bearer };
            return match route.is_public() {
                true => allowed(forward(None)),
                false => {
                    let response = bearer::missing_token(scheme);
                    Authorization::Refused(self.refused(response, "missing_token", Some(route), None))
                }
            };
        };
        let now = now_ms / 1000;
        let dpop = (scheme == Scheme::Dpop).then(|| self.dpop_request(request, token, now));
        let certificate = || self.client_certificate(request);
        let possession = Possession::new(dpop, &certificate, route.requires_binding());
        let checked = self.check_token(token, route, &possession, now_ms, may_wait, |token| forward(Some(token)));
        let verdict = match checked {
            // A stale replica lets a token pass only if the route says so.
            Ok(_) if may_wait && self.should_wait_though_allowed(now_ms) => return Authorization::NeedsFreshReplica,
            Err(Obstacle::Refused(refusal)) if may_wait && may_change_by_refresh(&refusal) => {
                return Authorization::NeedsFreshReplica;
            }
            Err(Obstacle::MustIntrospect(reference)) => return Authorization::NeedsIntrospection(reference),
            // The decision is final, so the proof is used up.
            Ok(forward) => self.use_proof(&possession, now).map(|()| forward),
            Err(Obstacle::Refused(refusal)) => Err(refusal),
        };
        self.counters.token_verified(self.state.verifier().was_cached());
        self.counters.decided(has_waited, is_stale);
        match verdict {
            Ok(forward) => allowed(forward),
            Err(_) if route.is_public() => allowed(forward(None)),
            Err(refusal) => {
                let client = self.state.verifier().client_of_cached(token).map(str::to_owned);
                let response = self.with_dpop_nonce(bearer::refused_token(&refusal, scheme), &refusal, now);
                Authorization::Refused(self.refused(response, refusal.code(), Some(route), client))
            }
        }
    }

    /// Verifies a token in a request, by its signature or by the origin's answer about it.
    fn check_token<T>(
        &self,
        token: &[u8],
        route: &Route,
        possession: &Possession<'_>,
        now_ms: u64,
        may_wait: bool,
        use_token: impl Fn(&VerifiedToken) -> T,
    ) -> Result<T, Obstacle> {
        let (requirements, view) = self.route_requirements(route, now_ms)?;
        let view = ReplicaView { is_fresh: !self.is_stale(route, now_ms), ..view };
        let mut verifier = self.state.verifier();
        let verdict = verifier.verify_in_request(token, &requirements, Some(possession), &view, now_ms / 1000);
        let refusal = match verdict.map(&use_token) {
            Err(refusal) => refusal,
            Ok(passed) => return Ok(passed),
        };
        let max_staleness_ms = self.max_staleness_ms(route);
        let introspection =
            |reference| IntrospectionRequest { reference, requirements, view, max_staleness_ms, now_ms };
        if refusal == Refusal::NotCompact
            && let Some(reference) = self.opaque_reference(token)
        {
            return self.verify_introspected(&introspection(reference), possession, use_token);
        }
        // The shared fetch, which may tell the status of all tokens, comes first.
        if !may_wait && is_introspected(&refusal, &requirements) {
            let token_id = verifier.token_id_of_last(token, requirements.allow_plain_jwt);
            if let Some(reference) = token_id.and_then(|id| self.signed_reference(id)) {
                let introspection = introspection(reference);
                let requirements = self.introspected_requirements(&introspection)?;
                let verdict = verifier.verify_in_request(token, &requirements, Some(possession), &view, now_ms / 1000);
                return Ok(verdict.map(use_token)?);
            }
        }
        Err(refusal.into())
    }

    /// Age in milliseconds from which on the replica is stale for this route.
    fn max_staleness_ms(&self, route: &Route) -> u64 {
        let own = self.settings.max_staleness_ms;
        route.max_staleness_ms().map_or(own, |strict| strict.min(own))
    }

    /// The staleness bound of the strictest route, in milliseconds: fetches keep to it.
    pub(crate) fn strictest_staleness_ms(&self) -> u64 {
        let of_routes = self.state.replica().and_then(|replica| replica.config().strictest_staleness_ms());
        of_routes.unwrap_or(u64::MAX)
    }

    /// Whether the replica is stale for this route.
    fn is_stale(&self, route: &Route, now_ms: u64) -> bool {
        self.state.age_ms(now_ms).is_none_or(|age| age > self.max_staleness_ms(route))
    }

    /// Whether a token that the route lets pass by a stale replica should wait for a fresh one
    /// nevertheless: when the edge had no requests for a while, its replica is old although the
    /// origin answers. While the origin fails, hosts do not wait.
    fn should_wait_though_allowed(&self, now_ms: u64) -> bool {
        self.state.age_ms(now_ms).is_none_or(|age| age > MAX_ALLOWED_AGE_MS)
    }

    /// Records the use of the DPoP proof, if the token was confirmed by one.
    fn use_proof(&self, possession: &Possession<'_>, now: u64) -> Result<(), Refusal> {
        let Some(proof_use) = possession.proof_use() else { return Ok(()) };
        self.used_proofs.borrow_mut().record(proof_use, now)?;
        self.last_proof_use.set(Some(proof_use));
        Ok(())
    }

    /// Takes the DPoP proof that the last decision used, for a host that records uses for all its
    /// instances. If another one has used it, the response is
    /// [`refuse_replayed_proof`](Self::refuse_replayed_proof).
    pub fn take_proof_use(&self) -> Option<ProofUse> {
        self.last_proof_use.take()
    }

    /// The response to a request whose DPoP proof another instance has used before.
    pub fn refuse_replayed_proof(&self) -> Response {
        let refusal = Refusal::InvalidProof(ProofError::Replayed);
        self.refused(bearer::refused_token(&refusal, Scheme::Dpop), refusal.code(), None, None)
    }

    /// Adds the nonce that the next proof must have (RFC 9449 section 9), if that is what was
    /// missing.
    fn with_dpop_nonce(&self, response: Response, refusal: &Refusal, now: u64) -> Response {
        match (&self.settings.dpop_nonce_key, refusal) {
            (Some(key), Refusal::InvalidProof(ProofError::NonceRequired)) => {
                response.with("dpop-nonce", key.nonce(now))
            }
            _ => response,
        }
    }

    /// The headers with the identity of a token, and with the signed one.
    fn identity(&self, verified: &VerifiedToken, route: &Route, now: u64) -> Vec<Header> {
        let names = &self.settings.identity_headers;
        let mut headers = names.of(verified, route);
        if let Some(issuer) = &self.identity_issuer {
            let upstream = route.upstream().unwrap_or(&self.settings.upstream);
            headers.push((names.signed().clone(), issuer.issue(verified, upstream, now)));
        }
        headers
    }

    /// Headers of the client that the upstream must not get. Most edges have none.
    fn removed_headers(&self, request: &Request<'_>, config: &Config, route: &Route) -> Vec<String> {
        let mut removed: Vec<String> = self.settings.identity_headers.own_names().collect();
        removed.extend_from_slice(config.header_names());
        if route.removes_token() {
            removed.push("authorization".to_owned());
        }
        // Upstreams may believe it, too.
        if !request.connection.is_from_trusted_proxy {
            removed.extend(self.settings.client_certificate_header.clone());
        }
        removed
    }

    /// Counts a refused request, and notes what the log says of it.
    fn refused(
        &self,
        response: Response,
        reason: &'static str,
        route: Option<&Route>,
        client: Option<String>,
    ) -> Response {
        self.counters.refused(reason, route.and_then(Route::index));
        let route = route.filter(|route| route.index().is_some()).map(route_label);
        Response { refused: Some(RefusedRequest { reason, route, client }), ..response }
    }

    /// Route rules with their requests since the rules were installed.
    pub fn route_totals(&self) -> impl Iterator<Item = (String, RouteTotals)> {
        let routes = self.state.replica().map(|replica| replica.config().routes()).unwrap_or_default();
        routes.iter().map(route_label).zip(self.counters.routes())
    }

    /// Milliseconds since the time as of which the replica is complete; none if it never was.
    pub fn replica_age_ms(&self, now_ms: u64) -> Option<u64> {
        self.state.age_ms(now_ms)
    }

    /// The checks for a token and the replica that has its revocation status. `when_unknown` are
    /// the policies for the statuses stale and not covered.
    fn requirements<'a>(
        &'a self,
        scope: &'a [String],
        when_unknown: [UnknownStatusPolicy; 2],
        now_ms: u64,
    ) -> Result<(TokenRequirements<'a>, ReplicaView<'a>), Refusal> {
        let replica = self.state.replica().ok_or(Refusal::Stale)?;
        // A snapshot from a cold-start store may lack revocations that this edge once had. Until
        // the replica has been fresh once, every route refuses tokens of unknown status.
        let was_fresh_once = self.state.age_ms(now_ms).is_some();
        let [on_stale, on_not_covered] = if was_fresh_once { when_unknown } else { [UnknownStatusPolicy::Deny; 2] };
        let config = replica.config();
        let audience = self.audience(config);
        let requirements = TokenRequirements {
            issuer: &self.settings.issuer,
            audience,
            scope,
            rules: None,
            leeway: self.settings.leeway,
            allow_plain_jwt: self.allows_plain_jwt(audience, config),
            on_stale,
            on_not_covered,
        };
        Ok((requirements, ReplicaView { replica, is_fresh: self.freshness(now_ms) != Freshness::Stale }))
    }

    /// The checks for a token on this route, and the replica that has its revocation status.
    fn route_requirements<'a>(
        &'a self,
        route: &'a Route,
        now_ms: u64,
    ) -> Result<(TokenRequirements<'a>, ReplicaView<'a>), Refusal> {
        let when_unknown = [route.on_stale(), route.on_not_covered()];
        let (mut requirements, view) = self.requirements(route.scope(), when_unknown, now_ms)?;
        requirements.rules = route.token_rules();
        if let Some(audience) = route.audience() {
            requirements.audience = audience;
            requirements.allow_plain_jwt = self.allows_plain_jwt(audience, view.replica.config());
        }
        Ok((requirements, view))
    }

    /// Required `aud` of tokens.
    pub(crate) fn audience<'a>(&'a self, config: &'a Config) -> &'a str {
        self.settings.audience.as_deref().unwrap_or(config.audience())
    }

    /// Whether tokens for this audience may be of type `JWT`.
    pub(crate) fn allows_plain_jwt(&self, audience: &str, config: &Config) -> bool {
        self.settings.allow_plain_jwt || config.keys().allows_plain_jwt(audience)
    }

    /// Answers `/_tollgate/health`: 200 while the replica is fresh enough for decisions, else 503,
    /// with the state of the replica and the last error.
    fn health(&self, now_ms: u64) -> Response {
        let replica = self.state.replica();
        let status = match (replica, self.freshness(now_ms)) {
            (None, _) => "no_snapshot",
            (Some(_), Freshness::Stale) => "stale",
            (Some(_), _) => "ok",
        };
        let snapshot = replica.map(tollgate_core::Replica::snapshot);
        let error = self.state.last_error();
        let verifier = self.state.verifier();
        let keys = verifier.keys();
        let body = JsonObject::new()
            .text("status", status)
            .text("issuer", &self.settings.issuer)
            .number("sequence", replica.map(tollgate_core::Replica::sequence))
            .number("snapshot_sequence", snapshot.map(tollgate_core::Snapshot::sequence))
            .number("snapshot_epoch", snapshot.map(|snapshot| snapshot.epoch().into()))
            .number("changes", replica.map(|replica| replica.change_count() as u64))
            .number("keys", keys.len() as u64)
            .number("key_table_bytes", keys.table_bytes() as u64)
            .number("age_ms", self.state.age_ms(now_ms))
            .number("hard_ms", self.settings.max_staleness_ms)
            .object(
                "last_error",
                error.map(|(why, at_ms)| JsonObject::new().text("error", why).number("at_ms", at_ms)),
            );
        Response::json(if status == "ok" { 200 } else { 503 }, body)
    }
}

/// Outcome of the checks of a request.
enum Authorization {
    /// The request may pass, and is forwarded so.
    Allowed(Forward),
    /// The request is refused with this response.
    Refused(Response),
    /// The request is a preflight request, which this response answers.
    Preflight(Response),
    /// The outcome depends on a fresher replica.
    NeedsFreshReplica,
    /// The outcome depends on what the origin says of this token.
    NeedsIntrospection(TokenReference),
}

/// Whether a refresh can change this refusal: it brings revocations, keys and rules, but does not
/// change what is wrong with the token itself.
fn may_change_by_refresh(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnknownKey
            | Refusal::WrongAudience
            | Refusal::NotBound
            | Refusal::NotCovered
            | Refusal::Stale
            | Refusal::WrongClient
            | Refusal::WrongClaim { .. }
            | Refusal::InsufficientAuthentication { .. }
            | Refusal::InsufficientScope { .. }
    )
}

/// Whether the path is the gate's, in any encoding. Such a request never reaches the upstream.
fn is_gate_path(path: &str) -> bool {
    let decoded = path::percent_decode(path).unwrap_or_default();
    decoded == b"/_tollgate" || decoded.starts_with(b"/_tollgate/")
}

/// Target, method and host of the request that a proxy asks about, from one family of headers.
struct OriginalHeaders<'a> {
    target: Option<&'a str>,
    method: Option<&'a str>,
    host: Option<&'a str>,
}

impl<'a> OriginalHeaders<'a> {
    fn read(request: &Request<'a>, [uri, method, host]: [&str; 3]) -> Result<Self, &'static str> {
        let (target, method) = (one_value(request, uri)?, one_value(request, method)?);
        Ok(Self { target, method, host: one_value(request, host)? })
    }

    /// Whether the family is not that of the proxy. A host alone does not make it: proxies send
    /// `X-Forwarded-Host` along with the other family.
    fn is_empty(&self) -> bool {
        self.target.is_none() && self.method.is_none()
    }
}

/// The value of a header that may occur once.
pub(crate) fn one_value<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, &'static str> {
    let mut values = request.header(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| "a header of the proxy is not text"),
        (Some(_), Some(_)) => Err("a header of the proxy is repeated"),
    }
}
