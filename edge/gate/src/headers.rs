//! Which headers an edge passes from the client to the upstream, and back. All edges use this
//! policy.
//!
//! Never passed on:
//! - hop-by-hop headers, including those that `Connection` names;
//! - reserved headers: `X-Tollgate-*`, which the gate sets, and headers that override the method or
//!   the path on which the gate decided;
//! - headers that say where a request came from, unless a trusted proxy sent them.

use std::net::IpAddr;

use crate::setting_error::SettingError;

/// Headers that apply to one connection only (RFC 9110 section 7.6.1).
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
/// Headers by which some frameworks replace the method or path of the request line.
const OVERRIDE_HEADERS: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
/// Headers by which a proxy names its client, its client's user or certificate, and the original
/// request, apart from those of [`PROXY_PREFIXES`]. Upstreams believe them, so only trusted proxies
/// may send them.
const PROXY_HEADERS: [&str; 32] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-cert",
    "client-ip",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "front-end-https",
    "proxy-client-ip",
    "remote-addr",
    "remote-user",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-arr-clientcert",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-originating-ip",
    "x-scheme",
    "x-url-scheme",
    "x-webauth-user",
];
const PROXY_PREFIXES: [&str; 8] = [
    "client-cert-",
    "ssl-client-",
    "x-amzn-mtls-",
    "x-auth-request-",
    "x-forwarded-",
    "x-real-",
    "x-remote-",
    "x-ssl-client-",
];
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";
pub(crate) const TRUSTED_PROXIES: &str = "TOLLGATE_EDGE_TRUSTED_PROXIES";

/// The hop-by-hop headers of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopByHopHeaders {
    /// Names listed in `Connection`, in lower case.
    named: Vec<String>,
}

impl HopByHopHeaders {
    /// Reads the message's `Connection` headers.
    pub fn new<'a>(connection: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let names = connection.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        let named = names.filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok());
        Self { named: named.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect() }
    }

    /// Whether the header applies to this connection only.
    pub fn contains(&self, name: &str) -> bool {
        HOP_BY_HOP.iter().any(|known| name.eq_ignore_ascii_case(known))
            || self.named.iter().any(|known| name.eq_ignore_ascii_case(known))
    }
}

/// The peer of an inbound connection, as far as the host knows it.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// The peer's address.
    pub address: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The request's `Host`.
    pub host: Option<&'a [u8]>,
}

/// Decides which headers of one request go to the upstream. The host adds the upstream's `Host` and
/// the identity headers of [`Forward`](crate::Forward).
#[derive(Debug)]
pub struct RequestHeaderPolicy<'a> {
    peer: Peer<'a>,
    is_from_trusted_proxy: bool,
    hop_by_hop: HopByHopHeaders,
    removed: &'a [String],
}

