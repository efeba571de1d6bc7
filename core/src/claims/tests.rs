//! What is read at a glance is what the general reader reads.

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

/// All that the claims tell, or the refusal.
fn told(text: &str) -> String {
    match read(text) {
        Ok(claims) => {
            let all = (claims.issuer(), claims.subject(), claims.audience().collect::<Vec<_>>(), claims.token_id());
            let more = (claims.client_id(), claims.session(), claims.scope(), claims.is_bound());
            format!("{all:?} {more:?} {} {} {:?}", claims.expires_at(), claims.issued_at(), claims.not_before())
        }
        Err(refusal) => format!("{refusal:?}"),
    }
}

/// Reads a text twice, the second time with a space that nothing usual has; whether it is good.
fn agrees(text: &str) -> bool {
    let general = text.replacen('{', "{ ", 1);
    assert_eq!(told(text), told(&general), "{text}");
    read(text).is_ok()
}

fn object(members: &[&str]) -> String {
    format!("{{{}}}", members.join(","))
}

#[test]
fn the_usual_claims_are_read_to_their_end() {
    let text = object(&MEMBERS);
    let mut draft = Draft { text: &text, ..Draft::default() };
    assert_eq!((draft.usual(), draft.read_so_far()), (text.len() - 1, MEMBERS.len()));
    assert!(agrees(&text));
}

#[test]
fn other_orders_and_members_mean_the_same() {
    let mut good = 0;
    for turned in 0..MEMBERS.len() {
        for other in
            [r#""nbf":1"#, r#""status":{"status_list":{"idx":7,"uri":"https://issuer.example/1"}}"#, r#""cnf":{}"#]
        {
            for place in 0..=MEMBERS.len() {
                let mut members = MEMBERS.to_vec();
                members.insert(place, other);
                members.rotate_left(turned);
                good += usize::from(agrees(&object(&members)));
                // One of them twice, or not at all.
                members.push(MEMBERS[place % MEMBERS.len()]);
                assert!(!agrees(&object(&members)));
                members.pop();
                members.remove(place);
                agrees(&object(&members));
            }
        }
    }
    assert_eq!(good, 9 * 3 * 10, "with all of its claims a token is good in any order");
}

#[test]
fn values_at_their_bounds_mean_the_same() {
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
    let mut good = 0;
    for value in values {
        for place in 0..MEMBERS.len() {
            let (name, _) = MEMBERS[place].split_once(':').expect("a member");
            let changed = format!("{name}:{value}");
            let mut members = MEMBERS;
            members[place] = &changed;
            good += usize::from(agrees(&object(&members)));
        }
    }
    assert!(good > 60, "{good} were good");
}

#[test]
fn spoilt_texts_are_refused_alike() {
    let (text, mut random, mut good) = (object(&MEMBERS), 1_u64, 0);
    let spoilers = b"\"\\,:{}[]019 ax\x7f\x1f";
    for _ in 0..200_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..1 + random % 3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (random >> 33) as usize % bytes.len();
            let byte = spoilers[(random >> 20) as usize % spoilers.len()];
            match (random >> 10) % 4 {
                0 if place > 0 => drop(bytes.remove(place)),
                1 => bytes.insert(place, byte),
                2 => bytes.truncate(place.max(1)),
                _ => bytes[place] = byte,
            }
        }
        // The space must stand where the object begins.
        if let Ok(text) = String::from_utf8(bytes)
            && text.starts_with('{')
        {
            good += usize::from(agrees(&text));
        }
    }
    assert!(good > 1_000, "{good} stayed good");
}
