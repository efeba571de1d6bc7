//! The fast path and the JSON reader must read the same claims.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::*;

const MEMBERS: [&str; 9] = [
    r#""iss":"https://issuer.example""#,
    r#""sub":"reporting-service""#,
    r#""aud":"https://api.example""#,
    r#""exp":1800000000"#,
    r#""iat":1790000000"#,
    r#""jti":"tg_AAAAAQECAwQFBgcICQoLDA0O""#,
    r#""client_id":"reporting-service""#,
    r#""sid":"grant-7""#,
    r#""scope":"read write""#,
];

fn read(text: &str) -> Result<Claims, Refusal> {
    Claims::read(base64url::encode(text.as_bytes()).as_bytes())
}

/// All claims as text, or the refusal.
fn describe(text: &str) -> String {
    match read(text) {
        Ok(claims) => {
            let all = (claims.issuer(), claims.subject(), claims.audience().collect::<Vec<_>>(), claims.token_id());
            let more = (claims.client_id(), claims.session(), claims.scope(), claims.confirmation().is_some());
            format!("{all:?} {more:?} {} {} {:?}", claims.expires_at(), claims.issued_at(), claims.not_before())
        }
        Err(refusal) => format!("{refusal:?}"),
    }
}

/// Reads a claims set by the fast path and, with a space inserted, by the JSON reader, and compares
/// the results. Returns whether the claims are valid.
fn is_valid_on_both_paths(text: &str) -> bool {
    let general = text.replacen('{', "{ ", 1);
    assert_eq!(describe(text), describe(&general), "{text}");
    read(text).is_ok()
}

fn object(members: &[&str]) -> String {
    format!("{{{}}}", members.join(","))
}

#[test]
fn the_fast_path_reads_canonical_claims_to_their_end() {
    let text = object(&MEMBERS);
    let mut parser = ClaimsParser { text: &text, ..ClaimsParser::default() };
    assert_eq!((parser.read_canonical(), parser.members_read()), (text.len() - 1, MEMBERS.len()));
    assert!(is_valid_on_both_paths(&text));
}

#[test]
fn both_paths_agree_on_other_orders_and_members() {
    let mut valid = 0;
    for rotation in 0..MEMBERS.len() {
        for other in
            [r#""nbf":1"#, r#""status":{"status_list":{"idx":7,"uri":"https://issuer.example/1"}}"#, r#""cnf":{}"#]
        {
            for place in 0..=MEMBERS.len() {
                let mut members = MEMBERS.to_vec();
                members.insert(place, other);
                members.rotate_left(rotation);
                valid += usize::from(is_valid_on_both_paths(&object(&members)));
                // One member twice, or missing.
                members.push(MEMBERS[place % MEMBERS.len()]);
                assert!(!is_valid_on_both_paths(&object(&members)));
                members.pop();
                members.remove(place);
                is_valid_on_both_paths(&object(&members));
            }
        }
    }
    assert_eq!(valid, 9 * 3 * 10, "a token with all required claims is valid in any order");
}

#[test]
fn both_paths_agree_on_values_at_their_bounds() {
    let long = |length: usize| format!("\"{}\"", "x".repeat(length));
    let texts = [r#""""#.to_string(), long(1), long(15), long(16), long(17), long(255), long(256), long(4000)];
    let odd = [
        r#""\u0061""#,
        r#""é""#,
        "\"a\u{7f}\"",
        "\"a\tb\"",
        r#""a b""#,
        r#"" a""#,
        r#""a  b""#,
        r#""a\"b""#,
        "[]",
        "1",
        "null",
    ];
    let dates = [
        "0",
        "1",
        "9999999",
        "10000000",
        "01000000",
        "99999999",
        "253402300799",
        "253402300800",
        "1e9",
        "1790000000.0",
    ];
    let more =
        ["-1790000000", "1790000000.5", "17900000000000000", "179000000000000000000000", "1790000000 ", "1790000000x"];
    let values = texts.iter().map(String::as_str).chain(odd).chain(dates).chain(more);
    let mut valid = 0;
    for value in values {
        for place in 0..MEMBERS.len() {
            let (name, _) = MEMBERS[place].split_once(':').expect("a member");
            let changed = format!("{name}:{value}");
            let mut members = MEMBERS;
            members[place] = &changed;
            valid += usize::from(is_valid_on_both_paths(&object(&members)));
        }
    }
    assert!(valid > 60, "{valid} were valid");
}

#[test]
fn both_paths_agree_on_damaged_texts() {
    let (text, mut random, mut valid) = (object(&MEMBERS), 1_u64, 0);
    let damage = b"\"\\,:{}[]019 ax\x7f\x1f";
    for _ in 0..200_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..1 + random % 3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (random >> 33) as usize % bytes.len();
            let byte = damage[(random >> 20) as usize % damage.len()];
            match (random >> 10) % 4 {
                0 if place > 0 => drop(bytes.remove(place)),
                1 => bytes.insert(place, byte),
                2 => bytes.truncate(place.max(1)),
                _ => bytes[place] = byte,
            }
        }
        // The inserted space must follow the brace of the object itself.
        if let Ok(text) = String::from_utf8(bytes)
            && text.starts_with('{')
        {
            valid += usize::from(is_valid_on_both_paths(&text));
        }
    }
    assert!(valid > 1_000, "{valid} stayed valid");
}
