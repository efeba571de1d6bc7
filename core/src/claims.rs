//! Strict parsing of an access token's claims (RFC 9068 section 2.2). [`crate::verify()`] checks
//! their values.

mod fast_path;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::base64url;
use crate::confirmation::Confirmation;
use crate::json::{self, JsonError, Reader, StringLiteral};
use crate::refusal::{MAX_TOKEN_BYTES, Refusal, TokenPart};

/// Longest identifier (`iss`, `sub`, `aud`, `jti`, `client_id`, `sid`), in bytes.
const MAX_IDENTIFIER_BYTES: usize = 255;
const MAX_AUDIENCES: usize = 32;

/// Claims that every access token must have (RFC 9068 section 2.2).
const REQUIRED: [Claim; 7] = [Claim::Iss, Claim::Sub, Claim::Aud, Claim::Exp, Claim::Iat, Claim::Jti, Claim::ClientId];

/// A claim that verification reads: first the text claims, then the dates. The order is that of
/// `Claims::texts` and `Claims::dates`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Iss,
    Sub,
    Aud,
    Jti,
    ClientId,
    Sid,
    Scope,
    Exp,
    Iat,
    Nbf,
}

const TEXT_CLAIMS: usize = 7;
const DATE_CLAIMS: usize = 3;

impl Claim {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "iss" => Self::Iss,
            "sub" => Self::Sub,
            "aud" => Self::Aud,
            "jti" => Self::Jti,
            "client_id" => Self::ClientId,
            "sid" => Self::Sid,
            "scope" => Self::Scope,
            "exp" => Self::Exp,
            "iat" => Self::Iat,
            "nbf" => Self::Nbf,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Iss => "iss",
            Self::Sub => "sub",
            Self::Aud => "aud",
            Self::Jti => "jti",
            Self::ClientId => "client_id",
            Self::Sid => "sid",
            Self::Scope => "scope",
            Self::Exp => "exp",
            Self::Iat => "iat",
            Self::Nbf => "nbf",
        }
    }

    const fn is_date(self) -> bool {
        matches!(self, Self::Exp | Self::Iat | Self::Nbf)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The claims that verification reads. Other crates can read them only through a
/// [`VerifiedToken`](crate::VerifiedToken).
///
/// Texts are ranges of the decoded payload, so that a check allocates once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The decoded payload, followed by the unescaped texts of those claims that contain escapes.
    text: String,
    /// Range of each text claim; of `aud`, the first audience.
    texts: [Span; TEXT_CLAIMS],
    more_audiences: Vec<Span>,
    dates: [u64; DATE_CLAIMS],
    /// One bit for each claim that is present.
    present: u16,
    /// Length of the payload in `text`.
    payload_len: u16,
    /// `cnf`. Boxed, because few tokens have it and claims are moved by value.
    confirmation: Option<Box<Confirmation>>,
}

/// A range of the text of [`Claims`]. That text is at most twice the longest payload, so `u16`
/// suffices; small spans matter, because claims are moved by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: u16,
    end: u16,
}

const _: () = assert!(2 * base64url::decoded_len(MAX_TOKEN_BYTES) <= u16::MAX as usize);

