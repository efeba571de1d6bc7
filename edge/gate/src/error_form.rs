//! The form of an error's body that a client asks for: JSON as in RFC 6750, or problem details (RFC
//! 9457).

use crate::json::JsonObject;
use crate::message::{Request, Response};

/// Longest `Accept` header that is read, in bytes. Longer ones are ignored.
const MAX_ACCEPT_BYTES: usize = 1024;

/// Converts the body of an error response to the form that the request asks for.
pub(crate) fn negotiate(request: &Request<'_>, response: Response) -> Response {
    let is_error = response.error.is_some() || response.body.is_empty();
    if response.status >= 400 && is_error && prefers_problem_details(request) {
        problem_details(response)
    } else {
        response
    }
}

/// Problem details of an error. They have `error`, too, by which programs tell errors apart.
fn problem_details(mut response: Response) -> Response {
    let body = JsonObject::new().text("title", title(response.status)).number("status", u64::from(response.status));
    let body = match &response.error {
        Some(error) => body.text("detail", &error.description).text("error", &error.code),
        // A challenge without a token has no code (RFC 6750 section 3.1).
        None => body.text("detail", "the request has no access token"),
    };
    response.body = body.into_text().into_bytes();
    response.headers.retain(|(name, _)| *name != "content-type");
    response.with("content-type", "application/problem+json")
}

/// The status in words (RFC 9110 section 15), which is the title of a problem without a type.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// Whether `Accept` names problem details, and prefers no other JSON to them (RFC 9110 section
/// 12.5.1). Who only accepts everything gets the JSON that RFC 6750 clients know.
fn prefers_problem_details(request: &Request<'_>) -> bool {
    // Quality and precision of the most precise range for each of the two types.
    let (mut problem, mut json) = (0, (0, 0));
    let values = request.header("accept").filter(|value| value.len() <= MAX_ACCEPT_BYTES);
    for range in values.flat_map(|value| split_unquoted(value, b',')) {
        let mut parts = split_unquoted(range, b';').map(<[u8]>::trim_ascii);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
        let Some(quality) = weight.map_or(Some(1000), quality) else { continue };
        let precision = match media_type.as_slice() {
            b"application/problem+json" => {
                problem = quality;
                continue;
            }
            b"application/json" => 3,
            b"application/*" => 2,
            b"*/*" => 1,
            _ => continue,
        };
        json = if precision > json.0 { (precision, quality) } else { json };
    }
    problem > 0 && problem >= json.1
}

/// A weight in thousandths (RFC 9110 section 12.4.2); none if it is malformed.
fn quality(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let mut thousandths = 0;
    for place in 0..3 {
        thousandths = thousandths * 10 + decimals.get(place).map_or(Some(0), |byte| digit(*byte))?;
    }
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

/// Splits at a separator outside quoted strings (RFC 9110 section 5.6.4).
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |byte| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && !was_escaped && *byte == b'\\';
        is_quoted ^= *byte == b'"' && !was_escaped;
        !is_quoted && *byte == separator
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Connection;

    fn prefers(accept: &[&str]) -> bool {
        let headers: Vec<(&str, &[u8])> = accept.iter().map(|value| ("Accept", value.as_bytes())).collect();
        prefers_problem_details(&Request {
            method: "GET",
            target: "/",
            headers: &headers,
            connection: Connection::default(),
        })
    }

    #[test]
    fn problem_details_are_sent_where_they_are_preferred() {
        for accept in [
            &["application/problem+json"][..],
            &["application/problem+json, application/json"],
            &["application/json", "application/problem+json"],
            &["Application/Problem+JSON ; q=0.5"],
            &["*/*;q=0.1, application/problem+json;q=0.2"],
            &["application/problem+json;q=0.9, application/*;q=1.000, application/json;q=0.8"],
            &["text/html;level=\"a, application/json;q=1\", application/problem+json;q=0.001"],
            &["application/json;q=2, application/problem+json;q=0.5"],
        ] {
            assert!(prefers(accept), "{accept:?}");
        }
    }

    #[test]
    fn other_clients_get_json() {
        for accept in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["application/*"],
            &["application/problem+xml"],
            &["application/problem+json;q=0"],
            &["application/problem+json;q=0.000, */*"],
            &["application/problem+json;q=0.5, application/json"],
            &["application/problem+json;q=0.5, */*"],
            &["application/problem+json;q=1.1"],
            &["application/problem+json;q=0.0001"],
            &["application/problem+json;q="],
            &["application/problem+json;q=-1"],
            &["text/html;a=\"application/problem+json\""],
            &["text/html;a=\"\\\", application/problem+json\""],
        ] {
            assert!(!prefers(accept), "{accept:?}");
        }
        let long = format!("application/problem+json, {}", "a/b, ".repeat(300));
        assert!(!prefers(&[&long]));
    }

    #[test]
    fn problem_details_have_title_status_detail_and_code() {
        let headers = [("accept", b"application/problem+json".as_slice())];
        let request = Request { method: "GET", target: "/", headers: &headers, connection: Connection::default() };
        let refusal = crate::bearer::invalid_request("the path is not UTF-8");
        let problem = negotiate(&request, refusal.clone());
        assert_eq!(
            problem.body,
            br#"{"title":"Bad Request","status":400,"detail":"the path is not UTF-8","error":"invalid_request"}"#
        );
        let header = |response: &Response, name: &str| {
            response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        assert_eq!(header(&problem, "content-type").as_deref(), Some("application/problem+json"));
        assert_eq!(header(&problem, "www-authenticate"), header(&refusal, "www-authenticate"));
        assert_eq!(problem.headers.len(), refusal.headers.len());
        let without_code = negotiate(&request, crate::bearer::missing_token(crate::bearer::Scheme::Bearer));
        assert_eq!(
            without_code.body,
            br#"{"title":"Unauthorized","status":401,"detail":"the request has no access token"}"#
        );
    }
}
