//! Scopes (RFC 6749 §3.3): sorted sets of values, so that equal scopes are equal strings.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::malformed::Malformed;

/// The scope value of the admin API.
pub const ADMIN: &str = "tollgate:admin";
/// Scope values about the user (OpenID Connect Core §5.4 and §11), which every client can request.
pub const USER_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];
/// Prefix of the scope values of this server's own APIs, which only the operator gives.
const OWN_PREFIX: &str = "tollgate:";

/// Whether this server itself defines a scope value.
#[must_use]
pub fn is_standard(value: &str) -> bool {
    USER_SCOPES.contains(&value) || value.starts_with(OWN_PREFIX)
}

/// Values of one scope; bounds the size of a token.
const MAX_VALUES: usize = 64;
/// Bytes of a value; bounds the size of a token.
const MAX_VALUE_LENGTH: usize = 128;

/// A set of scope values, possibly empty. Stored in its serialized form: sorted, each value once,
/// separated by single spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// Parses values separated by single spaces; repeated values count once. The empty string is
    /// the empty scope.
    ///
    /// # Errors
    /// If a value is empty or contains a character that `scope-token` of RFC 6749 §3.3 does not
    /// allow, or there are too many.
    pub fn parse(text: &str) -> Result<Scope, Malformed> {
        if text.is_empty() {
            return Ok(Scope::default());
        }
        text.split(' ').map(checked_value).collect::<Result<BTreeSet<_>, _>>().and_then(bounded)
    }

    /// Parses command-line arguments with values separated by white space.
    ///
    /// # Errors
    /// As [`Scope::parse`].
    pub fn from_arguments(arguments: &[String]) -> Result<Scope, Malformed> {
        let values = arguments.iter().flat_map(|argument| argument.split_whitespace());
        values.map(checked_value).collect::<Result<BTreeSet<_>, _>>().and_then(bounded)
    }

    /// Whether `other` contains every value of `self`.
    #[must_use]
    pub fn is_within(&self, other: &Scope) -> bool {
        self.values().all(|value| other.has(value))
    }

    /// Whether it contains `value`.
    #[must_use]
    pub fn has(&self, value: &str) -> bool {
        self.values().any(|own| own == value)
    }

    /// The values that both contain.
    #[must_use]
    pub fn intersection(&self, other: &Scope) -> Scope {
        Scope::of(self.values().filter(|value| other.has(value)).collect())
    }

    /// The values that satisfy `is_kept`.
    #[must_use]
    pub fn filter(&self, is_kept: impl Fn(&str) -> bool) -> Scope {
        Scope::of(self.values().filter(|value| is_kept(value)).collect())
    }

    /// The values that either contains.
    ///
    /// # Errors
    /// If there are too many.
    pub fn union(&self, other: &Scope) -> Result<Scope, Malformed> {
        bounded(self.values().chain(other.values()).collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the scope gives access to the admin API.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.has(ADMIN)
    }

    /// Sorted.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|value| !value.is_empty())
    }

    /// The values, sorted and separated by single spaces.
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
    fn scope_is_parsed_sorted_and_displayed() {
        let scope = Scope::parse("reports:write reports:read reports:read").expect("well-formed");
        assert_eq!(scope.to_string(), "reports:read reports:write");
        assert!(Scope::parse("reports:read").expect("well-formed").is_within(&scope));
        assert!(!scope.is_within(&Scope::default()));
    }

    #[test]
    fn malformed_scopes_are_refused() {
        for text in [" a", "a ", "a  b", "a\"b", "a\\b", "a\tb", "ä"] {
            assert!(Scope::parse(text).is_err(), "{text:?} passed");
        }
    }
}
