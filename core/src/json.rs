//! A strict, bounded JSON reader for token headers, claims, key sets and configurations.
//!
//! It refuses what lenient readers accept and attackers use: duplicate member names, text after the
//! value, deep nesting, invalid UTF-8, lone surrogates. It reads in one pass without building a
//! tree.
//!
//! Never: recursion deeper than [`MAX_DEPTH`].

mod scan;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use smallvec::SmallVec;

pub(crate) use self::scan::{eight_digits, plain_bytes, unescape};
use self::scan::{special_bytes, unprintable_bytes, whole_seconds};

/// Deepest nesting of arrays and objects. RFC 8259 section 9 lets a reader set limits; claims need
/// three levels.
pub(crate) const MAX_DEPTH: usize = 16;
/// Most members of all objects of a document together. It also bounds the quadratic search for
/// duplicate names.
pub(crate) const MAX_MEMBERS: usize = 256;
/// Latest date, in Unix seconds: the last second of year 9999, which is the limit of common date
/// libraries.
pub(crate) const MAX_NUMERIC_DATE: u64 = 253_402_300_799;

/// What is wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON (RFC 8259), not UTF-8, or text follows the value.
    Syntax,
    /// Two members of one object have the same name. RFC 7519 section 4 lets a reader refuse this,
    /// RFC 7515 section 10.12 gives the reason.
    DuplicateName,
    /// Nested more than 16 levels deep.
    TooDeep,
    /// More than 256 members; key sets and configurations have limits of their own.
    TooMany,
    /// A value has the wrong type for its member.
    WrongType,
    /// A value is outside its member's range, such as a date before 1970 or after the year 9999.
    OutOfRange,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "is not JSON",
            Self::DuplicateName => "repeats a member name",
            Self::TooDeep => "is nested too deep",
            Self::TooMany => "has too many members",
            Self::WrongType => "has a value of the wrong type",
            Self::OutOfRange => "has a value out of range",
        })
    }
}

impl core::error::Error for JsonError {}

type Result<T> = core::result::Result<T, JsonError>;

/// Reads `text` as one object. Calls `member` with the name of each member; it must consume the
/// value.
pub(crate) fn object<'a>(text: &'a [u8], member: impl FnMut(&str, &mut Reader<'a>) -> Result<()>) -> Result<()> {
    object_bounded(text, MAX_MEMBERS, member)
}

