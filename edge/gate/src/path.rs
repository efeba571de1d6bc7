//! The path by which route rules are found. Edge and upstream must interpret a path alike:
//! otherwise `/x/..%2fadmin` would bypass the rule for `/admin`. A path that two servers could
//! interpret differently is therefore refused.

use std::borrow::Cow;

/// Replaces an encoded slash in [`DecodedPath::segments`]. Paths have no control characters, so no
/// client can send it, and no rule has it.
const ENCODED_SLASH: char = '\u{1}';

/// A path in the form of route rules: percent-decoded, because `/%61dmin` is `/admin` to all
/// servers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DecodedPath<'a> {
    /// The path as a server reads it that keeps encoded slashes inside their segments.
    pub(crate) segments: Cow<'a, str>,
    /// The path as a server reads it that decodes slashes before it splits the path; none if no
    /// slash is encoded.
    pub(crate) with_slashes_decoded: Option<String>,
}

/// Decodes a path that all servers interpret alike, apart from encoded slashes. It must begin with
/// `/` and be percent-encoded correctly and once; it may end in `/`. Refused are:
/// - empty and dot segments, however dots and slashes are written, also with spaces around them,
///   which some file systems remove;
/// - backslashes and control characters;
/// - `;`, because some servers cut a segment there (`/admin;x` is `/admin`, `..;` is `..`);
/// - `?` and `#`, encoded or not, because a server that decodes before it splits ends the path
///   there;
/// - an encoded `%` before a letter or digit, which a server that decodes twice would decode;
/// - letters and digits in circles, in mathematical styles and the like, which a server that
///   normalizes text (NFKC) reads as ASCII.
///
/// # Errors
/// Says in what way the path is ambiguous.
pub(crate) fn decode(path: &str) -> Result<DecodedPath<'_>, &'static str> {
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    let segments = if path.contains('%') {
        let mut decoded = percent_decode(path).ok_or("the path has a percent sign without two hexadecimal digits")?;
        check_bytes(&decoded)?;
        mark_encoded_slashes(path, &mut decoded);
        Cow::Owned(String::from_utf8(decoded).map_err(|_| "the path is not UTF-8")?)
    } else {
        check_bytes(path.as_bytes())?;
        Cow::Borrowed(path)
    };
    check_segments(&segments)?;
    let with_slashes_decoded = segments.contains(ENCODED_SLASH).then(|| segments.replace(ENCODED_SLASH, "/"));
    Ok(DecodedPath { segments, with_slashes_decoded })
}

/// Refuses characters that are, or may become, delimiters, and control characters.
fn check_bytes(decoded: &[u8]) -> Result<(), &'static str> {
    match decoded.iter().find(|byte| matches!(byte, b';' | b'?' | b'#' | b'\\' | 0..=0x1f | 0x7f)) {
        Some(b';') => Err("the path can be read in more than one way: it has a semicolon"),
        Some(b'\\') => Err("the path can be read in more than one way: it has a backslash"),
        Some(b'?' | b'#') => {
            Err("the path can be read in more than one way: it has an encoded question mark or a number sign")
        }
        Some(_) => Err("the path has a control character"),
        None if decoded.windows(2).any(|pair| pair[0] == b'%' && pair[1].is_ascii_alphanumeric()) => {
            Err("the path can be read in more than one way: it is percent-encoded twice")
        }
        None => Ok(()),
    }
}

/// Replaces the slashes of `decoded` that are encoded in `path`.
fn mark_encoded_slashes(path: &str, decoded: &mut [u8]) {
    let mut bytes = path.bytes();
    for decoded in decoded {
        if bytes.next() == Some(b'%') {
            bytes.nth(1); // the two digits
            if *decoded == b'/' {
                *decoded = ENCODED_SLASH as u8;
            }
        }
    }
}

