//! Hosts of route rules.

/// Longest host name (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Whether `text` is the host of a rule: a name or an address in lower case without port, or `*.`
/// and a name for all names below it.
pub(super) fn is_pattern(text: &str) -> bool {
    is_host(text.strip_prefix("*.").unwrap_or(text)) && !text.starts_with("*.[")
}

/// Whether `text` is a host name, an IPv4 address, or an IPv6 address in brackets, in lower case.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let is_address_byte = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b':' | b'.');
        return address.contains(':') && address.bytes().all(is_address_byte);
    }
    let is_label_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    text.len() <= MAX_HOST_BYTES
        && text.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.bytes().all(is_label_byte))
}
