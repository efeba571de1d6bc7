//! Tokens that must be refused, made to take as long as they can: up to the limit in size, the fault as late as possible.
//! Those whose fault is in the claims carry a good signature: without one, no claim is read.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tollgate_bench_lane::{Hostile, Token};
use tollgate_core::MAX_TOKEN_BYTES;

use crate::tokens::Signer;

/// What the core allows.
const MEMBERS: usize = 256;
const DEPTH: usize = 16;

/// All of them.
///
/// # Errors
/// When a signer is missing.
pub fn all(signers: &[Signer], token_id: &str, now: u64) -> Result<Vec<Hostile>> {
    let hs256 = signer(signers, "HS256")?;
    let mut all = Vec::new();
    let mut add = |name: &str, text: String, jwk: &serde_json::Value| {
        all.push(Hostile { name: name.to_owned(), token: Token { text, jwk: jwk.clone() } });
    };
    for (name, more) in in_claims() {
        add(name, filled(hs256, token_id, now, &more), &hs256.jwk);
    }
    add("256 members of like names, a duplicate last, in the header", in_header(hs256), &hs256.jwk);
    for algorithm in ["HS256", "EdDSA", "ES256", "RS256"] {
        let signer = signer(signers, algorithm)?;
        let good = filled(signer, token_id, now, &|room| format!(r#","more":"{}""#, "x".repeat(room)));
        add(&format!("{algorithm}: 16 KiB, the signature false"), forged(&good), &signer.jwk);
    }
    let rs256 = signer(signers, "RS256")?;
    add("RS256: 16 KiB, the signature false, a key of 4096 bits", forged_rs4096(rs256, token_id, now), &rs4096());
    let good = hs256.token(token_id, now);
    add("one byte too long", format!("{good}{}", "A".repeat(MAX_TOKEN_BYTES + 1 - good.len())), &hs256.jwk);
    add("nothing but dots", ".".repeat(MAX_TOKEN_BYTES), &hs256.jwk);
    let (input, signature) = good.rsplit_once('.').context("a token has a signature")?;
    let late = format!("{input}{}*.{signature}", "A".repeat(MAX_TOKEN_BYTES - good.len() - 1));
    add("no base64url in its last payload character", late, &hs256.jwk);
    Ok(all)
}

type Fill = Box<dyn Fn(usize) -> String>;

/// What fills the claims, given the bytes of JSON there is room for; each makes the whole bad at its end.
fn in_claims() -> Vec<(&'static str, Fill)> {
    let repeated = |what: &'static str, last: &'static str| -> Fill {
        Box::new(move |room| {
            let items = vec![what; room.saturating_sub(40 + last.len()) / (what.len() + 1)];
            format!(r#","more":[{}]{last}"#, items.join(","))
        })
    };
    let text = |what: &'static str| -> Fill {
        Box::new(move |room| format!(r#","more":"{}","iss":0"#, what.repeat(room.saturating_sub(30) / what.len())))
    };
    vec![
        ("256 members of like names, a duplicate last", like_names("m")),
        ("256 members of like names in escapes, a duplicate last", like_names(r"\u006d")),
        ("arrays 16 deep, over and over, a duplicate last", repeated("[[[[[[[[[[[[[[]]]]]]]]]]]]]]", r#","iss":0"#)),
        ("an array a level too deep", Box::new(|_| format!(r#","more":{}1{}"#, "[".repeat(DEPTH), "]".repeat(DEPTH)))),
        (
            "nothing but opening brackets",
            Box::new(|room| format!(r#","more":{}"#, "[".repeat(room.saturating_sub(12)))),
        ),
        ("escapes, a duplicate last", text(r"\u0061")),
        ("escaped pairs of surrogates, a duplicate last", text(r"\ud83d\ude00")),
        ("short escapes, a duplicate last", text(r"\n")),
        ("characters of four bytes, a duplicate last", text("\u{1f600}")),
        (
            "a lone surrogate last",
            Box::new(|room| format!(r#","more":"{}\ud800""#, "x".repeat(room.saturating_sub(30)))),
        ),
        ("small numbers, a duplicate last", repeated("0", r#","iss":0"#)),
        ("floats, a duplicate last", repeated("-1.5e-07", r#","iss":0"#)),
        ("empty objects, a duplicate last", repeated("{}", r#","iss":0"#)),
        (
            "a date of thousands of digits",
            Box::new(|room| format!(r#","nbf":{}"#, "9".repeat(room.saturating_sub(10)))),
        ),
        (
            "a date of thousands of zeros",
            Box::new(|room| format!(r#","nbf":1.{}1"#, "0".repeat(room.saturating_sub(14)))),
        ),
        (
            "an identifier of thousands of bytes",
            Box::new(|room| format!(r#","sid":"{}""#, "s".repeat(room.saturating_sub(10)))),
        ),
    ]
}

/// As many members as there may be, with names as long as there is room for that differ at their ends only.
fn like_names(letter: &'static str) -> Fill {
    Box::new(move |room| {
        let count = MEMBERS - 9; // those of a good token, and the duplicate
        let letters = room.saturating_sub(20) / count - 9;
        let stem = letter.repeat(letters / letter.len());
        let members: Vec<String> = (0..count).map(|nth| format!(r#","{stem}{nth:03}":0"#)).collect();
        format!(r#"{},"{stem}000":0"#, members.concat())
    })
}

fn in_header(signer: &Signer) -> String {
    let more = like_names("m")(MAX_TOKEN_BYTES * 3 / 4 - 200);
    signer.compact_with(&signer.header(&more), "{}")
}

/// The largest token that a fill gives.
fn filled(signer: &Signer, token_id: &str, now: u64, fill: &dyn Fn(usize) -> String) -> String {
    filled_to(MAX_TOKEN_BYTES, signer, token_id, now, fill)
}

fn filled_to(bytes: usize, signer: &Signer, token_id: &str, now: u64, fill: &dyn Fn(usize) -> String) -> String {
    let with = |room: usize| signer.padded(token_id, now, &fill(room));
    (0..bytes * 3 / 4).rev().step_by(7).map(with).find(|text| text.len() <= bytes).unwrap_or_default()
}

/// The token with a signature of the right length that is not its own.
fn forged(good: &str) -> String {
    let Some((input, signature)) = good.rsplit_once('.') else { return String::new() };
    let (first, rest) = signature.split_at(1);
    format!("{input}.{}{rest}", if first == "A" { "B" } else { "A" })
}

/// A key of 4096 bits. Nobody has its private half, and a check does not know that: any odd number of this size takes as long.
fn rs4096() -> serde_json::Value {
    let mut modulus = [0xa5; 512];
    modulus[511] |= 1;
    let n = URL_SAFE_NO_PAD.encode(modulus);
    json!({ "kty": "RSA", "kid": "bench-key-RS256-000000", "alg": "RS256", "n": n, "e": "AQAB" })
}

fn forged_rs4096(signer: &Signer, token_id: &str, now: u64) -> String {
    let signature = URL_SAFE_NO_PAD.encode([0x5a; 512]);
    // The signer's own signature, which goes, is half as long.
    let bytes = MAX_TOKEN_BYTES - signature.len() / 2 - 1;
    let good = filled_to(bytes, signer, token_id, now, &|room| format!(r#","more":"{}""#, "x".repeat(room)));
    let input = good.rsplit_once('.').map_or("", |(input, _)| input);
    format!("{input}.{signature}")
}

fn signer<'a>(signers: &'a [Signer], name: &str) -> Result<&'a Signer> {
    signers.iter().find(|signer| signer.name == name).with_context(|| format!("there is no {name} signer"))
}
