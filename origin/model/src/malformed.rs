//! The error of parsers, and the parser of identifiers.

/// Error: a text is not a value of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct Malformed {
    /// The kind of value, for example `client id`.
    pub what: &'static str,
    /// What is wrong with it; never contains the text itself.
    pub problem: &'static str,
}

/// Edges refuse tokens with a longer `iss`, `sub`, `aud`, `client_id` or `jti`.
pub const MAX_IDENTIFIER_BYTES: usize = 255;

/// Checks that `text` is 1 to [`MAX_IDENTIFIER_BYTES`] bytes, and that every byte is `allowed`.
pub(crate) fn identifier(
    what: &'static str,
    text: &str,
    allowed: fn(u8) -> bool,
    rule: &'static str,
) -> Result<String, Malformed> {
    if (1..=MAX_IDENTIFIER_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(Malformed::new(what, rule))
    }
}

impl Malformed {
    #[must_use]
    pub const fn new(what: &'static str, problem: &'static str) -> Malformed {
        Malformed { what, problem }
    }
}
