//! What an edge asks of a request: the audience it guards and, by path and method, the scope. The origin writes it, the
//! snapshot carries it; this module reads it and finds the rule for a request.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::claims::is_scope_value;
use crate::json::{self, JsonError, Reader};
use crate::key::{JwksError, KeySet};

/// Routes of one policy at most.
pub const MAX_ROUTES: usize = 1024;
/// Members of a whole configuration: keys and routes with a dozen members each.
const MAX_MEMBERS: usize = 32 * 1024;

/// What becomes of a token of which it cannot be told now whether it was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownStatusPolicy {
    /// Refuse until fresh word arrives: no revoked token ever passes.
    #[default]
    Deny,
    /// Let pass what is not known to be revoked: the API stays up when its origin is down.
    Allow,
}

/// The rule for some paths and methods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    path: String,
    methods: Vec<String>,
    scope: Vec<String>,
    public: bool,
    on_stale: UnknownStatusPolicy,
    on_not_covered: UnknownStatusPolicy,
}

impl Route {
    /// Every scope value that the token must have.
    pub fn scope(&self) -> &[String] {
        &self.scope
    }

    /// Whether the route needs no token.
    pub fn is_public(&self) -> bool {
        self.public
    }

    /// What becomes of a token that was not revoked as of the newest word, when that is older than promised.
    pub fn on_stale(&self) -> UnknownStatusPolicy {
        self.on_stale
    }

    /// What becomes of a token that was issued after the newest word, when that is older than promised.
    pub fn on_not_covered(&self) -> UnknownStatusPolicy {
        self.on_not_covered
    }

    /// How exactly the route names a request, if it does: by the length of its path, an exact path before a prefix of the same
    /// length, a rule for the method before one for all.
    ///
    /// A rule for GET is one for HEAD, for servers answer HEAD by running GET. A rule for `/admin` is one for `/admin/`, unless
    /// it opens a door: most frameworks serve both alike. Methods are case-sensitive (RFC 9110 section 9.1).
    fn precision(&self, method: &str, path: &str, case: Case) -> Option<Precision> {
        let (prefix, exact) = self.path.strip_suffix("/*").map_or((self.path.as_str(), true), |prefix| (prefix, false));
        let rest = path.strip_prefix(prefix)?;
        let path_fits = match (exact, rest) {
            (_, "") => true,
            (true, rest) => rest == "/" && !self.public,
            (false, rest) => rest.starts_with('/'),
        };
        let is_same: fn(&str, &str) -> bool = match case {
            Case::Sensitive => |one, other| one == other,
            Case::Ignored => str::eq_ignore_ascii_case,
        };
        let names = |method: &str| self.methods.iter().any(|wanted| is_same(wanted, method));
        let method_fits = self.methods.is_empty() || names(method) || (is_same(method, "HEAD") && names("GET"));
        (path_fits && method_fits).then_some((prefix.len(), exact, !self.methods.is_empty()))
    }
}

/// How the case of methods is taken.
#[derive(Clone, Copy)]
enum Case {
    Sensitive,
    Ignored,
}

/// Length of the path that fits, whether it fits exactly, whether the method is named.
type Precision = (usize, bool, bool);

/// An edge's configuration as its origin wrote it: audience, keys, routes.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) audience: String,
    pub(crate) keys: KeySet,
    routes: Vec<Route>,
    /// The same routes with their paths as a lenient server reads them.
    lenient_routes: Vec<Route>,
    names_methods: bool,
    /// The rule where no route fits: any valid token, refused when stale.
    otherwise: Route,
}

