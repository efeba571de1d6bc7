//! Header fields that are lists (RFC 9110 §5.6.1).

use axum::http::{HeaderMap, HeaderName};

/// Members of a list, in order. A member that is not text is ignored.
pub(crate) fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.filter_map(|member| str::from_utf8(member.trim_ascii()).ok()).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn unreadable_members_are_ignored() {
        let mut headers = HeaderMap::new();
        for line in [&b"text/html, a/\xff , */*;q=0.5"[..], b", application/json"] {
            headers.append(ACCEPT, HeaderValue::from_bytes(line).expect("a header"));
        }
        let members: Vec<&str> = members(&headers, ACCEPT).collect();
        assert_eq!(members, ["text/html", "*/*;q=0.5", "application/json"]);
    }
}
