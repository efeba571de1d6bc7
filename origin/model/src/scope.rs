//! Scope values (RFC 6749 §3.3): a set, kept in order, so that equal scopes are equal strings.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Malformed;

/// The scope value of the admin API.
pub const ADMIN: &str = "tollgate:admin";
/// More values than any client sensibly has; bounds a token's size.
const MAX_VALUES: usize = 64;
/// Longer than any sensible value; bounds a token's size.
const MAX_VALUE_LENGTH: usize = 128;

/// A set of scope values, possibly empty; kept as the wire has it: in order, each once, separated by single spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// Reads the wire form: values separated by single spaces, repeated values counted once. The empty string is the
    /// empty scope.
    ///
    /// # Errors
    /// When a value is empty or has a character outside RFC 6749 §3.3's `scope-token`, or there is too much of it.
    pub fn parse(text: &str) -> Result<Scope, Malformed> {
        if text.is_empty() {
            return Ok(Scope::default());
        }
        text.split(' ').map(checked_value).collect::<Result<BTreeSet<_>, _>>().and_then(bounded)
    }

    /// Reads what a person typed: several arguments, each with values separated by any white space.
    ///
    /// # Errors
    /// As for [`Scope::parse`].
    pub fn from_arguments(arguments: &[String]) -> Result<Scope, Malformed> {
        let values = arguments.iter().flat_map(|argument| argument.split_whitespace());
        values.map(checked_value).collect::<Result<BTreeSet<_>, _>>().and_then(bounded)
    }

    /// Whether every value of `self` is in `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Scope) -> bool {
        self.values().all(|value| other.has(value))
    }

    /// Whether `value` is among them.
    #[must_use]
    pub fn has(&self, value: &str) -> bool {
        self.values().any(|own| own == value)
    }

    /// The values that are in both.
    #[must_use]
    pub fn common(&self, other: &Scope) -> Scope {
        Scope::of(self.values().filter(|value| other.has(value)).collect())
    }

    /// The values that are in one or the other.
    ///
    /// # Errors
    /// When they are more than a scope may have.
    pub fn joined(&self, other: &Scope) -> Result<Scope, Malformed> {
        bounded(self.values().chain(other.values()).collect())
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the admin API would let a token with this scope in.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.has(ADMIN)
    }

    /// The values in order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|value| !value.is_empty())
    }

    /// The values in order, separated by single spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(values: BTreeSet<&str>) -> Scope {
        Scope(Vec::from_iter(values).join(" "))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Scope {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Scope, Malformed> {
        Scope::parse(text)
    }
}

json_as_text!(Scope);

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`
fn checked_value(value: &str) -> Result<&str, Malformed> {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    if value.is_empty() {
        return Err(Malformed::new("scope", "has an empty value: values are separated by single spaces"));
    }
    if value.len() > MAX_VALUE_LENGTH {
        return Err(Malformed::new("scope", "has a value longer than 128 characters"));
    }
    if !value.bytes().all(allowed) {
        return Err(Malformed::new("scope", "has a character that RFC 6749 does not allow"));
    }
    Ok(value)
}

fn bounded(values: BTreeSet<&str>) -> Result<Scope, Malformed> {
    if values.len() > MAX_VALUES {
        return Err(Malformed::new("scope", "has more than 64 values"));
    }
    Ok(Scope::of(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sorts_and_writes() {
        let scope = Scope::parse("reports:write reports:read reports:read").expect("well-formed");
        assert_eq!(scope.to_string(), "reports:read reports:write");
        assert!(Scope::parse("reports:read").expect("well-formed").is_within(&scope));
        assert!(!scope.is_within(&Scope::default()));
    }

    #[test]
    fn refuses_what_the_rfc_does() {
        for text in [" a", "a ", "a  b", "a\"b", "a\\b", "a\tb", "ä"] {
            assert!(Scope::parse(text).is_err(), "{text:?} passed");
        }
    }
}
