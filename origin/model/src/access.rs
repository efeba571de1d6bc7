//! The access of a token: scope, audiences (RFC 8707) and authorization details (RFC 9396). The
//! client's registration and the grant limit it; a request can only narrow it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audience::Audience;
use super::client::{Client, Registrant};
use super::malformed::Malformed;
use super::resource::Resource;
use super::scope::{self, Scope};

/// Audiences of one token. Edges accept four times as many.
const MAX_AUDIENCES: usize = 8;
/// Bytes; the details are part of the token.
const MAX_DETAILS_BYTES: usize = 4096;
/// Authorization details of one request.
const MAX_DETAILS: usize = 8;

/// One or more distinct audiences. As text they are separated by single spaces; in JSON one
/// audience is a string, several are an array (RFC 7519 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Audiences(Vec<Audience>);

impl Audiences {
    /// Removes duplicates.
    ///
    /// # Errors
    /// If there is no audience, or more than 8.
    pub fn new(audiences: impl IntoIterator<Item = Audience>) -> Result<Audiences, Malformed> {
        let mut distinct: Vec<Audience> = Vec::new();
        for audience in audiences {
            if !distinct.contains(&audience) {
                distinct.push(audience);
            }
        }
        match distinct.len() {
            1..=MAX_AUDIENCES => Ok(Audiences(distinct)),
            _ => Err(Malformed::new("audience", "must be 1 to 8 audiences")),
        }
    }

    /// The audience, if there is only one.
    #[must_use]
    pub fn single(&self) -> Option<&Audience> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The requested audiences in their registered spelling, among `known` ones. Resource servers
    /// compare the `aud` of a token with the registered spelling.
    ///
    /// # Errors
    /// If one is unknown, or there are too many.
    pub fn as_registered<'a>(
        named: &[Audience],
        known: impl Iterator<Item = &'a Audience> + Clone,
    ) -> Result<Audiences, AccessError> {
        let find = |named: &Audience| {
            let exact = known.clone().find(|known| *known == named);
            exact.or_else(|| known.clone().find(|known| known.is_same_resource(named.as_str()))).cloned()
        };
        let registered = named.iter().map(find).collect::<Option<Vec<_>>>().ok_or(AccessError::Audience)?;
        Audiences::new(registered).map_err(|_| AccessError::TooMany)
    }

    /// Whether `audience` is one of them.
    #[must_use]
    pub fn has(&self, audience: &str) -> bool {
        self.0.iter().any(|own| own.is_same_resource(audience))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Audience> + Clone {
        self.0.iter()
    }
}

impl From<Audience> for Audiences {
    fn from(audience: Audience) -> Audiences {
        Audiences(vec![audience])
    }
}

impl FromStr for Audiences {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Audiences, Malformed> {
        Audiences::new(text.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for Audiences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(Audience::as_str).collect();
        f.write_str(&texts.join(" "))
    }
}

impl Serialize for Audiences {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.single() {
            Some(only) => serializer.serialize_str(only.as_str()),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Audiences, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum JsonForm {
            One(Audience),
            Several(Vec<Audience>),
        }
        let audiences = match JsonForm::deserialize(deserializer)? {
            JsonForm::One(only) => vec![only],
            JsonForm::Several(several) => several,
        };
        Audiences::new(audiences).map_err(serde::de::Error::custom)
    }
}

/// Authorization details (RFC 9396 §2): JSON objects with a `type`. The client and the API define
/// the other members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorizationDetails(Vec<Value>);

impl AuthorizationDetails {
    /// Parses the parameter `authorization_details`.
    ///
    /// # Errors
    /// If it is not an array of objects with a `type`, or too large.
    pub fn parse(text: &str) -> Result<AuthorizationDetails, Malformed> {
        let wrong = |problem| Malformed::new("authorization_details", problem);
        if text.len() > MAX_DETAILS_BYTES {
            return Err(wrong("is larger than 4 KiB"));
        }
        let details: Vec<Value> = super::text::json(text.as_bytes()).map_err(|_| wrong("is not a JSON array"))?;
        if details.len() > MAX_DETAILS {
            return Err(wrong("has more than 8 elements"));
        }
        if !details.iter().all(|detail| detail.get("type").is_some_and(Value::is_string)) {
            return Err(wrong("contains an element that is not an object with a type"));
        }
        Ok(AuthorizationDetails(details))
    }

    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|detail| detail.get("type").and_then(Value::as_str))
    }

    /// Whether `other` contains every element unchanged. The meaning of details is known only to
    /// their API.
    #[must_use]
    pub fn is_within(&self, other: &AuthorizationDetails) -> bool {
        self.0.iter().all(|detail| other.0.contains(detail))
    }

    /// The elements with one of these types.
    #[must_use]
    pub fn of_types(&self, types: &[String]) -> AuthorizationDetails {
        let is_of_type = |detail: &&Value| {
            let own = detail.get("type").and_then(Value::as_str);
            own.is_some_and(|own| types.iter().any(|kind| kind == own))
        };
        AuthorizationDetails(self.0.iter().filter(is_of_type).cloned().collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }
}

