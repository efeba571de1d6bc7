//! Fast path for claims in the form that Tollgate's origin writes: compact JSON in one order of
//! members, texts of printable ASCII, dates in whole seconds. It compares and scans 16 bytes at a
//! time. At the first member that differs, the JSON reader continues.
//!
//! Invariant: the fast path refuses nothing, and accepts nothing that the JSON reader would refuse.

use super::{Claim, ClaimsParser, MAX_IDENTIFIER_BYTES, Span, TEXT_CLAIMS, are_separators_single};
use crate::json::{MAX_NUMERIC_DATE, eight_digits, plain_bytes};

/// The claims in the order of Tollgate's origin. Other orders are read by the JSON reader, a little
/// slower.
const CANONICAL_ORDER: [MemberPrefix; 9] = [
    MemberPrefix::new(b'{', Claim::Iss),
    MemberPrefix::new(b',', Claim::Sub),
    MemberPrefix::new(b',', Claim::Aud),
    MemberPrefix::new(b',', Claim::Exp),
    MemberPrefix::new(b',', Claim::Iat),
    MemberPrefix::new(b',', Claim::Jti),
    MemberPrefix::new(b',', Claim::ClientId),
    MemberPrefix::new(b',', Claim::Sid),
    MemberPrefix::new(b',', Claim::Scope),
];

/// The bytes before a claim's value: brace or comma, quoted name, colon, and for a text the opening
/// quotation mark. They are at most 16 bytes and are compared as one number.
struct MemberPrefix {
    claim: Claim,
    bytes: u128,
    mask: u128,
    len: usize,
}

impl MemberPrefix {
    const fn new(before: u8, claim: Claim) -> Self {
        let name = claim.name().as_bytes();
        let (mut bytes, mut len) = (before as u128 | (b'"' as u128) << 8, 2);
        while len < name.len() + 2 {
            bytes |= (name[len - 2] as u128) << (8 * len);
            len += 1;
        }
        bytes |= ((b'"' as u128) | (b':' as u128) << 8) << (8 * len);
        len += 2;
        if !claim.is_date() {
            bytes |= (b'"' as u128) << (8 * len);
            len += 1;
        }
        Self { claim, bytes, mask: u128::MAX >> (8 * (16 - len)), len }
    }

    fn matches(&self, text: [u8; 16]) -> bool {
        u128::from_le_bytes(text) & self.mask == self.bytes
    }
}

impl ClaimsParser<'_> {
    /// Reads claims in canonical form from the beginning. Returns the offset behind the last one
    /// read, or 0 if there is none.
    pub(super) fn read_canonical(&mut self) -> usize {
        let text = self.text.as_bytes();
        let mut at = 0;
        for prefix in &CANONICAL_ORDER {
            if prefix.matches(sixteen_bytes(text, at)) {
                match self.read_canonical_value(prefix.claim, text, at + prefix.len) {
                    Some(end) => at = end,
                    None => break,
                }
            } else if at == 0 {
                break; // the text does not begin with an object in canonical form
            }
        }
        at
    }

    /// Reads a value in canonical form. Returns the offset behind it.
    fn read_canonical_value(&mut self, claim: Claim, text: &[u8], start: usize) -> Option<usize> {
        let end = if claim.is_date() {
            let (seconds, end) = canonical_date(text, start)?;
            self.dates[claim as usize - TEXT_CLAIMS] = seconds;
            end
        } else {
            let end = end_of_plain_text(text, start)?;
            let is_valid = match claim {
                Claim::Scope => end == start || are_separators_single(text.get(start..end)?),
                _ => (1..=MAX_IDENTIFIER_BYTES).contains(&(end - start)),
            };
            self.texts[claim as usize] = is_valid.then(|| Span::new(start, end))?;
            end + 1
        };
        self.present |= claim.bit();
        Some(end)
    }
}

/// Offset of the quotation mark that ends the text at `start`, if the text is printable ASCII
/// without escapes.
fn end_of_plain_text(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    loop {
        let plain = plain_bytes(sixteen_bytes(text, end));
        end += plain;
        if plain < 16 {
            return (text.get(end) == Some(&b'"')).then_some(end);
        }
    }
}

/// The date at `start` and the offset behind it, if it is a whole number of at least eight digits
/// in range.
fn canonical_date(text: &[u8], start: usize) -> Option<(u64, usize)> {
    let digits = sixteen_bytes(text, start);
    let mut seconds = eight_digits(u64::from_le_bytes(*digits.first_chunk()?)).filter(|_| digits[0] != b'0')?;
    let mut len = 8;
    while let Some(digit @ b'0'..=b'9') = digits.get(len) {
        seconds = seconds * 10 + u64::from(digit - b'0');
        len += 1;
    }
    let is_ended = matches!(digits.get(len), Some(b',' | b'}'));
    (is_ended && seconds <= MAX_NUMERIC_DATE).then_some((seconds, start + len))
}

/// The 16 bytes from `at` on, with zeros behind the end of the text.
#[inline]
fn sixteen_bytes(text: &[u8], at: usize) -> [u8; 16] {
    let rest = text.get(at..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let last = text.last_chunk().map_or(0, |last| u128::from_le_bytes(*last));
        let past = 8 * (16 - rest.len() as u32);
        last.checked_shr(past).unwrap_or_default().to_le_bytes()
    })
}
