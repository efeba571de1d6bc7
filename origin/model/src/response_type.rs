//! Response types of authorization requests (RFC 6749 §3.1.1, OAuth 2.0 Multiple Response Type
//! Encoding Practices).
//!
//! `code` is for everybody. The others return tokens through the browser, which RFC 9700 §2.1.2
//! advises against: they are for the migration of old applications.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::malformed::Malformed;

/// What an authorization response contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseType {
    #[default]
    Code,
    IdToken,
    Token,
    CodeIdToken,
    CodeToken,
    IdTokenToken,
    CodeIdTokenToken,
}

impl ResponseType {
    pub const ALL: [ResponseType; 7] = [
        ResponseType::Code,
        ResponseType::IdToken,
        ResponseType::Token,
        ResponseType::CodeIdToken,
        ResponseType::CodeToken,
        ResponseType::IdTokenToken,
        ResponseType::CodeIdTokenToken,
    ];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ResponseType::Code => "code",
            ResponseType::IdToken => "id_token",
            ResponseType::Token => "token",
            ResponseType::CodeIdToken => "code id_token",
            ResponseType::CodeToken => "code token",
            ResponseType::IdTokenToken => "id_token token",
            ResponseType::CodeIdTokenToken => "code id_token token",
        }
    }

    fn has(self, value: &str) -> bool {
        self.as_str().split(' ').any(|own| own == value)
    }

    /// Whether the response contains an authorization code.
    #[must_use]
    pub fn has_code(self) -> bool {
        self.has("code")
    }

    /// Whether the response contains an access token.
    #[must_use]
    pub fn has_token(self) -> bool {
        self.has("token")
    }

    /// Whether the response contains an ID token.
    #[must_use]
    pub fn has_id_token(self) -> bool {
        self.has("id_token")
    }

    /// Whether the response contains a token, which then passes through the browser (RFC 9700
    /// §2.1.2).
    #[must_use]
    pub fn is_legacy(self) -> bool {
        self != ResponseType::Code
    }
}

impl FromStr for ResponseType {
    type Err = Malformed;

    /// The order of the values does not matter (RFC 6749 §3.1.1).
    fn from_str(text: &str) -> Result<ResponseType, Malformed> {
        let values: BTreeSet<&str> = text.split(' ').collect();
        let has_these = |named: &ResponseType| named.as_str().split(' ').collect::<BTreeSet<_>>() == values;
        let is_repeated = values.len() != text.split(' ').count();
        let named = ResponseType::ALL.into_iter().find(has_these).filter(|_| !is_repeated);
        named.ok_or(Malformed::new("response_type", "is not supported"))
    }
}

impl fmt::Display for ResponseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

json_as_text!(ResponseType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_the_values_does_not_matter() {
        for response_type in ResponseType::ALL {
            assert_eq!(response_type.as_str().parse(), Ok(response_type));
        }
        assert_eq!("token id_token code".parse(), Ok(ResponseType::CodeIdTokenToken));
        for text in ["", "none", "code code", "code  token", " code", "Code"] {
            assert!(text.parse::<ResponseType>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_code_keeps_tokens_out_of_the_browser() {
        assert!(!ResponseType::Code.is_legacy() && ResponseType::Code.has_code());
        let hybrid = ResponseType::CodeIdToken;
        assert!(hybrid.has_code() && hybrid.has_id_token() && !hybrid.has_token() && hybrid.is_legacy());
        assert!(!ResponseType::IdToken.has_token() && ResponseType::IdTokenToken.has_token());
    }
}
