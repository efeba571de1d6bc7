//! `Strict-Transport-Security` (RFC 6797): browsers use only HTTPS after their first HTTPS request.

use axum::http::HeaderValue;
use url::{Host, Url};

/// The header's value for an issuer. None without HTTPS, for IP addresses, to which HSTS does not
/// apply, and for `localhost`, where HSTS would affect other programs on other ports.
pub fn of_issuer(issuer: &str, seconds: u64) -> Option<HeaderValue> {
    let url = Url::parse(issuer).ok().filter(|url| url.scheme() == "https" && seconds > 0)?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let is_local = host == "localhost" || host.ends_with(".localhost");
    HeaderValue::try_from(format!("max-age={seconds}")).ok().filter(|_| !is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_host_names_have_hsts() {
        let of =
            |issuer: &str, seconds| of_issuer(issuer, seconds).map(|value| value.to_str().expect("text").to_owned());
        assert_eq!(of("https://auth.example", 60).as_deref(), Some("max-age=60"));
        assert_eq!(of("https://auth.example:8443/one", 60).as_deref(), Some("max-age=60"));
        assert_eq!(of("https://auth.example", 0), None);
        for issuer in [
            "http://auth.example",
            "https://127.0.0.1:8080",
            "https://[::1]",
            "https://localhost:8443",
            "https://a.localhost",
        ] {
            assert_eq!(of(issuer, 60), None, "{issuer}");
        }
    }
}
