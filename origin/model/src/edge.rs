//! Edges that the origin pushes to, and how far each has come.

use std::fmt;
use std::str::FromStr;

use super::{Malformed, identifier};

/// What an edge is called: 1 to 255 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeName(String);

impl EdgeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EdgeName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<EdgeName, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        identifier("edge name", text, allowed, "must be 1 to 255 characters of A-Z a-z 0-9 . _ -").map(EdgeName)
    }
}

impl fmt::Display for EdgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an edge answers: an `http` or `https` URL without query or fragment, kept without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeUrl(String);

impl EdgeUrl {
    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where this edge takes pushes.
    #[must_use]
    pub fn push(&self) -> String {
        format!("{}/_tollgate/push", self.0)
    }
}

impl FromStr for EdgeUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<EdgeUrl, Malformed> {
        let wrong = Malformed::new("edge URL", "must be http:// or https:// and a host, without query or fragment");
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| wrong.clone())?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"\\<>@".contains(&byte);
        if rest.is_empty() || rest.starts_with(['/', ':']) || text.len() > 512 || !rest.bytes().all(plain) {
            return Err(wrong);
        }
        Ok(EdgeUrl(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for EdgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registered edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// What it is called.
    pub name: EdgeName,
    /// Where it answers.
    pub url: EdgeUrl,
    /// The highest sequence it ever acknowledged; never goes back.
    pub acknowledged: u64,
    /// When it last acknowledged anything, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// When it last asked for deltas by its name, or acknowledged a push, Unix milliseconds.
    pub contacted_at_ms: Option<u64>,
    /// When it was registered, Unix seconds.
    pub created_at: u64,
}

impl Edge {
    /// The number of its registration: one that is removed and added again has another.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.created_at
    }
}

/// What a registered edge says of itself when it asks for deltas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeHeartbeat {
    /// Its name.
    pub name: EdgeName,
    /// The number of its registration.
    pub number: u64,
    /// The sequence that it holds.
    pub sequence: u64,
    /// When it asked, Unix milliseconds.
    pub at_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_url_is_checked_and_trimmed() {
        let url: EdgeUrl = "http://127.0.0.1:8787/".parse().expect("an edge URL");
        assert_eq!(url.push(), "http://127.0.0.1:8787/_tollgate/push");
        for text in ["", "ftp://a", "http://", "http:///x", "http://a?b", "http://a#b", "http://u@a", "http://a b"] {
            assert!(text.parse::<EdgeUrl>().is_err(), "{text:?} passed");
        }
    }
}