impl Config {
    /// Reads the configuration document of a snapshot. UnknownStatusPolicy members and values are refused: a rule that this edge does not
    /// understand must not be left out in silence.
    ///
    /// # Errors
    /// [`ConfigError`] names the first fault.
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
                    routes.push(read_route(reader)?);
                    Ok(())
                })?,
                _ => return Err(JsonError::OutOfRange),
            }
            Ok(())
        })
        .map_err(ConfigError::Json)?;
        let keys =
            KeySet::from_jwks(jwks.ok_or(ConfigError::Missing("jwks"))?.as_bytes()).map_err(ConfigError::Jwks)?;
        if keys.has_secrets() {
            return Err(ConfigError::SecretKey);
        }
        let audience = audience.ok_or(ConfigError::Missing("audience"))?;
        let lenient = |route: &Route| Route { path: lenient_path(&route.path), ..route.clone() };
        let lenient_routes = routes.iter().map(lenient).collect();
        let names_methods = routes.iter().any(|route| !route.methods.is_empty());
        Ok(Self { audience, keys, routes, lenient_routes, names_methods, otherwise: Route::default() })
    }

    /// The audience that the edges guard unless they are told another.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The keys that check tokens.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The routes in the order the origin wrote them.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The rule for a request: the longest path that fits, an exact one before a prefix, a rule that names the method before one
    /// for all.
    ///
    /// # Errors
    /// [`AmbiguousRequest`] when another rule would apply to an upstream that reads the path or the method less strictly than HTTP does.
    pub fn route(&self, method: &str, path: &str) -> Result<&Route, AmbiguousRequest> {
        let lenient_path = &lenient_path(path);
        let best = best(&self.routes, method, path, Case::Sensitive);
        if best != self::best(&self.lenient_routes, method, lenient_path, Case::Sensitive) {
            return Err(AmbiguousRequest::Path);
        }
        // Frameworks that write the method in capitals before they look at it run another than the one sent.
        if self.names_methods
            && (best != self::best(&self.routes, method, path, Case::Ignored)
                || best != self::best(&self.lenient_routes, method, lenient_path, Case::Ignored))
        {
            return Err(AmbiguousRequest::Method);
        }
        Ok(best.and_then(|place| self.routes.get(place)).unwrap_or(&self.otherwise))
    }

    /// Whether some rule is for some methods only.
    pub fn names_methods(&self) -> bool {
        self.names_methods
    }
}

/// What in a request can be read in two ways to which different rules apply.
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
            Self::Path => "the path's rule depends on capital letters, or on spaces or dots at the end of a segment",
            Self::Method => "the method's rule depends on capital letters",
        })
    }
}

impl core::error::Error for AmbiguousRequest {}

/// The place of the route that names a request most exactly. Not copied into each of its callers.
#[inline(never)]
fn best(routes: &[Route], method: &str, path: &str, case: Case) -> Option<usize> {
    let places = routes.iter().enumerate();
    let fitting = places.filter_map(|(place, route)| Some((route.precision(method, path, case)?, place)));
    fitting.max_by_key(|(precision, _)| *precision).map(|(_, place)| place)
}

