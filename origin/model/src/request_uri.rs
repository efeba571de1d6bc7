//! `request_uri`s that a client registers beforehand (OpenID Connect Core §6.2, RFC 9101 §5.2).

use std::fmt;
use std::str::FromStr;

use super::malformed::Malformed;
use super::redirect::OutboundUrl;

/// Characters of a SHA-256 hash in base64url.
const HASH_LENGTH: usize = 43;

/// URL of a request object that a client publishes. Its fragment, if it has one, is a SHA-256 hash
/// in base64url, another one for each version of the object. That it is the object's own is not
/// checked: the client's signature protects the object, and clients register URLs before they know
/// the objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestUri {
    url: OutboundUrl,
    hash: Option<String>,
}

impl RequestUri {
    /// Where the object is.
    #[must_use]
    pub fn url(&self) -> &OutboundUrl {
        &self.url
    }

    /// Whether the URI names a version of its object, which therefore does not change.
    #[must_use]
    pub fn has_hash(&self) -> bool {
        self.hash.is_some()
    }

    /// Whether `presented` may be used by a client that registered this URI: it is the same, or
    /// adds a hash to a URI that was registered without one.
    #[must_use]
    pub fn matches(&self, presented: &RequestUri) -> bool {
        self == presented || (self.hash.is_none() && self.url == presented.url)
    }
}

impl FromStr for RequestUri {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<RequestUri, Malformed> {
        let wrong = |problem| Malformed::new("request URI", problem);
        let (url, hash) = match text.split_once('#') {
            Some((url, hash)) => (url, Some(hash)),
            None => (text, None),
        };
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if hash.is_some_and(|hash| hash.len() != HASH_LENGTH || !hash.bytes().all(is_base64url)) {
            return Err(wrong("must have no fragment but a SHA-256 hash in base64url"));
        }
        let url: OutboundUrl = url.parse().map_err(|error: Malformed| wrong(error.problem))?;
        Ok(RequestUri { url, hash: hash.map(str::to_owned) })
    }
}

impl fmt::Display for RequestUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hash {
            Some(hash) => write!(f, "{}#{hash}", self.url),
            None => write!(f, "{}", self.url),
        }
    }
}

json_as_text!(RequestUri);

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RequestUri {
        text.parse().expect(text)
    }

    #[test]
    fn registered_version_stays() {
        let version = |char: &str| uri(&format!("https://app.example/request.jwt#{}", char.repeat(HASH_LENGTH)));
        let (plain, first, second) = (uri("https://app.example/request.jwt"), version("a"), version("b"));
        assert_eq!((first.url(), first.has_hash(), plain.has_hash()), (plain.url(), true, false));
        assert_eq!(uri(&first.to_string()), first);
        for presented in [&plain, &first, &second] {
            assert!(plain.matches(presented), "registered without a version: {presented}");
            assert_eq!(first.matches(presented), *presented == first, "{presented}");
        }
        for elsewhere in ["https://app.example/request.jwt?a", "https://app.example:8443/request.jwt"] {
            assert!(!plain.matches(&uri(elsewhere)), "{elsewhere}");
        }
    }

    #[test]
    fn only_urls_that_the_origin_requests_are_accepted() {
        for text in [
            "",
            "urn:ietf:params:oauth:request_uri:x",
            "http://app.example/r",
            "https://app.example/r#",
            "https://app.example/r#part",
            "https://app.example/r#a#b",
            "file:///r",
        ] {
            assert!(text.parse::<RequestUri>().is_err(), "{text:?} passed");
        }
    }
}
