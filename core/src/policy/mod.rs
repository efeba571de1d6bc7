//! The configuration of edges: audience, keys, and for each host, path and method what a request
//! must have. The origin writes it into the snapshot; this module reads it and finds the route for
//! a request.

mod document;
mod host;
mod identity_header;
mod pattern;
mod route_table;
mod rule;
#[cfg(feature = "build")]
mod rule_conflict;
mod token_rules;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::json::{self, JsonError};
use crate::key::{JwksError, KeySet};

use self::route_table::RouteTable;

pub use identity_header::may_carry_identity;
#[cfg(feature = "build")]
pub use route_table::RuleMatch;
pub use rule::{ClaimCondition, ClaimRule, ClaimValue, Cors, RateLimit, RateLimitKey, Route, StreamPolicy, TokenRules};
#[cfg(feature = "build")]
pub use rule_conflict::{RuleConflict, check_new_rule};
pub use token_rules::TokenFacts;
pub(crate) use token_rules::claim;

/// Most routes of a configuration.
pub const MAX_ROUTES: usize = 1024;
/// Most distinct names of headers by which the routes of a configuration send claims.
const MAX_HEADER_NAMES: usize = 256;
/// Most JSON members of a configuration: keys and routes have about a dozen members each.
const MAX_MEMBERS: usize = 64 * 1024;

/// What to do with a token whose revocation status is unknown, because the replica is older than
/// the staleness bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownStatusPolicy {
    /// Refuse the token until the replica is fresh: a revoked token never passes.
    #[default]
    Deny,
    /// Accept the token unless it is revoked in the replica: the API stays available while the
    /// origin is not.
    Allow,
    /// Introspect the token at the origin, and refuse it if that fails.
    Introspect,
}

/// A configuration for edges: audience, keys and routes.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) audience: String,
    pub(crate) keys: KeySet,
    jwks: String,
    routes: Vec<Route>,
    table: RouteTable,
    header_names: Vec<String>,
    strictest_staleness_ms: Option<u64>,
    /// For requests that no route matches: requires a valid token and a fresh replica.
    default_route: Route,
}

impl Config {
    /// Reads the configuration document of a snapshot. Unknown members and values are refused,
    /// because an edge must not silently ignore a requirement that it does not understand.
    ///
    /// # Errors
    /// The first error in the document.
    pub fn read(text: &[u8]) -> Result<Self, ConfigError> {
        let (mut audience, mut jwks, mut routes) = (None, None, Vec::new());
        json::object_bounded(text, MAX_MEMBERS, |name, reader| {
            match name {
                "audience" => audience = Some(reader.string()?.to_string()),
                "jwks" => jwks = Some(reader.raw()?),
                "routes" => reader.array(|reader| {
                    if routes.len() == MAX_ROUTES {
                        return Err(JsonError::TooMany);
                    }
                    routes.push(Route { index: Some(routes.len()), ..Route::read_element(reader)? });
                    Ok(())
                })?,
                _ => return Err(JsonError::OutOfRange),
            }
            Ok(())
        })
        .map_err(ConfigError::Json)?;
        let jwks = jwks.ok_or(ConfigError::Missing("jwks"))?;
        let keys = KeySet::from_jwks(jwks.as_bytes()).map_err(ConfigError::Jwks)?;
        if keys.has_secrets() {
            return Err(ConfigError::SecretKey);
        }
        let audience = audience.ok_or(ConfigError::Missing("audience"))?;
        let strictest_staleness_ms = routes.iter().filter_map(Route::max_staleness_ms).min();
        let header_names = header_names(&routes)?;
        Ok(Self {
            audience,
            keys,
            jwks: jwks.to_string(),
            table: RouteTable::new(&routes),
            routes,
            header_names,
            strictest_staleness_ms,
            default_route: Route::default(),
        })
    }

