//! Which headers go from a client to the upstream, and back: one policy for every edge.
//!
//! Never passed on are the headers of one connection, what the gate itself says (`X-Tollgate-*`), what makes a server run
//! another request than the one that was judged, and, unless a trusted proxy sent it, what says where the request came from.

use std::net::IpAddr;

use crate::settings::SettingError;

/// Headers of one connection (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers by which some frameworks let a client run another method or path than the one it asked for, and was judged by.
const REWRITING: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
/// Headers by which a proxy says who its client is and what it asked for, beside those that begin with `x-forwarded`. Upstreams
/// believe them, so whoever is no trusted proxy must not write them.
const OF_PROXIES: [&str; 14] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-host",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "client-cert",
];
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";
/// The setting of [`TrustedProxies`].
pub(crate) const TRUSTED_PROXIES: &str = "TOLLGATE_EDGE_TRUSTED_PROXIES";

/// The headers of one message that end at this hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopByHop {
    /// Those that `Connection` names, in lower case.
    named: Vec<String>,
}

impl HopByHop {
    /// Of a message with these values of `Connection`.
    pub fn new<'a>(connection: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let names = connection.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        let named = names.filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok());
        Self { named: named.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect() }
    }

    /// Whether a header of this name ends here.
    pub fn has(&self, name: &str) -> bool {
        HOP_BY_HOP.iter().any(|known| name.eq_ignore_ascii_case(known))
            || self.named.iter().any(|known| name.eq_ignore_ascii_case(known))
    }
}

/// Where a request came from, as far as the host knows it from the connection.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The address of the peer.
    pub address: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host that was asked for.
    pub host: Option<&'a [u8]>,
}

/// What becomes of a request's headers on their way to the upstream. The upstream's own `Host` and the identity that the gate
/// gives are the host's to add.
#[derive(Debug)]
pub struct RequestHeaders<'a> {
    sender: Sender<'a>,
    is_from_proxy: bool,
    hop_by_hop: HopByHop,
}

