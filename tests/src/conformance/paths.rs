//! Paths and queries of real applications, and paths that two servers could read differently.

use super::{Answer, Case, Section, Setup, Table, bearer, get, insufficient, refused};

pub(super) const SECTION: Section = Section {
    name: "paths",
    setup: Setup::Plain,
    routes: &[r#"{"path":"/paths/secret/*","scope":["admin"]}"#, r#"{"path":"/paths/Case","scope":["admin"]}"#],
    cases: |table| table.paths(),
};

/// Targets that reach the upstream as they were sent.
const PASSED: &[&str] = &[
    "/paths",
    "/paths/",
    "/paths/?",
    "/paths/a?",
    "/paths/a?b",
    "/paths/a?b=c&b=d&&e",
    "/paths/a?url=https://api.example/%2F..%2F?x=%23",
    "/paths/a?q=a;b;c",
    "/paths/a?q=%00%0d%0a",
    "/paths/a?filter[name]=x&sort=-y",
    "/paths/a?q={a}|b^c",
    "/paths/a?access_tokens=1",
    "/paths/index.html",
    "/paths/v1.0/a_b-c~d",
    "/paths/.well-known/x",
    "/paths/...",
    "/paths/a..b",
    "/paths/a.",
    "/paths/with%20space",
    "/paths/a%20",
    "/paths/a+b",
    "/paths/a%2Bb",
    "/paths/~alice/x",
    "/paths/%7Ealice",
    "/paths/@types/node",
    "/paths/%40types/node",
    "/paths/a@b.example",
    "/paths/books:batchGet",
    "/paths/books%3AbatchGet",
    "/paths/urn:isbn:0451450523",
    "/paths/Products(1)/Name",
    "/paths/Products('a','b')",
    "/paths/Products(ID=1,Lang=%27en%27)",
    "/paths/a,b=c&d$e!f*g",
    "/paths/a%26b%3Dc",
    "/paths/%7Bid%7D",
    "/paths/[id]",
    "/paths/caf%C3%A9",
    "/paths/%E6%97%A5%E6%9C%AC%E8%AA%9E",
    "/paths/%F0%9F%9A%AA",
    "/paths/what%EF%BC%9F",
    "/paths/100%25",
    "/paths/100%25.txt",
    "/paths/50%25%20off",
    "/paths/%61%62",
    "/paths/00000000-0000-0000-0000-000000000000",
    "/paths/eyJhbGciOiJub25lIn0=",
    "/paths/a%22b%3Cc%3E",
];

/// Targets that are refused, with what the path has or is.
const AMBIGUOUS: &[(&str, &str)] = &[
    ("/paths//a", "it has an empty segment"),
    ("/paths/a//", "it has an empty segment"),
    ("//paths", "it has an empty segment"),
    ("/paths/..%2fsecret/x", "it has a dot segment"),
    ("/paths/a%2F../secret", "it has a dot segment"),
    ("/paths/a/..%20/secret", "it has a dot segment"),
    ("/paths/%EF%BC%8E%EF%BC%8E/secret", "it has a dot segment"),
    ("/paths/%E2%80%A5/secret", "it has a dot segment"),
    ("/paths/a%2Fb", "it has an encoded slash"),
    ("/paths/secret%2fx", "it has an encoded slash"),
    ("/paths/%E2%93%A2ecret/x", "it has letters that some servers read as others"),
    ("/paths/a%5Cb", "it has a backslash"),
    ("/paths/secret;x", "it has a semicolon"),
    ("/paths/a;b=c/d", "it has a semicolon"),
    ("/paths/..;/secret", "it has a semicolon"),
    ("/paths/secret%3Bx", "it has a semicolon"),
    ("/paths/secret%3Fx", "it has an encoded question mark or a number sign"),
    ("/paths/secret%23x", "it has an encoded question mark or a number sign"),
    ("/paths/%2561", "it is percent-encoded twice"),
    ("/paths/a%252Fb", "it is percent-encoded twice"),
    ("/paths/%25u0061", "it is percent-encoded twice"),
];

/// Targets that are refused for another reason.
const MALFORMED: &[(&str, &str)] = &[
    ("/paths/%00", "the path has a control character"),
    ("/paths/a%0d%0ab", "the path has a control character"),
    ("/paths/%7F", "the path has a control character"),
    ("/paths/%E9", "the path is not UTF-8"),
    ("/paths/%c0%af", "the path is not UTF-8"),
    ("/paths/a%", "the path has a percent sign without two hexadecimal digits"),
    ("/paths/%zz", "the path has a percent sign without two hexadecimal digits"),
    ("/paths/%u0061", "the path has a percent sign without two hexadecimal digits"),
];

/// Other spellings of a path with a stricter rule, with the status.
const STRICTER: &[(&str, u16)] = &[
    ("/paths/secret", 403),
    ("/paths/secret/", 403),
    ("/paths/secret/x", 403),
    ("/paths/%73ecret/x", 403),
    ("/paths/secret/%E6%97%A5", 403),
    ("/paths/Secret/x", 400),
    ("/paths/secret.", 400),
    ("/paths/secret%20/x", 400),
    ("/paths/%20secret/x", 400),
    ("/paths/%C5%BFecret/x", 400),
    ("/paths/secret%EF%BC%8Fx", 400),
    ("/paths/case", 400),
];

impl Table<'_> {
    fn paths(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let named = |target: &str, expected: Answer| get(&format!("path {target}"), target, &[&reader], expected);
        let invalid = |why: &str| refused(400, "invalid_request", why);
        let passed = PASSED.iter().map(|target| named(target, self.identity(&draft)));
        let ambiguous = AMBIGUOUS
            .iter()
            .map(|(target, why)| named(target, invalid(&format!("the path can be read in more than one way: {why}"))));
        let malformed = MALFORMED.iter().map(|(target, why)| named(target, invalid(why)));
        let stricter = STRICTER.iter().map(|(target, status)| {
            let lenient = "the path's route depends on capital letters, or on spaces or dots at the end of a segment";
            named(target, if *status == 403 { insufficient("admin") } else { invalid(lenient) })
        });
        let long_query = format!("/paths/a?q={}", "x".repeat(8_000));
        let long = get("a query of 8,000 bytes", long_query, &[&reader], self.identity(&draft));
        passed.chain(ambiguous).chain(malformed).chain(stricter).chain([long]).collect()
    }
}
