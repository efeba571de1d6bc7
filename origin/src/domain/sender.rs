//! Where a request came from, as people are told of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Characters of what a program or a device says of itself, at most; what is longer is cut.
const MAX_SAID: usize = 200;

/// Where a request came from: shown to people who must tell their own devices from others', and never used in decisions. All of it
/// but the address is what the sender says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    /// The address, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The program: the `User-Agent` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the device calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Sender {
    /// A sender with what it says of itself cut to what can be shown: 200 characters, none of which controls anything.
    #[must_use]
    pub fn new(address: Option<IpAddr>, agent: Option<&str>, device: Option<&str>) -> Sender {
        Sender { address, agent: agent.and_then(shown), device: device.and_then(shown) }
    }
}

/// Directional marks are left out with the controls: they would let a name be read as another.
fn shown(said: &str) -> Option<String> {
    let hidden = |char: char| {
        char.is_control() || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text: String = said.trim().chars().filter(|char| !hidden(*char)).take(MAX_SAID).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_controls_nothing() {
        let sender = Sender::new(None, Some(" Mozilla/5.0\u{202e}\r\n "), Some(&"x".repeat(500)));
        assert_eq!(sender.agent.as_deref(), Some("Mozilla/5.0"));
        assert_eq!(sender.device.map(|device| device.len()), Some(200));
        assert_eq!(Sender::new(None, Some("\n"), Some("")), Sender::default());
    }
}
