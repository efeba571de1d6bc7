//! The strict profile as tokens: for each rule, tokens that must pass and tokens that must be
//! refused, and known attacks on other libraries. Each token is derived from a valid one and, where
//! that makes it stronger, signed by the issuer's own key, so that only the rule in question can
//! refuse it. The core's tests include this folder and verify the tokens natively; the conformance
//! table sends the same tokens through every adapter.

mod claims;
mod compact_form;
mod cves;
mod dates;
mod header;
mod json;
mod signatures;

use std::fmt;

use serde_json::Value;

use crate::token_builder::{TokenBuilder, TokenSigner, encode};

/// A rule of the strict profile, worded as in `docs/verification.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProfileRule {
    /// Length of the token.
    Size,
    /// Compact serialization.
    Parts,
    /// JSON of header and claims.
    Json,
    /// Nesting depth.
    Depth,
    /// Number of members.
    Members,
    /// Duplicate member names.
    Duplicates,
    /// Text after the JSON value.
    Trailing,
    /// `alg`.
    Alg,
    /// `typ`.
    Typ,
    /// Forbidden header members.
    Forbidden,
    /// `kid`.
    Kid,
    /// No `kid`.
    NoKid,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA.
    Rsa,
    /// Required claims.
    Required,
    /// Syntax of dates.
    Dates,
    /// Time checks.
    Times,
    /// `aud`.
    Audience,
    /// Syntax of identifiers.
    Identifiers,
    /// Comparison of values.
    Comparison,
    /// `cnf`.
    Bound,
}

impl ProfileRule {
    /// All rules, in the order of the profile.
    pub const ALL: [Self; 22] = [
        Self::Size,
        Self::Parts,
        Self::Json,
        Self::Depth,
        Self::Members,
        Self::Duplicates,
        Self::Trailing,
        Self::Alg,
        Self::Typ,
        Self::Forbidden,
        Self::Kid,
        Self::NoKid,
        Self::Ed25519,
        Self::Ecdsa,
        Self::Rsa,
        Self::Required,
        Self::Dates,
        Self::Times,
        Self::Audience,
        Self::Identifiers,
        Self::Comparison,
        Self::Bound,
    ];

    /// The rule as worded in `docs/verification.md`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Size => "A token is at most 16 KiB",
            Self::Parts => {
                "three non-empty base64url parts, unpadded, canonical (no stray bits, no white space, URL-safe alphabet only)"
            }
            Self::Json => "JSON is UTF-8 without BOM",
            Self::Depth => "at most 16 levels deep",
            Self::Members => "at most 256 members",
            Self::Duplicates => "no duplicate name in header or claims",
            Self::Trailing => "nothing after the value",
            Self::Alg => "`alg` is one string, equal to what the chosen key is for",
            Self::Typ => {
                "`typ` is `at+jwt` or `application/at+jwt` (case ignored; plain `JWT` only if the policy allows)"
            }
            Self::Forbidden => "`crit`, `b64`, `zip`, `jku`, `x5u`, `jwk`, `x5c` refused",
            Self::Kid => {
                "`kid` at most 128 characters, chosen by exact match from keys whose `use`/`key_ops`/`alg`/`kty`/`crv` fit"
            }
            Self::NoKid => "no `kid`: only when a single key fits",
            Self::Ed25519 => "Ed25519 verification is strict (canonical S, no small-order key)",
            Self::Ecdsa => "ECDSA takes exactly 64 bytes, `r`, `s` in range and non-zero",
            Self::Rsa => "RSA is at least 2048 bits, PKCS#1 v1.5 only",
            Self::Required => "`iss sub aud exp iat jti client_id` required and of the right type",
            Self::Dates => "dates are JSON integers (or floats with no fraction) within year 9999",
            Self::Times => "`exp > now - leeway`, `nbf`/`iat` ≤ now + leeway (60 s at most, 0 allowed)",
            Self::Audience => "`aud` a string or an array of strings",
            Self::Identifiers => "identifiers 1 to 255 bytes, no control characters",
            Self::Comparison => "comparison byte for byte",
            Self::Bound => "a token that is bound to a key (`cnf`) is no bearer token",
        }
    }
}

impl fmt::Display for ProfileRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A token and the expected result.
pub struct Attack {
    /// Name of the attack, with the CVE number if there is one.
    pub name: String,
    /// The rule that decides.
    pub rule: ProfileRule,
    /// The token as sent.
    pub token: Vec<u8>,
    /// The refusal's description; none if the token must pass.
    pub refused: Option<String>,
}

impl Attack {
    /// Whether an HTTP header can carry the token: without control characters, without surrounding
    /// white space (which is not part of a header's value), not empty, and not too long.
    pub fn fits_http(&self) -> bool {
        let is_visible = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_whitespace());
        is_visible(self.token.first())
            && is_visible(self.token.last())
            && !self.token.iter().any(u8::is_ascii_control)
            && self.token.len() <= 17 * 1024
    }
}

