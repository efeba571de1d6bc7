//! Cookies of a request. Other applications on the same host have cookies of their own, of any
//! bytes: they are passed over.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// Values of the cookies of this name, in the order in which they came (RFC 6265 §5.4). Read as
/// bytes: browsers send other people's cookies in UTF-8 or whatever they were set in, and one of
/// those must not hide ours.
pub(crate) fn named<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        str::from_utf8(value).ok()
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn other_cookies_are_passed_over() {
        let read = |lines: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_bytes(line).expect("a header"));
            }
            named(&headers, "tollgate").map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(read(&["other=J\u{fc}rgen; tollgate=a".as_bytes()]), ["a"]);
        assert_eq!(read(&[b"other=J\xfcrgen; tollgate=a;tollgate=b"]), ["a", "b"]);
        assert_eq!(
            read(&[b"tollgate=\xff; tollgate=a; nonsense; =; ;", b"tollgate-device=x", b"tollgate=b=c"]),
            ["a", "b=c"]
        );
        assert!(read(&[b"xtollgate=a; tollgate; tollgate"]).is_empty());
    }
}
