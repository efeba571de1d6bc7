//! Streams of security events (Shared Signals): which events a receiver gets, how, and which it has
//! acknowledged.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::audience::Audience;
use super::edge::EdgeName;
use super::ids::ClientId;
use super::malformed::Malformed;

/// Type of a security event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// Sessions were revoked.
    SessionRevoked,
    /// A token was revoked, or a target was reinstated.
    TokenClaimsChange,
}

impl EventType {
    pub const ALL: [EventType; 2] = [EventType::SessionRevoked, EventType::TokenClaimsChange];

    /// The last segment of its URI.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventType::SessionRevoked => "session-revoked",
            EventType::TokenClaimsChange => "token-claims-change",
        }
    }

    /// Its URI (CAEP §3.1 and §3.2).
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            EventType::SessionRevoked => "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
            EventType::TokenClaimsChange => "https://schemas.openid.net/secevent/caep/event-type/token-claims-change",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EventType {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<EventType, Malformed> {
        let named = EventType::ALL.into_iter().find(|event| event.name() == text || event.uri() == text);
        named.ok_or(Malformed { what: "event", problem: "must be session-revoked or token-claims-change" })
    }
}

/// The name of a stream, which is its `stream_id`: 1 to 255 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

impl StreamName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<StreamName, Malformed> {
        let wrong = Malformed { what: "stream name", problem: "must be 1 to 255 characters of A-Z a-z 0-9 . _ -" };
        // The same rule as for names of edges: both appear in listings and paths.
        text.parse::<EdgeName>().map(|name| StreamName(name.as_str().to_owned())).map_err(|_| wrong)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a receiver accepts pushes: `https`, because RFC 8935 §5.2 requires TLS, or `http` on this
/// machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushUrl(String);

impl PushUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PushUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<PushUrl, Malformed> {
        let wrong = Malformed {
            what: "push URL",
            problem: "must be https://, or http:// on this machine, without user or fragment, at most 512 characters",
        };
        let url = url::Url::parse(text).map_err(|_| wrong.clone())?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let secure = url.scheme() == "https" || url.scheme() == "http" && here;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if secure && plain && !host.is_empty() && url.as_str().len() <= 512 {
            Ok(PushUrl(url.into()))
        } else {
            Err(wrong)
        }
    }
}

/// How security event tokens reach the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The origin sends them (RFC 8935).
    Push {
        url: PushUrl,
        /// The encrypted `Authorization` header for the receiver, see [`Stream::secret_context`].
        sealed_authorization: Option<Vec<u8>>,
    },
    /// The receiver fetches them (RFC 8936).
    Poll,
}

/// A registered stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Never used again; 0 before the registration.
    pub number: u64,
    pub name: StreamName,
    /// `aud` of its tokens.
    pub audience: Audience,
    /// The client whose access tokens may read the stream.
    pub client: Option<ClientId>,
    pub delivery: Delivery,
    /// The delivered event types.
    pub events: Vec<EventType>,
    /// The sequence up to which the receiver acknowledged everything; never decreases.
    pub acknowledged: u64,
    /// When the receiver last acknowledged an event, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// Number of tokens that the receiver rejected permanently.
    pub refused: u64,
    /// Error of the last delivery; `None` if it succeeded.
    pub problem: Option<String>,
    /// Unix seconds.
    pub created_at: u64,
}

impl Stream {
    /// The context bound into the ciphertext: the authorization of one stream and URL cannot be
    /// used for another.
    #[must_use]
    pub fn secret_context(name: &StreamName, url: &PushUrl) -> String {
        format!("tollgate stream authorization v1|{name}|{}", url.as_str())
    }

    /// Whether the stream delivers events of this type.
    #[must_use]
    pub fn delivers(&self, event: EventType) -> bool {
        self.events.contains(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_url_requires_tls_except_on_loopback() {
        for text in
            ["https://receiver.example/events?x=1", "http://127.0.0.1:8080/", "http://[::1]/x", "http://localhost/x"]
        {
            assert!(text.parse::<PushUrl>().is_ok(), "{text}");
        }
        for text in
            ["http://receiver.example/", "https://u:p@receiver.example/", "https://receiver.example/#x", "ftp://a", "x"]
        {
            assert!(text.parse::<PushUrl>().is_err(), "{text}");
        }
    }
}
