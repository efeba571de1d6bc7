//! Client address of a request, behind trusted proxies or not.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use tollgate_config::Network;

/// The address of the client that sent a request: the peer of the connection or, if that is a
/// trusted proxy, the last address in `X-Forwarded-For` that is not one; entries to its left were
/// set by the client and are not trusted. None if the entry cannot be parsed.
pub(super) fn client_address(headers: &HeaderMap, peer: IpAddr, proxies: &[Network]) -> Option<IpAddr> {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(*address));
    if !is_proxy(&peer) {
        return Some(peer.to_canonical());
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // Empty members of a list are ignored (RFC 9110 §5.6.1.2).
    let mut hops = hops.filter(|hop| !hop.is_empty()).map(hop_address);
    match hops.find(|hop| !hop.as_ref().is_some_and(is_proxy)) {
        Some(client) => client.map(|client| client.to_canonical()),
        None => Some(peer.to_canonical()),
    }
}

/// The address of a hop: `198.51.100.1`, `2001:db8::1` or `[2001:db8::1]`. Some proxies add a port,
/// which differs with each connection and is ignored.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn forwarded_addresses_are_accepted_from_trusted_proxies_only() {
        let of = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).expect("a header"));
            }
            let proxies = ["10.0.0.0/8".parse().expect("a network")];
            client_address(&headers, peer.parse().expect("an address"), &proxies).map(|address| address.to_string())
        };
        let text = |address: &str| Some(address.to_owned());
        assert_eq!(of("192.0.2.1", &["198.51.100.1"]), text("192.0.2.1"), "anybody can send the header");
        assert_eq!(
            of("10.0.0.1", &["203.0.113.9, 198.51.100.1"]),
            text("198.51.100.1"),
            "entries to the left are the client's"
        );
        assert_eq!(of("10.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.2"]), text("198.51.100.1"));
        assert_eq!(of("10.0.0.1", &[]), text("10.0.0.1"));
        assert_eq!(of("10.0.0.1", &["198.51.100.1, nonsense"]), None);
        assert_eq!(of("::ffff:192.0.2.1", &[]), text("192.0.2.1"));
    }

    #[test]
    fn ports_brackets_and_malformed_entries_do_not_hide_an_address() {
        let of = |forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_bytes(forwarded.as_bytes()).expect("a header"));
            let proxies = ["10.0.0.0/8".parse().expect("a network")];
            client_address(&headers, "10.0.0.1".parse().expect("an address"), &proxies)
                .map(|address| address.to_string())
        };
        for (forwarded, address) in [
            ("198.51.100.1:40001", "198.51.100.1"),
            ("198.51.100.1:40001, 10.0.0.2:443", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:40001", "2001:db8::1"),
            ("[::ffff:198.51.100.1]:1", "198.51.100.1"),
            ("198.51.100.1, , ", "198.51.100.1"),
            ("J\u{fc}rgen, 198.51.100.1", "198.51.100.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(of(forwarded).as_deref(), Some(address), "{forwarded}");
        }
        for forwarded in
            ["unknown", "_hidden", "198.51.100.1:", "198.51.100.1:x", "[2001:db8::1", "198.51.100.1, J\u{fc}rgen"]
        {
            assert_eq!(of(forwarded), None, "{forwarded}");
        }
    }
}
