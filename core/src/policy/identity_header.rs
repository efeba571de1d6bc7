//! Names of headers that may carry a token's identity to an upstream.

const MAX_NAME_BYTES: usize = 128;

/// Names, without `X-`, of headers with another meaning: a proxy's statements about its client and
/// the original request, and overrides of the request. One text, to keep components small.
const OTHER_HEADERS: &str = "client-cert client-ip cluster-client-ip forwarded-by forwarded-client-cert \
    forwarded-for forwarded-host forwarded-method forwarded-port forwarded-prefix forwarded-proto \
    forwarded-scheme forwarded-server forwarded-uri http-method http-method-override method-override \
    remote-addr request-id rewrite-url";
const OTHER_PREFIXES: &str = "original- real- ssl-client-";

/// Whether a header of this name may carry a token's identity: letters, digits and hyphens, `X-` at
/// the beginning, and no header with another meaning. `Remote-User` may, too.
pub fn may_carry_identity(name: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.len() > MAX_NAME_BYTES || !name.bytes().all(is_name_byte) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let Some(rest) = name.strip_prefix("x-") else { return name == "remote-user" };
    let has_other_meaning = OTHER_HEADERS.split(' ').any(|other| rest == other)
        || OTHER_PREFIXES.split(' ').any(|prefix| rest.starts_with(prefix));
    !rest.is_empty() && !has_other_meaning
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