/// The access that a request asks for. What is absent means as much as possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestedAccess {
    /// `scope`
    pub scope: Option<Scope>,
    /// `resource`, can be repeated (RFC 8707 §2).
    pub resources: Vec<Audience>,
    /// `authorization_details`
    pub details: Option<AuthorizationDetails>,
}

/// The access of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `scope`
    pub scope: Scope,
    /// `aud`
    pub audience: Audiences,
    /// `authorization_details`
    #[serde(default, skip_serializing_if = "AuthorizationDetails::is_empty")]
    pub details: AuthorizationDetails,
}

/// Why requested access is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// `invalid_scope`
    #[error("the requested scope exceeds what is allowed")]
    Scope,
    /// `invalid_scope`
    #[error("the scope value {0} is not registered for this client")]
    ScopeValue(String),
    /// `invalid_target` (RFC 8707 §2)
    #[error("tokens for this resource are not allowed")]
    Audience,
    /// `invalid_target`
    #[error("the resource {audience} does not define the scope value {value}")]
    UndefinedValue { audience: Audience, value: String },
    /// `invalid_target`
    #[error("the scope has no value that the resource {0} defines")]
    NoDefinedValue(Audience),
    /// `invalid_target`
    #[error("no single resource defines all requested scope values: request a token for each of them")]
    SeveralResources,
    /// `invalid_target`
    #[error("the client has several audiences: select one by the resource parameter")]
    AudienceUnclear,
    /// `invalid_target`
    #[error("too many resources")]
    TooMany,
    /// `invalid_target`
    #[error("{one} and {other} require access tokens of different {what}: request a token for each of them")]
    Disagreement { what: &'static str, one: Audience, other: Audience },
    /// `invalid_authorization_details`
    #[error("the authorization details exceed what is allowed")]
    Details,
}

/// The audiences that a client can request: the registered ones, else the default audience. A
/// client that registered itself can also request the resource servers that define a value of its
/// scope; a user must consent.
#[must_use]
pub fn allowed_audiences<'a>(
    client: &'a Client,
    default_audience: &'a Audience,
    resources: &[Resource],
) -> Cow<'a, [Audience]> {
    if has_audiences_by_scope(client) {
        let is_own = |resource: &&Resource| client.metadata.scope.values().any(|value| resource.defines(value));
        let own = resources.iter().filter(is_own).map(|resource| resource.audience.clone());
        return std::iter::once(default_audience.clone()).chain(own).collect();
    }
    match client.metadata.audiences.as_slice() {
        [] => Cow::Borrowed(std::slice::from_ref(default_audience)),
        listed => Cow::Borrowed(listed),
    }
}

/// Whether a client's audiences follow from its scope: it registered itself, and the operator set
/// no audiences.
fn has_audiences_by_scope(client: &Client) -> bool {
    client.registrant() == Registrant::Client && client.metadata.audiences.is_empty()
}

