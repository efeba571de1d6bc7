//! What is fuzzed of the verdict: the claims of a token that is well signed, and the rule by which a request's token is judged.
//! What is accepted is read once more by serde_json, which knows nothing of this crate.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tollgate_core::{CheckedByCaller, Config, Refusal, TokenRequirements, UnknownStatusPolicy, VerifiedToken, verify};

use crate::targets::{AUDIENCE, Accepted, ISSUER, LEEWAY, NOW, TOKEN_KEYS, hmac};

const HEADER: &str = r#"{"typ":"at+jwt","alg":"HS256","kid":"h"}"#;
/// Levels that header or claims may nest.
const MAX_DEPTH: usize = 16;
/// Members of header or claims.
const MAX_MEMBERS: usize = 256;
/// The last second of year 9999.
const MAX_DATE: f64 = 253_402_300_799.0;

fn judge(token: &str, scope: &[String]) -> Result<VerifiedToken, Refusal> {
    let expected = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope,
        leeway: LEEWAY,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    verify(token.as_bytes(), &TOKEN_KEYS, &expected, &CheckedByCaller, NOW)
}

fn signed(claims: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(hmac(input.as_bytes())))
}

/// The claims of a token: signed by our key they are judged, signed by nobody they are refused, whatever they are.
pub fn claims(data: &[u8]) -> Accepted {
    let token = signed(data);
    let (input, _) = token.rsplit_once('.').expect("three parts");
    let unsigned = format!("{input}.{}", URL_SAFE_NO_PAD.encode([0x55; 32]));
    let as_sent = judge(&unsigned, &[]).is_ok();
    assert!(!as_sent, "claims were accepted that nobody signed");
    let verdict = judge(&token, &[]);
    if let Ok(verified) = &verdict {
        match serde_json::from_slice::<Value>(data) {
            Ok(value) => compare(verified, &value),
            // A number that no double holds, in a claim that is not used.
            Err(error) => assert!(error.to_string().starts_with("number out of range"), "{error}"),
        }
    }
    Accepted { as_sent, signed_anew: verdict.is_ok() }
}

/// What is said of the token is what stands in it, and keeps the profile's bounds.
fn compare(verified: &VerifiedToken, claims: &Value) {
    let (mut depth, mut members) = (0, 0);
    measure(claims, 1, &mut depth, &mut members);
    assert!(depth <= MAX_DEPTH && members <= MAX_MEMBERS, "{depth} levels, {members} members");
    for (name, told) in [
        ("iss", verified.issuer()),
        ("sub", verified.subject()),
        ("client_id", verified.client_id()),
        ("jti", verified.token_id()),
    ] {
        assert_eq!(claims[name], told, "{name}");
        assert!((1..=255).contains(&told.len()) && !told.chars().any(char::is_control), "{name}");
    }
    assert_eq!(claims.get("sid").map(|sid| sid.as_str().expect("a string")), verified.session());
    let audiences = match &claims["aud"] {
        Value::Array(several) => several.iter().map(|aud| aud.as_str().expect("a string")).collect(),
        one => vec![one.as_str().expect("a string")],
    };
    assert_eq!(verified.audience().collect::<Vec<_>>(), audiences);
    for (name, told) in
        [("exp", Some(verified.expires_at())), ("iat", Some(verified.issued_at())), ("nbf", verified.not_before())]
    {
        let date = claims.get(name).map(|date| date.as_f64().expect("a number"));
        assert_eq!(date, told.map(|told| told as f64), "{name}");
        assert!(date.is_none_or(|date| (0.0..=MAX_DATE).contains(&date)), "{name}");
    }
}

fn measure(value: &Value, level: usize, depth: &mut usize, members: &mut usize) {
    match value {
        Value::Array(elements) => {
            *depth = level.max(*depth);
            elements.iter().for_each(|element| measure(element, level + 1, depth, members));
        }
        Value::Object(object) => {
            *depth = level.max(*depth);
            *members += object.len();
            object.values().for_each(|member| measure(member, level + 1, depth, members));
        }
        _ => {}
    }
}

/// A policy: a line with a method and a path, then the routes of a configuration. The rule for the request is one that was
/// written for it, and a token passes by it if and only if it has the scope that was written.
pub fn policy(data: &[u8]) -> Accepted {
    let refused = Accepted::default();
    let Ok(text) = std::str::from_utf8(data) else { return refused };
    let Some((request, routes)) = text.split_once('\n') else { return refused };
    let Some((method, path)) = request.split_once(' ') else { return refused };
    let document = format!(r#"{{"audience":"{AUDIENCE}","jwks":{{"keys":[]}},"routes":{routes}}}"#);
    let Ok(config) = Config::read(document.as_bytes()) else { return refused };
    let written: Value = serde_json::from_str(&document).expect("what is read strictly is JSON");
    assert_eq!(config.routes().len(), written["routes"].as_array().map_or(0, Vec::len));
    let Ok(route) = config.route(method, path) else { return refused };
    match config.routes().iter().position(|known| std::ptr::eq(known, route)) {
        None => {
            assert!(!route.is_public() && route.scope().is_empty(), "where no rule is written, a token is asked for")
        }
        Some(place) => fits(written["routes"][place]["path"].as_str().expect("a path"), path, route.is_public()),
    }
    let granted = ["reports:read", "reports:write"];
    let claims = format!(
        r#"{{"iss":"{ISSUER}","sub":"s","aud":"{AUDIENCE}","client_id":"c","jti":"j","iat":{NOW},"exp":{},"scope":"{}"}}"#,
        NOW + 60,
        granted.join(" ")
    );
    let verdict = judge(&signed(claims.as_bytes()), route.scope());
    let covers = route.scope().iter().all(|wanted| granted.contains(&wanted.as_str()));
    assert_eq!(verdict.is_ok(), covers, "{:?}", route.scope());
    assert!(covers || matches!(verdict, Err(Refusal::InsufficientScope { .. })));
    Accepted { as_sent: false, signed_anew: true }
}

/// The rule's path is the request's, or lies above it.
fn fits(rule: &str, path: &str, is_public: bool) {
    let fits = match rule.strip_suffix("/*") {
        Some(prefix) => path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')),
        None => path == rule || (!is_public && path.strip_suffix('/') == Some(rule)),
    };
    assert!(fits, "the rule for {rule} is not one for {path}");
}
