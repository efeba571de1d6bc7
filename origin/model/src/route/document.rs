//! The document of a route rule: one form for the admin API, `--json`, the database and, with the
//! scope as an array, the configuration of edges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::OnStale;
use crate::malformed::Malformed;
use crate::scope::Scope;

/// A rule for requests at edges. Members that are left out require nothing; edges of releases from
/// before a member refuse rules that have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteDocument {
    /// Path: `/a`, `/a/*` for everything below `/a` as well, or with parameters that match one
    /// segment, `/a/{id}`.
    pub path: String,
    /// Methods; empty for all.
    #[serde(default)]
    pub methods: BTreeSet<String>,
    /// Scope that tokens must have, values separated by spaces. An array of values is accepted,
    /// too.
    #[serde(default, deserialize_with = "text_or_array")]
    #[schema(value_type = String)]
    pub scope: Scope,
    /// Whether requests need no token.
    #[serde(default)]
    pub public: bool,
    /// Decision if the replica is stale: `deny`, `allow` or `introspect`.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(value_type = String)]
    pub on_stale: OnStale,
    /// Decision if a token is newer than a stale replica: `deny`, `allow` or `introspect`.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schema(value_type = String)]
    pub on_not_covered: OnStale,
    /// Hosts, `api.example` or `*.example`; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// Scope values of which a token must have one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scope_any: BTreeSet<String>,
    /// Audience of tokens, if it is another than the edge's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Clients of which one must be the token's; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub clients: BTreeSet<String>,
    /// Conditions on claims, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimRule>,
    /// Authentication context classes of which one must be the token's `acr`, in the order of
    /// preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
    /// Seconds since the user's last active authentication, at most (RFC 9470).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// `required`: the token must be bound to a key, by DPoP or a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub binding: Option<Binding>,
    /// Staleness bound of the replica, if it is another than the edge's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_staleness_ms: Option<u64>,
    /// Name of the upstream, if it is another than the edge's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Most bytes of a request's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Time until the upstream must begin its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Most requests in a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// What happens to an open stream when its token is revoked or expires: `end` (default) or
    /// `continue`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schema(value_type = String)]
    pub streams: StreamPolicy,
    /// Cross-origin requests that browsers may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// `allow`: paths may contain an encoded slash (`%2F`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub encoded_slash: Option<EncodedSlash>,
    /// Headers for the upstream by their names, each with the claim that it carries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether the upstream gets the request with its token: `keep` (default) or `remove`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schema(value_type = String)]
    pub token: TokenForwarding,
}

/// Members that the first release of rules has; a document with others is extended.
pub(super) const FIRST_MEMBERS: [&str; 6] = ["path", "methods", "scope", "public", "on_stale", "on_not_covered"];

impl RouteDocument {
    /// The document as edges read it, with members in alphabetical order.
    ///
    /// # Errors
    /// Never in practice: texts, numbers and flags can always be written as JSON.
    pub fn to_edge_rule(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let Value::Object(mut rule) = serde_json::to_value(self)? else { return Ok(Map::new()) };
        rule.insert("scope".to_owned(), self.scope.values().collect());
        Ok(rule)
    }

    /// Whether the rule requires something of the token.
    pub(super) fn has_token_requirements(&self) -> bool {
        !self.scope.is_empty()
            || !self.scope_any.is_empty()
            || self.audience.is_some()
            || !self.clients.is_empty()
            || !self.claims.is_empty()
            || !self.acr.is_empty()
            || self.max_age.is_some()
            || self.binding.is_some()
    }

    /// What the rule requires and sets beyond path, methods, hosts, scope and staleness, as text.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        let Ok(Value::Object(members)) = serde_json::to_value(self) else { return Vec::new() };
        let is_shown = |name: &str| !FIRST_MEMBERS.contains(&name) && !matches!(name, "hosts" | "claims");
        let claims = self.claims.iter().map(|claim| format!("claim {claim}"));
        let others = members.iter().filter(|(name, _)| is_shown(name)).map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            Value::Array(values) => {
                let texts = values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                format!("{name}={}", texts.collect::<Vec<_>>().join(","))
            }
            other => format!("{name}={other}"),
        });
        claims.chain(others).collect()
    }
}

/// A condition on a claim: exactly one of `equals`, `one_of` and `contains`. A token without the
/// claim meets none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRule {
    /// Name of the claim.
    pub name: String,
    /// The claim must be this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<ClaimValue>,
    /// The claim must be one of these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<ClaimValue>,
    /// The claim must be an array with this value, or a text with it among its values that spaces
    /// separate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<ClaimValue>,
}

impl fmt::Display for ClaimRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(value) = &self.equals {
            write!(f, " equals {value}")?;
        }
        if let Some(value) = &self.contains {
            write!(f, " contains {value}")?;
        }
        if !self.one_of.is_empty() {
            let values: Vec<String> = self.one_of.iter().map(ClaimValue::to_string).collect();
            write!(f, " is one of {}", values.join(", "))?;
        }
        Ok(())
    }
}

/// A value that a claim is compared with. Values of different types are never equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ClaimValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