/// Decides the scope of a request within the client's. In an OpenID request, values that neither
/// this server nor a resource server knows are ignored (OpenID Connect Core §3.1.2.1).
fn scope_of_client(
    registered: &Scope,
    requested: Option<&Scope>,
    resources: &[Resource],
) -> Result<Scope, AccessError> {
    let Some(requested) = requested else { return Ok(registered.clone()) };
    let is_openid = requested.has("openid") && registered.has("openid");
    let is_known =
        |value: &str| scope::is_standard(value) || resources.iter().any(|own| own.scopes.contains_key(value));
    match requested.values().find(|value| !registered.has(value) && (!is_openid || is_known(value))) {
        Some(value) => Err(AccessError::ScopeValue(value.to_owned())),
        None => Ok(requested.intersection(registered)),
    }
}

/// Decides scope and audience of a client whose audiences follow from its scope. A scope value that
/// resource servers define goes to no audience that does not define it.
fn audience_by_scope(
    client: &Client,
    scope: Scope,
    requested: &RequestedAccess,
    default_audience: &Audience,
    resources: &[Resource],
) -> Result<(Scope, Audiences), AccessError> {
    let allowed = allowed_audiences(client, default_audience, resources);
    let defines = |audience: &Audience, value: &str| {
        let is_same = |resource: &&Resource| resource.audience.is_same_resource(audience.as_str());
        resources.iter().filter(is_same).any(|resource| resource.defines(value))
    };
    let values = scope.values().filter(|value| resources.iter().any(|resource| resource.defines(value)));
    let values: Vec<String> = values.map(str::to_owned).collect();
    if requested.resources.is_empty() {
        let fits = |audience: &&Audience| values.iter().all(|value| defines(audience, value));
        if fits(&default_audience) {
            return Ok((scope, default_audience.clone().into()));
        }
        let fitting: Vec<&Audience> = allowed.iter().filter(fits).collect();
        return match fitting.as_slice() {
            [only] => Ok((scope, (*only).clone().into())),
            [] => Err(AccessError::SeveralResources),
            _ => Err(AccessError::AudienceUnclear),
        };
    }
    let audience = Audiences::as_registered(&requested.resources, allowed.iter())?;
    let undefined = |value: &str| audience.iter().find(|audience| !defines(audience, value));
    let scope = match requested.scope {
        Some(_) => {
            let foreign = values.iter().find_map(|value| Some((undefined(value)?, value)));
            if let Some((audience, value)) = foreign {
                return Err(AccessError::UndefinedValue { audience: audience.clone(), value: value.clone() });
            }
            scope
        }
        // What the client did not ask for by name is left out.
        None => scope.filter(|value| !values.iter().any(|own| own == value) || undefined(value).is_none()),
    };
    let has_value = |audience: &&Audience| scope.values().any(|value| defines(audience, value));
    let unused = audience.iter().find(|audience| *audience != default_audience && !has_value(audience)).cloned();
    match unused {
        Some(unused) => Err(AccessError::NoDefinedValue(unused)),
        None => Ok((scope, audience)),
    }
}

/// Decides the audience of a client with these audiences: the requested ones, else the default
/// audience if it is one of them, else the only one.
fn audience_of_client(
    requested: &[Audience],
    allowed: &[Audience],
    default_audience: &Audience,
) -> Result<Audiences, AccessError> {
    if !requested.is_empty() {
        return Audiences::as_registered(requested, allowed.iter());
    }
    if let Ok(default) = Audiences::as_registered(std::slice::from_ref(default_audience), allowed.iter()) {
        return Ok(default);
    }
    match allowed {
        [only] => Ok(only.clone().into()),
        _ => Err(AccessError::AudienceUnclear),
    }
}

impl Access {
    /// Decides the access of a token that a client requests for itself or for a user, given all
    /// registered resource servers. Without `scope` it is the client's whole scope; without
    /// `resource` it is the default audience if the client may use it, else its only audience. For
    /// a client that registered itself it is the audience that defines the scope.
    ///
    /// # Errors
    /// If the request exceeds the client's registration.
    pub fn for_client(
        client: &Client,
        requested: RequestedAccess,
        default_audience: &Audience,
        resources: &[Resource],
    ) -> Result<Access, AccessError> {
        let metadata = &client.metadata;
        let scope = scope_of_client(&metadata.scope, requested.scope.as_ref(), resources)?;
        let (scope, audience) = if has_audiences_by_scope(client) {
            audience_by_scope(client, scope, &requested, default_audience, resources)?
        } else {
            let allowed = allowed_audiences(client, default_audience, resources);
            (scope, audience_of_client(&requested.resources, &allowed, default_audience)?)
        };
        let details = requested.details.unwrap_or_default();
        if !details.types().all(|kind| metadata.authorization_details_types.iter().any(|own| own == kind)) {
            return Err(AccessError::Details);
        }
        Ok(Access { scope, audience, details })
    }

