//! Scanning of JSON strings and digits eight or sixteen bytes at a time, and the meaning of escapes
//! and exponents.
//!
//! Functions over a `u64` take eight bytes of the text in little-endian order: the first byte is
//! the lowest.

use alloc::string::String;

use wide::i8x16;

use super::{JsonError, Result};

/// The lowest bit of each of eight bytes.
const LOW_BITS: u64 = u64::MAX / 0xff;
/// The highest bit of each of eight bytes.
const HIGH_BITS: u64 = LOW_BITS << 7;

/// Number of bytes, from the first, that are printable ASCII other than `"` and `\`.
#[inline]
pub(crate) fn plain_bytes(bytes: [u8; 16]) -> usize {
    let bytes = i8x16::new(bytes.map(u8::cast_signed));
    let is = |byte: u8| bytes.simd_eq(i8x16::splat(byte.cast_signed()));
    // Bytes beyond ASCII are negative as signed numbers, and so are below 0x20, too.
    let others = is(b'"') | is(b'\\') | is(0x7f) | bytes.simd_lt(i8x16::splat(0x20));
    others.to_bitmask().trailing_zeros().min(16) as usize
}

/// The high bits of those bytes that are DEL or beyond ASCII. The lowest set bit is exact.
pub(super) fn unprintable_bytes(bytes: u64) -> u64 {
    (bytes | bytes.wrapping_add(LOW_BITS)) & HIGH_BITS
}

/// The high bits of those bytes that are `"`, `\` or control characters. The lowest set bit is
/// exact; above it, a carry may set the bit of another byte.
pub(super) fn special_bytes(bytes: u64) -> u64 {
    let zeros = |bytes: u64| bytes.wrapping_sub(LOW_BITS) & !bytes;
    let control = bytes.wrapping_sub(LOW_BITS * 0x20) & !bytes;
    (zeros(bytes ^ (LOW_BITS * b'"' as u64)) | zeros(bytes ^ (LOW_BITS * b'\\' as u64)) | control) & HIGH_BITS
}

/// The number that eight decimal digits make, or `None` if a byte is not a digit.
pub(crate) fn eight_digits(bytes: u64) -> Option<u64> {
    let digits = bytes ^ (LOW_BITS * b'0' as u64);
    if (digits | digits.wrapping_add(LOW_BITS * (0x7f - 9))) & HIGH_BITS != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// A JSON number as whole seconds since 1970, or `None` if it has a fraction, is negative or does
/// not fit. It is computed in integers, so that nothing is rounded.
pub(super) fn whole_seconds(number: &str) -> Option<u64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = before.trim_start_matches('-').bytes().chain(after.bytes());
    let value = digits.fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    if value == 0 {
        return Some(0);
    }
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(after.len()).ok()?)?;
    let power = 10_u64.checked_pow(exponent.unsigned_abs())?;
    let whole =
        if exponent < 0 { value.is_multiple_of(power).then(|| value / power) } else { value.checked_mul(power) };
    whole.filter(|_| !before.starts_with('-'))
}

/// Resolves the escapes of a string (RFC 8259 section 7).
pub(crate) fn unescape(text: &str) -> Result<String> {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        unescaped.push_str(plain);
        let kind = escape.chars().next().ok_or(JsonError::Syntax)?;
        rest = escape.get(kind.len_utf8()..).unwrap_or_default();
        unescaped.push(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => unicode_escape(&mut rest)?,
            _ => return Err(JsonError::Syntax),
        });
    }
    unescaped.push_str(rest);
    Ok(unescaped)
}

/// Reads what follows `\u`: four hexadecimal digits, or a surrogate pair.
fn unicode_escape(rest: &mut &str) -> Result<char> {
    let first = hex4(rest)?;
    let code = if (0xD800..0xDC00).contains(&first) {
        *rest = rest.strip_prefix("\\u").ok_or(JsonError::Syntax)?;
        let second = hex4(rest)?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(JsonError::Syntax);
        }
        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
    } else {
        first
    };
    char::from_u32(code).ok_or(JsonError::Syntax)
}

fn hex4(rest: &mut &str) -> Result<u32> {
    let (digits, after) = rest.split_at_checked(4).ok_or(JsonError::Syntax)?;
    *rest = after;
    digits.chars().try_fold(0, |code, digit| Some(code * 16 + digit.to_digit(16)?)).ok_or(JsonError::Syntax)
}
