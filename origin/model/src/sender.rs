//! Where a request came from, as people are told of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::text::is_invisible;

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

/// What people may know a sender by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderName<'a> {
    /// The name that the device gives itself, or the program in its `User-Agent`.
    Given(&'a str),
    /// A browser, and the system that it runs on if it is known.
    Browser {
        /// Such as `Firefox`.
        browser: &'static str,
        /// Such as `Linux`.
        system: Option<&'static str>,
    },
    /// It says nothing of itself.
    Unknown,
}

/// Browsers by what is only in their own `User-Agent`, the one that imitates no other last.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
/// Systems, likewise.
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
    /// What people may know it by, in English.
    #[must_use]
    pub fn name(&self) -> String {
        match self.described() {
            SenderName::Given(name) => name.to_owned(),
            SenderName::Browser { browser, system: Some(system) } => format!("{browser} on {system}"),
            SenderName::Browser { browser, system: None } => browser.to_owned(),
            SenderName::Unknown => "Unknown program".to_owned(),
        }
    }

    /// What people may know it by, for a page in their language.
    #[must_use]
    pub fn described(&self) -> SenderName<'_> {
        if let Some(device) = &self.device {
            return SenderName::Given(device);
        }
        let agent = self.agent.as_deref().unwrap_or_default();
        let known =
            |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
        match (known(&BROWSERS), known(&SYSTEMS)) {
            (Some(browser), system) => SenderName::Browser { browser, system },
            (None, _) => match agent.split([' ', '/']).next() {
                None | Some("") => SenderName::Unknown,
                Some(program) => SenderName::Given(program),
            },
        }
    }
}

/// Without characters that cannot be seen: they would let a name be read as another.
fn shown(said: &str) -> Option<String> {
    let text: String = said.trim().chars().filter(|char| !is_invisible(*char)).take(MAX_SAID).collect();
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

    #[test]
    fn senders_have_names() {
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