    /// Restricts access that was granted earlier to the client's current registration; `None` if no
    /// audience is left. What the operator removes from a registration is in no token issued
    /// afterwards.
    #[must_use]
    pub fn within_registration(
        &self,
        client: &Client,
        default_audience: &Audience,
        resources: &[Resource],
    ) -> Option<Access> {
        let metadata = &client.metadata;
        let allowed = allowed_audiences(client, default_audience, resources);
        let is_allowed = |audience: &&Audience| allowed.iter().any(|own| own.is_same_resource(audience.as_str()));
        let audience = self.audience.iter().filter(is_allowed).cloned();
        Some(Access {
            scope: self.scope.intersection(&metadata.scope),
            audience: Audiences::new(audience).ok()?,
            details: self.details.of_types(&metadata.authorization_details_types),
        })
    }

    /// Decides the access that a client requests from what was granted.
    ///
    /// # Errors
    /// If the request exceeds the grant.
    pub fn narrow(&self, requested: RequestedAccess) -> Result<Access, AccessError> {
        let scope = requested.scope.unwrap_or_else(|| self.scope.clone());
        if !scope.is_within(&self.scope) {
            return Err(AccessError::Scope);
        }
        let audience = match requested.resources.as_slice() {
            [] => self.audience.clone(),
            resources => Audiences::as_registered(resources, self.audience.iter())?,
        };
        let details = requested.details.unwrap_or_else(|| self.details.clone());
        if !details.is_within(&self.details) {
            return Err(AccessError::Details);
        }
        Ok(Access { scope, audience, details })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientMetadata, SecretHash, TokenProfile};
    use super::*;

    fn client(audiences: &[&str]) -> Client {
        let metadata = ClientMetadata {
            name: "Reports".to_owned(),
            scope: Scope::parse("read write").expect("a scope"),
            audiences: audiences.iter().map(|audience| aud(audience)).collect(),
            authorization_details_types: vec!["payment".to_owned()],
            ..ClientMetadata::default()
        };
        Client::new("reports".parse().expect("an id"), metadata, 0)
    }

    fn aud(text: &str) -> Audience {
        text.parse().expect("an audience")
    }

    fn requested(scope: Option<&str>, resources: &[&str], details: Option<&str>) -> RequestedAccess {
        RequestedAccess {
            scope: scope.map(|scope| Scope::parse(scope).expect("a scope")),
            resources: resources.iter().map(|resource| aud(resource)).collect(),
            details: details.map(|details| AuthorizationDetails::parse(details).expect("details")),
        }
    }

    fn decide(audiences: &[&str], scope: Option<&str>, resources: &[&str]) -> Result<Access, AccessError> {
        Access::for_client(&client(audiences), requested(scope, resources, None), &aud("default"), &[])
    }

    #[test]
    fn scope_is_limited_to_the_client() {
        assert_eq!(decide(&[], None, &[]).expect("granted").scope.to_string(), "read write");
        assert_eq!(decide(&[], Some("read"), &[]).expect("granted").scope.to_string(), "read");
        assert_eq!(decide(&[], Some("read admin"), &[]), Err(AccessError::ScopeValue("admin".to_owned())));
    }

    fn resource(audience: &str, scopes: &[&str]) -> Resource {
        let scopes = scopes.iter().map(|value| ((*value).to_owned(), String::new())).collect();
        let (name, introspected_by) = ("An API".to_owned(), None);
        Resource { audience: aud(audience), name, scopes, introspected_by, tokens: TokenProfile::default() }
    }

