//! The configuration of edges: audience, keys, and for each host, path and method what a request
//! must have. The origin writes it into the snapshot; this module reads it and finds the route for
//! a request.

mod document;
mod host;
mod identity_header;
mod pattern;
mod rule;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::json::{self, JsonError};
use crate::key::{JwksError, KeySet};

pub use identity_header::may_carry_identity;
pub use rule::{ClaimCondition, ClaimRule, ClaimValue, Cors, RateLimit, RateLimitKey, Route, StreamPolicy, TokenRules};

/// Most routes of a configuration.
pub const MAX_ROUTES: usize = 1024;
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

impl Route {
    /// How specifically the route matches a request, or `None` if it does not match.
    ///
    /// A route for GET matches HEAD, too, because servers answer HEAD by running GET. A route for
    /// `/admin` matches `/admin/`, too, because most frameworks serve both alike, unless the route
    /// is public. Methods are case-sensitive (RFC 9110 section 9.1).
    fn specificity(&self, method: &str, path: &str, case: MethodCase) -> Option<Specificity> {
        let (prefix, is_exact) =
            self.path.strip_suffix("/*").map_or((self.path.as_str(), true), |prefix| (prefix, false));
        let rest = path.strip_prefix(prefix)?;
        let path_matches = match (is_exact, rest) {
            (_, "") => true,
            (true, rest) => rest == "/" && !self.is_public,
            (false, rest) => rest.starts_with('/'),
        };
        let is_equal: fn(&str, &str) -> bool = match case {
            MethodCase::Sensitive => |one, other| one == other,
            MethodCase::Ignored => str::eq_ignore_ascii_case,
        };
        let names = |method: &str| self.methods.iter().any(|wanted| is_equal(wanted, method));
        let method_matches = self.methods.is_empty() || names(method) || (is_equal(method, "HEAD") && names("GET"));
        (path_matches && method_matches).then_some((prefix.len(), is_exact, !self.methods.is_empty()))
    }
}

/// Whether methods are compared with or without case.
#[derive(Clone, Copy)]
enum MethodCase {
    Sensitive,
    Ignored,
}

/// In the order of precedence: length of the matching path, whether the whole path matches, whether
/// the route names the method.
type Specificity = (usize, bool, bool);

/// A configuration for edges: audience, keys and routes.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) audience: String,
    pub(crate) keys: KeySet,
    jwks: String,
    routes: Vec<Route>,
    /// The same routes with their paths as [`lenient_path`] reads them.
    lenient_routes: Vec<Route>,
    has_method_routes: bool,
    header_names: Vec<String>,
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
        let lenient = |route: &Route| Route { path: lenient_path(&route.path), ..route.clone() };
        let lenient_routes = routes.iter().map(lenient).collect();
        let has_method_routes = routes.iter().any(|route| !route.methods.is_empty());
        let mut header_names: Vec<String> =
            routes.iter().flat_map(Route::headers).map(|(name, _)| name.to_ascii_lowercase()).collect();
        header_names.sort_unstable();
        header_names.dedup();
        Ok(Self {
            audience,
            keys,
            jwks: jwks.to_string(),
            routes,
            lenient_routes,
            has_method_routes,
            header_names,
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

    /// The route for a request: the one with the longest matching path, of these an exact path
    /// before a prefix, and of these a route that names the method before one for all methods.
    ///
    /// # Errors
    /// [`AmbiguousRequest`] if another route would apply when path and method are read less
    /// strictly than HTTP defines, as some upstream servers do.
    pub fn route(&self, method: &str, path: &str) -> Result<&Route, AmbiguousRequest> {
        let lenient_path = &lenient_path(path);
        let matching = most_specific(&self.routes, method, path, MethodCase::Sensitive);
        if matching != most_specific(&self.lenient_routes, method, lenient_path, MethodCase::Sensitive) {
            return Err(AmbiguousRequest::Path);
        }
        // Some frameworks convert the method to upper case, and so run another one than was sent.
        if self.has_method_routes
            && (matching != most_specific(&self.routes, method, path, MethodCase::Ignored)
                || matching != most_specific(&self.lenient_routes, method, lenient_path, MethodCase::Ignored))
        {
            return Err(AmbiguousRequest::Method);
        }
        Ok(matching.and_then(|index| self.routes.get(index)).unwrap_or(&self.default_route))
    }

    /// Names of the headers by which routes send claims to the upstream, in lower case. It must get
    /// none of them from a client, on any route.
    pub fn header_names(&self) -> &[String] {
        &self.header_names
    }

    /// Whether a route applies to some methods only.
    pub fn has_method_routes(&self) -> bool {
        self.has_method_routes
    }
}

/// The part of a request that servers read in different ways, for which different routes apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmbiguousRequest {
    /// The path, by capital letters or by spaces and dots at the end of a segment.
    Path,
    /// The method, by capital letters.
    Method,
}

impl fmt::Display for AmbiguousRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "the path's route depends on capital letters, or on spaces or dots at the end of a segment",
            Self::Method => "the method's route depends on capital letters",
        })
    }
}

impl core::error::Error for AmbiguousRequest {}

/// Index of the route that matches a request most specifically. Not inlined, to keep components
/// small.
#[inline(never)]
fn most_specific(routes: &[Route], method: &str, path: &str, case: MethodCase) -> Option<usize> {
    let indexed = routes.iter().enumerate();
    let matching = indexed.filter_map(|(index, route)| Some((route.specificity(method, path, case)?, index)));
    matching.max_by_key(|(specificity, _)| *specificity).map(|(_, index)| index)
}

/// The path as the most lenient server reads it: without case, without spaces around a segment and
/// dots at its end (as Windows does), and with letters that case mapping or Unicode's compatibility
/// normalization (NFKC) turn into ASCII letters replaced by these.
fn lenient_path(path: &str) -> String {
    let mut lenient = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            lenient.push('/');
        }
        let is_ignored = |letter: char| letter == '.' || letter.is_whitespace();
        lenient.extend(segment.trim_start().trim_end_matches(is_ignored).chars().map(lenient_letter));
    }
    lenient
}

fn lenient_letter(letter: char) -> char {
    let ascii = match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        '\u{130}' | '\u{131}' => 'i',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        other => other,
    };
    ascii.to_ascii_lowercase()
}

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
            assert_eq!(config.route(method, path).expect("one route").scope(), [scope], "{method} {path}");
        }
        assert!(config.route("GET", "/open").expect("one route").is_public());
        assert!(!config.route("GET", "/open/").expect("one route").is_public());
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
            assert_eq!(config.route(method, path).expect("one route").scope(), [scope], "{method} {path}");
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
                config.route("GET", path),
                Err(AmbiguousRequest::Path),
                "{path} depends on how the upstream reads it"
            );
        }
        for path in ["/a.b.", "/v/y.", "/admin/St. John"] {
            assert!(config.route("GET", path).is_ok(), "{path} has one route however it is read");
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
            assert_eq!(config.route(method, path), Err(AmbiguousRequest::Method), "{method} {path}");
        }
        for (method, path, scope) in
            [("DELETE", "/r/1", "admin"), ("get", "/r/1", "read"), ("delete", "/s", ""), ("HEAD", "/head", "get")]
        {
            assert_eq!(
                config.route(method, path).map(|route| route.scope().join(" ")),
                Ok(scope.into()),
                "{method} {path}"
            );
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
        let route = config.route("GET", "/x").expect("one route");
        assert!(!route.is_public() && route.scope().is_empty() && route.on_stale() == UnknownStatusPolicy::Deny);
    }
}
