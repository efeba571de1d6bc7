//! Creates the kit for the lanes. It is created for each run, because the tokens contain the
//! current time.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tollgate_bench_lane::{BATCH_TOKENS, Kit, Token};
use tollgate_core::{MAX_KEYS, MAX_TOKEN_BYTES};

use crate::hostile;
use crate::population::{Population, signer};
use crate::tokens::{AUDIENCE, ISSUER, Signer, config};

/// Length of the compared tokens, in bytes.
const TOKEN_BYTES: [(&str, usize); 4] = [("HS256", 511), ("EdDSA", 554), ("ES256", 554), ("RS256", 810)];
/// The tokens of the snapshot: a million of them are revoked.
const POPULATION: Population = Population { live: 10_000_000, revoked: 1_000_000 };
/// Lengths of the tokens of increasing size, in bytes.
const SIZES: [usize; 11] = [512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12_288, MAX_TOKEN_BYTES];

/// Writes `kit.json` and `kit.snapshot`.
///
/// # Errors
/// If they cannot be written.
#[expect(clippy::disallowed_methods, reason = "tokens are issued at the time of the run")]
pub fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the system clock is before 1970")?.as_secs();
    let signers = Signer::all()?;
    let hs256 = signers.first().context("the first is HS256")?;
    let ids: Vec<String> =
        POPULATION.not_revoked(BATCH_TOKENS as u64).map(|nth| Population::token(nth).to_string()).collect();
    let first = ids.first().context("a batch has tokens")?;
    let tokens = signers
        .iter()
        .map(|signer| (signer.name.to_owned(), Token { text: signer.token(first, now), jwk: signer.jwk.clone() }));
    let kit = Kit {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        snapshot_key: signer().public_key(),
        tokens: tokens.collect(),
        batch: ids.iter().map(|id| hs256.token(id, now)).collect(),
        sized: SIZES.iter().map(|&size| sized(hs256, first, now, size)).collect(),
        many_keys: many_keys(&hs256.jwk),
        hostile: hostile::all(&signers, first, now)?,
    };
    for (algorithm, bytes) in TOKEN_BYTES {
        let text = &kit.token(algorithm)?.text;
        ensure!(text.len() == bytes, "the {algorithm} token has {} bytes, not {bytes}", text.len());
    }
    fs::write(folder.join("kit.json"), serde_json::to_vec(&kit)?)?;
    let snapshot = POPULATION.snapshot(config(&signers).as_bytes())?;
    fs::write(folder.join("kit.snapshot"), snapshot).context("cannot write the snapshot")
}

/// A token of this size, or one byte less if base64url has no token of this size. It is filled with
/// a list of permissions.
fn sized(signer: &Signer, token_id: &str, now: u64, size: usize) -> String {
    let with = |bytes: usize| {
        let entries: Vec<String> = (0..bytes / 24).map(|nth| format!(r#""permission-{nth:04}:read""#)).collect();
        let rest = "x".repeat(bytes % 24);
        signer.padded(token_id, now, &format!(r#","permissions":[{}],"more":"{rest}""#, entries.join(",")))
    };
    (0..size).rev().map(with).find(|text| text.len() <= size).unwrap_or_else(|| signer.token(token_id, now))
}

/// A key set of the largest allowed size; the token's key is the last.
fn many_keys(token_key: &Value) -> Value {
    let other = |nth: usize| {
        let mut jwk = token_key.clone();
        jwk["kid"] = json!(format!("bench-key-HS256-{nth:06}"));
        jwk
    };
    let mut keys: Vec<Value> = (1..MAX_KEYS).map(other).collect();
    keys.push(token_key.clone());
    json!({ "keys": keys })
}