/// Keys and names to build the tokens with.
pub struct AttackContext<'a> {
    /// The issuer's keys.
    pub signer: &'a dyn TokenSigner,
    /// The issuer's public keys, as anyone can fetch them.
    pub public_jwks: &'a str,
    /// `iss` of valid tokens.
    pub issuer: &'a str,
    /// `aud` of valid tokens.
    pub audience: &'a str,
    /// Current time in Unix seconds.
    pub now: u64,
    /// Lifetime of a valid token, in seconds.
    pub lifetime: u64,
}

/// `alg` names of all algorithms.
pub const ALGORITHMS: [&str; 4] = ["HS256", "EdDSA", "ES256", "RS256"];

const NOT_COMPACT: &str = "the token is not three parts separated by dots";
const HEADER_NOT_BASE64URL: &str = "the token's header is not base64url";
const CLAIMS_NOT_BASE64URL: &str = "the token's claims set is not base64url";
const SIGNATURE_NOT_BASE64URL: &str = "the token's signature is not base64url";
const HEADER_NOT_JSON: &str = "the token's header is not JSON";
const CLAIMS_NOT_JSON: &str = "the token's claims set is not JSON";
const HEADER_WRONG_TYPE: &str = "the token's header has a value of the wrong type";
const CLAIMS_WRONG_TYPE: &str = "the token's claims set has a value of the wrong type";
const UNKNOWN_ALGORITHM: &str = "the algorithm is not accepted";
const UNKNOWN_KEY: &str = "no key matches the token";
const WRONG_ALGORITHM: &str = "the key is for another algorithm";
const BAD_SIGNATURE: &str = "the signature is not valid";

/// Every token of the profile and every attack.
pub fn all_attacks(context: &AttackContext<'_>) -> Vec<Attack> {
    let mut list = AttackList { context, attacks: Vec::new() };
    list.compact_form();
    list.json();
    list.header();
    list.signatures();
    list.claims();
    list.dates();
    list.cves();
    list.attacks
}

struct AttackList<'a> {
    context: &'a AttackContext<'a>,
    attacks: Vec<Attack>,
}

impl<'a> AttackList<'a> {
    fn good(&self, alg: &'static str) -> TokenBuilder<'a> {
        let AttackContext { signer, issuer, audience, now, lifetime, .. } = *self.context;
        TokenBuilder::new(signer, alg, issuer, audience, now).claim("exp", now + lifetime)
    }

    fn eddsa(&self) -> TokenBuilder<'a> {
        self.good("EdDSA")
    }

    fn passes(&mut self, rule: ProfileRule, name: impl Into<String>, token: impl Into<Vec<u8>>) {
        self.attacks.push(Attack { name: name.into(), rule, token: token.into(), refused: None });
    }

    fn fails(&mut self, rule: ProfileRule, name: impl Into<String>, token: impl Into<Vec<u8>>, why: impl Into<String>) {
        self.attacks.push(Attack { name: name.into(), rule, token: token.into(), refused: Some(why.into()) });
    }

    /// The public JWK for this algorithm.
    fn public_jwk(&self, alg: &str) -> Value {
        let jwks: Value = serde_json::from_str(self.context.public_jwks).expect("a key set");
        let kid = self.context.signer.key_id(alg);
        let keys = jwks["keys"].as_array().expect("keys");
        keys.iter().find(|key| key["kid"] == kid.as_str()).expect("the key of the algorithm").clone()
    }
}

/// Sets a claim to any JSON text, including `null` and malformed values.
fn raw_claim<'a>(draft: &TokenBuilder<'a>, name: &str, text: &str) -> TokenBuilder<'a> {
    let others = draft.clone().claim(name, Value::Null).claims_json();
    draft.clone().claims_bytes(others.replacen('{', &format!("{{\"{name}\":{text},"), 1))
}

/// Sets a header member to any JSON text.
fn raw_header<'a>(draft: &TokenBuilder<'a>, name: &str, text: &str) -> TokenBuilder<'a> {
    let others = draft.clone().header(name, Value::Null).header_json();
    draft.clone().header_bytes(others.replacen('{', &format!("{{\"{name}\":{text},"), 1))
}

/// Inserts members after the opening brace of the claims.
fn beginning_with<'a>(draft: &TokenBuilder<'a>, members: &str) -> TokenBuilder<'a> {
    draft.clone().rewrite(|text| text.replacen('{', &format!("{{{members},"), 1))
}

/// Replaces the signature of the token.
fn resigned(token: &str, signature: impl AsRef<[u8]>) -> String {
    let (input, _) = token.rsplit_once('.').expect("a token");
    format!("{input}.{}", encode(signature))
}

fn malformed(claim: &str) -> String {
    format!("the claim {claim} is malformed")
}
