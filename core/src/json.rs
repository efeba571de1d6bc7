//! A strict, bounded JSON reader for the few documents a verdict rests on: token headers, claims, key sets, policies.
//!
//! It refuses what lenient readers let through and attackers use: duplicate member names, text after the value, deep nesting,
//! invalid UTF-8, lone surrogates. It reads in one pass without building a tree, and never recurses deeper than [`MAX_DEPTH`].

mod names;
mod scan;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use core::fmt;

use self::names::Names;
pub(crate) use self::scan::{eight_digits, plain_bytes, unescape};
use self::scan::{special_bytes, unprintable_bytes, whole};

/// Levels of arrays and objects a document may nest. RFC 8259 section 9 lets a reader set its limits; claims need three.
pub(crate) const MAX_DEPTH: usize = 16;
/// Members of all objects of one document together. It also bounds the quadratic search for duplicate names.
pub(crate) const MAX_MEMBERS: usize = 256;
/// The last second of year 9999, the highest date that common date libraries can hold.
pub(crate) const MAX_DATE: u64 = 253_402_300_799;

/// What is wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON (RFC 8259), or not UTF-8, or something stands after the value.
    Syntax,
    /// Two members of one object have the same name (RFC 7519 section 4 lets a reader refuse it; RFC 7515 section 10.12 says why).
    DuplicateName,
    /// Nested more than 16 levels deep.
    TooDeep,
    /// More than 256 members, or, in a key set, more than its own bound.
    TooMany,
    /// A value of another type than the member calls for.
    WrongType,
    /// A number outside the member's range, such as a date before 1970 or after the year 9999.
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
            Self::OutOfRange => "has a number out of range",
        })
    }
}

impl core::error::Error for JsonError {}

type Result<T> = core::result::Result<T, JsonError>;

/// Reads `text` as one object, giving each member's name to `member`, which must consume its value.
pub(crate) fn object<'a>(text: &'a [u8], member: impl FnMut(&str, &mut Reader<'a>) -> Result<()>) -> Result<()> {
    object_bounded(text, MAX_MEMBERS, member)
}

/// As [`object`], for the documents of our own origin that may hold more members than a token may.
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

/// As [`object`], from behind the value that ends at `at`: so many members were read already, and are no longer looked for.
pub(crate) fn rest_of_object<'a>(
    text: &'a str,
    at: usize,
    members_read: usize,
    member: impl FnMut(&str, &mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader { text, at, depth: 1, members_left: MAX_MEMBERS.saturating_sub(members_read) };
    reader.members(false, member)?;
    reader.end()
}

/// A position in a JSON text. Every method stands on the first byte of a value and leaves behind its last.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    members_left: usize,
}

