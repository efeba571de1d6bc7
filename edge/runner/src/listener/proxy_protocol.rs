//! The PROXY protocol, versions 1 and 2, by which a proxy of TCP connections says which client it
//! serves. HAProxy's specification `proxy-protocol.txt` defines it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Begin of a header of version 2. A header of version 1 is not shorter.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1, its line break included.
const MAX_LINE_BYTES: usize = 107;
/// Longest part of a header of version 2 after its length; addresses are followed by extensions.
const MAX_BODY_BYTES: u16 = 4096;
/// Version 2 and the commands: the connection is the proxy's own, or a client's.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Address families: TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Reads the header with which a connection begins. None if it names no client.
pub(super) async fn read_client(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await?;
    if begin != SIGNATURE {
        return parse_line(&read_line(stream, &begin).await?).ok_or_else(invalid);
    }
    let (command, family, length) = (stream.read_u8().await?, stream.read_u8().await?, stream.read_u16().await?);
    if length > MAX_BODY_BYTES {
        return Err(invalid());
    }
    let mut body = vec![0; usize::from(length)];
    stream.read_exact(&mut body).await?;
    match command {
        LOCAL => Ok(None),
        PROXY => parse_addresses(family, &body).ok_or_else(invalid),
        _ => Err(invalid()),
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the connection does not begin with a header of the PROXY protocol")
}

/// Reads the rest of the line that begins so, without its line break.
async fn read_line(stream: &mut (impl AsyncRead + Unpin), begin: &[u8]) -> io::Result<Vec<u8>> {
    let mut line = begin.to_vec();
    if !line.starts_with(b"PROXY ") {
        return Err(invalid());
    }
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE_BYTES {
            return Err(invalid());
        }
        line.push(stream.read_u8().await?);
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

/// The client in a header of version 1: `PROXY TCP4 CLIENT PROXY CLIENT-PORT PROXY-PORT`. The inner
/// option is none if it is unknown; the outer, if the header is invalid.
fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let fields: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    match fields[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family @ ("TCP4" | "TCP6"), client, proxy, client_port, proxy_port] => {
            let (client, proxy) = (client.parse::<IpAddr>().ok()?, proxy.parse::<IpAddr>().ok()?);
            let (client_port, _) = (client_port.parse::<u16>().ok()?, proxy_port.parse::<u16>().ok()?);
            let is_of_family = |address: IpAddr| address.is_ipv4() == (family == "TCP4");
            (is_of_family(client) && is_of_family(proxy)).then(|| Some(SocketAddr::new(client, client_port)))
        }
        _ => None,
    }
}

/// The client in a header of version 2: its address, the proxy's, and their ports. The inner option
/// is none if it is of another family; the outer, if the header is invalid.
fn parse_addresses(family: u8, body: &[u8]) -> Option<Option<SocketAddr>> {
    let port = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    match family {
        TCP4 => {
            let address: [u8; 4] = body.get(..4)?.try_into().ok()?;
            body.get(..12).and(Some(Some((address, port(8)?).into())))
        }
        TCP6 => {
            let address: [u8; 16] = body.get(..16)?.try_into().ok()?;
            body.get(..36).and(Some(Some((address, port(32)?).into())))
        }
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn client_of(header: &[u8]) -> Result<Option<String>, io::ErrorKind> {
        let client = read_client(&mut &*header).await.map_err(|error| error.kind())?;
        Ok(client.map(|client| client.to_string()))
    }

    fn version2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("a short body").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    #[tokio::test]
    async fn both_versions_name_the_client() {
        let named = |client: &str| Ok(Some(client.to_owned()));
        assert_eq!(client_of(b"PROXY TCP4 192.0.2.1 10.0.0.1 4000 443\r\nGET").await, named("192.0.2.1:4000"));
        assert_eq!(client_of(b"PROXY TCP6 2001:db8::1 ::1 4000 443\r\n").await, named("[2001:db8::1]:4000"));
        let ipv4 = [192, 0, 2, 1, 10, 0, 0, 1, 15, 160, 1, 187];
        assert_eq!(client_of(&version2(PROXY, TCP4, &ipv4)).await, named("192.0.2.1:4000"));
        assert_eq!(
            client_of(&version2(PROXY, TCP4, &[&ipv4[..], &[4, 0, 1, 0]].concat())).await,
            named("192.0.2.1:4000")
        );
        let mut ipv6 = [0; 36];
        (ipv6[15], ipv6[32], ipv6[33]) = (1, 15, 160);
        assert_eq!(client_of(&version2(PROXY, TCP6, &ipv6)).await, named("[::1]:4000"));
    }

    #[tokio::test]
    async fn header_without_a_client_leaves_the_proxys_address() {
        assert_eq!(client_of(b"PROXY UNKNOWN\r\n").await, Ok(None));
        assert_eq!(client_of(&version2(LOCAL, 0, &[])).await, Ok(None));
        assert_eq!(client_of(&version2(PROXY, 0x31, &[0; 216])).await, Ok(None), "a local socket");
    }

    #[tokio::test]
    async fn other_beginnings_are_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for header in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4000\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 4000 443\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4000 70000\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 4000 443\r\n",
            long.as_bytes(),
            &version2(PROXY, TCP4, &[0; 11]),
            &version2(0x11, TCP4, &[0; 12]),
            &version2(PROXY, TCP4, &[0; 5000]),
        ] {
            assert_eq!(client_of(header).await, Err(io::ErrorKind::InvalidData), "{}", header.escape_ascii());
        }
        assert_eq!(client_of(b"PROXY TCP4 192").await, Err(io::ErrorKind::UnexpectedEof));
    }
}
