//! What a client may have for the asking: the client-credentials grant (RFC 6749 §4.4) with resource indicators
//! (RFC 8707).

use super::{Audience, Client, Scope};

/// What a token will say, decided from the client's registration and its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The scope of the token.
    pub scope: Scope,
    /// The audience of the token.
    pub audience: Audience,
}

/// Why a client does not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It asked for more than its registration allows (`invalid_scope`).
    #[error("the scope asked for goes beyond what this client may have")]
    Scope,
    /// It named an audience its registration does not list (`invalid_target`, RFC 8707 §2).
    #[error("this client may not have tokens for that resource")]
    Audience,
    /// It named none, and several are possible (`invalid_target`).
    #[error("this client has several audiences: name one with the parameter resource")]
    AudienceUnclear,
}

impl Grant {
    /// Decides a client-credentials request. No scope asked for means all the client may have; no resource means the
    /// default audience where the client may use it, else its only one.
    ///
    /// # Errors
    /// When the request goes beyond the client's registration.
    pub fn client_credentials(
        client: &Client,
        scope: Option<Scope>,
        resource: Option<Audience>,
        default_audience: &Audience,
    ) -> Result<Grant, GrantError> {
        let scope = scope.unwrap_or_else(|| client.scope.clone());
        if !scope.is_within(&client.scope) {
            return Err(GrantError::Scope);
        }
        let allowed = match client.audiences.as_slice() {
            [] => std::slice::from_ref(default_audience),
            listed => listed,
        };
        let audience = match (resource, allowed) {
            (Some(resource), allowed) if allowed.contains(&resource) => resource,
            (Some(_), _) => return Err(GrantError::Audience),
            (None, allowed) if allowed.contains(default_audience) => default_audience.clone(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(GrantError::AudienceUnclear),
        };
        Ok(Grant { scope, audience })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientStatus, SecretHash, TokenAlg};
    use super::*;

    fn client(audiences: &[&str]) -> Client {
        Client {
            id: "reports".parse().expect("an id"),
            name: "Reports".to_owned(),
            secret: SecretHash::of("secret"),
            scope: Scope::parse("read write").expect("a scope"),
            audiences: audiences.iter().map(|audience| aud(audience)).collect(),
            alg: TokenAlg::EdDsa,
            status: ClientStatus::Active,
            created_at: 0,
        }
    }

    fn aud(text: &str) -> Audience {
        text.parse().expect("an audience")
    }

    fn decide(audiences: &[&str], scope: Option<&str>, resource: Option<&str>) -> Result<Grant, GrantError> {
        let scope = scope.map(|scope| Scope::parse(scope).expect("a scope"));
        Grant::client_credentials(&client(audiences), scope, resource.map(aud), &aud("default"))
    }

    #[test]
    fn the_scope_stays_within_the_clients() {
        assert_eq!(decide(&[], None, None).expect("granted").scope.to_string(), "read write");
        assert_eq!(decide(&[], Some("read"), None).expect("granted").scope.to_string(), "read");
        assert_eq!(decide(&[], Some("read admin"), None), Err(GrantError::Scope));
    }

    #[test]
    fn the_audience_is_one_the_client_may_use() {
        let audience = |audiences: &[&str], resource| decide(audiences, None, resource).map(|grant| grant.audience);
        assert_eq!(audience(&[], None), Ok(aud("default")));
        assert_eq!(audience(&[], Some("a")), Err(GrantError::Audience));
        assert_eq!(audience(&["a"], None), Ok(aud("a")));
        assert_eq!(audience(&["a", "default"], None), Ok(aud("default")));
        assert_eq!(audience(&["a", "b"], None), Err(GrantError::AudienceUnclear));
        assert_eq!(audience(&["a", "b"], Some("b")), Ok(aud("b")));
        assert_eq!(audience(&["a", "b"], Some("default")), Err(GrantError::Audience));
    }
}
