//! Route rules: what edges require of requests, by host, path and method. Edges get them in the
//! snapshot.

mod document;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use tollgate_core::{RuleConflict, check_new_rule};

pub use self::document::{
    Binding, ClaimRule, ClaimValue, Cors, EncodedSlash, RateLimit, RateLimitKey, RouteDocument, StreamPolicy,
    TokenForwarding,
};
use self::document::{FIRST_MEMBERS, MEMBERS};
use super::malformed::Malformed;
use super::scope::Scope;

/// What an edge does with a request if its replica is older than the staleness bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStale {
    /// Refuse it; the default.
    #[default]
    Deny,
    /// Allow it if only the freshness of the replica is missing.
    Allow,
    /// Introspect the token at the origin, and refuse it if that fails.
    Introspect,
}

impl OnStale {
    /// The name in settings and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            OnStale::Deny => "deny",
            OnStale::Allow => "allow",
            OnStale::Introspect => "introspect",
        }
    }
}

impl FromStr for OnStale {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<OnStale, Malformed> {
        match text {
            "deny" => Ok(OnStale::Deny),
            "allow" => Ok(OnStale::Allow),
            "introspect" => Ok(OnStale::Introspect),
            _ => Err(Malformed::new("answer", "must be deny, allow or introspect")),
        }
    }
}

impl fmt::Display for OnStale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

json_as_text!(OnStale);

/// A route rule whose document edges accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route(RouteDocument);

impl Route {
    /// A rule for `path` (exact, or a prefix if it ends in `/*`) and `methods` (empty for all).
    ///
    /// # Errors
    /// As for a whole document.
    pub fn new(
        path: &str,
        methods: &[String],
        scope: Scope,
        public: bool,
        on_stale: OnStale,
    ) -> Result<Route, Malformed> {
        let (path, methods) = (path.to_owned(), methods.iter().cloned().collect());
        Route::try_from(RouteDocument { path, methods, scope, public, on_stale, ..RouteDocument::default() })
    }

    /// Sets the decision for tokens that are newer than a stale replica.
    #[must_use]
    pub fn on_not_covered(self, on_not_covered: OnStale) -> Route {
        Route(RouteDocument { on_not_covered, ..self.0 })
    }

    /// What the rule says.
    #[must_use]
    pub fn document(&self) -> &RouteDocument {
        &self.0
    }

    /// Ends in `/*` for a prefix.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Sorted; empty for all.
    #[must_use]
    pub fn methods(&self) -> &BTreeSet<String> {
        &self.0.methods
    }

    /// Sorted; empty for all.
    #[must_use]
    pub fn hosts(&self) -> &BTreeSet<String> {
        &self.0.hosts
    }

    /// Whether the rule says something that programs from before extended documents do not know.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        let has_others = |value: Value| value.as_object().is_some_and(|members| members.len() > FIRST_MEMBERS.len());
        [self.0.on_stale, self.0.on_not_covered].contains(&OnStale::Introspect)
            || serde_json::to_value(&self.0).is_ok_and(has_others)
    }

    /// The rule as edges read it.
    ///
    /// # Errors
    /// Never in practice: the document was checked.
    pub fn to_edge_route(&self) -> Result<tollgate_core::Route, Malformed> {
        let unreadable = Malformed::new("route", "cannot be read by edges");
        let rule = self.0.to_edge_rule().map_err(|_| unreadable.clone())?;
        tollgate_core::Route::read(Value::Object(rule).to_string().as_bytes()).map_err(|_| unreadable)
    }

    /// Checks whether the rule may be added to others, as [`check_new_rule`] says.
    ///
    /// # Errors
    /// The conflict, with the other rule, if it is one with another.
    pub fn check_among<'a>(&self, others: &'a [Route]) -> Result<(), (RuleConflict, Option<&'a Route>)> {
        let unreadable = |_| (RuleConflict::MalformedParameter, None);
        let edge_routes: Vec<_> =
            others.iter().map(Route::to_edge_route).collect::<Result<_, _>>().map_err(unreadable)?;
        check_new_rule(&self.to_edge_route().map_err(unreadable)?, &edge_routes).map_err(|conflict| match conflict {
            RuleConflict::SameRequests(index) | RuleConflict::ReadAlike(index) => (conflict, others.get(index)),
            _ => (conflict, None),
        })
    }
}

impl TryFrom<RouteDocument> for Route {
    type Error = Malformed;

    /// Checks the document.
    ///
    /// # Errors
    /// If a member is malformed, or a public route requires something of the token, which could not
    /// be checked.
    fn try_from(document: RouteDocument) -> Result<Route, Malformed> {
        check_path(&document.path)?;
        document.methods.iter().try_for_each(|method| check_method(method))?;
        if document.public && document.has_token_requirements() {
            let problem = "is public and requires something of the token: it cannot be both";
            return Err(Malformed::new("route", problem));
        }
        let rule = document.to_edge_rule().map_err(|_| Malformed::new("route", "cannot be written as JSON"))?;
        for (member, malformed) in MEMBERS {
            let is_accepted = |value: &Value| {
                let alone = json!({ "path": "/", member: value }).to_string();
                tollgate_core::Route::read(alone.as_bytes()).is_ok()
            };
            if rule.get(member).is_some_and(|value| !is_accepted(value)) {
                return Err(malformed);
            }
        }
        Ok(Route(document))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let methods = if self.methods().is_empty() { "*".to_owned() } else { joined(self.methods()) };
        write!(f, "{methods} {}{}", joined(self.hosts()), self.path())
    }
}