    #[test]
    fn unknown_scope_values_are_ignored_in_openid_requests_only() {
        let mut client = client(&[]);
        client.metadata.scope = Scope::parse("openid read").expect("a scope");
        let known = [resource("a", &["write"])];
        let granted = |scope: &str| {
            let access = Access::for_client(&client, requested(Some(scope), &[], None), &aud("default"), &known);
            access.map(|access| access.scope.to_string())
        };
        assert_eq!(granted("openid read groups other").as_deref(), Ok("openid read"));
        assert_eq!(granted("read groups"), Err(AccessError::ScopeValue("groups".to_owned())));
        for known in ["email", "write", "tollgate:admin"] {
            assert_eq!(granted(&format!("openid {known}")), Err(AccessError::ScopeValue(known.to_owned())));
        }
    }

    #[test]
    fn scope_of_a_self_registered_client_goes_only_to_audiences_that_define_it() {
        let mut client = client(&[]);
        client.registration = Some(SecretHash::of("a registration"));
        client.metadata.scope = Scope::parse("openid email tools notes shared").expect("a scope");
        let known = [
            resource("r", &["tools", "shared"]),
            resource("n", &["notes", "shared"]),
            resource("other", &["secrets", "openid"]),
        ];
        let decide = |scope: Option<&str>, resources: &[&str]| -> Result<(String, String), AccessError> {
            let access = Access::for_client(&client, requested(scope, resources, None), &aud("default"), &known)?;
            Ok((access.scope.to_string(), access.audience.to_string()))
        };
        let granted = |scope: &str, audience: &str| Ok((scope.to_owned(), audience.to_owned()));
        assert_eq!(decide(Some("openid email"), &[]), granted("email openid", "default"));
        assert_eq!(decide(Some("tools"), &["r"]), granted("tools", "r"));
        assert_eq!(decide(Some("openid tools"), &[]), granted("openid tools", "r"));
        assert_eq!(decide(Some("shared"), &["r", "n"]), granted("shared", "r n"));
        assert_eq!(decide(None, &["r"]), granted("email openid shared tools", "r"));
        assert_eq!(decide(Some("tools notes"), &[]), Err(AccessError::SeveralResources));
        assert_eq!(decide(Some("shared"), &[]), Err(AccessError::AudienceUnclear));
        assert_eq!(decide(Some("openid"), &["r"]), Err(AccessError::NoDefinedValue(aud("r"))));
        assert_eq!(decide(Some("openid"), &["other"]), Err(AccessError::Audience));
        for (audience, value) in [("n", "tools"), ("default", "tools")] {
            let foreign = AccessError::UndefinedValue { audience: aud(audience), value: value.to_owned() };
            assert_eq!(decide(Some(value), &[audience]), Err(foreign));
        }
        let access = Access::for_client(&client, requested(Some("tools"), &["r"], None), &aud("default"), &known);
        let access = access.expect("granted");
        assert_eq!(access.within_registration(&client, &aud("default"), &known), Some(access.clone()));
        assert_eq!(access.within_registration(&client, &aud("default"), &[]), None, "the resource server is gone");
        client.metadata.audiences = vec![aud("n")];
        assert_eq!(access.within_registration(&client, &aud("default"), &known), None, "the operator set audiences");
    }

    #[test]
    fn audience_is_limited_to_the_client() {
        let audience = |audiences: &[&str], resources: &[&str]| {
            decide(audiences, None, resources).map(|access| access.audience.to_string())
        };
        assert_eq!(audience(&[], &[]).as_deref(), Ok("default"));
        assert_eq!(audience(&[], &["a"]), Err(AccessError::Audience));
        assert_eq!(audience(&["a"], &[]).as_deref(), Ok("a"));
        assert_eq!(audience(&["a", "default"], &[]).as_deref(), Ok("default"));
        assert_eq!(audience(&["a", "b"], &[]), Err(AccessError::AudienceUnclear));
        assert_eq!(audience(&["a", "b"], &["b"]).as_deref(), Ok("b"));
        assert_eq!(audience(&["a", "b"], &["b", "a", "b"]).as_deref(), Ok("b a"));
        assert_eq!(audience(&["a", "b"], &["default"]), Err(AccessError::Audience));
        // RFC 3986 §6.2.3: the token contains the registered spelling.
        assert_eq!(audience(&["https://a.example"], &["HTTPS://A.example:443/"]).as_deref(), Ok("https://a.example"));
        let both = ["https://a.example/", "https://a.example"];
        assert_eq!(audience(&["https://a.example/"], &both).as_deref(), Ok("https://a.example/"));
        assert_eq!(audience(&["https://a.example"], &["https://a.example/x"]), Err(AccessError::Audience));
    }

