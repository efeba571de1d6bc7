//! Settings of streams.

use super::SettingError;
use super::lookup::Lookup;
use super::table::{MAX_STREAMS, STREAM_IDLE_TIMEOUT, UPGRADES};
use std::time::Duration;

/// Limits of streams, and what a connection may be upgraded to.
#[derive(Debug, Clone)]
pub(crate) struct StreamSettings {
    /// Most streams that may be open.
    pub(crate) max: usize,
    /// Time without data in both directions after which an upgraded connection ends, and between
    /// two messages of a gRPC client.
    pub(crate) idle_timeout: Duration,
    /// Protocols to which a client may upgrade its connection.
    pub(crate) upgrades: Vec<String>,
}

impl StreamSettings {
    pub(super) fn from_lookup(get: Lookup<'_>) -> Result<StreamSettings, SettingError> {
        let upgrades = get.text(UPGRADES).unwrap_or_else(|| "websocket".to_owned());
        let names: Vec<String> = match upgrades.as_str() {
            "none" => Vec::new(),
            names => names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect(),
        };
        if !names.iter().all(|name| is_protocol(name)) {
            return Err(SettingError::new(
                UPGRADES,
                format_args!("must be none, or protocols such as websocket, comma separated, not {upgrades:?}"),
            ));
        }
        let max = get.number(MAX_STREAMS, 100_000, 1..=10_000_000)?;
        Ok(StreamSettings {
            max: usize::try_from(max).unwrap_or(usize::MAX),
            idle_timeout: get.seconds(STREAM_IDLE_TIMEOUT, 600, 1..=86_400)?,
            upgrades: names,
        })
    }
}

/// Whether the text is a protocol of `Upgrade` (RFC 9110 section 7.8): a token, and a version after
/// a slash. HTTP itself is none of them: the edge would not see the requests.
fn is_protocol(text: &str) -> bool {
    let is_token = |part: &str| {
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(is_token_byte)
    };
    let (name, version) = text.split_once('/').map_or((text, None), |(name, version)| (name, Some(version)));
    is_token(name) && version.is_none_or(is_token) && !matches!(name, "h2c" | "http" | "tls")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrades(value: &str) -> Option<Vec<String>> {
        let find = |name: &str| (name == UPGRADES).then(|| value.to_owned());
        StreamSettings::from_lookup(Lookup(&find)).ok().map(|settings| settings.upgrades)
    }

    #[test]
    fn protocols_that_would_hide_requests_are_refused() {
        assert_eq!(upgrades(""), Some(vec!["websocket".to_owned()]));
        assert_eq!(upgrades("none"), Some(Vec::new()));
        assert_eq!(upgrades("WebSocket, SPDY/3.1"), Some(vec!["websocket".to_owned(), "spdy/3.1".to_owned()]));
        for value in ["h2c", "websocket,HTTP/2.0", "TLS/1.2", "web socket", "websocket,,tcp", "a/"] {
            assert_eq!(upgrades(value), None, "{value}");
        }
    }
}