impl ClaimValue {
    /// The value that `text` writes: `true`, `false`, a whole number, or else the text itself. In
    /// quotation marks, each is a text.
    #[must_use]
    pub fn from_argument(text: &str) -> ClaimValue {
        let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match quoted {
            Some(inner) => ClaimValue::Text(inner.to_owned()),
            None => serde_json::from_str(text).unwrap_or_else(|_| ClaimValue::Text(text.to_owned())),
        }
    }
}

impl fmt::Display for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClaimValue::Boolean(value) => value.fmt(f),
            ClaimValue::Number(value) => value.fmt(f),
            ClaimValue::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// Most requests in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RouteRateLimit)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Number of requests.
    pub requests: u32,
    /// Length of the period, in seconds.
    pub seconds: u32,
    /// Which requests are counted together: those of one `client`, `subject` or network `address`.
    #[schema(value_type = String)]
    pub by: RateLimitKey,
}

/// Cross-origin requests that browsers may make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = RouteCors)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins that may, or `*` for all.
    pub origins: BTreeSet<String>,
    /// Methods that they may use; empty for those of the rule.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// Request headers that they may send.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub headers: BTreeSet<String>,
    /// Response headers that they may read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub expose: BTreeSet<String>,
    /// Whether requests may have credentials of the browser.
    #[serde(default, skip_serializing_if = "is_default")]
    pub credentials: bool,
    /// Seconds for which a browser may keep the answer to a preflight request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
}

named_values! {
    /// Whether tokens must be bound to a key.
    Binding, "binding", Required {
        /// By DPoP (RFC 9449) or a certificate (RFC 8705).
        Required = "required",
    }
}

named_values! {
    /// Which requests a rate limit counts together.
    RateLimitKey, "rate limit's by", Client {
        /// Those of one client.
        Client = "client",
        /// Those of one subject.
        Subject = "subject",
        /// Those from one network address.
        Address = "address",
    }
}

named_values! {
    /// What happens to an open stream when its token is revoked or expires.
    StreamPolicy, "streams", End {
        /// It is ended.
        End = "end",
        /// It continues until client or upstream end it.
        Continue = "continue",
    }
}

named_values! {
    /// Whether paths may contain an encoded slash (`%2F`).
    EncodedSlash, "encoded_slash", Allow {
        /// They may.
        Allow = "allow",
    }
}

named_values! {
    /// Whether the upstream gets the request with its token.
    TokenForwarding, "token", Keep {
        /// With it.
        Keep = "keep",
        /// Without it.
        Remove = "remove",
    }
}

fn text_or_array<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Array(values) => {
            let value = |value: &Value| value.as_str().filter(|text| !text.contains(' ')).map(str::to_owned);
            values.iter().map(value).collect::<Option<Vec<_>>>().map(|values| values.join(" "))
        }
        _ => None,
    };
    let text = text.ok_or_else(|| D::Error::custom("scope must be a text, or an array of values"))?;
    Scope::parse(&text).map_err(D::Error::custom)
}

fn null_as_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnStale, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What members must be, in words. The edges' own reader decides, see
/// [`Route::read`](tollgate_core::Route::read).
pub(super) const MEMBERS: [(&str, Malformed); 18] = [
    (
        "hosts",
        Malformed::new(
            "route hosts",
            "must be host names in lower case without port, such as api.example or *.example",
        ),
    ),
    ("scope_any", Malformed::new("route scope_any", "must be up to 64 scope values")),
    ("audience", Malformed::new("route audience", "must be 1 to 255 characters")),
    ("clients", Malformed::new("route clients", "must be up to 64 client ids")),
    (
        "claims",
        Malformed::new(
            "route claims",
            "must have a name and one of equals, one_of and contains each, up to 64 of them",
        ),
    ),
    ("acr", Malformed::new("route acr", "must be up to 64 values without spaces")),
    ("max_age", Malformed::new("route max_age", "must be seconds, at most ten years")),
    ("binding", Malformed::new("route binding", "must be required")),
    ("max_staleness_ms", Malformed::new("route max_staleness_ms", "must be 50 milliseconds to a day")),
    ("upstream", Malformed::new("route upstream", "must be the name of an upstream, without spaces")),
    ("max_body_bytes", Malformed::new("route max_body_bytes", "must be at most 2^50")),
    ("timeout_ms", Malformed::new("route timeout_ms", "must be 1 millisecond to a day")),
    ("rate_limit", Malformed::new("route rate_limit", "must be 1 to 1000000000 requests in 1 to 86400 seconds")),
    ("streams", Malformed::new("route streams", "must be end or continue")),
    (
        "cors",
        Malformed::new(
            "route cors",
            "must have origins such as https://app.example, or * without credentials, and names of methods and headers, \
             up to 64 of each",
        ),
    ),
    ("encoded_slash", Malformed::new("route encoded_slash", "must be allow")),
    (
        "headers",
        Malformed::new(
            "route headers",
            "must be names of headers that begin with X- and mean nothing else, with names of claims, up to 64",
        ),
    ),
    ("token", Malformed::new("route token", "must be keep or remove")),
];