/// Refuses empty segments, except after the last slash, dot segments, and styled letters.
fn check_segments(path: &str) -> Result<(), &'static str> {
    if !path.is_ascii() && path.chars().any(is_styled_letter) {
        return Err("the path can be read in more than one way: it has letters that some servers read as others");
    }
    // The slashes of other character sets are slashes to a server that normalizes text (NFKC).
    let is_slash = |letter| matches!(letter, '/' | ENCODED_SLASH | '\u{ff0f}' | '\u{ff3c}' | '\u{fe68}');
    let mut segments = path.split(is_slash).skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err("the path can be read in more than one way: it has an empty segment");
        }
        if is_dot_segment(segment) {
            return Err("the path can be read in more than one way: it has a dot segment");
        }
    }
    Ok(())
}

/// Whether compatibility normalization (NFKC) may turn the character into ASCII letters or digits:
/// blocks of superscripts, letterlike symbols, Roman numerals, enclosed and squared characters,
/// ligatures, and mathematical and enclosed alphanumerics. Fullwidth letters and the Kelvin sign
/// are left to the comparison of routes, which reads them both ways.
fn is_styled_letter(letter: char) -> bool {
    match letter {
        '\0'..='\u{a9}' | '\u{212a}' => false,
        '\u{aa}' | '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{ba}' => true,
        '\u{2b0}'..='\u{2b8}' | '\u{2e0}'..='\u{2e4}' | '\u{1d2c}'..='\u{1d6a}' => true,
        '\u{2070}'..='\u{209c}' | '\u{2100}'..='\u{2149}' | '\u{2160}'..='\u{217f}' => true,
        '\u{2460}'..='\u{24ff}' | '\u{2c7c}' | '\u{3250}' | '\u{32cc}'..='\u{32cf}' => true,
        '\u{3371}'..='\u{337a}' | '\u{3380}'..='\u{33df}' | '\u{33ff}' | '\u{fb00}'..='\u{fb06}' => true,
        '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f190}' | '\u{1fbf0}'..='\u{1fbf9}' => true,
        _ => false,
    }
}

/// Whether a server may read the segment as `.` or `..`.
fn is_dot_segment(segment: &str) -> bool {
    let dots = segment.trim().chars().map(|letter| match letter {
        '.' | '\u{ff0e}' | '\u{2024}' => Some(1),
        '\u{2025}' => Some(2),
        _ => None,
    });
    dots.sum::<Option<u32>>().is_some_and(|dots| matches!(dots, 1 | 2))
}

