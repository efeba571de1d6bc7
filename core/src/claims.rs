//! An access token's claims (RFC 9068 section 2.2), decoded strictly; what they mean is judged elsewhere.

#[cfg(test)]
mod tests;
mod usual;

use alloc::string::String;
use alloc::vec::Vec;

use crate::base64url;
use crate::json::{self, JsonError, Literal, Reader};
use crate::refusal::{Refusal, TokenPart};
use crate::token::MAX_TOKEN_BYTES;

/// Bytes of an identifier (`iss`, `sub`, `aud`, `jti`, `client_id`) at most.
const MAX_IDENTIFIER_BYTES: usize = 255;
/// Audiences of one token at most.
const MAX_AUDIENCES: usize = 32;

/// The claims that every access token has (RFC 9068 section 2.2).
const REQUIRED: [Claim; 7] = [Claim::Iss, Claim::Sub, Claim::Aud, Claim::Exp, Claim::Iat, Claim::Jti, Claim::ClientId];

/// A claim that a verdict needs. Texts come first, then dates.
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

const TEXTS: usize = 7;
const DATES: usize = 3;

impl Claim {
    fn named(name: &str) -> Option<Self> {
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

/// The claims that a verdict needs. Outside the crate they can only be read through a verified token.
///
/// The texts stay where the payload has them: a check allocates once, for the token's decoded bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The payload; behind it, what of it had escapes, with the escapes resolved.
    text: String,
    /// Where the texts stand; of the audiences, the first.
    texts: [Span; TEXTS],
    more_audiences: Vec<Span>,
    dates: [u64; DATES],
    /// A bit for each claim that is there.
    present: u16,
    /// Whether there is a `cnf`.
    bound: bool,
}

/// A place in the text of [`Claims`], which is no longer than two payloads of the longest token. Two bytes each: claims are moved about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: u16,
    end: u16,
}

const _: () = assert!(2 * base64url::decoded_len(MAX_TOKEN_BYTES) <= u16::MAX as usize);

impl Claims {
    /// Reads the claims set of a token. Claims it does not know are checked as JSON and passed over.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Refusal> {
        let payload = base64url::decode(payload).ok_or(Refusal::NotBase64Url { part: TokenPart::Claims })?;
        let text = String::from_utf8(payload)
            .map_err(|_| Refusal::BadJson { part: TokenPart::Claims, fault: JsonError::Syntax })?;
        let mut draft = Draft { text: &text, ..Draft::default() };
        let read = match draft.usual() {
            0 => json::object(text.as_bytes(), |name, reader| draft.member(name, reader)),
            at => json::rest_of_object(&text, at, draft.read_so_far(), |name, reader| draft.member(name, reader)),
        };
        read.map_err(|fault| draft.refusal(fault))?;
        let Draft { unescaped, texts, more_audiences, dates, present, bound, .. } = draft;
        if let Some(missing) = REQUIRED.into_iter().find(|claim| present & claim.bit() == 0) {
            return Err(Refusal::MissingClaim { name: missing.name() });
        }
        Ok(Self { text: text + &unescaped, texts, more_audiences, dates, present, bound })
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

    /// Empty if there is none.
    pub(crate) fn scope(&self) -> &str {
        self.text(Claim::Scope)
    }

    pub(crate) fn expires_at(&self) -> u64 {
        self.dates[Claim::Exp as usize - TEXTS]
    }

    pub(crate) fn issued_at(&self) -> u64 {
        self.dates[Claim::Iat as usize - TEXTS]
    }

    pub(crate) fn not_before(&self) -> Option<u64> {
        self.has(Claim::Nbf).then(|| self.dates[Claim::Nbf as usize - TEXTS])
    }

    /// Whether there is a `cnf` (RFC 7800 section 3), whatever it says.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound
    }

    fn has(&self, claim: Claim) -> bool {
        self.present & claim.bit() != 0
    }

    fn text(&self, claim: Claim) -> &str {
        self.texts[claim as usize].of(&self.text)
    }
}