    #[test]
    fn request_cannot_exceed_the_grant() {
        let payment = r#"[{"type":"payment","amount":1}]"#;
        let granted =
            Access::for_client(&client(&["a", "b"]), requested(None, &["a", "b"], Some(payment)), &aud("x"), &[])
                .expect("fits");
        let narrower = granted.narrow(requested(Some("read"), &["a"], Some("[]"))).expect("narrower");
        assert_eq!((narrower.scope.to_string(), narrower.audience.to_string()), ("read".to_owned(), "a".to_owned()));
        assert!(narrower.details.is_empty());
        assert_eq!(granted.narrow(RequestedAccess::default()), Ok(granted.clone()));
        assert_eq!(narrower.narrow(requested(Some("read write"), &[], None)), Err(AccessError::Scope));
        assert_eq!(narrower.narrow(requested(None, &["b"], None)), Err(AccessError::Audience));
        assert_eq!(narrower.narrow(requested(None, &[], Some(payment))), Err(AccessError::Details));
        let dearer = r#"[{"type":"payment","amount":2}]"#;
        assert_eq!(granted.narrow(requested(None, &[], Some(dearer))), Err(AccessError::Details));
    }

    #[test]
    fn grant_is_limited_to_the_current_registration() {
        let payment = r#"[{"type":"payment","amount":1}]"#;
        let granted =
            Access::for_client(&client(&["a", "b"]), requested(None, &["a", "b"], Some(payment)), &aud("x"), &[])
                .expect("fits");
        assert_eq!(granted.within_registration(&client(&["a", "b"]), &aud("x"), &[]), Some(granted.clone()));
        let mut narrowed = client(&["a", "c"]);
        narrowed.metadata.scope = Scope::parse("read other").expect("a scope");
        narrowed.metadata.authorization_details_types.clear();
        let left = granted.within_registration(&narrowed, &aud("x"), &[]).expect("an audience is left");
        assert_eq!((left.scope.to_string(), left.audience.to_string()), ("read".to_owned(), "a".to_owned()));
        assert!(left.details.is_empty());
        assert_eq!(granted.within_registration(&client(&["c"]), &aud("x"), &[]), None);
        assert_eq!(granted.within_registration(&client(&[]), &aud("x"), &[]), None);
        let left = granted.within_registration(&client(&[]), &aud("b"), &[]).expect("the default audience");
        assert_eq!(left.audience.to_string(), "b");
    }

    #[test]
    fn details_are_limited_to_types_of_the_client() {
        for text in ["", "{}", "[1]", "[{}]", r#"[{"type":1}]"#] {
            assert!(AuthorizationDetails::parse(text).is_err(), "{text:?}");
        }
        let other = requested(None, &[], Some(r#"[{"type":"other"}]"#));
        assert_eq!(Access::for_client(&client(&[]), other, &aud("x"), &[]), Err(AccessError::Details));
    }

    #[test]
    fn one_audience_is_a_string_several_are_an_array() {
        let json = |text: &str| serde_json::to_string(&text.parse::<Audiences>().expect("audiences")).expect("JSON");
        assert_eq!(json("a"), "\"a\"");
        assert_eq!(json("a b"), "[\"a\",\"b\"]");
        for text in ["\"a\"", "[\"a\",\"b\"]"] {
            let audiences: Audiences = serde_json::from_str(text).expect("audiences");
            assert_eq!(serde_json::to_string(&audiences).expect("JSON"), text);
        }
        assert!("".parse::<Audiences>().is_err() && "a b c d e f g h i".parse::<Audiences>().is_err());
    }
}
