//! Streams: who is told what, and how far they have come.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::{Audience, ClientId, EdgeName, Malformed};

/// An event that streams tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// Sessions are over.
    SessionRevoked,
    /// A token is good no more, or something is good again.
    TokenClaimsChange,
}

impl EventType {
    /// All of them.
    pub const ALL: [EventType; 2] = [EventType::SessionRevoked, EventType::TokenClaimsChange];

    /// The last part of its URI.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventType::SessionRevoked => "session-revoked",
            EventType::TokenClaimsChange => "token-claims-change",
        }
    }

    /// Its URI (CAEP sections 3.1 and 3.2).
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

/// What a stream is called, and its `stream_id`: 1 to 255 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

impl StreamName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<StreamName, Malformed> {
        let wrong = Malformed { what: "stream name", problem: "must be 1 to 255 characters of A-Z a-z 0-9 . _ -" };
        // The rule of edges' names: both stand in listings and paths.
        text.parse::<EdgeName>().map(|name| StreamName(name.as_str().to_owned())).map_err(|_| wrong)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a receiver takes pushes: an `https` URL, or an `http` one of this machine, for RFC 8935 section 5.2 demands TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushUrl(String);

impl PushUrl {
    /// The URL as text.
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

/// How a stream's tokens reach the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The origin posts them.
    Push {
        /// Where.
        url: PushUrl,
        /// The `Authorization` header that the receiver expects, encrypted: see [`Stream::secret_context`].
        sealed_authorization: Option<Vec<u8>>,
    },
    /// The receiver asks.
    Poll,
}

/// A registered stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// A number of its own, never used again; 0 before it is registered.
    pub number: u64,
    /// What it is called.
    pub name: StreamName,
    /// `aud` of its tokens.
    pub audience: Audience,
    /// The client whose tokens may read it.
    pub client: Option<ClientId>,
    /// How it is delivered.
    pub delivery: Delivery,
    /// What is told on it.
    pub events: Vec<EventType>,
    /// The sequence up to which the receiver has acknowledged everything; never goes back.
    pub acknowledged: u64,
    /// When it last acknowledged anything, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// How many tokens the receiver refused for good.
    pub refused: u64,
    /// Why the last delivery failed, while it is the last.
    pub problem: Option<String>,
    /// When it was registered, Unix seconds.
    pub created_at: u64,
}

impl Stream {
    /// What the sealed authorization is bound to: no stream's is another's, nor sent to another URL.
    #[must_use]
    pub fn secret_context(name: &StreamName, url: &PushUrl) -> String {
        format!("tollgate stream authorization v1|{name}|{}", url.as_str())
    }

    /// Whether this stream tells of such events.
    #[must_use]
    pub fn tells(&self, event: EventType) -> bool {
        self.events.contains(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_go_over_tls_or_nowhere() {
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
