//! Response types and response modes of authorization requests (RFC 6749 §3.1.1, OAuth 2.0 Multiple
//! Response Type Encoding Practices, OAuth 2.0 Form Post Response Mode, JWT Secured Authorization
//! Response Mode).
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

/// How an authorization response reaches the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    #[default]
    Query,
    /// In its fragment, which browsers do not send.
    Fragment,
    /// In a form that the browser posts to it.
    FormPost,
    /// As a signed JWT in the query.
    QueryJwt,
    /// As a signed JWT in the fragment.
    FragmentJwt,
    /// As a signed JWT in a form.
    FormPostJwt,
}

impl ResponseMode {
    pub const ALL: [ResponseMode; 6] = [
        ResponseMode::Query,
        ResponseMode::Fragment,
        ResponseMode::FormPost,
        ResponseMode::QueryJwt,
        ResponseMode::FragmentJwt,
        ResponseMode::FormPostJwt,
    ];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ResponseMode::Query => "query",
            ResponseMode::Fragment => "fragment",
            ResponseMode::FormPost => "form_post",
            ResponseMode::QueryJwt => "query.jwt",
            ResponseMode::FragmentJwt => "fragment.jwt",
            ResponseMode::FormPostJwt => "form_post.jwt",
        }
    }

    /// The mode of a response of this type to a request that names this mode. `jwt` means the
    /// default mode with a JWT (JARM §2.3.4).
    ///
    /// # Errors
    /// If the mode is unknown, or would put a token into the query, where logs and `Referer`
    /// headers contain it. The fragment is for responses with tokens only.
    pub fn for_response(named: Option<&str>, response_type: ResponseType) -> Result<ResponseMode, Malformed> {
        let mode = match named {
            None => Self::default_for(response_type),
            Some("jwt") if response_type.is_legacy() => ResponseMode::FragmentJwt,
            Some("jwt") => ResponseMode::QueryJwt,
            Some(name) => name.parse()?,
        };
        match (mode, response_type.is_legacy()) {
            (ResponseMode::Query | ResponseMode::QueryJwt, true) => {
                Err(Malformed::new("response_mode", "must not put tokens into the query"))
            }
            (ResponseMode::Fragment | ResponseMode::FragmentJwt, false) => {
                Err(Malformed::new("response_mode", "is not supported with response_type code"))
            }
            _ => Ok(mode),
        }
    }

    /// The mode of requests that name none.
    #[must_use]
    pub fn default_for(response_type: ResponseType) -> ResponseMode {
        if response_type.is_legacy() { ResponseMode::Fragment } else { ResponseMode::Query }
    }

    /// Whether the response is a signed JWT.
    #[must_use]
    pub fn is_signed(self) -> bool {
        matches!(self, ResponseMode::QueryJwt | ResponseMode::FragmentJwt | ResponseMode::FormPostJwt)
    }

    /// Whether the response is in the fragment.
    #[must_use]
    pub fn is_fragment(self) -> bool {
        matches!(self, ResponseMode::Fragment | ResponseMode::FragmentJwt)
    }

    /// Whether the browser posts the response.
    #[must_use]
    pub fn is_form_post(self) -> bool {
        matches!(self, ResponseMode::FormPost | ResponseMode::FormPostJwt)
    }
}

impl FromStr for ResponseMode {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<ResponseMode, Malformed> {
        let named = ResponseMode::ALL.into_iter().find(|mode| mode.as_str() == text);
        named.ok_or(Malformed::new("response_mode", "is not supported"))
    }
}

impl fmt::Display for ResponseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

json_as_text!(ResponseType, ResponseMode);

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
    fn tokens_are_never_put_into_the_query() {
        use ResponseMode::{FormPost, FormPostJwt, Fragment, FragmentJwt, Query, QueryJwt};
        let mode = |named, response_type| ResponseMode::for_response(named, response_type).ok();
        for (named, of_code, of_tokens) in [
            (None, Some(Query), Some(Fragment)),
            (Some("query"), Some(Query), None),
            (Some("fragment"), None, Some(Fragment)),
            (Some("form_post"), Some(FormPost), Some(FormPost)),
            (Some("jwt"), Some(QueryJwt), Some(FragmentJwt)),
            (Some("query.jwt"), Some(QueryJwt), None),
            (Some("fragment.jwt"), None, Some(FragmentJwt)),
            (Some("form_post.jwt"), Some(FormPostJwt), Some(FormPostJwt)),
            (Some("telepathy"), None, None),
        ] {
            assert_eq!(mode(named, ResponseType::Code), of_code, "{named:?}");
            assert_eq!(mode(named, ResponseType::IdTokenToken), of_tokens, "{named:?}");
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
