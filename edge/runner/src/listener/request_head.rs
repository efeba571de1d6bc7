//! Gives requests of all HTTP versions one form, so that gate and upstream read the same request.

use http::header::{COOKIE, HOST};
use http::{HeaderValue, Method, Version};

/// Sets `Host` to the authority of the request's target, and joins the `Cookie` headers that
/// HTTP/2 allows. The error says why the request is refused: servers could read it differently.
pub(super) fn normalize<B>(request: &mut http::Request<B>) -> Result<(), &'static str> {
    set_host(request)?;
    if request.version() == Version::HTTP_2 {
        join_cookies(request);
    }
    Ok(())
}

fn set_host<B>(request: &mut http::Request<B>) -> Result<(), &'static str> {
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Err("the request has more than one Host header");
    }
    let Some(authority) = request.uri().authority().filter(|_| request.method() != Method::CONNECT) else {
        return Ok(());
    };
    if authority.as_str().contains('@') {
        return Err("the request's target names a user");
    }
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    if request.version() == Version::HTTP_2
        && host.is_some_and(|host| !host.eq_ignore_ascii_case(authority.as_str().as_bytes()))
    {
        return Err("Host and :authority differ");
    }
    // RFC 9112 section 3.2.2, RFC 9113 section 8.3.1.
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "the request's target has no valid host")?;
    request.headers_mut().insert(HOST, host);
    Ok(())
}

/// RFC 9113 section 8.2.3.
fn join_cookies<B>(request: &mut http::Request<B>) {
    let cookies: Vec<&[u8]> = request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        request.headers_mut().insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<Vec<String>, &'static str> {
        let mut request = http::Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).expect("a request");
        normalize(&mut request)?;
        let line =
            |(name, value): (&http::HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
        Ok(request.headers().iter().map(line).collect())
    }

    #[test]
    fn http2_request_gets_the_headers_of_http1() {
        let cookies = [("cookie", "a=1"), ("cookie", "b=2")];
        let headers = normalized(Version::HTTP_2, "https://api.example/x", &cookies);
        assert_eq!(headers, Ok(vec!["cookie: a=1; b=2".to_owned(), "host: api.example".to_owned()]));
        let headers = normalized(Version::HTTP_2, "https://api.example/x", &[("host", "API.example")]);
        assert_eq!(headers, Ok(vec!["host: api.example".to_owned()]));
    }

    #[test]
    fn host_is_that_of_an_absolute_target() {
        let headers = normalized(Version::HTTP_11, "http://api.example/x", &[("host", "other.example")]);
        assert_eq!(headers, Ok(vec!["host: api.example".to_owned()]));
        let headers = normalized(Version::HTTP_11, "/x", &[("host", "other.example")]);
        assert_eq!(headers, Ok(vec!["host: other.example".to_owned()]));
    }

    #[test]
    fn request_with_two_hosts_is_refused() {
        let two = [("host", "a"), ("host", "b")];
        assert!(normalized(Version::HTTP_11, "/x", &two).is_err());
        assert!(normalized(Version::HTTP_2, "https://a/x", &two).is_err());
        assert!(normalized(Version::HTTP_2, "https://a/x", &[("host", "b")]).is_err());
        assert!(normalized(Version::HTTP_2, "https://user@a/x", &[]).is_err());
    }
}
