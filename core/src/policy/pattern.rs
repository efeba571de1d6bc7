//! Paths of route rules: literal segments, parameters, and `/*` at the end.

use alloc::string::{String, ToString as _};
use core::cmp::Ordering;

/// Whether `path` can be the path of a rule. Paths are matched after percent-decoding: a rule that
/// could never match is an error.
pub(super) fn is_valid(path: &str) -> bool {
    // `windows` over bytes, because `str::contains` of a string adds a substring searcher to the
    // component.
    let has_empty_segment = path.as_bytes().windows(2).any(|pair| pair == b"//");
    path.starts_with('/') && !has_empty_segment && !path.contains(['%', ';', '#', '?'])
}

/// A rule's path in the form in which requests are compared with it.
///
/// A parameter matches one segment that is not empty. `/a/*` matches `/a`, `/a/` and all paths
/// below them. `/a` matches `/a/`, too, because most frameworks serve both alike, unless the rule
/// is public. `/a/` matches `/a/` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    /// The path up to its first parameter.
    literal: String,
    /// The first parameter and what follows it; empty without a parameter.
    rest: String,
    /// Ends in `/*`.
    is_prefix: bool,
    may_end_in_slash: bool,
}

impl PathPattern {
    pub(super) fn new(path: &str, is_public: bool) -> Self {
        let (path, is_prefix) = path.strip_suffix("/*").map_or((path, false), |prefix| (prefix, true));
        let mut at = 0;
        let first_parameter = path.split('/').find_map(|segment| {
            let start = at;
            at += segment.len() + 1;
            is_parameter(segment).then_some(start)
        });
        let (literal, rest) = path.split_at(first_parameter.unwrap_or(path.len()));
        let (literal, rest) = (literal.to_string(), rest.to_string());
        Self { literal, rest, is_prefix, may_end_in_slash: !is_prefix && !is_public }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let after_literal = path.strip_prefix(&*self.literal);
        let after = if self.rest.is_empty() { after_literal } else { after_literal.and_then(|rest| self.skip(rest)) };
        match after {
            None => false,
            Some("") => true,
            Some("/") => self.is_prefix || self.may_end_in_slash,
            Some(after) => self.is_prefix && after.starts_with('/'),
        }
    }

    /// What follows the segments of `rest` in the path, if they match.
    fn skip<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut left = path;
        for (index, segment) in self.rest.split('/').enumerate() {
            if index > 0 {
                left = left.strip_prefix('/')?;
            }
            let (value, after) = left.split_at(left.find('/').unwrap_or(left.len()));
            let is_match = if is_parameter(segment) { !value.is_empty() } else { value == segment };
            left = is_match.then_some(after)?;
        }
        Some(left)
    }

    /// Order of precedence: of two patterns that match a path, the lesser one applies. Segment by
    /// segment, a literal comes before a parameter, a parameter before the end, and the end before
    /// `/*`. [`Ordering::Equal`] are patterns that match the same paths.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        self.ranks().cmp(other.ranks())
    }

    fn ranks(&self) -> impl Iterator<Item = (u8, &str)> {
        let literal = self.literal.strip_suffix('/').filter(|_| !self.rest.is_empty()).unwrap_or(&self.literal);
        let rest = self.rest.split('/').filter(|_| !self.rest.is_empty());
        let segments = literal.split('/').chain(rest);
        let end = if self.is_prefix { (WILDCARD, "") } else { (END, "") };
        segments.map(|segment| if is_parameter(segment) { (PARAMETER, "") } else { (LITERAL, segment) }).chain([end])
    }
}

const LITERAL: u8 = 0;
const PARAMETER: u8 = 1;
const END: u8 = 2;
const WILDCARD: u8 = 3;

/// Whether a segment is a parameter: a name of letters, digits and underscores in braces. The name
/// is for people.
pub(super) fn is_parameter(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(path: &str) -> PathPattern {
        PathPattern::new(path, false)
    }

    #[test]
    fn patterns_match_whole_segments() {
        for (path, matching, others) in [
            ("/", "/", "/a"),
            ("/*", "/ /a /a/b /a/", ""),
            ("/a", "/a /a/", "/ /ab /a/b /A"),
            ("/a/", "/a/", "/a /a/b"),
            ("/a/*", "/a /a/ /a/b /a/b/c", "/ab /"),
            ("/a/{id}", "/a/1 /a/1/ /a/{id}", "/a /a/ /a/1/2 /a//"),
            ("/a/{id}/", "/a/1/", "/a/1 /a/1/2"),
            ("/a/{id}/*", "/a/1 /a/1/ /a/1/b/c", "/a /a/"),
            ("/{a}/{b}/c", "/1/2/c /1/2/c/", "/1/2 /1/2/d /1/2/cc /1/c /1//c"),
            ("/a/{id}/items/{item}", "/a/1/items/2", "/a/1/items/ /a/1/items /a/1/item/2"),
            ("/a/{}/b{c}", "/a/{}/b{c}", "/a/1/bc"),
        ] {
            for matching in matching.split(' ') {
                assert!(pattern(path).matches(matching), "{path} {matching}");
            }
            for other in others.split(' ').filter(|other| !other.is_empty()) {
                assert!(!pattern(path).matches(other), "{path} {other}");
            }
        }
        assert!(!PathPattern::new("/open", true).matches("/open/"));
        assert!(!PathPattern::new("/open/{id}", true).matches("/open/1/"));
    }

    #[test]
    fn literal_comes_before_parameter_before_wildcard() {
        let ordered = ["/a/b/c", "/a/b", "/a/b/*", "/a/{x}/c", "/a/{x}/{y}", "/a/{x}", "/a/{x}/*", "/a", "/a/*"];
        for pair in ordered.windows(2) {
            assert_eq!(pattern(pair[0]).precedence(&pattern(pair[1])), Ordering::Less, "{pair:?}");
        }
        for (one, other) in [("/a/", "/a"), ("/a", "/a/*"), ("/a/b", "/a/*"), ("/{x}", "/*"), ("/a/*", "/{x}/b")] {
            assert_eq!(pattern(one).precedence(&pattern(other)), Ordering::Less, "{one} {other}");
        }
        assert_eq!(pattern("/a/{x}/c").precedence(&pattern("/a/{y}/c")), Ordering::Equal);
        assert_ne!(pattern("/a/{x}/").precedence(&pattern("/a/{x}")), Ordering::Equal);
    }
}
