//! Route rules: what edges require of requests, by path and method. Edges get them in the snapshot.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::malformed::Malformed;
use super::scope::Scope;

/// What an edge does with a request if its replica is older than the staleness bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStale {
    /// Refuse it; the default.
    Deny,
    /// Allow it if only the freshness of the replica is missing.
    Allow,
}

impl OnStale {
    /// The name in settings and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OnStale::Deny => "deny",
            OnStale::Allow => "allow",
        }
    }
}

impl FromStr for OnStale {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<OnStale, Malformed> {
        match text {
            "deny" => Ok(OnStale::Deny),
            "allow" => Ok(OnStale::Allow),
            _ => Err(Malformed::new("answer", "must be deny or allow")),
        }
    }
}

/// A route rule. The longest matching path applies; a rule for the method takes precedence over a
/// rule for all methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    path: String,
    methods: BTreeSet<String>,
    /// The token must have every value.
    pub scope: Scope,
    /// Whether requests need no token.
    pub public: bool,
    /// Decision if the replica is stale.
    pub on_stale: OnStale,
    /// Decision if the replica is stale and the token is newer than it.
    pub on_not_covered: OnStale,
}

impl Route {
    /// A rule for `path` (exact, or a prefix if it ends in `/*`) and `methods` (empty for all).
    ///
    /// # Errors
    /// If the path or a method is malformed, or a public route requires a scope, which could not be
    /// checked.
    pub fn new(
        path: &str,
        methods: &[String],
        scope: Scope,
        public: bool,
        on_stale: OnStale,
    ) -> Result<Route, Malformed> {
        let path = checked_path(path)?;
        let methods = methods.iter().map(|method| checked_method(method)).collect::<Result<_, _>>()?;
        if public && !scope.is_empty() {
            return Err(Malformed::new("route", "is public and requires a scope: it cannot be both"));
        }
        Ok(Route { path, methods, scope, public, on_stale, on_not_covered: OnStale::Deny })
    }

    /// Sets the decision for tokens that are newer than a stale replica.
    #[must_use]
    pub fn on_not_covered(self, on_not_covered: OnStale) -> Route {
        Route { on_not_covered, ..self }
    }

    /// Ends in `/*` for a prefix.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Sorted; empty for all.
    #[must_use]
    pub fn methods(&self) -> &BTreeSet<String> {
        &self.methods
    }

    /// Whether both rules could apply to a request with equal precedence; only one of them may
    /// exist.
    #[must_use]
    pub fn conflicts_with(&self, other: &Route) -> bool {
        let both_for_all = self.methods.is_empty() && other.methods.is_empty();
        self.path == other.path && (both_for_all || !self.methods.is_disjoint(&other.methods))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.methods.is_empty() {
            return write!(f, "* {}", self.path);
        }
        let methods: Vec<&str> = self.methods.iter().map(String::as_str).collect();
        write!(f, "{} {}", methods.join(","), self.path)
    }
}

fn checked_path(path: &str) -> Result<String, Malformed> {
    let wrong = |problem| Malformed::new("route path", problem);
    let literal = path.strip_suffix("/*").unwrap_or(path);
    if !path.starts_with('/') || path.len() > 512 {
        return Err(wrong("must begin with / and be at most 512 characters"));
    }
    // Edges match the decoded path and refuse paths that servers interpret differently. A rule for
    // such a path would never apply, and a less strict rule might apply instead.
    if literal.chars().any(|c| c.is_control() || c.is_whitespace() || "?#*\"\\%;".contains(c)) {
        return Err(wrong("contains an invalid character: write the path decoded, with * only at the end, as /*"));
    }
    if literal.contains("//") || literal.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(wrong("contains an empty, . or .. segment, which never matches a request"));
    }
    Ok(path.to_owned())
}

fn checked_method(method: &str) -> Result<String, Malformed> {
    if method.is_empty() || method.len() > 32 || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Err(Malformed::new("route method", "must be upper-case letters, for example GET"));
    }
    Ok(method.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[&str]) -> Result<Route, Malformed> {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        Route::new(path, &methods, Scope::default(), false, OnStale::Deny)
    }

    #[test]
    fn paths_are_exact_or_prefixes() {
        for path in ["/", "/reports", "/reports/*", "/*"] {
            assert!(route(path, &[]).is_ok(), "{path:?} refused");
        }
        for path in ["", "reports", "/re*", "/*/x", "/a?b", "/a/../b", "/a b"] {
            assert!(route(path, &[]).is_err(), "{path:?} passed");
        }
    }

    #[test]
    fn rules_of_equal_precedence_conflict() {
        let rule = |methods: &[&str]| route("/a", methods).expect("a rule");
        assert!(rule(&[]).conflicts_with(&rule(&[])));
        assert!(rule(&["GET", "PUT"]).conflicts_with(&rule(&["PUT"])));
        assert!(!rule(&["GET"]).conflicts_with(&rule(&[])));
        assert!(!rule(&["GET"]).conflicts_with(&rule(&["PUT"])));
    }
}
