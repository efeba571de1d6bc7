//! Resource servers: the APIs that tokens are for, what their scope values mean to people, and who may ask about their tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Audience, ClientId, Malformed, Scope};

/// Scope values with words of their own at most, as many as a scope may have.
const MAX_SCOPES: usize = 64;
/// Bytes of such words at most.
const MAX_WORDS: usize = 256;

/// A registered resource server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Resource {
    /// What its tokens name as `aud`.
    #[schema(value_type = String)]
    pub audience: Audience,
    /// What people call it.
    pub name: String,
    /// Its scope values, and what each means in words that users read when they are asked for consent.
    #[serde(default)]
    pub scopes: BTreeMap<String, String>,
    /// The client as which it introspects its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub introspected_by: Option<ClientId>,
}

impl Resource {
    /// The resource server, if its words can be shown.
    ///
    /// # Errors
    /// When a scope value or its words are malformed, or there are too many.
    pub fn checked(self) -> Result<Resource, Malformed> {
        super::client::checked_name(&self.name).map_err(|error| Malformed::new("resource name", error.problem))?;
        if self.scopes.len() > MAX_SCOPES {
            return Err(Malformed::new("scopes", "are more than 64"));
        }
        for (value, words) in &self.scopes {
            if value.is_empty() || Scope::parse(value)?.values().count() != 1 {
                return Err(Malformed::new("scope", "must be one value"));
            }
            if words.len() > MAX_WORDS || !super::text::is_legible(words) {
                return Err(Malformed::new(
                    "scope's words",
                    "must be at most 256 bytes without characters that cannot be seen",
                ));
            }
        }
        Ok(self)
    }

    /// The resource server with these words for a scope value, in place of those that it has for it.
    ///
    /// # Errors
    /// As [`Resource::checked`].
    pub fn with_scope(mut self, value: &str, words: &str) -> Result<Resource, Malformed> {
        self.scopes.insert(value.to_owned(), words.to_owned());
        self.checked()
    }

    /// The resource server without words for a scope value; none if it has none for it.
    #[must_use]
    pub fn without_scope(mut self, value: &str) -> Option<Resource> {
        self.scopes.remove(value)?;
        Some(self)
    }
}
