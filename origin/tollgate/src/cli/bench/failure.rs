//! Failed requests, by kind.

use serde_json::Value;

/// Why a request failed, as it is counted: few kinds, also in a flood of errors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// No connection.
    Connect,
    /// No response in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// This status, with the error code of OAuth if there is one.
    Status(u16, Option<String>),
    /// A response that lacks this.
    Lacks(&'static str),
    /// Not sent: the open loop was too far behind when the measurement ended.
    NotSent,
}

/// Characters of an error code that are shown: RFC 6749's are shorter.
const MAX_CODE_CHARS: usize = 40;

impl Failure {
    /// The failure that a response with another status than expected is.
    pub(super) fn of_status(status: u16, body: &[u8]) -> Failure {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let is_code = |code: &&str| {
            code.len() <= MAX_CODE_CHARS && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        Failure::Status(status, body["error"].as_str().filter(is_code).map(str::to_owned))
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Failure {
        match error {
            error if error.is_timeout() => Failure::Timeout,
            error if error.is_connect() => Failure::Connect,
            _ => Failure::Broken,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Connect => f.write_str("no connection"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Broken => f.write_str("broken connection"),
            Failure::Status(status, Some(code)) => write!(f, "{status} {code}"),
            Failure::Status(status, None) => write!(f, "{status}"),
            Failure::Lacks(what) => write!(f, "response without {what}"),
            Failure::NotSent => f.write_str("not sent in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_status_and_error_code() {
        let text = |status, body: &str| Failure::of_status(status, body.as_bytes()).to_string();
        assert_eq!(text(400, r#"{"error":"invalid_grant"}"#), "400 invalid_grant");
        assert_eq!(text(429, "slow down"), "429");
        assert_eq!(text(400, r#"{"error":"Text <with> anything"}"#), "400");
    }
}
