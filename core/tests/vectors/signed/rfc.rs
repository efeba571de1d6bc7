//! The signed examples of RFC 7515 (appendices A, E and F), RFC 7519, RFC 7520 (section 4) and RFC 8037, as they are printed there.

use serde_json::Value;

use super::Vector;

/// An example as a token.
pub struct Example {
    /// The document and its section.
    pub name: String,
    /// The token as printed.
    pub token: String,
    /// The key to check it with, if it is signed.
    pub jwks: Option<String>,
    /// Why it is no access token, as the refusal's code.
    pub code: String,
    /// The same in words.
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

/// The examples that are signed: what is signed, and by which key.
pub fn vectors() -> Vec<Vector> {
    let signed = entries().into_iter().filter(|entry| entry.get("signature").is_some());
    let decoded = |text: String| crate::token_builder::decode(&text);
    signed
        .map(|entry| Vector {
            set: "rfc",
            name: text(&entry, "name").expect("a name"),
            jwks: jwks(&entry).expect("a key"),
            alg: text(&entry, "alg").expect("an algorithm"),
            message: text(&entry, "input").expect("what is signed").into_bytes(),
            signature: decoded(text(&entry, "signature").expect("a signature")),
            is_valid: true,
        })
        .collect()
}

/// The examples as tokens. None is an access token, so each is refused, at the latest by its claims.
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
