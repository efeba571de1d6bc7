//! Strict reading of a route rule's document. Unknown members and values are refused, because an
//! edge must not silently ignore a requirement that it does not understand.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::rule::{ClaimCondition, ClaimRule, ClaimValue, Cors, RateLimit, RateLimitKey, Route, StreamPolicy};
use super::{UnknownStatusPolicy, host, may_carry_identity, pattern};
use crate::claims::is_scope_value;
use crate::json::{self, JsonError, Reader};

/// Most entries of a list or an object in a rule, apart from methods and scope.
const MAX_ENTRIES: usize = 64;
/// Longest text of a rule, in bytes, apart from path, methods and scope.
const MAX_TEXT_BYTES: usize = 512;
/// Longest time of a rule, in seconds: ten years.
const MAX_SECONDS: u64 = 10 * 365 * 86_400;
/// Lowest staleness bound of a rule, in milliseconds.
const MIN_STALENESS_MS: u64 = 50;
/// Longest time of a rule, in milliseconds, for what ends within a day.
const MAX_MILLISECONDS: u64 = 86_400_000;
/// Largest limit on the size of a request's body.
const MAX_BODY_BYTES: u64 = 1 << 50;
const MAX_RATE: u64 = 1_000_000_000;

impl Route {
    /// Reads the document of one rule.
    ///
    /// # Errors
    /// The first error in the document.
    pub fn read(text: &[u8]) -> Result<Self, JsonError> {
        let mut route = Self::default();
        json::object(text, |name, reader| route.member(name, reader))?;
        route.checked()
    }

    pub(super) fn read_element(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut route = Self::default();
        reader.object(|name, reader| route.member(name, reader))?;
        route.checked()
    }

