//! Where a request came from, for display to users.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::text::is_invisible;

/// Characters of `User-Agent` or of a device name; longer ones are truncated.
const MAX_DESCRIPTION_CHARACTERS: usize = 200;

/// Where a request came from. Users see it so that they can tell their own devices from others; it
/// is never used in decisions. Except for the address, the sender chooses every part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// `User-Agent` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The name that the device gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Sender {
    /// Truncates both texts to 200 characters and removes invisible characters.
    #[must_use]
    pub fn new(address: Option<IpAddr>, agent: Option<&str>, device: Option<&str>) -> Sender {
        Sender { address, agent: agent.and_then(displayable), device: device.and_then(displayable) }
    }
}

/// A display name of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderName<'a> {
    /// The name that the device gives itself, or the program in its `User-Agent`.
    Named(&'a str),
    /// A browser and its operating system, if known.
    Browser {
        /// For example `Firefox`.
        browser: &'static str,
        /// For example `Linux`.
        system: Option<&'static str>,
    },
    /// The request contained neither.
    Unknown,
}

/// Browsers by a part of their `User-Agent`. Most imitate the later ones, so the first match
/// counts.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
/// Operating systems by a part of the `User-Agent`; the first match counts.
const SYSTEMS: [(&str, &str); 7] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
];

impl Sender {
    /// The display name in English.
    #[must_use]
    pub fn name(&self) -> String {
        match self.display_name() {
            SenderName::Named(name) => name.to_owned(),
            SenderName::Browser { browser, system: Some(system) } => format!("{browser} on {system}"),
            SenderName::Browser { browser, system: None } => browser.to_owned(),
            SenderName::Unknown => "Unknown program".to_owned(),
        }
    }

    /// The display name, for translation.
    #[must_use]
    pub fn display_name(&self) -> SenderName<'_> {
        if let Some(device) = &self.device {
            return SenderName::Named(device);
        }
        let agent = self.agent.as_deref().unwrap_or_default();
        let known =
            |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
        match (known(&BROWSERS), known(&SYSTEMS)) {
            (Some(browser), system) => SenderName::Browser { browser, system },
            (None, _) => match agent.split([' ', '/']).next() {
                None | Some("") => SenderName::Unknown,
                Some(program) => SenderName::Named(program),
            },
        }
    }
}

/// Without invisible characters, which would let a name look like another.
fn displayable(text_from_sender: &str) -> Option<String> {
    let text: String =
        text_from_sender.trim().chars().filter(|char| !is_invisible(*char)).take(MAX_DESCRIPTION_CHARACTERS).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_texts_are_truncated_and_visible() {
        let sender = Sender::new(None, Some(" Mozilla/5.0\u{202e}\r\n "), Some(&"x".repeat(500)));
        assert_eq!(sender.agent.as_deref(), Some("Mozilla/5.0"));
        assert_eq!(sender.device.map(|device| device.len()), Some(200));
        assert_eq!(Sender::new(None, Some("\n"), Some("")), Sender::default());
    }

    #[test]
    fn senders_have_display_names() {
        let name = |agent: &str| Sender::new(None, Some(agent), None).name();
        let mozilla =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36";
        assert_eq!(name(mozilla), "Chrome on Linux");
        assert_eq!(name(&format!("{mozilla} Edg/142.0")), "Edge on Linux");
        assert_eq!(
            name("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1"),
            "Safari on iPhone"
        );
        assert_eq!(name("Mozilla/5.0 (Windows NT 10.0; rv:145.0) Gecko/20100101 Firefox/145.0"), "Firefox on Windows");
        assert_eq!((name("curl/8.1"), name("")), ("curl".to_owned(), "Unknown program".to_owned()));
        assert_eq!(Sender::new(None, Some("curl/8.1"), Some("Ada's TV")).name(), "Ada's TV");
    }
}
