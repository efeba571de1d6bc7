//! Invalid tokens whose refusal takes as long as possible: up to the size limit, with the error as
//! late as possible. Those with an error in the claims have a valid signature, because claims are
//! read only after it was checked.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tollgate_bench_lane::{HostileToken, Token};
use tollgate_core::MAX_TOKEN_BYTES;

use crate::tokens::Signer;

/// Limits of the core.
const MAX_MEMBERS: usize = 256;
const MAX_DEPTH: usize = 16;

/// All hostile tokens.
///
/// # Errors
/// If a signer is missing.
pub fn all(signers: &[Signer], token_id: &str, now: u64) -> Result<Vec<HostileToken>> {
    let hs256 = signer(signers, "HS256")?;
    let mut all = Vec::new();
    let mut add = |name: &str, text: String, jwk: &serde_json::Value| {
        all.push(HostileToken { name: name.to_owned(), token: Token { text, jwk: jwk.clone() } });
    };
    for (name, more) in claims_fillers() {
        add(name, filled(hs256, token_id, now, &more), &hs256.jwk);
    }
    add("256 similar names in the header, the last one a duplicate", in_header(hs256), &hs256.jwk);
    for algorithm in ["HS256", "EdDSA", "ES256", "RS256"] {
        let signer = signer(signers, algorithm)?;
        let valid = filled(signer, token_id, now, &|room| format!(r#","more":"{}""#, "x".repeat(room)));
        add(&format!("{algorithm}: 16 KiB, invalid signature"), forged(&valid), &signer.jwk);
    }
    let rs256 = signer(signers, "RS256")?;
    add("RS256: 16 KiB, invalid signature, key of 4096 bits", forged_rs4096(rs256, token_id, now), &rs4096());
    let valid = hs256.token(token_id, now);
    add("one byte too long", format!("{valid}{}", "A".repeat(MAX_TOKEN_BYTES + 1 - valid.len())), &hs256.jwk);
    add("dots only", ".".repeat(MAX_TOKEN_BYTES), &hs256.jwk);
    let (input, signature) = valid.rsplit_once('.').context("a token has a signature")?;
    let late = format!("{input}{}*.{signature}", "A".repeat(MAX_TOKEN_BYTES - valid.len() - 1));
    add("last payload character not base64url", late, &hs256.jwk);
    Ok(all)
}

type Filler = Box<dyn Fn(usize) -> String>;

/// Functions that fill the claims up to a number of bytes of JSON, with an error at the end.
fn claims_fillers() -> Vec<(&'static str, Filler)> {
    let repeated = |what: &'static str, last: &'static str| -> Filler {
        Box::new(move |room| {
            let items = vec![what; room.saturating_sub(40 + last.len()) / (what.len() + 1)];
            format!(r#","more":[{}]{last}"#, items.join(","))
        })
    };
    let text = |what: &'static str| -> Filler {
        Box::new(move |room| format!(r#","more":"{}","iss":0"#, what.repeat(room.saturating_sub(30) / what.len())))
    };
    vec![
        ("256 similar names, the last one a duplicate", similar_names("m")),
        ("256 similar names with escapes, the last one a duplicate", similar_names(r"\u006d")),
        ("many arrays of depth 16, then a duplicate", repeated("[[[[[[[[[[[[[[]]]]]]]]]]]]]]", r#","iss":0"#)),
        (
            "array one level too deep",
            Box::new(|_| format!(r#","more":{}1{}"#, "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))),
        ),
        ("opening brackets only", Box::new(|room| format!(r#","more":{}"#, "[".repeat(room.saturating_sub(12))))),
        ("escapes, then a duplicate", text(r"\u0061")),
        ("escaped surrogate pairs, then a duplicate", text(r"\ud83d\ude00")),
        ("short escapes, then a duplicate", text(r"\n")),
        ("four-byte characters, then a duplicate", text("\u{1f600}")),
        (
            "lone surrogate at the end",
            Box::new(|room| format!(r#","more":"{}\ud800""#, "x".repeat(room.saturating_sub(30)))),
        ),
        ("small numbers, then a duplicate", repeated("0", r#","iss":0"#)),
        ("floats, then a duplicate", repeated("-1.5e-07", r#","iss":0"#)),
        ("empty objects, then a duplicate", repeated("{}", r#","iss":0"#)),
        ("date of thousands of digits", Box::new(|room| format!(r#","nbf":{}"#, "9".repeat(room.saturating_sub(10))))),
        (
            "date of thousands of zeros",
            Box::new(|room| format!(r#","nbf":1.{}1"#, "0".repeat(room.saturating_sub(14)))),
        ),
        (
            "identifier of thousands of bytes",
            Box::new(|room| format!(r#","sid":"{}""#, "s".repeat(room.saturating_sub(10)))),
        ),
    ]
}

/// The largest number of members, with the longest names that fit; the names differ only at their
/// ends.
fn similar_names(letter: &'static str) -> Filler {
    Box::new(move |room| {
        let count = MAX_MEMBERS - 9; // without those of a valid token and the duplicate
        let letters = room.saturating_sub(20) / count - 9;
        let stem = letter.repeat(letters / letter.len());
        let members: Vec<String> = (0..count).map(|nth| format!(r#","{stem}{nth:03}":0"#)).collect();
        format!(r#"{},"{stem}000":0"#, members.concat())
    })
}

fn in_header(signer: &Signer) -> String {
    let more = similar_names("m")(MAX_TOKEN_BYTES * 3 / 4 - 200);
    signer.compact_with(&signer.header(&more), "{}")
}

/// The largest token with this filler.
fn filled(signer: &Signer, token_id: &str, now: u64, fill: &dyn Fn(usize) -> String) -> String {
    filled_to(MAX_TOKEN_BYTES, signer, token_id, now, fill)
}

fn filled_to(bytes: usize, signer: &Signer, token_id: &str, now: u64, fill: &dyn Fn(usize) -> String) -> String {
    let with = |room: usize| signer.padded(token_id, now, &fill(room));
    (0..bytes * 3 / 4).rev().step_by(7).map(with).find(|text| text.len() <= bytes).unwrap_or_default()
}

/// The token with another signature of the right length.
fn forged(valid: &str) -> String {
    let Some((input, signature)) = valid.rsplit_once('.') else { return String::new() };
    let (first, rest) = signature.split_at(1);
    format!("{input}.{}{rest}", if first == "A" { "B" } else { "A" })
}

/// A key of 4096 bits without a private key: a check with any odd number of this size takes the
/// same time.
fn rs4096() -> serde_json::Value {
    let mut modulus = [0xa5; 512];
    modulus[511] |= 1;
    let n = URL_SAFE_NO_PAD.encode(modulus);
    json!({ "kty": "RSA", "kid": "bench-key-RS256-000000", "alg": "RS256", "n": n, "e": "AQAB" })
}

fn forged_rs4096(signer: &Signer, token_id: &str, now: u64) -> String {
    let signature = URL_SAFE_NO_PAD.encode([0x5a; 512]);
    // The signer's signature, which is replaced, is half as long.
    let bytes = MAX_TOKEN_BYTES - signature.len() / 2 - 1;
    let valid = filled_to(bytes, signer, token_id, now, &|room| format!(r#","more":"{}""#, "x".repeat(room)));
    let input = valid.rsplit_once('.').map_or("", |(input, _)| input);
    format!("{input}.{signature}")
}

fn signer<'a>(signers: &'a [Signer], name: &str) -> Result<&'a Signer> {
    signers.iter().find(|signer| signer.name == name).with_context(|| format!("there is no {name} signer"))
}