    /// The audience of tokens, unless an edge's settings name another.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The JWK set of [`Config::keys`], for a host that checks signatures itself.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The keys that verify tokens.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The routes in the order of the document.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route for a request with this authority (`Host`), if it has exactly one, and this
    /// decoded path. The most specific rule applies: first by host (a name, then names below
    /// another, of which the longest comes first, then all hosts), then by path, segment by segment
    /// (a literal, then a parameter, then the end, then `/*`), then by method (HEAD before GET,
    /// then all).
    ///
    /// # Errors
    /// [`AmbiguousRequest`] if another route would apply when host, path and method are read less
    /// strictly than HTTP defines, as some upstream servers do.
    pub fn route(&self, authority: Option<&str>, method: &str, path: &str) -> Result<&Route, AmbiguousRequest> {
        let found = self.table.find(&self.routes, authority, method, path)?;
        Ok(found.and_then(|index| self.routes.get(index)).unwrap_or(&self.default_route))
    }

    /// How each rule relates to a request, in the order of precedence: the first that matches in
    /// every respect applies. For people who ask why.
    #[cfg(feature = "build")]
    pub fn rule_matches(&self, authority: Option<&str>, method: &str, path: &str) -> impl Iterator<Item = RuleMatch> {
        self.table.matches(&self.routes, authority, method, path)
    }

    /// Names of the headers by which routes send claims to the upstream, in lower case. It must get
    /// none of them from a client, on any route.
    pub fn header_names(&self) -> &[String] {
        &self.header_names
    }

    /// The lowest staleness bound of a route, in milliseconds, if any has one.
    pub fn strictest_staleness_ms(&self) -> Option<u64> {
        self.strictest_staleness_ms
    }

    /// Whether a route applies to some methods only.
    pub fn has_method_routes(&self) -> bool {
        self.table.has_methods()
    }

    /// Whether a route applies to some hosts only.
    pub fn has_host_routes(&self) -> bool {
        self.table.has_hosts()
    }
}

/// The distinct names of headers by which routes send claims, in lower case.
fn header_names(routes: &[Route]) -> Result<Vec<String>, ConfigError> {
    let mut names = Vec::new();
    for (name, _) in routes.iter().flat_map(Route::headers) {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            if names.len() == MAX_HEADER_NAMES {
                return Err(ConfigError::Json(JsonError::TooMany));
            }
            names.push(name);
        }
    }
    Ok(names)
}

/// The part of a request that servers read in different ways, for which different routes apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmbiguousRequest {
    /// The path, by capital letters or by spaces and dots at the end of a segment.
    Path,
    /// The method, by capital letters.
    Method,
    /// The host: it is missing, or no host name.
    Host,
}

impl fmt::Display for AmbiguousRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "the path's route depends on capital letters, or on spaces or dots at the end of a segment",
            Self::Method => "the method's route depends on capital letters",
            Self::Host => "the route depends on the host, and the request names none",
        })
    }
}

