//! The access of a token: scope, audiences (RFC 8707) and authorization details (RFC 9396). The
//! client's registration and the grant limit it; a request can only narrow it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audience::Audience;
use super::client::Client;
use super::malformed::Malformed;
use super::scope::Scope;

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
    /// `invalid_target` (RFC 8707 §2)
    #[error("tokens for this resource are not allowed")]
    Audience,
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

/// The audiences that a client can request: the registered ones, else the default audience.
#[must_use]
pub fn allowed_audiences<'a>(client: &'a Client, default_audience: &'a Audience) -> &'a [Audience] {
    match client.metadata.audiences.as_slice() {
        [] => std::slice::from_ref(default_audience),
        listed => listed,
    }
}

impl Access {
    /// Decides the access of a token that a client requests for itself or for a user. Without
    /// `scope` it is the client's whole scope; without `resource` it is the default audience if the
    /// client may use it, else its only audience.
    ///
    /// # Errors
    /// If the request exceeds the client's registration.
    pub fn for_client(
        client: &Client,
        requested: RequestedAccess,
        default_audience: &Audience,
    ) -> Result<Access, AccessError> {
        let metadata = &client.metadata;
        let scope = requested.scope.unwrap_or_else(|| metadata.scope.clone());
        if !scope.is_within(&metadata.scope) {
            return Err(AccessError::Scope);
        }
        let allowed = allowed_audiences(client, default_audience);
        let audience = if !requested.resources.is_empty() {
            Audiences::as_registered(&requested.resources, allowed.iter())?
        } else if let Ok(default) = Audiences::as_registered(std::slice::from_ref(default_audience), allowed.iter()) {
            default
        } else if let [only] = allowed {
            only.clone().into()
        } else {
            return Err(AccessError::AudienceUnclear);
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
    pub fn within_registration(&self, client: &Client, default_audience: &Audience) -> Option<Access> {
        let metadata = &client.metadata;
        let allowed = allowed_audiences(client, default_audience);
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
    use super::super::ClientMetadata;
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
        Access::for_client(&client(audiences), requested(scope, resources, None), &aud("default"))
    }

    #[test]
    fn scope_is_limited_to_the_client() {
        assert_eq!(decide(&[], None, &[]).expect("granted").scope.to_string(), "read write");
        assert_eq!(decide(&[], Some("read"), &[]).expect("granted").scope.to_string(), "read");
        assert_eq!(decide(&[], Some("read admin"), &[]), Err(AccessError::Scope));
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
        let granted = Access::for_client(&client(&["a", "b"]), requested(None, &["a", "b"], Some(payment)), &aud("x"))
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
        let granted = Access::for_client(&client(&["a", "b"]), requested(None, &["a", "b"], Some(payment)), &aud("x"))
            .expect("fits");
        assert_eq!(granted.within_registration(&client(&["a", "b"]), &aud("x")), Some(granted.clone()));
        let mut narrowed = client(&["a", "c"]);
        narrowed.metadata.scope = Scope::parse("read other").expect("a scope");
        narrowed.metadata.authorization_details_types.clear();
        let left = granted.within_registration(&narrowed, &aud("x")).expect("an audience is left");
        assert_eq!((left.scope.to_string(), left.audience.to_string()), ("read".to_owned(), "a".to_owned()));
        assert!(left.details.is_empty());
        assert_eq!(granted.within_registration(&client(&["c"]), &aud("x")), None);
        assert_eq!(granted.within_registration(&client(&[]), &aud("x")), None);
        let left = granted.within_registration(&client(&[]), &aud("b")).expect("the default audience");
        assert_eq!(left.audience.to_string(), "b");
    }

    #[test]
    fn details_are_limited_to_types_of_the_client() {
        for text in ["", "{}", "[1]", "[{}]", r#"[{"type":1}]"#] {
            assert!(AuthorizationDetails::parse(text).is_err(), "{text:?}");
        }
        let other = requested(None, &[], Some(r#"[{"type":"other"}]"#));
        assert_eq!(Access::for_client(&client(&[]), other, &aud("x")), Err(AccessError::Details));
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
