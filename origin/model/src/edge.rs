//! Registered edges, and which changes they have acknowledged.

use std::fmt;
use std::str::FromStr;

use tollgate_core::{EdgeReport, EdgeTotals};

use super::malformed::{Malformed, identifier};

/// The name of an edge: 1 to 255 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeName(String);

impl EdgeName {
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

/// The URL of an edge: `http` or `https`, without query or fragment; stored without a trailing
/// slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeUrl(String);

impl EdgeUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the edge accepts pushes.
    #[must_use]
    pub fn push_url(&self) -> String {
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
    pub name: EdgeName,
    pub url: EdgeUrl,
    /// The highest sequence that it acknowledged; never decreases.
    pub acknowledged: u64,
    /// When it last acknowledged a change, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// When it last requested deltas with its name or acknowledged a push, Unix milliseconds.
    pub contacted_at_ms: Option<u64>,
    /// Unix seconds.
    pub created_at: u64,
}

impl Edge {
    /// The number of the registration: an edge that is removed and added again gets a new one.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.created_at
    }
}

/// What a registered edge reports when it requests deltas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeHeartbeat {
    pub name: EdgeName,
    /// The number of its registration.
    pub number: u64,
    /// The sequence of its replica.
    pub sequence: u64,
    /// When it sent the request, Unix milliseconds.
    pub at_ms: u64,
    /// Totals of its work, if the request has them.
    pub report: Option<EdgeReport>,
}

/// What a registered edge has reported of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeActivity {
    /// Totals of all its runs since its registration.
    pub totals: EdgeTotals,
    /// When it sent its newest report, Unix milliseconds.
    pub reported_at_ms: u64,
    /// Streams that are open at runs that reported lately.
    pub open_streams: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_url_is_checked_and_trimmed() {
        let url: EdgeUrl = "http://127.0.0.1:8787/".parse().expect("an edge URL");
        assert_eq!(url.push_url(), "http://127.0.0.1:8787/_tollgate/push");
        for text in ["", "ftp://a", "http://", "http:///x", "http://a?b", "http://a#b", "http://u@a", "http://a b"] {
            assert!(text.parse::<EdgeUrl>().is_err(), "{text:?} passed");
        }
    }
}