/// The path as a lenient server reads it: without case, without spaces around a segment and dots at its end (as Windows does),
/// with letters that become ASCII ones when their case changes or compatible forms are joined (Unicode's NFKC) as those.
fn lenient_path(path: &str) -> String {
    let mut lenient = String::with_capacity(path.len());
    for (place, segment) in path.split('/').enumerate() {
        if place > 0 {
            lenient.push('/');
        }
        let end = |letter: char| letter == '.' || letter.is_whitespace();
        lenient.extend(segment.trim_start().trim_end_matches(end).chars().map(lenient_letter));
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

fn read_route(reader: &mut Reader<'_>) -> Result<Route, JsonError> {
    let mut route = Route::default();
    reader.object(|name, reader| {
        match name {
            "path" => route.path = reader.string()?.to_string(),
            "methods" => route.methods = strings(reader)?,
            "scope" => route.scope = strings(reader)?,
            "public" => route.public = reader.boolean()?,
            "on_stale" => route.on_stale = read_unknown(reader)?,
            "on_not_covered" => route.on_not_covered = read_unknown(reader)?,
            _ => return Err(JsonError::OutOfRange),
        }
        Ok(())
    })?;
    // Paths are matched decoded: a rule that could never apply must not pass for one that does.
    // By bytes: to search for a text brings a searcher along that nothing else here needs.
    let has_empty_segment = route.path.as_bytes().windows(2).any(|pair| pair == b"//");
    let path_is_plain = route.path.starts_with('/') && !has_empty_segment && !route.path.contains(['%', ';', '#', '?']);
    if path_is_plain && route.scope.iter().all(|value| is_scope_value(value)) {
        Ok(route)
    } else {
        Err(JsonError::OutOfRange)
    }
}

fn read_unknown(reader: &mut Reader<'_>) -> Result<UnknownStatusPolicy, JsonError> {
    match &*reader.string()? {
        "deny" => Ok(UnknownStatusPolicy::Deny),
        "allow" => Ok(UnknownStatusPolicy::Allow),
        _ => Err(JsonError::OutOfRange),
    }
}

fn strings(reader: &mut Reader<'_>) -> Result<Vec<String>, JsonError> {
    let mut strings = Vec::new();
    reader.array(|reader| {
        strings.push(reader.string().map(Cow::into_owned)?);
        Ok(())
    })?;
    Ok(strings)
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not the strict JSON document it must be, or with a member or value that is not known.
    Json(JsonError),
    /// A member is missing.
    Missing(&'static str),
    /// The keys cannot be used.
    Jwks(JwksError),
    /// There is a secret key (`oct`) among them, and a snapshot is public.
    SecretKey,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => write!(f, "the configuration {fault}"),
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
    fn the_most_exact_route_wins() {
        let config = config(
            r#"{"path":"/*","scope":["any"]},{"path":"/a/*","scope":["a"]},{"path":"/a/b","scope":["b"]},
               {"path":"/a/*","methods":["PUT"],"scope":["put"]},{"path":"/open","public":true}"#,
        )
        .expect("a good configuration");
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
            assert_eq!(config.route(method, path).expect("one rule").scope(), [scope], "{method} {path}");
        }
        assert!(config.route("GET", "/open").expect("one rule").is_public());
        assert!(!config.route("GET", "/open/").expect("one rule").is_public());
    }

    #[test]
    fn a_looser_rule_never_takes_the_place_of_a_stricter_one() {
        let config = config(
            r#"{"path":"/admin/*","scope":["read"]},{"path":"/admin","scope":["all"]},{"path":"/v/*","methods":["GET"],"scope":["get"]},
               {"path":"/v/x","scope":["x"]},{"path":"/Case","scope":["case"]}"#,
        )
        .expect("a good configuration");
        for (method, path, scope) in [
            ("GET", "/admin", "all"),
            ("GET", "/admin/", "all"),
            ("GET", "/admin/a", "read"),
            ("GET", "/v/x", "x"),
            ("GET", "/v/x/", "x"),
            ("HEAD", "/v/y", "get"),
            ("GET", "/Case", "case"),
        ] {
            assert_eq!(config.route(method, path).expect("one rule").scope(), [scope], "{method} {path}");
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
            assert!(config.route("GET", path).is_ok(), "{path} has one rule however it is read");
        }
    }

    #[test]
    fn a_method_that_differs_from_a_rules_by_case_alone_is_ambiguous() {
        let config = config(
            r#"{"path":"/r/*","scope":["read"]},{"path":"/r/*","methods":["DELETE"],"scope":["admin"]},
               {"path":"/odd","methods":["purge"],"scope":["purge"]},{"path":"/head","methods":["GET"],"scope":["get"]},
               {"path":"/Case/*","methods":["PUT"],"scope":["put"]}"#,
        )
        .expect("a good configuration");
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
    fn what_is_not_understood_is_refused() {
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
    fn without_a_route_a_valid_token_is_asked_for() {
        let config = config("").expect("a good configuration");
        let route = config.route("GET", "/x").expect("one rule");
        assert!(!route.is_public() && route.scope().is_empty() && route.on_stale() == UnknownStatusPolicy::Deny);
    }
}