    fn member(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match name {
            "path" => self.path = reader.string()?.to_string(),
            "methods" => self.methods = json::strings(reader)?,
            "scope" => self.scope = json::strings(reader)?,
            "public" => self.is_public = reader.boolean()?,
            "on_stale" => self.on_stale = unknown_status_policy(reader)?,
            "on_not_covered" => self.on_not_covered = unknown_status_policy(reader)?,
            "hosts" => self.hosts = list(reader, host::is_pattern)?,
            "scope_any" => self.token_rules_mut().scope_any = list(reader, is_scope_value)?,
            "clients" => self.token_rules_mut().clients = list(reader, is_identifier)?,
            "claims" => self.token_rules_mut().claims = claims(reader)?,
            "acr" => self.token_rules_mut().acr = list(reader, is_scope_value)?,
            "max_age" => self.token_rules_mut().max_age = Some(reader.integer(MAX_SECONDS)?),
            "audience" => self.audience = Some(text(reader, is_identifier)?),
            "binding" => self.requires_binding = keyword(reader, &["required"])? == 0,
            "max_staleness_ms" => self.max_staleness_ms = Some(max_staleness_ms(reader)?),
            "upstream" => self.upstream = Some(text(reader, is_name)?),
            "max_body_bytes" => self.max_body_bytes = Some(reader.integer(MAX_BODY_BYTES)?),
            "timeout_ms" => self.timeout_ms = Some(positive(reader, MAX_MILLISECONDS)?),
            "rate_limit" => self.rate_limit = Some(rate_limit(reader)?),
            "streams" => {
                self.streams = match keyword(reader, &["end", "continue"])? {
                    0 => StreamPolicy::End,
                    _ => StreamPolicy::Continue,
                };
            }
            "cors" => self.cors = Some(Box::new(cors(reader)?)),
            "encoded_slash" => self.allows_encoded_slash = keyword(reader, &["allow"])? == 0,
            "headers" => self.headers = headers(reader)?,
            "token" => self.removes_token = keyword(reader, &["remove", "keep"])? == 0,
            _ => return Err(JsonError::OutOfRange),
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, JsonError> {
        if pattern::is_valid(&self.path) && self.scope.iter().all(|value| is_scope_value(value)) {
            Ok(self)
        } else {
            Err(JsonError::OutOfRange)
        }
    }
}

fn unknown_status_policy(reader: &mut Reader<'_>) -> Result<UnknownStatusPolicy, JsonError> {
    Ok(match keyword(reader, &["deny", "allow", "introspect"])? {
        0 => UnknownStatusPolicy::Deny,
        1 => UnknownStatusPolicy::Allow,
        _ => UnknownStatusPolicy::Introspect,
    })
}

/// Index of the word, which must be one of these. Not inlined, like the other functions that many
/// members need, to keep components small.
#[inline(never)]
fn keyword(reader: &mut Reader<'_>, words: &[&str]) -> Result<usize, JsonError> {
    let word = reader.string()?;
    words.iter().position(|known| *known == word).ok_or(JsonError::OutOfRange)
}

#[inline(never)]
fn text(reader: &mut Reader<'_>, is_valid: fn(&str) -> bool) -> Result<String, JsonError> {
    let text = reader.string()?;
    if text.len() <= MAX_TEXT_BYTES && is_valid(&text) { Ok(text.into_owned()) } else { Err(JsonError::OutOfRange) }
}

/// One or more texts. An empty list is refused, because it could mean all or nothing.
#[inline(never)]
fn list(reader: &mut Reader<'_>, is_valid: fn(&str) -> bool) -> Result<Vec<String>, JsonError> {
    entries(reader, |reader| text(reader, is_valid))
}

fn entries<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, JsonError>,
) -> Result<Vec<T>, JsonError> {
    let mut entries = Vec::new();
    reader.array(|reader| {
        if entries.len() == MAX_ENTRIES {
            return Err(JsonError::TooMany);
        }
        entries.push(read(reader)?);
        Ok(())
    })?;
    if entries.is_empty() { Err(JsonError::OutOfRange) } else { Ok(entries) }
}

/// A staleness bound, with the minimum that an edge's own has: an answer of the origin takes time.
fn max_staleness_ms(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    let bound = reader.integer(MAX_MILLISECONDS)?;
    if bound >= MIN_STALENESS_MS { Ok(bound) } else { Err(JsonError::OutOfRange) }
}

#[inline(never)]
fn positive(reader: &mut Reader<'_>, max: u64) -> Result<u64, JsonError> {
    let number = reader.integer(max)?;
    if number > 0 { Ok(number) } else { Err(JsonError::OutOfRange) }
}

fn claims(reader: &mut Reader<'_>) -> Result<Vec<ClaimRule>, JsonError> {
    entries(reader, |reader| {
        let (mut claim, mut condition) = (None, None);
        reader.object(|name, reader| {
            if name == "name" {
                claim = Some(text(reader, is_identifier)?);
                return Ok(());
            }
            let read = match name {
                "equals" => ClaimCondition::Equals(claim_value(reader)?),
                "one_of" => ClaimCondition::OneOf(entries(reader, claim_value)?),
                "contains" => ClaimCondition::Contains(claim_value(reader)?),
                _ => return Err(JsonError::OutOfRange),
            };
            if condition.replace(read).is_some() { Err(JsonError::OutOfRange) } else { Ok(()) }
        })?;
        match (claim, condition) {
            (Some(name), Some(condition)) => Ok(ClaimRule { name, condition }),
            _ => Err(JsonError::OutOfRange),
        }
    })
}

/// A text, a boolean or a whole number. Other numbers have several spellings and are refused.
#[inline(never)]
fn claim_value(reader: &mut Reader<'_>) -> Result<ClaimValue, JsonError> {
    if reader.is_string() {
        return text(reader, |_| true).map(ClaimValue::Text);
    }
    let literal = reader.raw()?;
    if matches!(literal, "true" | "false") || is_whole_number(literal) {
        Ok(ClaimValue::Literal(literal.to_string()))
    } else {
        Err(JsonError::OutOfRange)
    }
}

/// Whether JSON's number `text` is an integer that every reader takes for the same one.
fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()) && text != "-0"
}

