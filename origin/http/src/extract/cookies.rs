//! Cookies of a request. Those of other applications on the same host are ignored, whatever bytes
//! they contain.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// Values of the cookies with this name, in the order sent (RFC 6265 §5.4). The header is read as
/// bytes, so that a foreign cookie that is not ASCII does not hide ours.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
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
    fn foreign_cookies_are_ignored() {
        let read = |lines: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_bytes(line).expect("a header"));
            }
            values(&headers, "tollgate").map(str::to_owned).collect::<Vec<_>>()
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