impl<'a> Reader<'a> {
    /// An object; `member` is called with each name and must consume the value.
    pub(crate) fn object(&mut self, member: impl FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'{')?;
        self.members(true, member)
    }

    /// The members from here to the closing brace; whether the next one is the `first`.
    fn members(&mut self, mut first: bool, mut member: impl FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        let mut names = Names::default();
        while self.more(b'}', &mut first)? {
            self.members_left = self.members_left.checked_sub(1).ok_or(JsonError::TooMany)?;
            let name = self.name()?;
            if names.has(&name) {
                return Err(JsonError::DuplicateName);
            }
            self.skip_space();
            member(&name, self)?;
            names.take(name);
        }
        Ok(())
    }

    /// Nothing but white space is left.
    fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(JsonError::Syntax) }
    }

    /// A member's name and the colon behind it.
    fn name(&mut self) -> Result<Cow<'a, str>> {
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        Ok(name)
    }

    /// An array; `element` is called on each element and must consume it.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'[')?;
        let mut first = true;
        while self.more(b']', &mut first)? {
            element(self)?;
        }
        Ok(())
    }

    /// A string, borrowed where it has no escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        let literal = self.literal_string()?;
        let text = self.text.get(literal.start..literal.end).ok_or(JsonError::Syntax)?;
        if literal.escaped { unescape(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
    }

    /// Where a string stands in the text. Its escapes are not looked at: [`unescape`] does. Eight bytes at a time.
    pub(crate) fn literal_string(&mut self) -> Result<Literal> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong_type());
        }
        self.at += 1;
        let mut literal = Literal { start: self.at, end: self.at, escaped: false, printable: true };
        loop {
            let Some(bytes) = self.text.as_bytes().get(self.at..).and_then(|rest| rest.first_chunk()) else {
                return self.end_of_string(literal);
            };
            let bytes = u64::from_le_bytes(*bytes);
            let special = special_bytes(bytes);
            if special == 0 {
                literal.printable &= unprintable_bytes(bytes) == 0;
                self.at += 8;
                continue;
            }
            let before = special ^ (special - 1); // the special byte and what stands before it
            literal.printable &= unprintable_bytes(bytes) & before == 0;
            self.at += special.trailing_zeros() as usize / 8;
            if self.is_ended(&mut literal)? {
                return Ok(literal);
            }
        }
    }

    /// As [`literal_string`](Self::literal_string), where fewer than eight bytes are left.
    fn end_of_string(&mut self, mut literal: Literal) -> Result<Literal> {
        loop {
            match self.peek().ok_or(JsonError::Syntax)? {
                b'"' | b'\\' | ..0x20 => {
                    if self.is_ended(&mut literal)? {
                        return Ok(literal);
                    }
                }
                byte => {
                    literal.printable &= byte < 0x7f;
                    self.at += 1;
                }
            }
        }
    }

    /// Passes a byte of a string that does not stand for itself; whether it is the end.
    fn is_ended(&mut self, literal: &mut Literal) -> Result<bool> {
        literal.end = self.at;
        match self.next()? {
            b'"' => Ok(true),
            b'\\' => {
                literal.escaped = true;
                self.next()?;
                Ok(false)
            }
            _ => Err(JsonError::Syntax),
        }
    }

    /// Whether the value here is a string.
    pub(crate) fn is_string(&self) -> bool {
        self.peek() == Some(b'"')
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.literal("true").map(|()| true),
            Some(b'f') => self.literal("false").map(|()| false),
            _ => Err(self.wrong_type()),
        }
    }

    /// A NumericDate (RFC 7519 section 2): whole seconds since 1970 up to the year 9999. A fraction of zero (`1.7e9`,
    /// `1700000000.0`) is allowed, any other is refused rather than rounded in somebody's favour.
    pub(crate) fn date(&mut self) -> Result<u64> {
        if let Some(seconds) = self.plain_seconds() {
            return if seconds <= MAX_DATE { Ok(seconds) } else { Err(JsonError::OutOfRange) };
        }
        let text = self.number()?;
        // Other readers take a float for an f64: one of more digits than that holds would be rounded before it is looked at.
        let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
        if digits > 15 {
            return Err(JsonError::OutOfRange);
        }
        whole(text).filter(|seconds| *seconds <= MAX_DATE).ok_or(JsonError::OutOfRange)
    }

    /// A number of digits alone, as dates mostly are; stays where it is if another value stands here. Too large a one is given as
    /// the largest there is.
    fn plain_seconds(&mut self) -> Option<u64> {
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

    /// Any value, checked as strictly as one that is used.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.peek().ok_or(JsonError::Syntax)? {
            b'{' => self.object(|_, reader| reader.skip()),
            b'[' => self.array(|reader| reader.skip()),
            b'"' => self.string().map(|_| ()), // its escapes too
            b't' | b'f' => self.boolean().map(|_| ()),
            b'n' => self.literal("null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// The text of any value, checked, to be read on its own.
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

    /// Whether another element follows, having passed the comma before it or the `close` after the last one.
    fn more(&mut self, close: u8, first: &mut bool) -> Result<bool> {
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !core::mem::take(first) {
            self.expect(b',')?;
            self.skip_space();
        }
        Ok(true)
    }

    fn literal(&mut self, literal: &str) -> Result<()> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            return Err(JsonError::Syntax);
        }
        self.at += literal.len();
        Ok(())
    }

    /// A value of another type, or no value at all.
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

/// Where a string stands in the text, between its quotation marks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Literal {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether there is an escape in it, and it means something else than what stands there.
    pub(crate) escaped: bool,
    /// Whether all that stands there is printable ASCII.
    pub(crate) printable: bool,
}