/// Claims as they come in.
#[derive(Default)]
struct Draft<'a> {
    text: &'a str,
    /// What will stand behind the text.
    unescaped: String,
    texts: [Span; TEXTS],
    more_audiences: Vec<Span>,
    dates: [u64; DATES],
    present: u16,
    bound: bool,
    /// The claim being read, so that a fault can be laid at its door.
    reading: Option<Claim>,
}

impl Draft<'_> {
    fn member(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let Some(claim) = Claim::named(name) else {
            self.bound |= name == "cnf";
            return reader.skip();
        };
        // The reader knows the names it came by; those at the beginning it may not have.
        if self.present & claim.bit() != 0 {
            return Err(JsonError::DuplicateName);
        }
        self.reading = Some(claim);
        match claim {
            _ if claim.is_date() => self.dates[claim as usize - TEXTS] = reader.date()?,
            Claim::Scope => self.texts[claim as usize] = self.scope(reader)?,
            Claim::Aud if !reader.is_string() => self.audiences(reader)?,
            _ => self.texts[claim as usize] = self.identifier(reader)?,
        }
        self.present |= claim.bit();
        self.reading = None;
        Ok(())
    }

    /// Members that are among the claims already.
    fn read_so_far(&self) -> usize {
        self.present.count_ones() as usize
    }

    /// 1 to 255 bytes without control characters, so that a log line or a header can carry it.
    fn identifier(&mut self, reader: &mut Reader<'_>) -> Result<Span, JsonError> {
        let literal = reader.literal_string()?;
        if is_plain(literal) && (1..=MAX_IDENTIFIER_BYTES).contains(&(literal.end - literal.start)) {
            return Ok(Span::new(literal.start, literal.end));
        }
        let (span, text) = self.place(literal)?;
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

    /// Scope values of printable ASCII without `"` and `\`, one space between (RFC 6749 section 3.3); empty means none.
    fn scope(&mut self, reader: &mut Reader<'_>) -> Result<Span, JsonError> {
        let literal = reader.literal_string()?;
        if is_plain(literal) {
            // Such a text has neither of the two: only the spaces are to be looked at.
            let text = self.text.as_bytes().get(literal.start..literal.end).unwrap_or_default();
            let is_well_formed = text.is_empty() || are_separators_single(text);
            return if is_well_formed { Ok(Span::new(literal.start, literal.end)) } else { Err(JsonError::OutOfRange) };
        }
        let (span, text) = self.place(literal)?;
        let is_well_formed = text.is_empty() || text.split(' ').all(is_scope_value);
        if is_well_formed { Ok(span) } else { Err(JsonError::OutOfRange) }
    }

    /// Where a string will stand, and its text: for the ones that are not as usual.
    #[cold]
    fn place(&mut self, Literal { start, end, escaped, .. }: Literal) -> Result<(Span, &str), JsonError> {
        let text = self.text.get(start..end).ok_or(JsonError::Syntax)?;
        if !escaped {
            return Ok((Span::new(start, end), text));
        }
        let start = self.unescaped.len();
        self.unescaped.push_str(&json::unescape(text)?);
        let span = Span::new(self.text.len() + start, self.text.len() + self.unescaped.len());
        Ok((span, self.unescaped.get(start..).unwrap_or_default()))
    }

    fn refusal(&self, fault: JsonError) -> Refusal {
        match (self.reading, fault) {
            (Some(claim), JsonError::WrongType | JsonError::OutOfRange | JsonError::TooMany) => {
                Refusal::BadClaim { name: claim.name() }
            }
            _ => Refusal::BadJson { part: TokenPart::Claims, fault },
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

/// Whether a string is printable ASCII, and means what stands there.
fn is_plain(literal: Literal) -> bool {
    literal.printable && !literal.escaped
}

/// Whether no space stands at an end or beside another.
fn are_separators_single(text: &[u8]) -> bool {
    let is_doubled = |pair: (&u8, &u8)| u8::from(*pair.0 == b' ') & u8::from(*pair.1 == b' ');
    let doubled = text.iter().zip(text.iter().skip(1)).fold(0, |doubled, pair| doubled | is_doubled(pair));
    doubled == 0 && text.first() != Some(&b' ') && text.last() != Some(&b' ')
}

/// Whether `text` is one scope value: `1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 section 3.3).
pub fn is_scope_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}
