//! The gate itself: what it knows, how fresh that is, and the decision over a request.

use tollgate_core::{Refusal, ReplicaView, TokenRequirements, UnknownStatusPolicy, VerifiedToken, verify_all};

use crate::bearer::{self, Presented};
use crate::json::JsonObject;
use crate::knowledge::Knowledge;
use crate::message::{Decision, Header, Request, Response};
use crate::path;
use crate::settings::Settings;

/// Where proxies ask.
const VALIDATE: &str = "/_tollgate/validate";

/// How old the gate's knowledge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Younger than the soft interval: nothing to do.
    Fresh,
    /// Past the soft interval: fetch in the background.
    Background,
    /// Past the hard interval, or nothing known yet: what depends on fresh word waits for a fetch.
    Required,
}

/// One edge's gate. It reads no clock and opens no connection: the adapter brings the time and the origin's messages.
#[derive(Debug)]
pub struct Gate {
    settings: Settings,
    pub(crate) knowledge: Knowledge,
}

impl Gate {
    /// A gate that knows nothing yet: it answers 503 until a snapshot and word of its freshness arrive.
    pub fn new(settings: Settings) -> Self {
        Self { knowledge: Knowledge::new(&settings), settings }
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a fetch is due at `now_ms` (Unix milliseconds, here and below).
    pub fn refresh(&self, now_ms: u64) -> Refresh {
        match self.knowledge.age_ms(now_ms) {
            Some(age) if age <= self.settings.soft_ms => Refresh::Fresh,
            Some(age) if age <= self.settings.hard_ms => Refresh::Background,
            _ => Refresh::Required,
        }
    }

    /// Decides a request: the gate's own paths first, then the rule for the path, then the token. `has_waited`: whether a fetch
    /// was awaited since [`Decision::Wait`], or is not to be; then the answer is what can be said now.
    pub fn decide(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Decision {
        match (request.method, request.path()) {
            ("GET" | "HEAD", "/_tollgate/health") => Decision::Answer(self.health(now_ms)),
            (_, path) if path == VALIDATE || path.starts_with("/_tollgate/validate/") => {
                self.validate(request, now_ms, has_waited)
            }
            ("POST", "/_tollgate/push") => Decision::Push,
            (_, path) if is_own(path) => {
                Decision::Answer(Response::error(404, "not_found", "the gate has no such page"))
            }
            _ => match self.judge(request, now_ms, has_waited) {
                Judgement::Passes(identity) => Decision::Forward { identity },
                Judgement::Refused(answer) => Decision::Answer(answer),
                Judgement::Waits => Decision::Wait,
            },
        }
    }

    /// Judges one token without a request around it, at the Unix time `now` in seconds.
    ///
    /// # Errors
    /// The first check that fails; [`Refusal::Stale`] also where there is no snapshot yet.
    pub fn verify(&self, token: &[u8], scope: &[String], now: u64) -> Result<VerifiedToken, Refusal> {
        let now_ms = now.saturating_mul(1000);
        let (expected, view) = self.expected(scope, [UnknownStatusPolicy::Deny; 2], now_ms)?;
        self.knowledge.verifier().verify(token, &expected, &view, now).cloned()
    }

    /// Judges many tokens as [`verify`](Self::verify) judges one, in less time for each.
    pub fn verify_all(&self, tokens: &[&[u8]], scope: &[String], now: u64) -> Vec<Result<VerifiedToken, Refusal>> {
        match self.expected(scope, [UnknownStatusPolicy::Deny; 2], now.saturating_mul(1000)) {
            Ok((expected, view)) => verify_all(tokens, self.knowledge.verifier().keys(), &expected, &view, now),
            Err(refusal) => tokens.iter().map(|_| Err(refusal.clone())).collect(),
        }
    }

    /// `/_tollgate/validate`, for a proxy that asks first; the verified identity goes back in headers, all of them always, so
    /// that a proxy that copies them overwrites whatever its client made up.
    fn validate(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Decision {
        let may_wait = !has_waited && self.refresh(now_ms) == Refresh::Required;
        if may_wait && self.knowledge.age_ms(now_ms).is_none() {
            return Decision::Wait; // which headers must be there depends on rules that are not known yet
        }
        let proxied = match self.proxied(request) {
            Ok(proxied) => proxied,
            Err(problem) => return Decision::Answer(bearer::invalid_request(problem)),
        };
        Decision::Answer(match self.judge(&proxied, now_ms, has_waited) {
            Judgement::Passes(identity) => {
                let told = |name| identity.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
                let headers = IDENTITY.map(|name| (name, told(name).unwrap_or_default())).into_iter();
                let headers = headers.chain([("cache-control", "no-store".to_owned())]).collect();
                Response { status: 200, headers, body: Vec::new() }
            }
            Judgement::Refused(answer) => answer,
            Judgement::Waits => return Decision::Wait,
        })
    }

    /// The request that a proxy asks about. Envoy (`ext_authz`) keeps the method and appends the path; nginx (`auth_request`) is
    /// configured to name both in `X-Original-*`, Traefik (`forwardAuth`) and Caddy name them in `X-Forwarded-*`.
    ///
    /// A proxy sets its own family of headers and passes on its client's others: taking a URI or a method from whichever is
    /// there would let the client choose by which rule it is judged. So there must be one family, and it must be complete.
    fn proxied<'a>(&self, request: &Request<'a>) -> Result<Request<'a>, &'static str> {
        let headers = request.headers;
        if let Some(target) = request.target.strip_prefix(VALIDATE).filter(|rest| rest.starts_with('/')) {
            return Ok(Request { method: request.method, target, headers });
        }
        let original = Named::read(request, "x-original-uri", "x-original-method")?;
        let forwarded = Named::read(request, "x-forwarded-uri", "x-forwarded-method")?;
        let named = match (original.is_empty(), forwarded.is_empty()) {
            (false, false) => {
                return Err("X-Original-* and X-Forwarded-Uri or -Method are both there; a proxy sets one family");
            }
            (false, true) => original,
            (true, _) => forwarded,
        };
        let config = self.knowledge.replica().map(|replica| replica.snapshot().config());
        let has_routes = config.is_some_and(|config| !config.routes().is_empty());
        let has_methods = config.is_some_and(tollgate_core::Config::has_method_routes);
        match (named.target, named.method) {
            // A proxy that forgets to name them must not pass the rules for them.
            (None, _) if has_routes => Err("the proxied request's URI is missing: set X-Original-URI"),
            (_, None) if has_methods => Err("the proxied request's method is missing: set X-Original-Method"),
            (target, method) => Ok(Request { method: method.unwrap_or("GET"), target: target.unwrap_or("/"), headers }),
        }
    }

    /// Judges a request by its path, its rule and its token. What depends on word that is older than promised waits for fresher,
    /// if the request has not waited yet; nothing else does.
    fn judge(&self, request: &Request<'_>, now_ms: u64, has_waited: bool) -> Judgement {
        let may_wait = !has_waited && self.refresh(now_ms) == Refresh::Required;
        let invalid = |problem: &str| Judgement::Refused(bearer::invalid_request(problem));
        if !path::is_unambiguous(request.path()) {
            return invalid("the path can be read in more than one way");
        }
        let Some(path) = path::decoded(request.path()) else { return invalid("the path is not UTF-8") };
        let presented = bearer::presented(request);
        if let Presented::Wrong(why) = presented {
            return invalid(why);
        }
        // A snapshot from a cold-start store may have rules that were changed long ago.
        let knows_rules = self.knowledge.age_ms(now_ms).is_some();
        let replica = match self.knowledge.replica() {
            _ if may_wait && !knows_rules => return Judgement::Waits,
            Some(replica) => replica,
            None => return Judgement::Refused(bearer::unavailable("this edge has no snapshot yet")),
        };
        let route = match replica.snapshot().config().route(request.method, &path) {
            Ok(route) => route,
            Err(ambiguous) => return invalid(&ambiguous.to_string()),
        };
        let Presented::Token(token) = presented else {
            return if route.is_public() {
                Judgement::Passes(Vec::new())
            } else {
                Judgement::Refused(bearer::challenge())
            };
        };
        let when_unknown = [route.on_stale(), route.on_not_covered()];
        let verdict = self.expected(route.scope(), when_unknown, now_ms).and_then(|(expected, view)| {
            self.knowledge.verifier().verify(token, &expected, &view, now_ms / 1000).map(identity)
        });
        match verdict {
            Ok(identity) if !may_wait => Judgement::Passes(identity),
            Err(refusal) if !may_wait || !may_change(&refusal) => match route.is_public() {
                true => Judgement::Passes(Vec::new()),
                false => Judgement::Refused(bearer::refused(&refusal)),
            },
            _ => Judgement::Waits,
        }
    }

    /// What a token must be, and what tells of its revocation. `when_unknown`: what becomes of one that is stale, and of one
    /// that is not covered.
    fn expected<'a>(
        &'a self,
        scope: &'a [String],
        when_unknown: [UnknownStatusPolicy; 2],
        now_ms: u64,
    ) -> Result<(TokenRequirements<'a>, ReplicaView<'a>), Refusal> {
        let replica = self.knowledge.replica().ok_or(Refusal::Stale)?;
        // A snapshot from a cold-start store may lack revocations that this very edge once knew: until fresh word has come
        // for the first time, no route lets pass what it cannot tell.
        let was_complete = self.knowledge.age_ms(now_ms).is_some();
        let [on_stale, on_not_covered] = if was_complete { when_unknown } else { [UnknownStatusPolicy::Deny; 2] };
        let expected = TokenRequirements {
            issuer: &self.settings.issuer,
            audience: self.settings.audience.as_deref().unwrap_or(replica.snapshot().config().audience()),
            scope,
            leeway: self.settings.leeway,
            allow_plain_jwt: self.settings.plain_jwt,
            on_stale,
            on_not_covered,
        };
        Ok((expected, ReplicaView { replica, is_fresh: self.refresh(now_ms) != Refresh::Required }))
    }

    /// `/_tollgate/health`: 200 while decisions can be made on fresh word, else 503; always with what is known and what went
    /// wrong last.
    fn health(&self, now_ms: u64) -> Response {
        let replica = self.knowledge.replica();
        let status = match (replica, self.refresh(now_ms)) {
            (None, _) => "no_snapshot",
            (Some(_), Refresh::Required) => "stale",
            (Some(_), _) => "ok",
        };
        let snapshot = replica.map(tollgate_core::Replica::snapshot);
        let error = self.knowledge.last_error();
        let verifier = self.knowledge.verifier();
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
            .number("age_ms", self.knowledge.age_ms(now_ms))
            .number("hard_ms", self.settings.hard_ms)
            .object(
                "last_error",
                error.map(|(why, at_ms)| JsonObject::new().text("error", why).number("at_ms", at_ms)),
            );
        Response::json(if status == "ok" { 200 } else { 503 }, body)
    }
}

/// What is to become of a request.
enum Judgement {
    /// It may pass, with this verified identity.
    Passes(Vec<Header>),
    /// It may not; the answer to it.
    Refused(Response),
    /// It depends on fresher word.
    Waits,
}

/// Whether fresher word may change a refusal: with it come revocations, keys and rules. What a token says of itself stays.
fn may_change(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::UnknownKey
            | Refusal::WrongAudience
            | Refusal::NotCovered
            | Refusal::Stale
            | Refusal::InsufficientScope { .. }
    )
}

