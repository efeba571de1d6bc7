//! Resource servers: the APIs that tokens are for, descriptions of their scope values, and who may
//! introspect their tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::audience::Audience;
use super::ids::ClientId;
use super::malformed::Malformed;
use super::scope::Scope;
use super::token_alg::TokenAlg;
use super::token_profile::TokenProfile;

/// Described scope values: as many as a scope can have.
const MAX_SCOPES: usize = 64;
/// Bytes of a description.
const MAX_DESCRIPTION_BYTES: usize = 256;

/// A registered resource server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Resource {
    /// `aud` of its tokens.
    #[schema(value_type = String)]
    pub audience: Audience,
    /// Display name.
    pub name: String,
    /// Scope values and their descriptions, which users read when asked for consent.
    #[serde(default)]
    pub scopes: BTreeMap<String, String>,
    /// The client that introspects its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub introspected_by: Option<ClientId>,
    /// What its access tokens look like.
    #[serde(flatten)]
    pub tokens: TokenProfile,
}

impl Resource {
    /// Checks that the texts can be displayed, and what tokens look like.
    ///
    /// # Errors
    /// If a scope value, a description or the token profile is malformed, or there are too many.
    pub fn checked(mut self) -> Result<Resource, Malformed> {
        super::metadata::checked_name(&self.name).map_err(|error| Malformed::new("resource name", error.problem))?;
        self.tokens.alg = self.tokens.alg.map(TokenAlg::usual_name);
        self.tokens.check()?;
        if self.scopes.len() > MAX_SCOPES {
            return Err(Malformed::new("scopes", "are more than 64"));
        }
        for (value, description) in &self.scopes {
            if value.is_empty() || Scope::parse(value)?.values().count() != 1 {
                return Err(Malformed::new("scope", "must be one value"));
            }
            if description.len() > MAX_DESCRIPTION_BYTES || !super::text::is_displayable(description) {
                return Err(Malformed::new(
                    "description of a scope",
                    "must be at most 256 bytes without invisible characters",
                ));
            }
        }
        Ok(self)
    }

    /// Whether a scope value is one of this resource server's: it describes the value, and the
    /// value is not one that this server defines.
    #[must_use]
    pub fn defines(&self, value: &str) -> bool {
        self.scopes.contains_key(value) && !super::scope::is_standard(value)
    }

    /// Sets the description of a scope value.
    ///
    /// # Errors
    /// As [`Resource::checked`].
    pub fn with_scope(mut self, value: &str, description: &str) -> Result<Resource, Malformed> {
        self.scopes.insert(value.to_owned(), description.to_owned());
        self.checked()
    }

    /// Removes a scope value; `None` if it was not described.
    #[must_use]
    pub fn without_scope(mut self, value: &str) -> Option<Resource> {
        self.scopes.remove(value)?;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Verifier;
    use super::*;

    #[test]
    fn profile_is_stored_as_members_of_the_resource_server() {
        let stored = r#"{"audience":"https://a.example","name":"An API"}"#;
        let before: Resource = serde_json::from_str(stored).expect("an older row");
        assert_eq!(before.tokens, TokenProfile::default());
        let profile = TokenProfile::default().with_preset(Verifier::Generic);
        let resource = Resource { tokens: profile.clone(), ..before };
        let json = serde_json::to_value(resource).expect("JSON");
        assert_eq!(json["access_token_signed_response_alg"], "RS256");
        assert_eq!(json["access_token_type"], "JWT");
        assert_eq!(serde_json::from_value::<Resource>(json).expect("it reads back").tokens, profile);
    }
}