impl Claims {
    /// Reads the claims set of a token. Unknown claims must be valid JSON and are ignored.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Refusal> {
        Self::parse(base64url::decode(payload).ok_or(Refusal::NotBase64Url { part: TokenPart::Claims })?)
    }

    /// Reads the claims set from its JSON text.
    pub(crate) fn parse(payload: Vec<u8>) -> Result<Self, Refusal> {
        let text = String::from_utf8(payload)
            .map_err(|_| Refusal::BadJson { part: TokenPart::Claims, error: JsonError::Syntax })?;
        let mut parser = ClaimsParser { text: &text, ..ClaimsParser::default() };
        let read = match parser.read_canonical() {
            0 => json::object(text.as_bytes(), |name, reader| parser.member(name, reader)),
            at => json::rest_of_object(&text, at, parser.members_read(), |name, reader| parser.member(name, reader)),
        };
        read.map_err(|error| parser.refusal(error))?;
        let ClaimsParser { unescaped, texts, more_audiences, dates, present, confirmation, .. } = parser;
        if let Some(missing) = REQUIRED.into_iter().find(|claim| present & claim.bit() == 0) {
            return Err(Refusal::MissingClaim { name: missing.name() });
        }
        let payload_len = text.len() as u16;
        Ok(Self { text: text + &unescaped, texts, more_audiences, dates, present, payload_len, confirmation })
    }

    pub(crate) fn issuer(&self) -> &str {
        self.text(Claim::Iss)
    }

    pub(crate) fn subject(&self) -> &str {
        self.text(Claim::Sub)
    }

    pub(crate) fn audience(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.text(Claim::Aud)).chain(self.more_audiences.iter().map(|span| span.of(&self.text)))
    }

    pub(crate) fn client_id(&self) -> &str {
        self.text(Claim::ClientId)
    }

    pub(crate) fn token_id(&self) -> &str {
        self.text(Claim::Jti)
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.has(Claim::Sid).then(|| self.text(Claim::Sid))
    }

    /// Empty if the claim is absent.
    pub(crate) fn scope(&self) -> &str {
        self.text(Claim::Scope)
    }

    pub(crate) fn expires_at(&self) -> u64 {
        self.dates[Claim::Exp as usize - TEXT_CLAIMS]
    }

    pub(crate) fn issued_at(&self) -> u64 {
        self.dates[Claim::Iat as usize - TEXT_CLAIMS]
    }

    pub(crate) fn not_before(&self) -> Option<u64> {
        self.has(Claim::Nbf).then(|| self.dates[Claim::Nbf as usize - TEXT_CLAIMS])
    }

    /// The claims as JSON.
    pub(crate) fn payload(&self) -> &str {
        self.text.get(..self.payload_len.into()).unwrap_or_default()
    }

    /// `cnf`: the key that the token is bound to (RFC 7800 section 3.1).
    pub(crate) fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    fn has(&self, claim: Claim) -> bool {
        self.present & claim.bit() != 0
    }

    fn text(&self, claim: Claim) -> &str {
        self.texts[claim as usize].of(&self.text)
    }
}

/// State of parsing: see [`Claims`] for the fields of the same names.
#[derive(Default)]
struct ClaimsParser<'a> {
    text: &'a str,
    /// Unescaped texts, appended to `text` at the end.
    unescaped: String,
    texts: [Span; TEXT_CLAIMS],
    more_audiences: Vec<Span>,
    dates: [u64; DATE_CLAIMS],
    present: u16,
    confirmation: Option<Box<Confirmation>>,
    /// The claim being parsed, for error messages.
    current: Option<Claim>,
}