/// Whether the path is the gate's, in whatever spelling; none of these may reach the upstream.
fn is_own(path: &str) -> bool {
    let decoded = path::percent_decode(path).unwrap_or_default();
    decoded == b"/_tollgate" || decoded.starts_with(b"/_tollgate/")
}

/// What a proxy says of the request that it asks about, in one family of headers.
struct Named<'a> {
    target: Option<&'a str>,
    method: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn read(request: &Request<'a>, uri: &str, method: &str) -> Result<Self, &'static str> {
        Ok(Self { target: one_value(request, uri)?, method: one_value(request, method)? })
    }

    fn is_empty(&self) -> bool {
        self.target.is_none() && self.method.is_none()
    }
}

/// The value of a header that may be there once.
fn one_value<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, &'static str> {
    let mut values = request.header(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| "a header of the proxy is not text"),
        (Some(_), Some(_)) => Err("a header of the proxy is there twice"),
    }
}

/// The identity headers.
const IDENTITY: [&str; 6] = [
    "x-tollgate-issuer",
    "x-tollgate-subject",
    "x-tollgate-client-id",
    "x-tollgate-scope",
    "x-tollgate-token-id",
    "x-tollgate-expires-at",
];

/// What the upstream may believe of the client.
fn identity(verified: &VerifiedToken) -> Vec<Header> {
    let expires_at = verified.expires_at().to_string();
    let values = [
        verified.issuer(),
        verified.subject(),
        verified.client_id(),
        verified.scope(),
        verified.token_id(),
        &expires_at,
    ];
    IDENTITY.into_iter().zip(values.map(path::header_encode)).collect()
}
