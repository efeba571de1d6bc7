//! Paths of route rules.

/// Whether `path` can be the path of a rule. Paths are matched after percent-decoding: a rule that
/// could never match is an error.
pub(super) fn is_valid(path: &str) -> bool {
    // `windows` over bytes, because `str::contains` of a string adds a substring searcher to the
    // component.
    let has_empty_segment = path.as_bytes().windows(2).any(|pair| pair == b"//");
    path.starts_with('/') && !has_empty_segment && !path.contains(['%', ';', '#', '?'])
}
