//! The attacks on the strict profile as cases of the table: the tokens that the core is tested
//! with, sent through every adapter.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Answer, Case, Scheme, Section, Setup, Table, get, refused, refused_by};
use crate::attacks::{Attack, AttackContext, all_attacks};
use crate::token_builder::{LIFETIME, decode};

pub(super) const SECTION: Section =
    Section { name: "strict profile", setup: Setup::Plain, routes: &[], cases: |table| table.profile() };

impl Table<'_> {
    fn profile(&self) -> Vec<Case> {
        let public_jwks = self.factory.public_jwks();
        let context = AttackContext {
            signer: self.factory,
            public_jwks: &public_jwks,
            issuer: &self.factory.issuer,
            audience: self.factory.audience.as_str(),
            now: self.now,
            lifetime: LIFETIME,
        };
        all_attacks(&context).into_iter().filter(is_a_credential).map(|attack| self.case(attack)).collect()
    }

    fn case(&self, attack: Attack) -> Case {
        let expected = match &attack.refused {
            // The gate counts these as several credentials and does not parse them as tokens.
            _ if attack.token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) => {
                refused(400, "invalid_request", "more than one credential")
            }
            Some(why) if why.starts_with("the token is bound to a key") => {
                refused_by(Scheme::Dpop, 401, "invalid_token", why)
            }
            Some(why) => refused(401, "invalid_token", why),
            None => forwarded_identity(&attack.token),
        };
        let credentials = [b"Bearer ".as_slice(), &attack.token].concat();
        let case = get(&attack.name, "/anything", &[], expected);
        Case { headers: vec![("Authorization", credentials)], fits_http: attack.fits_http(), ..case }
    }
}

/// Whether a gate can see the token as it is: HTTP strips surrounding white space, and limits
/// headers to less than 1 MiB. The core's tests cover the others.
fn is_a_credential(attack: &Attack) -> bool {
    attack.token.trim_ascii().len() == attack.token.len() && (1..1 << 20).contains(&attack.token.len())
}

/// The identity that the upstream receives for an accepted token.
fn forwarded_identity(token: &[u8]) -> Answer {
    let token = std::str::from_utf8(token).expect("a good token is ASCII");
    let claims: Value = serde_json::from_slice(&decode(token.split('.').nth(1).expect("claims"))).expect("JSON");
    let text = |name: &str| match &claims[name] {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(in_header).collect(),
        number => number.as_f64().expect("a date").to_string(),
    };
    let identity: BTreeMap<String, String> = [
        ("issuer", text("iss")),
        ("subject", text("sub")),
        ("client-id", text("client_id")),
        ("scope", text("scope")),
        ("token-id", text("jti")),
        ("expires-at", text("exp")),
    ]
    .map(|(name, value)| (format!("x-tollgate-{name}"), value))
    .into();
    Answer { status: 200, identity: Some(identity), ..Answer::default() }
}

/// A character in a header value: printable ASCII as it is, others percent-encoded.
fn in_header(character: char) -> String {
    let mut bytes = [0; 4];
    let bytes = character.encode_utf8(&mut bytes).bytes();
    if (' '..='~').contains(&character) && character != '%' {
        character.to_string()
    } else {
        bytes.map(|byte| format!("%{byte:02X}")).collect()
    }
}
