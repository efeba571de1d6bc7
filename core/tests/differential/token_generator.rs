//! Random tokens: valid ones, changed before or after they are signed, or both.

use serde_json::{Value, json};

use crate::keys::Keys;
use crate::mutation::{Random, mutate};
use crate::token_builder::{TokenBuilder, encode};
use crate::{AUDIENCE, ISSUER};

/// `iat` of valid tokens: in the past by any clock.
pub(crate) const ISSUED_AT: u64 = 1_700_000_000;
/// `exp` of valid tokens: year 2100.
pub(crate) const EXPIRES_AT: u64 = 4_102_444_800;

/// JSON values for claims and header members.
const VALUES: [&str; 40] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "1.5",
    "1e9",
    "4102444800",
    "4102444800.0",
    "4.1024448e9",
    "1e400",
    "1000000000",
    "4000000000",
    "253402300799",
    "253402300800",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "\"a\"",
    "\"4102444800\"",
    "\"https://auth.example\"",
    "\"https://api.example\"",
    "\"https://api.example/\"",
    "[\"https://api.example\"]",
    "[\"https://other.example\",\"https://api.example\"]",
    "[]",
    "[\"https://api.example\",1]",
    "[[\"https://api.example\"]]",
    "{}",
    "{\"a\":{\"b\":[1,2,{}]}}",
    "\"\\u0061\"",
    "\"\\ud800\"",
    "\"a\\u0000b\"",
    "\"\\n\"",
    "\"JWT\"",
    "\"at+jwt\"",
    "\"EdDSA\"",
    "\"none\"",
    "[\"exp\"]",
];
const CLAIMS: [&str; 12] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "sid", "x", "cnf"];
const HEADERS: [&str; 16] = [
    "alg", "kid", "typ", "cty", "crit", "b64", "zip", "jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "x", "url",
    "nonce",
];

/// Generates random tokens.
pub(crate) struct TokenGenerator<'a> {
    keys: &'a Keys,
    random: Random,
    /// Valid tokens of all algorithms, to be changed after they were signed.
    signed: Vec<String>,
}

impl<'a> TokenGenerator<'a> {
    pub(crate) fn new(keys: &'a Keys, seed: u64) -> Self {
        let mut generator = Self { keys, random: Random::new(seed), signed: Vec::new() };
        for alg in ["HS256", "EdDSA", "ES256", "RS256"] {
            generator.signed.extend([
                generator.valid_token(alg).sign(),
                generator.valid_token(alg).claim("aud", json!([AUDIENCE, "x"])).sign(),
            ]);
            generator.signed.push(generator.valid_token(alg).header("kid", Value::Null).sign());
        }
        generator
    }

    fn valid_token(&self, alg: &'static str) -> TokenBuilder<'a> {
        TokenBuilder::new(self.keys, alg, ISSUER, AUDIENCE, ISSUED_AT).claim("exp", EXPIRES_AT)
    }

    /// The next token.
    pub(crate) fn token(&mut self) -> Vec<u8> {
        match self.random.below(8) {
            0 => self.signed[self.random.index(self.signed.len())].clone().into_bytes(),
            1 | 2 => self.changed_members(),
            3 => self.changed_text(),
            4 => self.changed_structure().into_bytes(),
            5 => self.changed_encoding().into_bytes(),
            6 => self.changed_signature().into_bytes(),
            _ => {
                let mut token = self.signed[self.random.index(self.signed.len())].clone().into_bytes();
                let other = self.signed[self.random.index(self.signed.len())].clone();
                mutate(&mut token, other.as_bytes(), &mut self.random);
                token
            }
        }
    }

    /// Mostly the fast algorithms, so that many tokens can be verified.
    fn algorithm(&mut self) -> &'static str {
        match self.random.below(200) {
            0..150 => "HS256",
            150..190 => "EdDSA",
            190..199 => "ES256",
            _ => "RS256",
        }
    }