fn check_path(path: &str) -> Result<(), Malformed> {
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
    Ok(())
}

fn check_method(method: &str) -> Result<(), Malformed> {
    if method.is_empty() || method.len() > 32 || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Err(Malformed::new("route method", "must be upper-case letters, for example GET"));
    }
    Ok(())
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

    fn document(members: &str) -> Result<Route, Malformed> {
        let document = serde_json::from_str::<RouteDocument>(&format!(r#"{{"path":"/a",{members}}}"#));
        Route::try_from(document.expect("a document"))
    }

    #[test]
    fn documents_are_checked_as_edges_read_them() {
        for members in [
            r#""hosts":["api.example","*.example","127.0.0.1"]"#,
            r#""scope_any":["a","b"],"audience":"https://b.example","clients":["c"],"max_age":0,"acr":["gold","silver"]"#,
            r#""claims":[{"name":"a","equals":true},{"name":"b","one_of":["x",7]},{"name":"c","contains":"d"}]"#,
            r#""binding":"required","on_stale":"introspect","max_staleness_ms":500"#,
            r#""upstream":"orders","max_body_bytes":1024,"timeout_ms":5000,"streams":"continue","token":"remove""#,
            r#""rate_limit":{"requests":10,"seconds":60,"by":"subject"},"encoded_slash":"allow""#,
            r#""cors":{"origins":["https://a.example"],"credentials":true,"max_age":60},"headers":{"x-user":"sub"}"#,
        ] {
            let route = document(members).expect(members);
            assert!(route.is_extended(), "{members}");
            let written = serde_json::to_string(route.document()).expect("JSON");
            assert_eq!(
                serde_json::from_str::<RouteDocument>(&written).ok().as_ref(),
                Some(route.document()),
                "{written}"
            );
        }
        for (members, what) in [
            (r#""hosts":["API.example"]"#, "route hosts"),
            (r#""hosts":["api.example:80"]"#, "route hosts"),
            (r#""hosts":["*"]"#, "route hosts"),
            (r#""claims":[{"name":"a"}]"#, "route claims"),
            (r#""claims":[{"name":"a","equals":"b","contains":"c"}]"#, "route claims"),
            (r#""max_age":400000000"#, "route max_age"),
            (r#""timeout_ms":0"#, "route timeout_ms"),
            (r#""rate_limit":{"requests":0,"seconds":60,"by":"client"}"#, "route rate_limit"),
            (r#""cors":{"origins":[]}"#, "route cors"),
            (r#""cors":{"origins":["*"],"credentials":true}"#, "route cors"),
            (r#""cors":{"origins":["https://app.example/"]}"#, "route cors"),
            (r#""headers":{"Host":"sub"}"#, "route headers"),
            (r#""headers":{"X-Tollgate-Subject":"email"}"#, "route headers"),
            (r#""headers":{"x user":"sub"}"#, "route headers"),
            (r#""public":true,"acr":["gold"]"#, "route"),
        ] {
            assert_eq!(document(members).map_err(|error| error.what).err(), Some(what), "{members}");
        }
        for unknown in [r#""introspect":true"#, r#""streams":"stop""#, r#""claims":[{"name":"a","equals":1.5}]"#] {
            let text = format!(r#"{{"path":"/a",{unknown}}}"#);
            assert!(serde_json::from_str::<RouteDocument>(&text).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_rule_of_the_first_members_is_not_extended() {
        let rule = document(r#""methods":["GET"],"scope":"a b","on_stale":"allow","streams":"end","token":"keep""#);
        let rule = rule.expect("a rule");
        assert!(!rule.is_extended());
        let edge_rule = serde_json::to_string(&rule.document().to_edge_rule().expect("JSON")).expect("JSON");
        let expected = r#"{"methods":["GET"],"on_not_covered":"deny","on_stale":"allow","path":"/a","public":false,"scope":["a","b"]}"#;
        assert_eq!(edge_rule, expected);
    }

    #[test]
    fn scope_is_a_text_or_an_array() {
        let text = document(r#""scope":"b a""#).expect("a rule");
        assert_eq!(document(r#""scope":["b","a"]"#), Ok(text));
        for wrong in [r#"["a b"]"#, "[1]", "7", "null", r#""a  b""#] {
            let document = format!(r#"{{"path":"/a","scope":{wrong}}}"#);
            assert!(serde_json::from_str::<RouteDocument>(&document).is_err(), "{wrong}");
        }
    }

    #[test]
    fn conflict_names_the_other_rule() {
        let rule = |path: &str, methods: &[&str]| route(path, methods).expect("a rule");
        let others = [rule("/a", &["GET", "PUT"]), rule("/b/{id}", &[])];
        assert_eq!(rule("/a", &[]).check_among(&others), Ok(()));
        assert_eq!(rule("/a", &["POST"]).check_among(&others), Ok(()));
        let same = rule("/a", &["PUT"]).check_among(&others);
        assert_eq!(same, Err((RuleConflict::SameRequests(0), Some(&others[0]))));
        let same = rule("/b/{key}", &[]).check_among(&others);
        assert_eq!(same, Err((RuleConflict::SameRequests(1), Some(&others[1]))));
        let own = rule("/_tollgate/health", &[]).check_among(&others);
        assert_eq!(own, Err((RuleConflict::GatePath, None)));
    }
}