/// Percent-decodes once; `None` for a `%` without two hexadecimal digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? * 16 + hex(bytes.next()?)? } else { byte });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes what a header value cannot carry: all but printable ASCII, `%` itself, and
/// leading and trailing spaces, which parsers of headers remove: `admin ` must not become `admin`.
pub(crate) fn encode_header_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    let trimmed = text.trim_matches(' ');
    let inner = text.len() - text.trim_start_matches(' ').len()..;
    for (at, byte) in text.bytes().enumerate() {
        let is_at_an_end = byte == b' ' && (at < inner.start || at >= inner.start + trimmed.len());
        match byte {
            b' '..=b'~' if byte != b'%' && !is_at_an_end => encoded.push(byte as char),
            _ => {
                let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value & 15)]);
                encoded.extend(['%', digit(byte >> 4), digit(byte)]);
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_normalization_turns_into_ascii_are_refused() {
        for path in
            ["/\u{24d0}dmin", "/\u{1d41a}dmin", "/a\u{2148}", "/\u{217c}", "/o\u{fb03}ce", "/v\u{b2}", "/%e2%93%90"]
        {
            assert!(decode(path).is_err(), "{path}");
        }
        for path in
            ["/\u{e9}t\u{e9}", "/\u{6771}\u{4eac}", "/\u{e4}\u{df}", "/\u{1f600}", "/\u{ff41}", "/\u{212a}", "/\u{439}"]
        {
            assert!(decode(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn paths_of_real_applications_are_decoded() {
        for (path, decoded) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/b.c", "/a/b.c"),
            ("/%61", "/a"),
            ("/a..b", "/a..b"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/.git", "/.git"),
            ("/file.", "/file."),
            ("/caf%C3%A9", "/café"),
            ("/café", "/café"),
            ("/%E6%97%A5%E6%9C%AC/x", "/日本/x"),
            ("/a%20b", "/a b"),
            ("/a%20", "/a "),
            ("/a+b", "/a+b"),
            ("/a%2Bb", "/a+b"),
            ("/~alice", "/~alice"),
            ("/%7Ealice", "/~alice"),
            ("/@types/node", "/@types/node"),
            ("/%40types/node", "/@types/node"),
            ("/users/a@b.example", "/users/a@b.example"),
            ("/v1/books:batchGet", "/v1/books:batchGet"),
            ("/v1/books%3AbatchGet", "/v1/books:batchGet"),
            ("/Products(1)/Name", "/Products(1)/Name"),
            ("/Products('a','b')", "/Products('a','b')"),
            ("/a,b=c&d$e!f*g", "/a,b=c&d$e!f*g"),
            ("/%7Bid%7D", "/{id}"),
            ("/[a]|^`\"<>", "/[a]|^`\"<>"),
            ("/100%25", "/100%"),
            ("/100%25.txt", "/100%.txt"),
            ("/50%25%20off", "/50% off"),
            ("/%F0%9F%9A%AA", "/🚪"),
            ("/what%EF%BC%9F", "/what\u{ff1f}"),
            ("/_/_-_", "/_/_-_"),
        ] {
            let decoded = DecodedPath { segments: decoded.into(), with_slashes_decoded: None };
            assert_eq!(decode(path), Ok(decoded), "{path}");
        }
    }

    #[test]
    fn both_readings_of_encoded_slashes_are_returned() {
        for (path, segments, decoded) in [
            ("/@npm%2fcli", "/@npm\u{1}cli", "/@npm/cli"),
            ("/projects/a%2Fb%2Fc/issues", "/projects/a\u{1}b\u{1}c/issues", "/projects/a/b/c/issues"),
            ("/%61%2F", "/a\u{1}", "/a/"),
        ] {
            let expected = DecodedPath { segments: segments.into(), with_slashes_decoded: Some(decoded.to_owned()) };
            assert_eq!(decode(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused_with_the_reason() {
        for (reason, paths) in [
            ("the path does not begin with a slash", &["", "a", "*"][..]),
            ("it has an empty segment", &["//", "//a", "/a//b", "/a//", "/%2Fa", "/a%2F/b", "/a%2f%2fb"]),
            (
                "it has a dot segment",
                &[
                    "/.",
                    "/..",
                    "/a/../b",
                    "/%2e%2E/a",
                    "/a/.",
                    "/a/..%2fadmin",
                    "/a%2f..",
                    "/a/..%20/b",
                    "/a/%20.%20/b",
                    "/a/%EF%BC%8E%EF%BC%8E/b",
                    "/a/\u{2025}/b",
                    "/a/..\u{ff0f}b",
                ],
            ),
            ("it has a backslash", &["/a%5Cb", "/a\\b", "/..%5cb"]),
            ("the path has a control character", &["/%00", "/a%0d", "/a%0Ab", "/%01", "/a%7F"]),
            ("a percent sign without two hexadecimal digits", &["/a%", "/%4", "/%zz", "/%u0061"]),
            ("it has a semicolon", &["/admin;x", "/a/..;/b", "/a%3Bb"]),
            (
                "it has an encoded question mark or a number sign",
                &["/a#b", "/#", "/admin%3Fx", "/admin%3fx", "/admin%23x", "/%3F"],
            ),
            ("it is percent-encoded twice", &["/%2561", "/a%252Fb", "/%25%36%31", "/%25u0061"]),
            ("the path is not UTF-8", &["/%E9", "/%c0%af", "/%ff"]),
        ] {
            for path in paths {
                let error = decode(path).expect_err(path);
                assert!(error.ends_with(reason), "{path}: {error}");
            }
        }
    }

    #[test]
    fn header_values_carry_any_identifier() {
        assert_eq!(encode_header_value("a b@c"), "a b@c");
        assert_eq!(encode_header_value("50% é\n"), "50%25 %C3%A9%0A");
        assert_eq!(encode_header_value(" a b  "), "%20a b%20%20");
        assert_eq!(encode_header_value("  "), "%20%20");
    }
}