impl<'a> RequestHeaderPolicy<'a> {
    /// The policy for a request with these `Connection` headers.
    pub fn new<'c>(peer: Peer<'a>, proxies: &TrustedProxies, connection: impl IntoIterator<Item = &'c [u8]>) -> Self {
        let is_from_trusted_proxy = peer.address.is_some_and(|address| proxies.contains(address));
        Self { peer, is_from_trusted_proxy, hop_by_hop: HopByHopHeaders::new(connection), removed: &[] }
    }

    /// Removes these headers, too: those of [`Forward`](crate::Forward).
    #[must_use]
    pub fn without(self, removed: &'a [String]) -> Self {
        Self { removed, ..self }
    }

    /// Whether the client's header goes to the upstream unchanged.
    pub fn passes(&self, name: &str) -> bool {
        let is_removed = name.eq_ignore_ascii_case("host")
            || self.hop_by_hop.contains(name)
            || is_reserved_header(name)
            || self.removed.iter().any(|removed| is_named(name, removed));
        // A proxy does not remove a client's `x_forwarded_for`, because it does not know the
        // spelling.
        let may_be_of_proxy = self.is_from_trusted_proxy && !name.contains('_') && !is_named(name, FORWARDED_FOR);
        !is_removed && (may_be_of_proxy || !is_proxy_header(name))
    }

    /// The `X-Forwarded-*` headers that this edge adds. `inbound` returns the values of a request
    /// header. After a trusted proxy, the edge appends the proxy's address to `X-Forwarded-For` and
    /// adds the other two only if they are missing.
    pub fn forwarding_headers<V: AsRef<[u8]>>(&self, inbound: impl Fn(&str) -> Vec<V>) -> Vec<(&'static str, Vec<u8>)> {
        let from_proxy = |name| if self.is_from_trusted_proxy { inbound(name) } else { Vec::new() };
        let mut addresses: Vec<Vec<u8>> =
            from_proxy(FORWARDED_FOR).iter().map(|value| value.as_ref().to_vec()).collect();
        addresses.extend(self.peer.address.map(|address| address.to_string().into_bytes()));
        let if_missing = |name, value: Option<&[u8]>| from_proxy(name).is_empty().then_some(value?).map(<[u8]>::to_vec);
        [
            (FORWARDED_FOR, Some(addresses.join(&b", "[..])).filter(|addresses| !addresses.is_empty())),
            (FORWARDED_PROTO, if_missing(FORWARDED_PROTO, Some(self.peer.scheme.as_bytes()))),
            (FORWARDED_HOST, if_missing(FORWARDED_HOST, self.peer.host)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Whether the upstream must never get this header from a client: only the gate sets the identity,
/// and method and path must be those on which it decided.
pub fn is_reserved_header(name: &str) -> bool {
    has_prefix(name, "x-tollgate-") || OVERRIDE_HEADERS.iter().any(|known| is_named(name, known))
}

fn is_proxy_header(name: &str) -> bool {
    PROXY_PREFIXES.iter().any(|prefix| has_prefix(name, prefix))
        || PROXY_HEADERS.iter().any(|known| is_named(name, known))
}

/// Compares names with `_` equal to `-`: CGI-like servers cannot tell them apart, so a client could
/// otherwise pass a header of the gate or of a proxy.
fn is_named(name: &str, known: &str) -> bool {
    name.len() == known.len() && has_prefix(name, known)
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    let normal = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, known)| normal(byte) == known)
}

/// Addresses of the proxies in front of an edge whose `X-Forwarded-*` and similar headers are
/// trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Reads `TOLLGATE_EDGE_TRUSTED_PROXIES` through `get`.
    ///
    /// # Errors
    /// When the value is not a list of addresses and CIDR ranges.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let text = get(TRUSTED_PROXIES).unwrap_or_default();
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty());
        let networks: Option<Vec<Network>> = ranges.map(Network::parse).collect();
        networks.map(Self).ok_or_else(|| SettingError {
            name: TRUSTED_PROXIES,
            problem: format!("must be addresses or ranges such as 10.0.0.0/8, comma separated, not {text:?}"),
        })
    }

    /// The client's address: the peer's or, behind trusted proxies, the last one in
    /// `X-Forwarded-For` that is not a trusted proxy's.
    pub fn client_address<'v>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'v [u8]>) -> IpAddr {
        let parse = |address: &[u8]| str::from_utf8(address.trim_ascii()).ok()?.parse::<IpAddr>().ok();
        let mut addresses = forwarded_for.rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut client = peer;
        while self.contains(client)
            && let Some(next) = addresses.next().and_then(parse)
        {
            client = next;
        }
        client
    }

    /// Whether the address is that of a trusted proxy. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

/// A CIDR range.
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

    fn contains(&self, address: IpAddr) -> bool {
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
    fn reserved_headers_are_recognized_in_every_spelling() {
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
    fn client_address_is_the_last_that_a_trusted_proxy_saw() {
        let trusted = proxies("10.0.0.0/8").expect("a range");
        let address = |peer: &str, forwarded_for: &[&str]| {
            let peer = peer.parse().expect("an address");
            trusted.client_address(peer, forwarded_for.iter().map(|value| value.as_bytes())).to_string()
        };
        assert_eq!(address("192.0.2.1", &["192.0.2.9"]), "192.0.2.1", "no trusted proxy");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["192.0.2.9, 192.0.2.2"]), "192.0.2.2");
        assert_eq!(address("10.0.0.1", &["192.0.2.9", "192.0.2.2, 10.0.0.2"]), "192.0.2.2");
        assert_eq!(address("10.0.0.1", &["192.0.2.9, unknown, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn trusted_proxies_may_be_addresses_and_ranges() {
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
            assert_eq!(some.contains(address.parse().expect("an address")), is_trusted, "{address}");
        }
        assert!(proxies("0.0.0.0/0").expect("a range").contains([192, 0, 2, 1].into()));
        assert!(!proxies("").expect("none").contains([127, 0, 0, 1].into()));
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

    /// The headers that the upstream gets for [`SENT`] from this address.
    fn outbound(address: [u8; 4]) -> Vec<String> {
        let peer = Peer { address: Some(address.into()), scheme: "http", host: Some(b"api.example") };
        let connection = SENT.iter().filter(|(name, _)| *name == "connection").map(|(_, value)| value.as_bytes());
        let policy = RequestHeaderPolicy::new(peer, &proxies("10.0.0.0/8").expect("a range"), connection);
        let values = |name: &str| SENT.iter().filter(|sent| sent.0 == name).map(|sent| sent.1).collect();
        let passed =
            SENT.iter().filter(|(name, _)| policy.passes(name)).map(|(name, value)| format!("{name}: {value}"));
        let added = policy.forwarding_headers(values).into_iter();
        let added = added.map(|(name, value)| format!("{name}: {}", String::from_utf8(value).expect("text")));
        passed.chain(added).collect()
    }

    #[test]
    fn untrusted_forwarding_headers_are_replaced() {
        let expected =
            ["accept: */*", "x-forwarded-for: 192.0.2.9", "x-forwarded-proto: http", "x-forwarded-host: api.example"];
        assert_eq!(outbound([192, 0, 2, 9]), expected);
    }

    #[test]
    fn trusted_proxy_forwarding_headers_are_kept_and_extended() {
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
