//! Names of headers that may carry a token's identity to an upstream.

const MAX_NAME_BYTES: usize = 128;

/// Headers with another meaning: a proxy's statements about its client and the original request,
/// and overrides of the request.
const OTHER_HEADERS: [&str; 20] = [
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-by",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-request-id",
    "x-rewrite-url",
    "x-remote-addr",
];
const OTHER_PREFIXES: [&str; 3] = ["x-original-", "x-real-", "x-ssl-client-"];

/// Whether a header of this name may carry a token's identity: letters, digits and hyphens, `X-` at
/// the beginning, and no header with another meaning. `Remote-User` may, too.
pub fn may_carry_identity(name: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.len() > MAX_NAME_BYTES || !name.bytes().all(is_name_byte) {
        return false;
    }
    let name = &*name.to_ascii_lowercase();
    let has_other_meaning =
        OTHER_HEADERS.contains(&name) || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !has_other_meaning && (name == "remote-user" || (name.starts_with("x-") && name.len() > 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_never_replaces_a_header_with_another_meaning() {
        for name in
            ["X-User", "x-tenant-id", "X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-Request-Email"]
        {
            assert!(may_carry_identity(name), "{name}");
        }
        for name in [
            "",
            "X-",
            "Authorization",
            "Host",
            "Content-Length",
            "Connection",
            "Cookie",
            "X-Forwarded-For",
            "x-forwarded-proto",
            "X-Real-IP",
            "X-Original-URL",
            "X-HTTP-Method-Override",
            "X-User_Id",
            "X-User Id",
            "X-\u{dc}ser",
        ] {
            assert!(!may_carry_identity(name), "{name}");
        }
    }
}
