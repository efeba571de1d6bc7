//! Resource servers: the APIs that tokens are for, descriptions of their scope values, and who may
//! introspect their tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Audience, ClientId, Malformed, Scope};

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
}

impl Resource {
    /// Checks that the texts can be displayed.
    ///
    /// # Errors
    /// If a scope value or a description is malformed, or there are too many.
    pub fn checked(self) -> Result<Resource, Malformed> {
        super::client::checked_name(&self.name).map_err(|error| Malformed::new("resource name", error.problem))?;
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

/// Whether two resource indicators name the same resource: the same text, or the same `https` or
/// `http` URI after the normalization of RFC 3986 §6.2.3 (no default port, `/` for an empty path)
/// with scheme and host in lower case (§6.2.2.1). Nothing else is normalized: another path or
/// encoding is another resource.
pub(super) fn is_same_resource(one: &str, other: &str) -> bool {
    one == other || normalized(one).is_some_and(|one| normalized(other) == Some(one))
}

/// Scheme, host with a non-default port, and the rest without the leading slash.
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