impl ClaimsParser<'_> {
    /// Reads the value of the member called `name`.
    fn member(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let Some(claim) = Claim::from_name(name) else {
            if name != "cnf" {
                return reader.skip();
            }
            self.confirmation = Some(Box::new(Confirmation::read(reader)?));
            return Ok(());
        };
        // The JSON reader detects duplicates among the members that it read; the fast path may have
        // read others before.
        if self.present & claim.bit() != 0 {
            return Err(JsonError::DuplicateName);
        }
        self.current = Some(claim);
        match claim {
            _ if claim.is_date() => self.dates[claim as usize - TEXT_CLAIMS] = reader.numeric_date()?,
            Claim::Scope => self.texts[claim as usize] = self.scope(reader)?,
            Claim::Aud if !reader.is_string() => self.audiences(reader)?,
            _ => self.texts[claim as usize] = self.identifier(reader)?,
        }
        self.present |= claim.bit();
        self.current = None;
        Ok(())
    }

    /// Number of claims read so far.
    fn members_read(&self) -> usize {
        self.present.count_ones() as usize
    }

    /// An identifier: 1 to 255 bytes without control characters, so that it fits a log line and a
    /// header.
    fn identifier(&mut self, reader: &mut Reader<'_>) -> Result<Span, JsonError> {
        let literal = reader.literal_string()?;
        if is_plain(literal) && (1..=MAX_IDENTIFIER_BYTES).contains(&(literal.end - literal.start)) {
            return Ok(Span::new(literal.start, literal.end));
        }
        let (span, text) = self.resolve(literal)?;
        let is_in_bounds = (1..=MAX_IDENTIFIER_BYTES).contains(&text.len());
        if is_in_bounds && !text.chars().any(char::is_control) { Ok(span) } else { Err(JsonError::OutOfRange) }
    }

    /// An array of audiences (RFC 7519 section 4.1.3).
    fn audiences(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let mut audiences = Vec::new();
        reader.array(|reader| {
            if audiences.len() == MAX_AUDIENCES {
                return Err(JsonError::TooMany);
            }
            audiences.push(self.identifier(reader)?);
            Ok(())
        })?;
        let (first, more) = audiences.split_first().ok_or(JsonError::OutOfRange)?;
        self.texts[Claim::Aud as usize] = *first;
        self.more_audiences = more.to_vec();
        Ok(())
    }

    /// Scope values of printable ASCII without `"` and `\`, separated by one space (RFC 6749
    /// section 3.3); may be empty.
    fn scope(&mut self, reader: &mut Reader<'_>) -> Result<Span, JsonError> {
        let literal = reader.literal_string()?;
        if is_plain(literal) {
            // A plain text contains neither `"` nor `\`: only its spaces are left to check.
            let text = self.text.as_bytes().get(literal.start..literal.end).unwrap_or_default();
            let is_well_formed = text.is_empty() || are_separators_single(text);
            return if is_well_formed { Ok(Span::new(literal.start, literal.end)) } else { Err(JsonError::OutOfRange) };
        }
        let (span, text) = self.resolve(literal)?;
        let is_well_formed = text.is_empty() || text.split(' ').all(is_scope_value);
        if is_well_formed { Ok(span) } else { Err(JsonError::OutOfRange) }
    }

    /// The span and the text of a string, unescaped if necessary. Cold: tokens of Tollgate's origin
    /// contain no escapes.
    #[cold]
    fn resolve(
        &mut self,
        StringLiteral { start, end, has_escapes, .. }: StringLiteral,
    ) -> Result<(Span, &str), JsonError> {
        let text = self.text.get(start..end).ok_or(JsonError::Syntax)?;
        if !has_escapes {
            return Ok((Span::new(start, end), text));
        }
        let start = self.unescaped.len();
        self.unescaped.push_str(&json::unescape(text)?);
        let span = Span::new(self.text.len() + start, self.text.len() + self.unescaped.len());
        Ok((span, self.unescaped.get(start..).unwrap_or_default()))
    }

    fn refusal(&self, error: JsonError) -> Refusal {
        match (self.current, error) {
            (Some(claim), JsonError::WrongType | JsonError::OutOfRange | JsonError::TooMany) => {
                Refusal::BadClaim { name: claim.name() }
            }
            _ => Refusal::BadJson { part: TokenPart::Claims, error },
        }
    }
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        Self { start: start as u16, end: end as u16 }
    }

    fn of(self, text: &str) -> &str {
        text.get(self.start.into()..self.end.into()).unwrap_or_default()
    }
}

/// Whether a string is printable ASCII without escapes.
fn is_plain(literal: StringLiteral) -> bool {
    literal.is_printable && !literal.has_escapes
}

/// Whether all spaces are single and none is at the beginning or end.
fn are_separators_single(text: &[u8]) -> bool {
    let is_doubled = |pair: (&u8, &u8)| u8::from(*pair.0 == b' ') & u8::from(*pair.1 == b' ');
    let doubled = text.iter().zip(text.iter().skip(1)).fold(0, |doubled, pair| doubled | is_doubled(pair));
    doubled == 0 && text.first() != Some(&b' ') && text.last() != Some(&b' ')
}

/// Whether `text` is one scope value: `1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 section 3.3).
pub fn is_scope_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}
