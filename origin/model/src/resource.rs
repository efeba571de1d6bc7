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

/// Whether two resource indicators name one resource: the same text, or the same `https` or `http` URI after the normalization that
/// RFC 3986 §6.2.3 describes (no port for the default one, `/` for an empty path), with scheme and host in small letters (§6.2.2.1).
/// Nothing else is normalized: a longer path or another encoding is another resource.
pub(super) fn is_same_resource(one: &str, other: &str) -> bool {
    one == other || normalized(one).is_some_and(|one| normalized(other) == Some(one))
}

/// Scheme, host with port if it is not the default one, and what follows without the leading slash.
fn normalized(text: &str) -> Option<(String, String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.is_empty() || port == default_port => host,
        _ => authority,
    };
    Some((scheme, host.to_ascii_lowercase(), path.strip_prefix('/').unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_equal_after_scheme_based_normalization() {
        for other in ["https://mcp.example/", "HTTPS://MCP.example", "https://mcp.example:443", "https://mcp.example:/"]
        {
            assert!(is_same_resource("https://mcp.example", other), "{other}");
        }
        assert!(is_same_resource("http://[::1]:80?x", "http://[::1]/?x"));
        assert!(is_same_resource("urn:api", "urn:api") && is_same_resource("default", "default"));
        for (one, other) in [
            ("https://mcp.example", "http://mcp.example"),
            ("https://mcp.example", "https://mcp.example:80"),
            ("https://mcp.example", "https://mcp.example//"),
            ("https://mcp.example/a", "https://mcp.example/a/"),
            ("https://mcp.example/a", "https://mcp.example/A"),
            ("https://mcp.example", "https://user@mcp.example"),
            ("https://mcp.example", "https://mcp.example.evil.example"),
            ("https://a@mcp.example", "https://A@mcp.example"),
            ("urn:api", "URN:api"),
            ("https://", "https:///"),
            ("default", "default/"),
        ] {
            assert!(!is_same_resource(one, other), "{one} {other}");
        }
    }
}
