//! The `claims` parameter (OpenID Connect Core §5.5): claims that a client requests by name, in the
//! ID token or at the userinfo endpoint.
//!
//! Never: a claim that no scope value of the client's registration gives access to. The user is
//! asked for consent as if the client had requested that scope value.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::malformed::Malformed;
use super::scope::Scope;
use super::text;
use super::user::UserClaims;

/// Bytes of the parameter.
const MAX_PARAMETER_BYTES: usize = 8 * 1024;
/// Claims of each place.
const MAX_CLAIMS: usize = 64;

/// The names of the requested claims about the user. Other claims are ignored, as the specification
/// demands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimsRequest {
    /// In userinfo responses.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub userinfo: BTreeSet<String>,
    /// In ID tokens.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub id_token: BTreeSet<String>,
}

/// A parsed `claims` parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParsedClaims {
    pub requested: ClaimsRequest,
    /// The `value` of `sub`: the user whom the client expects (§5.5.1).
    pub subject: Option<String>,
    /// The values of an essential `acr`; empty if any is good, or none is essential.
    pub essential_acr: Vec<String>,
}

impl ClaimsRequest {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.userinfo.is_empty() && self.id_token.is_empty()
    }

    /// The request without the claims that the client's scope gives no access to.
    #[must_use]
    pub fn within(self, scope: &Scope) -> ClaimsRequest {
        let is_open = |name: &String| UserClaims::scope_of(name).is_some_and(|value| scope.has(value));
        ClaimsRequest {
            userinfo: self.userinfo.into_iter().filter(is_open).collect(),
            id_token: self.id_token.into_iter().filter(is_open).collect(),
        }
    }

    /// The scope values that give access to these claims: what the user consents to.
    ///
    /// # Errors
    /// If they are more than a scope can have.
    pub fn scope(&self) -> Result<Scope, Malformed> {
        let names = self.userinfo.union(&self.id_token);
        let values: BTreeSet<&str> = names.filter_map(|name| UserClaims::scope_of(name)).collect();
        Scope::parse(&values.into_iter().collect::<Vec<_>>().join(" "))
    }
}

impl ParsedClaims {
    /// Parses the parameter. Unknown members and claims are ignored (§5.5).
    ///
    /// # Errors
    /// If it is no JSON object of the specified form, or too large.
    pub fn parse(parameter: &str) -> Result<ParsedClaims, Malformed> {
        let wrong = |problem| Malformed::new("claims", problem);
        if parameter.len() > MAX_PARAMETER_BYTES {
            return Err(wrong("is larger than 8 KiB"));
        }
        let members: Map<String, Value> =
            text::json(parameter.as_bytes()).map_err(|_| wrong("must be a JSON object with storable strings"))?;
        let place = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(claims)) if claims.len() <= MAX_CLAIMS => Ok(claims.clone()),
            Some(_) => Err(wrong("must have objects of at most 64 claims as userinfo and id_token")),
        };
        let (userinfo, id_token) = (place("userinfo")?, place("id_token")?);
        let individual = |value: &Value| value.is_null() || value.is_object();
        if !userinfo.values().chain(id_token.values()).all(individual) {
            return Err(wrong("must say null or an object of each claim"));
        }
        let mut subjects = [&id_token, &userinfo].into_iter().filter_map(|claims| claims.get("sub")?.get("value"));
        let subject = match (subjects.next(), subjects.next()) {
            (Some(one), Some(other)) if one != other => return Err(wrong("requests two values of sub")),
            (Some(Value::String(subject)), _) => Some(subject.clone()),
            (Some(_), _) => return Err(wrong("must request a text as value of sub")),
            (None, _) => None,
        };
        let names = |claims: &Map<String, Value>| -> BTreeSet<String> {
            claims.keys().filter(|name| UserClaims::scope_of(name).is_some()).cloned().collect()
        };
        let essential_acr = id_token.get("acr").map(essential_values).unwrap_or_default();
        let requested = ClaimsRequest { userinfo: names(&userinfo), id_token: names(&id_token) };
        Ok(ParsedClaims { requested, subject, essential_acr })
    }

    /// Whether a sign-in of this class is what the client insists on (§5.5.1.1).
    #[must_use]
    pub fn accepts_acr(&self, acr: &str) -> bool {
        self.essential_acr.is_empty() || self.essential_acr.iter().any(|accepted| accepted == acr)
    }
}

/// The values of a claim, if it is essential.
fn essential_values(claim: &Value) -> Vec<String> {
    if claim.get("essential") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let several = claim.get("values").and_then(Value::as_array).into_iter().flatten();
    claim.get("value").into_iter().chain(several).filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &Value) -> Result<ParsedClaims, Malformed> {
        ParsedClaims::parse(&json.to_string())
    }

    #[test]
    fn requested_claims_are_those_that_the_clients_scope_opens() {
        let parsed = parse(&serde_json::json!({
            "userinfo": { "email": { "essential": true }, "name": null, "http://example.com/x": null },
            "id_token": { "auth_time": { "essential": true }, "phone_number": null },
            "other": 1,
        }));
        let requested = parsed.expect("good").requested;
        assert_eq!(requested.scope(), Scope::parse("email http://example.com/x phone profile"));
        let allowed = requested.within(&Scope::parse("openid email").expect("a scope"));
        assert_eq!(allowed.userinfo, BTreeSet::from(["email".to_owned()]));
        assert!(allowed.id_token.is_empty() && !allowed.is_empty());
    }

    #[test]
    fn sub_and_essential_acr_bind_the_answer() {
        let claims = |sub: &Value, acr: &Value| parse(&serde_json::json!({ "id_token": { "sub": sub, "acr": acr } }));
        let (password, other) = ("urn:tollgate:acr:password", "urn:other");
        let parsed = claims(&serde_json::json!({ "value": "u1" }), &Value::Null).expect("good");
        assert_eq!((parsed.subject.as_deref(), parsed.accepts_acr(password)), (Some("u1"), true));
        for (acr, accepted) in [
            (serde_json::json!({ "essential": true, "values": [other, password] }), true),
            (serde_json::json!({ "essential": true, "value": other }), false),
            (serde_json::json!({ "essential": true }), true),
            (serde_json::json!({ "value": other }), true),
        ] {
            assert_eq!(claims(&Value::Null, &acr).expect("good").accepts_acr(password), accepted, "{acr}");
        }
    }

    #[test]
    fn malformed_and_large_parameters_are_refused() {
        let many: Map<String, Value> = (0..=MAX_CLAIMS).map(|number| (format!("c{number}"), Value::Null)).collect();
        for json in [
            serde_json::json!([]),
            serde_json::json!({ "userinfo": 1 }),
            serde_json::json!({ "userinfo": { "email": true } }),
            serde_json::json!({ "id_token": many }),
            serde_json::json!({ "id_token": { "sub": { "value": 1 } } }),
            serde_json::json!({ "id_token": { "sub": { "value": "a" } }, "userinfo": { "sub": { "value": "b" } } }),
            serde_json::json!({ "other": "x".repeat(MAX_PARAMETER_BYTES) }),
        ] {
            assert!(parse(&json).is_err(), "{json}");
        }
    }
}
