//! An access token's claims (RFC 9068 section 2.2), decoded strictly; what they mean is judged elsewhere.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::json::{self, JsonFault, Reader};
use crate::refusal::{Part, Refusal};

/// Bytes of an identifier (`iss`, `sub`, `aud`, `jti`, `client_id`) at most.
const MAX_IDENTIFIER_BYTES: usize = 255;
/// Audiences of one token at most.
const MAX_AUDIENCES: usize = 32;

/// The claims that a verdict needs. Private fields: outside the crate they can only be read through a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: Vec<String>,
    pub(crate) client_id: String,
    pub(crate) token_id: String,
    pub(crate) session: Option<String>,
    pub(crate) scope: String,
    pub(crate) issued_at: u64,
    pub(crate) not_before: Option<u64>,
    pub(crate) expires_at: u64,
}

impl Claims {
    /// Reads a claims set. Claims it does not know are checked as JSON and passed over.
    pub(crate) fn read(text: &[u8]) -> Result<Self, Refusal> {
        let mut unverified = Draft::default();
        json::object(text, |name, reader| unverified.member(name, reader))
            .map_err(|fault| unverified.refusal(fault))?;
        unverified.finish()
    }
}

/// Claims as they come in.
#[derive(Default)]
struct Draft {
    issuer: Option<String>,
    subject: Option<String>,
    audience: Option<Vec<String>>,
    client_id: Option<String>,
    token_id: Option<String>,
    session: Option<String>,
    scope: Option<String>,
    issued_at: Option<u64>,
    not_before: Option<u64>,
    expires_at: Option<u64>,
    /// The claim being read, so that a fault can be laid at its door.
    reading: Option<&'static str>,
}

impl Draft {
    fn member(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<(), JsonFault> {
        self.reading = ["iss", "sub", "aud", "client_id", "jti", "sid", "scope", "iat", "nbf", "exp"]
            .into_iter()
            .find(|&n| n == name);
        match name {
            "iss" => self.issuer = Some(identifier(reader)?),
            "sub" => self.subject = Some(identifier(reader)?),
            "aud" => self.audience = Some(audience(reader)?),
            "client_id" => self.client_id = Some(identifier(reader)?),
            "jti" => self.token_id = Some(identifier(reader)?),
            "sid" => self.session = Some(identifier(reader)?),
            "scope" => self.scope = Some(scope(reader)?),
            "iat" => self.issued_at = Some(reader.date()?),
            "nbf" => self.not_before = Some(reader.date()?),
            "exp" => self.expires_at = Some(reader.date()?),
            _ => reader.skip()?,
        }
        self.reading = None;
        Ok(())
    }

    fn refusal(&self, fault: JsonFault) -> Refusal {
        match (self.reading, fault) {
            (Some(name), JsonFault::WrongType | JsonFault::OutOfRange | JsonFault::TooMany) => {
                Refusal::BadClaim { name }
            }
            _ => Refusal::BadJson { part: Part::Claims, fault },
        }
    }

    fn finish(self) -> Result<Claims, Refusal> {
        Ok(Claims {
            issuer: require("iss", self.issuer)?,
            subject: require("sub", self.subject)?,
            audience: require("aud", self.audience)?,
            expires_at: require("exp", self.expires_at)?,
            issued_at: require("iat", self.issued_at)?,
            token_id: require("jti", self.token_id)?,
            client_id: require("client_id", self.client_id)?,
            not_before: self.not_before,
            session: self.session,
            scope: self.scope.unwrap_or_default(),
        })
    }
}

fn require<T>(name: &'static str, claim: Option<T>) -> Result<T, Refusal> {
    claim.ok_or(Refusal::MissingClaim { name })
}

/// 1 to 255 bytes without control characters, so that a log line or a header can carry it.
fn identifier(reader: &mut Reader<'_>) -> Result<String, JsonFault> {
    let text = reader.string()?;
    if (1..=MAX_IDENTIFIER_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(text.to_string())
    } else {
        Err(JsonFault::OutOfRange)
    }
}

/// One audience, or an array of them (RFC 7519 section 4.1.3).
fn audience(reader: &mut Reader<'_>) -> Result<Vec<String>, JsonFault> {
    if reader.is_string() {
        return Ok(alloc::vec![identifier(reader)?]);
    }
    let mut audiences = Vec::new();
    reader.array(|reader| {
        if audiences.len() == MAX_AUDIENCES {
            return Err(JsonFault::TooMany);
        }
        audiences.push(identifier(reader)?);
        Ok(())
    })?;
    if audiences.is_empty() { Err(JsonFault::OutOfRange) } else { Ok(audiences) }
}

/// Scope values of printable ASCII without `"` and `\`, one space between (RFC 6749 section 3.3); empty means none.
fn scope(reader: &mut Reader<'_>) -> Result<String, JsonFault> {
    let text = reader.string()?;
    let well_formed = text.is_empty() || text.split(' ').all(is_scope_value);
    if well_formed { Ok(text.to_string()) } else { Err(JsonFault::OutOfRange) }
}

/// Whether `text` is one scope value: `1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 section 3.3).
pub fn is_scope_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}