impl core::error::Error for AmbiguousRequest {}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not strict JSON, or with an unknown member or value.
    Json(JsonError),
    /// A required member is missing.
    Missing(&'static str),
    /// The keys cannot be used.
    Jwks(JwksError),
    /// The keys include a secret one (`oct`). A snapshot is public.
    SecretKey,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the configuration {error}"),
            Self::Missing(name) => write!(f, "the configuration has no member {name:?}"),
            Self::Jwks(error) => write!(f, "the configuration's {error}"),
            Self::SecretKey => f.write_str("the configuration has a secret key, and a snapshot is public"),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(routes: &str) -> Result<Config, ConfigError> {
        Config::read(alloc::format!(r#"{{"audience":"a","jwks":{{"keys":[]}},"routes":[{routes}]}}"#).as_bytes())
    }

    #[test]
    fn the_most_specific_route_applies() {
        let config = config(
            r#"{"path":"/*","scope":["any"]},{"path":"/a/*","scope":["a"]},{"path":"/a/b","scope":["b"]},
               {"path":"/a/*","methods":["PUT"],"scope":["put"]},{"path":"/open","public":true}"#,
        )
        .expect("a valid configuration");
        for (method, path, scope) in [
            ("GET", "/", "any"),
            ("GET", "/ab", "any"),
            ("GET", "/a", "a"),
            ("GET", "/a/", "a"),
            ("GET", "/a/b", "b"),
            ("GET", "/a/b/c", "a"),
            ("PUT", "/a/c", "put"),
            ("PATCH", "/a/c", "a"),
            ("patch", "/a/c", "a"),
        ] {
            assert_eq!(config.route(None, method, path).expect("one route").scope(), [scope], "{method} {path}");
        }
        assert!(config.route(None, "GET", "/open").expect("one route").is_public());
        assert!(!config.route(None, "GET", "/open/").expect("one route").is_public());
    }

    #[test]
    fn a_less_strict_route_never_replaces_a_stricter_one() {
        let config = config(
            r#"{"path":"/admin/*","scope":["read"]},{"path":"/admin","scope":["all"]},{"path":"/v/*","methods":["GET"],"scope":["get"]},
               {"path":"/v/x","scope":["x"]},{"path":"/Case","scope":["case"]}"#,
        )
        .expect("a valid configuration");
        for (method, path, scope) in [
            ("GET", "/admin", "all"),
            ("GET", "/admin/", "all"),
            ("GET", "/admin/a", "read"),
            ("GET", "/v/x", "x"),
            ("GET", "/v/x/", "x"),
            ("HEAD", "/v/y", "get"),
            ("GET", "/Case", "case"),
        ] {
            assert_eq!(config.route(None, method, path).expect("one route").scope(), [scope], "{method} {path}");
        }
        for path in [
            "/ADMIN",
            "/Admin/x",
            "/case",
            "/admin.",
            "/admin ",
            "/ admin",
            "/admin\u{a0}",
            "/adm\u{131}n",
            "/adm\u{ff49}n",
            "/admin/...",
            "/v/x.",
        ] {
            assert_eq!(
                config.route(None, "GET", path),
                Err(AmbiguousRequest::Path),
                "{path} depends on how the upstream reads it"
            );
        }
        for path in ["/a.b.", "/v/y.", "/admin/St. John"] {
            assert!(config.route(None, "GET", path).is_ok(), "{path} has one route however it is read");
        }
    }

    #[test]
    fn a_method_that_differs_from_a_routes_only_by_case_is_ambiguous() {
        let config = config(
            r#"{"path":"/r/*","scope":["read"]},{"path":"/r/*","methods":["DELETE"],"scope":["admin"]},
               {"path":"/odd","methods":["purge"],"scope":["purge"]},{"path":"/head","methods":["GET"],"scope":["get"]},
               {"path":"/Case/*","methods":["PUT"],"scope":["put"]}"#,
        )
        .expect("a valid configuration");
        for (method, path) in [
            ("delete", "/r/1"),
            ("Delete", "/r/1"),
            ("PURGE", "/odd"),
            ("Purge", "/odd"),
            ("get", "/head"),
            ("head", "/head"),
            ("put", "/Case/1"),
        ] {
            assert_eq!(config.route(None, method, path), Err(AmbiguousRequest::Method), "{method} {path}");
        }
        for (method, path, scope) in
            [("DELETE", "/r/1", "admin"), ("get", "/r/1", "read"), ("delete", "/s", ""), ("HEAD", "/head", "get")]
        {
            assert_eq!(
                config.route(None, method, path).map(|route| route.scope().join(" ")),
                Ok(scope.into()),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn host_comes_before_path_and_path_before_method() {
        let config = config(
            r#"{"path":"/*","scope":["any"]},{"path":"/admin/*","scope":["admin"]},
               {"path":"/*","hosts":["api.example","b.example"],"scope":["api"]},
               {"path":"/*","hosts":["*.example"],"scope":["below"]},
               {"path":"/*","hosts":["*.b.example"],"scope":["below-b"]},
               {"path":"/orders/{id}","hosts":["*.example"],"scope":["order"]},
               {"path":"/orders/{id}","hosts":["*.example"],"methods":["GET"],"scope":["get"]},
               {"path":"/orders/{id}","hosts":["*.example"],"methods":["HEAD"],"scope":["head"]},
               {"path":"/orders/new","hosts":["*.example"],"scope":["new"]}"#,
        )
        .expect("a valid configuration");
        for (host, method, path, scope) in [
            ("other.test", "GET", "/x", "any"),
            ("example", "GET", "/x", "any"),
            ("other.test", "GET", "/admin/x", "admin"),
            ("api.example", "GET", "/admin/x", "api"),
            ("API.Example:8443", "GET", "/orders/1", "api"),
            ("b.example", "GET", "/", "api"),
            ("a.example", "GET", "/", "below"),
            ("a.b.example", "GET", "/orders/1", "below-b"),
            ("a.example", "GET", "/orders/1", "get"),
            ("a.example", "HEAD", "/orders/1", "head"),
            ("a.example", "PUT", "/orders/1/", "order"),
            ("a.example", "GET", "/orders/new", "new"),
            ("a.example", "GET", "/orders/1/items", "below"),
            ("[::1]:80", "GET", "/orders/1", "any"),
        ] {
            let route = config.route(Some(host), method, path);
            assert_eq!(route.expect("one route").scope(), [scope], "{host} {method} {path}");
        }
        for (host, method, path, part) in [
            (None, "GET", "/x", AmbiguousRequest::Host),
            (Some("api.example."), "GET", "/x", AmbiguousRequest::Host),
            (Some("user@api.example"), "GET", "/x", AmbiguousRequest::Host),
            (Some("a.example"), "GET", "/Orders/new", AmbiguousRequest::Path),
            (Some("a.example"), "GET", "/orders/NEW", AmbiguousRequest::Path),
            (Some("a.example"), "get", "/orders/1", AmbiguousRequest::Method),
        ] {
            assert_eq!(config.route(host, method, path), Err(part), "{host:?} {method} {path}");
        }
        for id in ["AbC", "a%20b", "x."] {
            assert!(config.route(Some("a.example"), "PUT", &alloc::format!("/orders/{id}")).is_ok(), "{id}");
        }
    }

    #[test]
    fn a_missing_host_matters_only_where_a_host_rule_could_apply() {
        let config = config(r#"{"path":"/a/{x}","hosts":["a.example"]},{"path":"/*","scope":["any"]}"#);
        let config = config.expect("a valid configuration");
        for path in ["/", "/a", "/b/1", "/a/1/2"] {
            assert_eq!(config.route(None, "GET", path).expect("one route").scope(), ["any"], "{path}");
        }
        for path in ["/a/1", "/A/1", "/a./1"] {
            assert!(config.route(None, "GET", path).is_err(), "{path}");
        }
    }

    #[test]
    fn unknown_members_and_invalid_values_are_refused() {
        for routes in [
            r#"{"path":"a"}"#,
            r#"{"scope":["a"]}"#,
            r#"{"path":"/","scope":["a b"]}"#,
            r#"{"path":"/","on_stale":"maybe"}"#,
            r#"{"path":"/","introspect":true}"#,
        ] {
            assert_eq!(config(routes).err(), Some(ConfigError::Json(JsonError::OutOfRange)), "{routes}");
        }
        let missing = Config::read(br#"{"audience":"a","routes":[]}"#);
        assert_eq!(missing.err(), Some(ConfigError::Missing("jwks")));
    }

    #[test]
    fn plain_jwts_are_allowed_for_the_named_audiences_only() {
        let read =
            |jwks: &str| Config::read(alloc::format!(r#"{{"audience":"a","jwks":{jwks},"routes":[]}}"#).as_bytes());
        let config = read(r#"{"keys":[],"tollgate_plain_jwt_audiences":["a","c"]}"#).expect("a valid configuration");
        let allows = |audience| config.keys().allows_plain_jwt(audience);
        assert!(allows("a") && allows("c") && !allows("b") && !allows("A") && !allows(""));
        let config = read(r#"{"keys":[]}"#).expect("a configuration of an older origin");
        assert!(!config.keys().allows_plain_jwt("a"));
        for wrong in [r#""a""#, "[1]", "true", "null", r#"{"a":true}"#] {
            let jwks = alloc::format!(r#"{{"keys":[],"tollgate_plain_jwt_audiences":{wrong}}}"#);
            assert!(matches!(read(&jwks), Err(ConfigError::Jwks(_))), "{wrong}");
        }
    }

    #[test]
    fn a_request_without_a_matching_route_requires_a_valid_token() {
        let config = config("").expect("a valid configuration");
        let route = config.route(None, "GET", "/x").expect("one route");
        assert!(!route.is_public() && route.scope().is_empty() && route.on_stale() == UnknownStatusPolicy::Deny);
    }
}
