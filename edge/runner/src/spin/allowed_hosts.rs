//! The hosts that a component may call.

use http::Uri;
use http::uri::Scheme;

/// The origins (scheme, host and port) that a component may call, Spin's `allowed_outbound_hosts`.
pub(crate) struct AllowedHosts(Vec<(Scheme, String, u16)>);

impl AllowedHosts {
    /// Parses the entries as Spin does: one invalid entry makes all invalid. The error is that
    /// entry.
    pub(crate) fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<AllowedHosts, &'a str> {
        let parse = |entry: &'a str| {
            let uri: Option<Uri> = entry.parse().ok().filter(|uri: &Uri| uri.path() == "/" && uri.query().is_none());
            uri.as_ref().and_then(origin_of).ok_or(entry)
        };
        entries.into_iter().map(parse).collect::<Result<_, _>>().map(AllowedHosts)
    }

    pub(super) fn contains(&self, uri: &Uri) -> bool {
        origin_of(uri).is_some_and(|origin| self.0.contains(&origin))
    }
}

/// Scheme, host and port of a URI, without user names.
fn origin_of(uri: &Uri) -> Option<(Scheme, String, u16)> {
    let scheme = uri.scheme()?.clone();
    let port = uri
        .port_u16()
        .or_else(|| (scheme == Scheme::HTTPS).then_some(443))
        .or_else(|| (scheme == Scheme::HTTP).then_some(80))?;
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_hosts_may_be_called() {
        let allowed = AllowedHosts::parse(["https://auth.example", "http://127.0.0.1:5000/"]);
        for (url, is_allowed) in [
            ("https://auth.example/edge/v1/snapshot", true),
            ("https://AUTH.example:443/", true),
            ("http://auth.example/", false),
            ("https://auth.example:8443/", false),
            ("https://auth.example.evil.example/", false),
            ("https://auth.example@evil.example/", false),
            ("http://127.0.0.1:5000/other", true),
            ("http://127.0.0.1:5001/", false),
            ("/relative", false),
        ] {
            assert_eq!(
                url.parse().is_ok_and(|uri| allowed.as_ref().is_ok_and(|allowed| allowed.contains(&uri))),
                is_allowed,
                "{url}"
            );
        }
    }

    #[test]
    fn entry_with_a_path_makes_all_invalid() {
        let entries = ["https://auth.example", "http://127.0.0.1:5000/base"];
        assert_eq!(AllowedHosts::parse(entries).err(), Some(entries[1]));
    }
}