fn rate_limit(reader: &mut Reader<'_>) -> Result<RateLimit, JsonError> {
    let (mut requests, mut seconds, mut by) = (None, None, None);
    reader.object(|name, reader| {
        match name {
            "requests" => requests = Some(positive(reader, MAX_RATE)?),
            "seconds" => seconds = Some(positive(reader, 86_400)?),
            "by" => {
                by = Some(match keyword(reader, &["client", "subject", "address"])? {
                    0 => RateLimitKey::Client,
                    1 => RateLimitKey::Subject,
                    _ => RateLimitKey::Address,
                });
            }
            _ => return Err(JsonError::OutOfRange),
        }
        Ok(())
    })?;
    match (requests, seconds, by) {
        (Some(requests), Some(seconds), Some(by)) => {
            Ok(RateLimit { requests: requests as u32, seconds: seconds as u32, by })
        }
        _ => Err(JsonError::OutOfRange),
    }
}

fn cors(reader: &mut Reader<'_>) -> Result<Cors, JsonError> {
    let mut cors = Cors::default();
    reader.object(|name, reader| {
        match name {
            "origins" => cors.origins = list(reader, is_origin)?,
            "methods" => cors.methods = list(reader, is_name)?,
            "headers" => cors.headers = list(reader, is_name)?,
            "expose" => cors.expose = list(reader, is_name)?,
            "credentials" => cors.allows_credentials = reader.boolean()?,
            "max_age" => cors.max_age = Some(reader.integer(86_400)?),
            _ => return Err(JsonError::OutOfRange),
        }
        Ok(())
    })?;
    // With credentials, `*` would let every page act as the user (Fetch standard, section 3.3.5).
    let is_for_all = cors.origins.iter().any(|origin| origin == "*");
    if cors.origins.is_empty() || (is_for_all && cors.allows_credentials) {
        Err(JsonError::OutOfRange)
    } else {
        Ok(cors)
    }
}

/// Pairs of a header's name and a claim's name.
fn headers(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>, JsonError> {
    let mut headers = Vec::new();
    reader.object(|name, reader| {
        if headers.len() == MAX_ENTRIES {
            return Err(JsonError::TooMany);
        }
        let is_repeated = headers.iter().any(|(known, _): &(String, String)| known.eq_ignore_ascii_case(name));
        if is_repeated || !may_carry_identity(name) || !has_free_name(name) {
            return Err(JsonError::OutOfRange);
        }
        headers.push((name.to_string(), text(reader, is_identifier)?));
        Ok(())
    })?;
    if headers.is_empty() { Err(JsonError::OutOfRange) } else { Ok(headers) }
}

/// Whether `text` is a token of HTTP (RFC 9110 section 5.6.2), as names of methods and headers are.
fn is_name(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether `text` is an origin as browsers write it, `*`, or an origin whose host begins with `*.`.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once(':') else { return text == "*" };
    let Some(authority) = authority.strip_prefix("//") else { return false };
    let host = authority.strip_prefix("*.").unwrap_or(authority);
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !scheme.is_empty()
        && scheme.bytes().all(|byte| is_lower(byte) || b"+-.".contains(&byte))
        && !host.is_empty()
        && host.bytes().all(|byte| is_lower(byte) || b"-._:[]".contains(&byte))
}

/// Whether the gate sends no header of this name for every token.
fn has_free_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let taken = ["issuer", "subject", "client-id", "scope", "token-id", "expires-at", "identity"];
    !name.strip_prefix("x-tollgate-").is_some_and(|rest| taken.contains(&rest))
}

/// Whether a token's claim can have this identifier: 1 to 255 bytes without control characters.
fn is_identifier(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}