impl<'a> RequestHeaders<'a> {
    /// Of a request with these values of `Connection`.
    pub fn new<'c>(
        sender: Sender<'a>,
        proxies: &TrustedProxies,
        connection: impl IntoIterator<Item = &'c [u8]>,
    ) -> Self {
        let is_from_proxy = sender.address.is_some_and(|address| proxies.has(address));
        Self { sender, is_from_proxy, hop_by_hop: HopByHop::new(connection) }
    }

    /// Whether the client's headers of this name go on as they are.
    pub fn has(&self, name: &str) -> bool {
        let ends = name.eq_ignore_ascii_case("host") || self.hop_by_hop.has(name) || is_reserved_header(name);
        let is_known_to_proxies = self.is_from_proxy && !name.contains('_') && !is_named(name, FORWARDED_FOR);
        !ends && (is_known_to_proxies || !is_of_proxies(name))
    }

    /// What this hop says of where the request came from. `inbound` gives the values of a header of the client's. A trusted
    /// proxy's word stands: the proxy is added to its `X-Forwarded-For`, and the rest is as it said it.
    pub fn forwarded<V: AsRef<[u8]>>(&self, inbound: impl Fn(&str) -> Vec<V>) -> Vec<(&'static str, Vec<u8>)> {
        let said = |name| if self.is_from_proxy { inbound(name) } else { Vec::new() };
        let mut addresses: Vec<Vec<u8>> = said(FORWARDED_FOR).iter().map(|value| value.as_ref().to_vec()).collect();
        addresses.extend(self.sender.address.map(|address| address.to_string().into_bytes()));
        let own = |name, value: Option<&[u8]>| said(name).is_empty().then_some(value?).map(<[u8]>::to_vec);
        [
            (FORWARDED_FOR, Some(addresses.join(&b", "[..])).filter(|addresses| !addresses.is_empty())),
            (FORWARDED_PROTO, own(FORWARDED_PROTO, Some(self.sender.scheme.as_bytes()))),
            (FORWARDED_HOST, own(FORWARDED_HOST, self.sender.host)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Whether a client's header of this name must not reach the upstream: the identity is the gate's to tell, and the request's
/// method and path are the judged ones.
pub fn is_reserved_header(name: &str) -> bool {
    begins_with(name, "x-tollgate-") || REWRITING.iter().any(|known| is_named(name, known))
}

fn is_of_proxies(name: &str) -> bool {
    let x_forwarded = is_named(name, "x-forwarded") || begins_with(name, "x-forwarded-");
    x_forwarded || begins_with(name, "client-cert-") || OF_PROXIES.iter().any(|known| is_named(name, known))
}

/// `_` counts as `-`: servers in the tradition of CGI cannot tell the two apart, and a client must not speak for the gate, or
/// for a proxy, through that gap.
fn is_named(name: &str, known: &str) -> bool {
    name.len() == known.len() && begins_with(name, known)
}

fn begins_with(name: &str, start: &str) -> bool {
    let normal = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() >= start.len() && name.bytes().zip(start.bytes()).all(|(byte, known)| normal(byte) == known)
}

/// The proxies in front of an edge that are believed when they say where a request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Reads the setting through `get`, which gives the value of a name.
    ///
    /// # Errors
    /// When it is not a list of addresses and ranges.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let text = get(TRUSTED_PROXIES).unwrap_or_default();
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty());
        let networks: Option<Vec<Network>> = ranges.map(Network::parse).collect();
        networks.map(Self).ok_or_else(|| SettingError {
            name: TRUSTED_PROXIES,
            problem: format!("must be addresses or ranges such as 10.0.0.0/8, comma separated, not {text:?}"),
        })
    }

    /// Whether the address is one of theirs. An IPv4 address written as IPv6 counts as what it is.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.has(address))
    }
}

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok())?;
        (bits <= width).then_some(Self { address, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        let (difference, width) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u128::from(own.to_bits() ^ other.to_bits()), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits(), 128),
            _ => return false,
        };
        difference.checked_shr(width - self.bits).unwrap_or_default() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(text: &str) -> Result<TrustedProxies, String> {
        TrustedProxies::from_lookup(|_| Some(text.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn reserved_headers_are_known_in_every_spelling() {
        for name in [
            "x-tollgate-subject",
            "X-Tollgate-Subject",
            "X_TOLLGATE_SUBJECT",
            "x-tollgate_scope",
            "x-tollgate-",
            "X-HTTP-Method-Override",
            "X_Rewrite_URL",
        ] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["x-tollgate", "xtollgate-subject", "authorization", "x-tollgates-a", ""] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }

    #[test]
    fn trusted_proxies_are_addresses_and_ranges() {
        let some = proxies("10.0.0.0/8, 192.0.2.7,2001:db8::/32 ").expect("good ranges");
        for (address, is_trusted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.has(address.parse().expect("an address")), is_trusted, "{address}");
        }
        assert!(proxies("0.0.0.0/0").expect("a range").has([192, 0, 2, 1].into()));
        assert!(!proxies("").expect("none").has([127, 0, 0, 1].into()));
        for text in ["10.0.0.0/33", "example.com", "10.0.0.1:80", "10.0.0.0/", "::/129", "10.0.0.0/-1"] {
            assert!(proxies(text).expect_err(text).starts_with(TRUSTED_PROXIES), "{text}");
        }
    }

    const SENT: [(&str, &str); 11] = [
        ("accept", "*/*"),
        ("connection", "close, X-Once"),
        ("x-once", "1"),
        ("te", "trailers"),
        ("forwarded", "for=192.0.2.1;proto=https"),
        ("x-real-ip", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x_forwarded_for", "192.0.2.1"),
        ("x-forwarded-prefix", "/shop"),
        ("x-tollgate-subject", "root"),
    ];

    /// What goes on of [`SENT`], by a client of this address.
    fn outbound(peer: [u8; 4]) -> Vec<String> {
        let sender = Sender { address: Some(peer.into()), scheme: "http", host: Some(b"api.example") };
        let connection = SENT.iter().filter(|(name, _)| *name == "connection").map(|(_, value)| value.as_bytes());
        let headers = RequestHeaders::new(sender, &proxies("10.0.0.0/8").expect("a range"), connection);
        let values = |name: &str| SENT.iter().filter(|sent| sent.0 == name).map(|sent| sent.1).collect();
        let kept = SENT.iter().filter(|(name, _)| headers.has(name)).map(|(name, value)| format!("{name}: {value}"));
        let own = headers.forwarded(values).into_iter();
        let own = own.map(|(name, value)| format!("{name}: {}", String::from_utf8(value).expect("text")));
        kept.chain(own).collect()
    }

    #[test]
    fn a_client_does_not_say_where_it_comes_from() {
        let expected =
            ["accept: */*", "x-forwarded-for: 192.0.2.9", "x-forwarded-proto: http", "x-forwarded-host: api.example"];
        assert_eq!(outbound([192, 0, 2, 9]), expected);
    }

    #[test]
    fn a_trusted_proxy_says_where_its_client_comes_from() {
        let expected = [
            "accept: */*",
            "forwarded: for=192.0.2.1;proto=https",
            "x-real-ip: 192.0.2.1",
            "x-forwarded-proto: https",
            "x-forwarded-prefix: /shop",
            "x-forwarded-for: 192.0.2.1, 10.0.0.1",
            "x-forwarded-host: api.example",
        ];
        assert_eq!(outbound([10, 0, 0, 1]), expected);
    }
}