/// The value of the member `name` of the object `text`, as JSON; `None` without it.
pub(crate) fn member<'a>(text: &'a str, name: &str) -> Result<Option<&'a str>> {
    let mut found = None;
    object(text.as_bytes(), |known, reader| {
        let value = reader.raw()?;
        if known == name {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads `text` as one value by `read`.
pub(crate) fn value<'a, T>(text: &'a str, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<T> {
    let mut reader = Reader { text, at: 0, depth: 0, members_left: MAX_MEMBERS };
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// As [`object`], with a limit of its own for documents that have more members than a token may
/// have.
pub(crate) fn object_bounded<'a>(
    text: &'a [u8],
    max_members: usize,
    member: impl FnMut(&str, &mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    let text = core::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
    let mut reader = Reader { text, at: 0, depth: 0, members_left: max_members };
    reader.skip_space();
    reader.object(member)?;
    reader.end()
}

/// As [`object`], for an object of which the first `members_read` members were read up to offset
/// `at`. Duplicates of these are left to the caller to detect.
pub(crate) fn rest_of_object<'a>(
    text: &'a str,
    at: usize,
    members_read: usize,
    mut member: impl FnMut(&str, &mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader { text, at, depth: 1, members_left: MAX_MEMBERS.saturating_sub(members_read) };
    reader.members(false, &mut member)?;
    reader.end()
}

/// A cursor in a JSON text. Each method that reads a value expects the cursor at its first byte,
/// and leaves it behind the last.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    members_left: usize,
}

impl<'a> Reader<'a> {
    /// Reads an object. Calls `member` with the name of each member; it must consume the value.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'{')?;
        self.members(true, &mut member)
    }

    /// Reads the members up to the closing brace. `is_first`: no member of the object was read yet.
    /// Not generic, so that a component contains it once.
    fn members(&mut self, mut is_first: bool, member: &mut dyn FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        let mut names = MemberNames::default();
        while self.has_next(b'}', &mut is_first)? {
            self.members_left = self.members_left.checked_sub(1).ok_or(JsonError::TooMany)?;
            let name = self.name()?;
            if names.contains(&name) {
                return Err(JsonError::DuplicateName);
            }
            self.skip_space();
            member(&name, self)?;
            names.insert(name);
        }
        Ok(())
    }

    /// Checks that only white space is left.
    fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(JsonError::Syntax) }
    }

    /// Reads a member's name and the colon after it.
    fn name(&mut self) -> Result<Cow<'a, str>> {
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        Ok(name)
    }

    /// Reads an array. Calls `element` for each element; it must consume the element.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'[')?;
        let mut is_first = true;
        while self.has_next(b']', &mut is_first)? {
            element(self)?;
        }
        Ok(())
    }

    /// Reads a string. It is borrowed if it contains no escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        let literal = self.literal_string()?;
        let text = self.text.get(literal.start..literal.end).ok_or(JsonError::Syntax)?;
        if literal.has_escapes { unescape(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
    }

    /// Finds the end of a string, eight bytes at a time. Its escapes are checked later, by
    /// [`unescape`].
    pub(crate) fn literal_string(&mut self) -> Result<StringLiteral> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong_type());
        }
        self.at += 1;
        let mut literal = StringLiteral { start: self.at, end: self.at, has_escapes: false, is_printable: true };
        loop {
            let Some(bytes) = self.text.as_bytes().get(self.at..).and_then(|rest| rest.first_chunk()) else {
                return self.literal_string_tail(literal);
            };
            let bytes = u64::from_le_bytes(*bytes);
            let special = special_bytes(bytes);
            if special == 0 {
                literal.is_printable &= unprintable_bytes(bytes) == 0;
                self.at += 8;
                continue;
            }
            let before = special ^ (special - 1); // mask of the special byte and the bytes before it
            literal.is_printable &= unprintable_bytes(bytes) & before == 0;
            self.at += special.trailing_zeros() as usize / 8;
            if self.ends_string(&mut literal)? {
                return Ok(literal);
            }
        }
    }

    /// Continues [`literal_string`](Self::literal_string) where fewer than eight bytes of the text
    /// are left.
    fn literal_string_tail(&mut self, mut literal: StringLiteral) -> Result<StringLiteral> {
        loop {
            match self.peek().ok_or(JsonError::Syntax)? {
                b'"' | b'\\' | ..0x20 => {
                    if self.ends_string(&mut literal)? {
                        return Ok(literal);
                    }
                }
                byte => {
                    literal.is_printable &= byte < 0x7f;
                    self.at += 1;
                }
            }
        }
    }

    /// Consumes a quotation mark or an escape, and returns whether the string ends there. A control
    /// character is an error.
    fn ends_string(&mut self, literal: &mut StringLiteral) -> Result<bool> {
        literal.end = self.at;
        match self.next()? {
            b'"' => Ok(true),
            b'\\' => {
                literal.has_escapes = true;
                self.next()?;
                Ok(false)
            }
            _ => Err(JsonError::Syntax),
        }
    }

    /// Whether the value here is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Whether the value here is a string.
    pub(crate) fn is_string(&self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.keyword("true").map(|()| true),
            Some(b'f') => self.keyword("false").map(|()| false),
            _ => Err(self.wrong_type()),
        }
    }

    /// Reads a NumericDate (RFC 7519 section 2): whole seconds since 1970, up to the year 9999.
    /// `1.7e9` and `1700000000.0` are accepted. A fraction is refused, because rounding it would
    /// change when a token is valid.
    pub(crate) fn numeric_date(&mut self) -> Result<u64> {
        if let Some(seconds) = self.plain_integer() {
            return if seconds <= MAX_NUMERIC_DATE { Ok(seconds) } else { Err(JsonError::OutOfRange) };
        }
        let text = self.number()?;
        // Other readers parse such a number as an f64, which rounds more digits than these.
        let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
        if digits > 15 {
            return Err(JsonError::OutOfRange);
        }
        whole_seconds(text).filter(|seconds| *seconds <= MAX_NUMERIC_DATE).ok_or(JsonError::OutOfRange)
    }

    /// Reads a whole number of at most `max`, written with digits only.
    pub(crate) fn integer(&mut self, max: u64) -> Result<u64> {
        match self.plain_integer() {
            Some(number) if number <= max => Ok(number),
            Some(_) => Err(JsonError::OutOfRange),
            None => self.number().and(Err(JsonError::OutOfRange)),
        }
    }

    /// Reads a number that consists of digits only. For another value it returns `None` and does
    /// not move the cursor. A number that is too large becomes `u64::MAX`.
    fn plain_integer(&mut self) -> Option<u64> {
        let start = self.at;
        let mut seconds = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            seconds = seconds.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.text.as_bytes().get(start..self.at).unwrap_or_default();
        let is_whole = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        let is_plain = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && is_whole;
        if !is_plain {
            self.at = start;
        }
        is_plain.then_some(seconds)
    }

    /// Checks any value, as strictly as one that is used, and skips it.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.peek().ok_or(JsonError::Syntax)? {
            b'{' => self.object(|_, reader| reader.skip()),
            b'[' => self.array(|reader| reader.skip()),
            b'"' => self.string().map(|_| ()), // checks its escapes
            b't' | b'f' => self.boolean().map(|_| ()),
            b'n' => self.keyword("null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Checks any value and returns its text.
    pub(crate) fn raw(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.skip()?;
        self.text.get(start..self.at).ok_or(JsonError::Syntax)
    }

    fn number(&mut self) -> Result<&'a str> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.wrong_type());
        }
        let start = self.at;
        self.skip_byte(|byte| byte == b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.skip_byte(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.skip_byte(|byte| matches!(byte, b'e' | b'E')) {
            self.skip_byte(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        self.text.get(start..self.at).ok_or(JsonError::Syntax)
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.skip_byte(|byte| byte.is_ascii_digit()) {}
        if self.at > start { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn enter(&mut self, open: u8) -> Result<()> {
        if self.peek() != Some(open) {
            return Err(self.wrong_type());
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        Ok(())
    }

    /// Whether another element follows. Consumes the comma before it, or the `close` after the last
    /// one.
    fn has_next(&mut self, close: u8, is_first: &mut bool) -> Result<bool> {
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !core::mem::take(is_first) {
            self.expect(b',')?;
            self.skip_space();
        }
        Ok(true)
    }

    fn keyword(&mut self, keyword: &str) -> Result<()> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(keyword.as_bytes())) {
            return Err(JsonError::Syntax);
        }
        self.at += keyword.len();
        Ok(())
    }

    /// The error for a value of an unexpected type, or for no value.
    fn wrong_type(&self) -> JsonError {
        match self.peek() {
            Some(b'{' | b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => JsonError::WrongType,
            _ => JsonError::Syntax,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.next()? == byte { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn skip_space(&mut self) {
        while self.skip_byte(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {}
    }

    fn skip_byte(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        self.at += usize::from(found);
        found
    }

    fn next(&mut self) -> Result<u8> {
        let byte = self.peek().ok_or(JsonError::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The strings of an array.
pub(crate) fn strings(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    let mut strings = Vec::new();
    reader.array(|reader| {
        strings.push(reader.string().map(Cow::into_owned)?);
        Ok(())
    })?;
    Ok(strings)
}

/// The range of a string in the text, without its quotation marks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringLiteral {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) has_escapes: bool,
    /// All bytes of the range are printable ASCII.
    pub(crate) is_printable: bool,
}

/// The member names of an object read so far.
#[derive(Default)]
struct MemberNames<'a> {
    names: SmallVec<[Cow<'a, str>; 16]>,
    /// One bit for each name, chosen by its length, first and last byte. A name whose bit is not
    /// set is not among `names`, which saves the search.
    bits: u64,
}

impl<'a> MemberNames<'a> {
    fn contains(&self, name: &str) -> bool {
        self.bits & Self::bit(name) != 0 && self.names.iter().any(|known| known == name)
    }

    fn insert(&mut self, name: Cow<'a, str>) {
        self.bits |= Self::bit(&name);
        self.names.push(name);
    }

    fn bit(name: &str) -> u64 {
        let byte = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
        let (first, last) = (byte(name.as_bytes().first()), byte(name.as_bytes().last()));
        1 << ((first.wrapping_mul(5) ^ last.wrapping_mul(11) ^ name.len() as u32) % 64)
    }
}
