//! A strict, bounded JSON reader for the few documents a verdict rests on: token headers, claims, key sets, policies.
//!
//! It refuses what lenient readers let through and attackers use: duplicate member names, text after the value, deep nesting,
//! invalid UTF-8, lone surrogates. It reads in one pass without building a tree, and never recurses deeper than [`MAX_DEPTH`].

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Levels of arrays and objects a document may nest. RFC 8259 section 9 lets a reader set its limits; claims need three.
pub(crate) const MAX_DEPTH: usize = 16;
/// Members of all objects of one document together. It also bounds the quadratic search for duplicate names.
pub(crate) const MAX_MEMBERS: usize = 256;
/// The last second of year 9999, the highest date that common date libraries can hold.
pub(crate) const MAX_DATE: u64 = 253_402_300_799;

/// What is wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonFault {
    /// Not JSON (RFC 8259), or not UTF-8, or something stands after the value.
    Syntax,
    /// Two members of one object have the same name (RFC 7519 section 4 lets a reader refuse it; RFC 8725 section 2.7 says why).
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

impl fmt::Display for JsonFault {
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

impl core::error::Error for JsonFault {}

type Result<T> = core::result::Result<T, JsonFault>;

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
    let text = core::str::from_utf8(text).map_err(|_| JsonFault::Syntax)?;
    let mut reader = Reader { text, at: 0, depth: 0, members_left: max_members };
    reader.skip_space();
    reader.object(member)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(()) } else { Err(JsonFault::Syntax) }
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
    pub(crate) fn object(&mut self, mut member: impl FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'{')?;
        let mut names: Vec<Cow<'a, str>> = Vec::new();
        let mut first = true;
        while self.more(b'}', &mut first)? {
            let name = self.string()?;
            if names.contains(&name) {
                return Err(JsonFault::DuplicateName);
            }
            self.members_left = self.members_left.checked_sub(1).ok_or(JsonFault::TooMany)?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            member(&name, self)?;
            names.push(name);
        }
        Ok(())
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
        if self.peek() != Some(b'"') {
            return Err(self.wrong_type());
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek().ok_or(JsonFault::Syntax)? {
                b'"' => {
                    let text = self.text.get(start..self.at).ok_or(JsonFault::Syntax)?;
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.escaped_string(start).map(Cow::Owned),
                ..0x20 => return Err(JsonFault::Syntax),
                _ => self.at += 1,
            }
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
        let text = self.number()?;
        if let Ok(seconds) = text.parse::<u64>() {
            return if seconds <= MAX_DATE { Ok(seconds) } else { Err(JsonFault::OutOfRange) };
        }
        // A float of more digits than a f64 holds would be rounded before it is looked at.
        let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
        if digits > 15 {
            return Err(JsonFault::OutOfRange);
        }
        let value: f64 = text.parse().map_err(|_| JsonFault::Syntax)?;
        if !(0.0..=MAX_DATE as f64).contains(&value) {
            return Err(JsonFault::OutOfRange);
        }
        let seconds = value as u64;
        if seconds as f64 == value { Ok(seconds) } else { Err(JsonFault::OutOfRange) }
    }

    /// Any value, checked as strictly as one that is used.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.peek().ok_or(JsonFault::Syntax)? {
            b'{' => self.object(|_, reader| reader.skip()),
            b'[' => self.array(|reader| reader.skip()),
            b'"' => self.string().map(|_| ()),
            b't' | b'f' => self.boolean().map(|_| ()),
            b'n' => self.literal("null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// The text of any value, checked, to be read on its own.
    pub(crate) fn raw(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.skip()?;
        self.text.get(start..self.at).ok_or(JsonFault::Syntax)
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
        self.text.get(start..self.at).ok_or(JsonFault::Syntax)
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.skip_byte(|byte| byte.is_ascii_digit()) {}
        if self.at > start { Ok(()) } else { Err(JsonFault::Syntax) }
    }

    /// The rest of a string that began at `start`, from its first escape on.
    fn escaped_string(&mut self, start: usize) -> Result<String> {
        let mut unescaped = String::from(self.text.get(start..self.at).ok_or(JsonFault::Syntax)?);
        loop {
            let run = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | ..0x20)) {
                self.at += 1;
            }
            unescaped.push_str(self.text.get(run..self.at).ok_or(JsonFault::Syntax)?);
            match self.next()? {
                b'"' => return Ok(unescaped),
                b'\\' => unescaped.push(self.escape()?),
                _ => return Err(JsonFault::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        Ok(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(JsonFault::Syntax),
        })
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            self.literal("\\u")?;
            let second = self.hex4()?;
            if !(0xDC00..0xE000).contains(&second) {
                return Err(JsonFault::Syntax);
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        char::from_u32(code).ok_or(JsonFault::Syntax)
    }

    fn hex4(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            code = code * 16 + (self.next()? as char).to_digit(16).ok_or(JsonFault::Syntax)?;
        }
        Ok(code)
    }

    fn enter(&mut self, open: u8) -> Result<()> {
        if self.peek() != Some(open) {
            return Err(self.wrong_type());
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(JsonFault::TooDeep);
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
            return Err(JsonFault::Syntax);
        }
        self.at += literal.len();
        Ok(())
    }

    /// A value of another type, or no value at all.
    fn wrong_type(&self) -> JsonFault {
        match self.peek() {
            Some(b'{' | b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => JsonFault::WrongType,
            _ => JsonFault::Syntax,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.next()? == byte { Ok(()) } else { Err(JsonFault::Syntax) }
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
        let byte = self.peek().ok_or(JsonFault::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<()> {
        object(text.as_bytes(), |_, reader| reader.skip())
    }

    fn date(number: &str) -> Result<u64> {
        let mut read = 0;
        object(alloc::format!("{{\"d\":{number}}}").as_bytes(), |_, reader| {
            read = reader.date()?;
            Ok(())
        })?;
        Ok(read)
    }

    #[test]
    fn reads_what_rfc_8259_allows() {
        for text in [
            "{}",
            " { } ",
            r#"{"a":1,"b":-0.5e+10,"c":[true,false,null,[],{}],"d":"\u00e9\ud83d\ude00\n"}"#,
            "{\"a\"\t:\r\n1}",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_does_not() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "{]",
            "{}{}",
            "{} x",
            "\u{feff}{}",
            "{a:1}",
            "{'a':1}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":+1}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":tru}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":1/*c*/}",
        ] {
            assert_eq!(check(text), Err(JsonFault::Syntax), "{text:?}");
        }
        for text in ["[]", "1", "null", "\"a\""] {
            assert_eq!(check(text), Err(JsonFault::WrongType), "{text:?}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", |_, reader| reader.skip()), Err(JsonFault::Syntax));
    }

    #[test]
    fn refuses_duplicate_names_at_every_level_and_in_every_spelling() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"b":1,"c":2,"b":3}]}"#] {
            assert_eq!(check(text), Err(JsonFault::DuplicateName), "{text}");
        }
        assert_eq!(check(r#"{"a":{"a":1},"b":{"a":1}}"#), Ok(()));
    }

    #[test]
    fn bounds_depth_and_members() {
        let nested = |levels: usize| alloc::format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(JsonFault::TooDeep));
        assert_eq!(check(&nested(100_000)), Err(JsonFault::TooDeep));
        let wide = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| alloc::format!("\"{n}\":0")).collect();
            alloc::format!("{{{}}}", members.join(","))
        };
        assert_eq!(check(&wide(MAX_MEMBERS)), Ok(()));
        assert_eq!(check(&wide(MAX_MEMBERS + 1)), Err(JsonFault::TooMany));
    }

    #[test]
    fn dates_are_whole_seconds_until_the_year_9999() {
        for (number, seconds) in
            [("0", 0), ("1700000000", 1_700_000_000), ("1.7e9", 1_700_000_000), ("1700000000.0", 1_700_000_000)]
        {
            assert_eq!(date(number), Ok(seconds), "{number}");
        }
        assert_eq!(date("253402300799"), Ok(MAX_DATE));
        for number in
            ["253402300800", "-1", "-0.1", "1.5", "1e400", "18446744073709551616", "1e-1", "1700000000.0000000001"]
        {
            assert_eq!(date(number), Err(JsonFault::OutOfRange), "{number}");
        }
        for wrong in ["\"1\"", "true", "null", "[1]"] {
            assert_eq!(date(wrong), Err(JsonFault::WrongType), "{wrong}");
        }
    }
}
