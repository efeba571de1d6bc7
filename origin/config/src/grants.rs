//! The settings of grants: how long they last, who may register, and which proxies are believed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use tollgate_model::{Malformed, RefreshTokenPolicy};

use super::table::Setting;
use super::{SettingError, Sources, checked_flag};

const DAY: u64 = 24 * 60 * 60;
/// Grace at most: RFC 9700 §4.14.2 wants reuse to be noticed, and a lost answer is asked for again at once.
const MAX_GRACE: u64 = 60;
/// A grant's life at most.
const MAX_LIFETIME: u64 = 366 * DAY;

pub(super) const EXPLAINED: [Setting; 10] = [
    Setting::new("TOLLGATE_AUDIENCE", "audience", "The audience of tokens of clients that have none of their own")
        .of("1 to 255 characters without spaces", "https://api.example")
        .otherwise("the public URL"),
    Setting::new("TOLLGATE_TOKEN_LIFETIME", "token-lifetime", "How long access tokens live")
        .of("seconds, 10 to 86400", "600")
        .or("3600"),
    Setting::new("TOLLGATE_STATUS_LIST", "status-list", "Whether access tokens say where their status stands")
        .of("true or false", "false")
        .or("true"),
    Setting::new(
        "TOLLGATE_REFRESH_GRACE",
        "refresh-grace",
        "For how long a used refresh token gives the same successor again",
    )
    .of("seconds, 0 to 60", "5")
    .or("10"),
    Setting::new("TOLLGATE_REFRESH_IDLE", "refresh-idle", "How long a refresh token may lie unused")
        .of("seconds, 60 to a year", "86400")
        .or("1209600"),
    Setting::new(
        "TOLLGATE_REFRESH_LIFETIME",
        "refresh-lifetime",
        "How long until a user is asked anew, however often a client refreshed",
    )
    .of("seconds, 60 to a year", "2592000")
    .or("7776000"),
    Setting::new("TOLLGATE_DPOP_NONCE", "dpop-nonce", "Whether DPoP proofs must carry a nonce of the origin")
        .of("true or false", "true")
        .or("false"),
    Setting::new("TOLLGATE_REGISTRATION", "registration", "Who may register clients over the network")
        .of("off, open, or token for bearers of the scope tollgate:register", "token")
        .or("off"),
    Setting::new(
        "TOLLGATE_TRUSTED_PROXIES",
        "trusted-proxies",
        "The proxies that are believed when they tell of clients, their certificates and their requests",
    )
    .of("addresses or ranges, comma separated", "10.0.0.0/8, ::1"),
    Setting::new(
        "TOLLGATE_CLIENT_CERTIFICATE_HEADER",
        "client-certificate-header",
        "The header in which they tell of certificates; they must remove it from what they are sent",
    )
    .of("the name of a header", "client-cert"),
];

/// The settings of grants, checked.
#[derive(Debug, Clone)]
pub struct GrantSettings {
    /// How long refresh tokens are good.
    pub refresh: RefreshTokenPolicy,
    /// Whether a DPoP proof must carry a nonce of this origin (RFC 9449 §8).
    pub dpop_nonce: bool,
    /// Who may register clients over the network.
    pub registration: Registration,
    /// The proxies whose headers tell of a client's certificate.
    pub trusted_proxies: Vec<Network>,
    /// The header in which they do.
    pub certificate_header: Option<String>,
}

/// Who may register clients over the network (RFC 7591).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    #[default]
    Off,
    /// Anybody.
    Open,
    /// Who shows an access token of this origin for itself with the scope `tollgate:register` (RFC 7591 §3, "initial access
    /// token").
    Token,
}

/// A range of addresses: an address, or an address with the number of bits that count, as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether `address` is in the range. An IPv4 address written as IPv6 counts as what it is.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_start(u128::from(own.to_bits()), u128::from(other.to_bits()), 32, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same_start(own.to_bits(), other.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

fn same_start(own: u128, other: u128, width: u8, bits: u8) -> bool {
    let ignored = u32::from(width.saturating_sub(bits));
    (own ^ other).checked_shr(ignored).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Network, Malformed> {
        let wrong = || Malformed::new("network", "must be addresses or ranges like 10.0.0.0/8, separated by commas");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if bits > width { Err(wrong()) } else { Ok(Network { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl GrantSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<GrantSettings, SettingError> {
        let seconds = |name, least, most, default| {
            let read = |text: &str| {
                let seconds = text.parse().ok().filter(|seconds| (least..=most).contains(seconds));
                seconds.ok_or_else(|| format!("must be seconds, {least} to {most}"))
            };
            sources.parse(name, read).map(|seconds| seconds.unwrap_or(default))
        };
        let settings = GrantSettings {
            refresh: RefreshTokenPolicy {
                grace: seconds("TOLLGATE_REFRESH_GRACE", 0, MAX_GRACE, 10)?,
                idle: seconds("TOLLGATE_REFRESH_IDLE", 60, MAX_LIFETIME, 14 * DAY)?,
                lifetime: seconds("TOLLGATE_REFRESH_LIFETIME", 60, MAX_LIFETIME, 90 * DAY)?,
            },
            dpop_nonce: sources.parse("TOLLGATE_DPOP_NONCE", checked_flag)?.unwrap_or(false),
            registration: sources.parse("TOLLGATE_REGISTRATION", registration)?.unwrap_or_default(),
            trusted_proxies: sources.parse("TOLLGATE_TRUSTED_PROXIES", networks)?.unwrap_or_default(),
            certificate_header: sources.parse("TOLLGATE_CLIENT_CERTIFICATE_HEADER", header)?,
        };
        if settings.certificate_header.is_some() && settings.trusted_proxies.is_empty() {
            return Err(SettingError {
                name: "TOLLGATE_CLIENT_CERTIFICATE_HEADER".to_owned(),
                source: sources.get("TOLLGATE_CLIENT_CERTIFICATE_HEADER").map(|value| value.source.clone()),
                problem: "needs TOLLGATE_TRUSTED_PROXIES: anybody can send a header".to_owned(),
            });
        }
        Ok(settings)
    }
}

fn registration(text: &str) -> Result<Registration, &'static str> {
    match text {
        "off" => Ok(Registration::Off),
        "open" => Ok(Registration::Open),
        "token" => Ok(Registration::Token),
        _ => Err("must be off, open or token"),
    }
}

fn networks(text: &str) -> Result<Vec<Network>, Malformed> {
    text.split(',').map(|network| network.trim().parse()).collect()
}

fn header(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if text.bytes().all(plain) { Ok(text.to_ascii_lowercase()) } else { Err("must be the name of a header") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_their_addresses_and_no_others() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().expect("a network").has(address.parse().expect("an address"))
        };
        assert!(has("10.0.0.0/8", "10.255.1.2") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fd12::1") && !has("fd00::/8", "fe00::1"));
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "x"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_is_believed_of_proxies_that_are_named_alone() {
        let from = |pairs: &[(&str, &str)]| super::super::Settings::from_pairs(pairs.iter().copied());
        assert!(from(&[("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")]).is_err());
        let both =
            [("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert"), ("TOLLGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
        let settings = from(&both).expect("good").grants;
        assert_eq!((settings.certificate_header.as_deref(), settings.trusted_proxies.len()), (Some("client-cert"), 2));
        for (name, value) in [("TOLLGATE_REFRESH_GRACE", "61"), ("TOLLGATE_REGISTRATION", "yes")] {
            assert!(from(&[(name, value)]).is_err(), "{name}");
        }
    }
}
