//! The signed examples of RFC 7515 (appendices A, E and F), RFC 7519, RFC 7520 (section 4) and RFC
//! 8037, as printed.

use serde_json::Value;

use super::Vector;

/// An example as a token.
pub struct Example {
    /// The document and its section.
    pub name: String,
    /// The token as printed.
    pub token: String,
    /// The key that verifies it, if it is signed.
    pub jwks: Option<String>,
    /// Code of the refusal of the token as an access token.
    pub code: String,
    /// The reason as text.
    pub why: String,
}

fn entries() -> Vec<Value> {
    let entries: Value = serde_json::from_str(include_str!("rfc.json")).expect("JSON");
    entries.as_array().expect("a list").clone()
}

fn text(entry: &Value, name: &str) -> Option<String> {
    entry[name].as_str().map(str::to_owned)
}

fn jwks(entry: &Value) -> Option<String> {
    entry.get("jwk").map(|jwk| serde_json::json!({ "keys": [jwk] }).to_string())
}

/// The signed examples with their keys.
pub fn vectors() -> Vec<Vector> {
    let signed = entries().into_iter().filter(|entry| entry.get("signature").is_some());
    let decoded = |text: String| crate::token_builder::decode(&text);
    signed
        .map(|entry| Vector {
            set: "rfc",
            name: text(&entry, "name").expect("a name"),
            jwks: jwks(&entry).expect("a key"),
            alg: text(&entry, "alg").expect("an algorithm"),
            message: text(&entry, "input").expect("signed bytes").into_bytes(),
            signature: decoded(text(&entry, "signature").expect("a signature")),
            is_valid: true,
        })
        .collect()
}

/// The examples as tokens. None is an access token, so all are refused, at the latest for their
/// claims.
pub fn examples() -> Vec<Example> {
    let tokens = entries().into_iter().filter(|entry| entry.get("token").is_some());
    tokens
        .map(|entry| Example {
            name: text(&entry, "name").expect("a name"),
            token: text(&entry, "token").expect("a token"),
            jwks: jwks(&entry),
            code: text(&entry, "code").expect("a code"),
            why: text(&entry, "why").expect("a reason"),
        })
        .collect()
}