    /// Members changed, added or removed before the token is signed.
    fn changed_members(&mut self) -> Vec<u8> {
        let alg = self.algorithm();
        let mut draft = self.valid_token(alg);
        let (mut header, mut claims) = (draft.header_json(), draft.claims_json());
        for _ in 0..=self.random.below(2) {
            let text = VALUES[self.random.index(VALUES.len())];
            let (name, object) = if self.random.below(3) == 0 {
                (HEADERS[self.random.index(HEADERS.len())], &mut header)
            } else {
                (CLAIMS[self.random.index(CLAIMS.len())], &mut claims)
            };
            *object = match self.random.below(8) {
                0 => without(object, name),
                1 => object.replacen('{', &format!("{{\"{name}\":{text},"), 1), // in addition to the existing member
                _ => without(object, name).replacen('{', &format!("{{\"{name}\":{text},"), 1),
            };
        }
        draft = draft.header_bytes(header).claims_bytes(claims);
        draft.sign().into_bytes()
    }

    /// Text of header or claims changed at random before the token is signed.
    fn changed_text(&mut self) -> Vec<u8> {
        let alg = self.algorithm();
        let draft = self.valid_token(alg);
        let (mut header, mut claims) = (draft.header_json().into_bytes(), draft.claims_json().into_bytes());
        if self.random.below(3) == 0 {
            mutate(&mut header, &claims, &mut self.random);
        } else {
            mutate(&mut claims, &header, &mut self.random);
        }
        draft.header_bytes(header).claims_bytes(claims).sign().into_bytes()
    }

    fn parts(&mut self) -> [String; 3] {
        let token = &self.signed[self.random.index(self.signed.len())];
        token.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().expect("three parts")
    }

    fn changed_structure(&mut self) -> String {
        let ([a, b, c], [x, y, z]) = (self.parts(), self.parts());
        match self.random.below(12) {
            0 => format!("{a}.{b}"),
            1 => format!("{a}.{b}."),
            2 => format!("{a}.{b}.{c}."),
            3 => format!("{a}.{b}.{c}.{z}"),
            4 => format!("{a}..{c}"),
            5 => format!(".{b}.{c}"),
            6 => format!("{x}.{b}.{c}"),
            7 => format!("{a}.{y}.{c}"),
            8 => format!("{a}.{b}.{z}"),
            9 => format!("{b}.{a}.{c}"),
            10 => format!("{a}{b}{c}"),
            _ => format!("{{\"payload\":\"{b}\",\"protected\":\"{a}\",\"signature\":\"{c}\"}}"),
        }
    }

    /// Another encoding of the same bytes, or a similar one.
    fn changed_encoding(&mut self) -> String {
        let token = self.signed[self.random.index(self.signed.len())].clone();
        let at = self.random.index(token.len());
        let end = token.len() - 1;
        match self.random.below(10) {
            0 => format!("{token}="),
            1 => format!("{token}=="),
            2 => format!("{token}\n"),
            3 => format!(" {token}"),
            4 => format!("{} {}", &token[..at], &token[at..]),
            5 => token.replace('-', "+").replace('_', "/"),
            6 => token.to_ascii_uppercase(),
            7 => format!("{}{}", &token[..end], char::from(token.as_bytes()[end] ^ 1)), // unused bits, or another signature
            8 => format!("{}%2E{}", &token[..at], &token[at..]),
            _ => token.replacen('.', "=.", 1),
        }
    }

    fn changed_signature(&mut self) -> String {
        let [header, claims, signature] = self.parts();
        let mut signature = crate::token_builder::decode(&signature);
        let at = self.random.index(signature.len());
        match self.random.below(7) {
            0 | 1 => signature[at] ^= 1 << self.random.below(8),
            2 => signature.truncate(at),
            3 => signature.push(0),
            4 => signature.insert(0, 0),
            5 => signature.fill(0),
            _ => signature[at..].reverse(),
        }
        format!("{header}.{claims}.{}", encode(signature))
    }
}

/// The JSON object without this member.
fn without(object: &str, name: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<serde_json::Map<String, Value>>(object) else {
        return object.to_owned();
    };
    value.remove(name);
    Value::Object(value).to_string()
}
