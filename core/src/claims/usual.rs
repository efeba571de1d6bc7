//! The claims as our origin writes them: compact JSON, in one order, texts of printable ASCII, whole seconds. What is so is read at a
//! glance; from the first member that is not, the general reader goes on. It never refuses anything, and takes nothing that the
//! general reader would refuse.

use super::{Claim, Draft, MAX_IDENTIFIER_BYTES, Span, TEXTS, are_separators_single};
use crate::json::{MAX_DATE, eight_digits, plain_bytes};

/// In the order of our origin. Others may order them as they like, and take a little longer.
const USUAL: [Opening; 9] = [
    Opening::new(b'{', Claim::Iss),
    Opening::new(b',', Claim::Sub),
    Opening::new(b',', Claim::Aud),
    Opening::new(b',', Claim::Exp),
    Opening::new(b',', Claim::Iat),
    Opening::new(b',', Claim::Jti),
    Opening::new(b',', Claim::ClientId),
    Opening::new(b',', Claim::Sid),
    Opening::new(b',', Claim::Scope),
];

/// What a claim begins with: the brace or comma before it, its name and colon, and of a text the quotation mark. 16 bytes at most,
/// compared as one number.
struct Opening {
    claim: Claim,
    bytes: u128,
    mask: u128,
    len: usize,
}

impl Opening {
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

    fn is_at(&self, place: [u8; 16]) -> bool {
        u128::from_le_bytes(place) & self.mask == self.bytes
    }
}

impl Draft<'_> {
    /// Reads the claims that are as usual, from the first one on; where the last one of them ends, or 0 if there is none.
    pub(super) fn usual(&mut self) -> usize {
        let text = self.text.as_bytes();
        let mut at = 0;
        for opening in &USUAL {
            if opening.is_at(sixteen(text, at)) {
                match self.usual_value(opening.claim, text, at + opening.len) {
                    Some(end) => at = end,
                    None => break,
                }
            } else if at == 0 {
                break; // what follows would not stand in the object
            }
        }
        at
    }

    /// Reads a value; where it ends, if it is as usual.
    fn usual_value(&mut self, claim: Claim, text: &[u8], start: usize) -> Option<usize> {
        let end = if claim.is_date() {
            let (seconds, end) = seconds(text, start)?;
            self.dates[claim as usize - TEXTS] = seconds;
            end
        } else {
            let end = plain_text(text, start)?;
            let is_good = match claim {
                Claim::Scope => end == start || are_separators_single(text.get(start..end)?),
                _ => (1..=MAX_IDENTIFIER_BYTES).contains(&(end - start)),
            };
            self.texts[claim as usize] = is_good.then(|| Span::new(start, end))?;
            end + 1
        };
        self.present |= claim.bit();
        Some(end)
    }
}

/// Where the text that begins at `start` ends, if what stands before the quotation mark stands for itself.
fn plain_text(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    loop {
        let plain = plain_bytes(sixteen(text, end));
        end += plain;
        if plain < 16 {
            return (text.get(end) == Some(&b'"')).then_some(end);
        }
    }
}

/// The number of eight digits or a few more that begins at `start`, and where it ends, if that is a date.
fn seconds(text: &[u8], start: usize) -> Option<(u64, usize)> {
    let digits = sixteen(text, start);
    let mut seconds = eight_digits(u64::from_le_bytes(*digits.first_chunk()?)).filter(|_| digits[0] != b'0')?;
    let mut len = 8;
    while let Some(digit @ b'0'..=b'9') = digits.get(len) {
        seconds = seconds * 10 + u64::from(digit - b'0');
        len += 1;
    }
    let is_ended = matches!(digits.get(len), Some(b',' | b'}'));
    (is_ended && seconds <= MAX_DATE).then_some((seconds, start + len))
}

/// The bytes from `at` on, and zeros where the text has ended.
#[inline]
fn sixteen(text: &[u8], at: usize) -> [u8; 16] {
    let rest = text.get(at..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let last = text.last_chunk().map_or(0, |last| u128::from_le_bytes(*last));
        let past = 8 * (16 - rest.len() as u32);
        last.checked_shr(past).unwrap_or_default().to_le_bytes()
    })
}
