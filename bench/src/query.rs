//! What an edge's question costs. The same source is measured natively and, compiled to WebAssembly, inside wasmtime.

use std::hint::black_box;

use anyhow::{Result, ensure};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use tollgate_bench_lane::expected;
use tollgate_core::{
    CheckedByCaller, Replica, ReplicaView, RevocationChecker as _, RevocationStatus, Snapshot, TokenIdentifiers, verify,
};

use crate::figures::Figure;
use crate::measure::{in_turn, percentile, seconds, sorted};
use crate::population::{Population, signer, snapshot_with_groups};
use crate::tokens::{AUDIENCE, ISSUER, NOW, PLAIN_CONFIG, Signer};

/// Tokens asked about: their text does not fit the caches, as in life.
const TOKENS: u64 = 1 << 16;
/// Fresh instances that are made.
const FRESH: usize = 51;

/// What was measured in one place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Costs {
    /// The strict check of an HS256 token by a caller who asks elsewhere whether it is revoked, nanoseconds.
    pub hs256_ns: f64,
    /// A question that answers Clear, nanoseconds.
    pub clear_ns: f64,
    /// The same where the issuer has marks of all four kinds of group in force, nanoseconds.
    pub clear_with_groups_ns: f64,
    /// Reading the snapshot and answering a first question, milliseconds.
    pub first_ms: f64,
    /// Of that, SHA-512 over the snapshot, milliseconds.
    pub sha512_ms: f64,
    /// SHA-256 over the snapshot, for comparison, milliseconds.
    pub sha256_ms: f64,
    /// An Ed25519 check of 64 bytes, for comparison, milliseconds.
    pub signature_ms: f64,
}

/// Measures with the snapshot of a population.
///
/// # Errors
/// When the snapshot or a token is not what it should be.
pub fn costs(snapshot: &[u8], population: Population) -> Result<Costs> {
    let signing = Signer::hs256(&[3; 32])?;
    let keys = signing.keys()?;
    let ids: Vec<String> = population.clear(TOKENS).map(|nth| Population::token(nth).to_string()).collect();
    let texts: Vec<String> = ids.iter().map(|id| signing.token(id, NOW)).collect();
    let replica = replica(snapshot.to_vec())?;
    let grouped = self::replica(snapshot_with_groups(PLAIN_CONFIG.as_bytes())?)?;
    let (mut asked, mut checked, mut asked_grouped) = (0, 0, 0);
    let mut wrong = [0_u32; 3];
    let [wrong_hs256, wrong_clear, wrong_grouped] = &mut wrong;
    let expected = expected(ISSUER, AUDIENCE);
    let [hs256_ns, clear_ns, clear_with_groups_ns] = in_turn([
        &mut || {
            let text = next(&texts, &mut checked);
            let verdict = verify(black_box(text.as_bytes()), &keys, &expected, &CheckedByCaller, NOW);
            *wrong_hs256 += u32::from(verdict.is_err());
        },
        &mut || *wrong_clear += u32::from(standing(&replica, next(&ids, &mut asked)) != RevocationStatus::NotRevoked),
        &mut || {
            *wrong_grouped +=
                u32::from(standing(&grouped, next(&ids, &mut asked_grouped)) != RevocationStatus::NotRevoked)
        },
    ]);
    ensure!(wrong == [0; 3], "all of these tokens are good: {wrong:?}");
    let [first_ms, sha512_ms, sha256_ms, signature_ms] = fresh(snapshot, &ids)?;
    Ok(Costs { hs256_ns, clear_ns, clear_with_groups_ns, first_ms, sha512_ms, sha256_ms, signature_ms })
}

/// A fresh instance with the snapshot's bytes in memory, until its first answer; and what that is made of.
fn fresh(snapshot: &[u8], ids: &[String]) -> Result<[f64; 4]> {
    let mut times: [Vec<f64>; 4] = Default::default();
    let [first, sha512, sha256, signature] = &mut times;
    let (key, message) = (SigningKey::from_bytes(&[9; 32]), [7; 64]);
    let (key, signed) = (key.verifying_key(), key.sign(&message));
    for id in ids.iter().cycle().take(FRESH) {
        let bytes = snapshot.to_vec();
        let (standing, took) = seconds(|| replica(bytes).map(|replica| standing(&replica, id)));
        ensure!(standing? == RevocationStatus::NotRevoked, "the token is not revoked");
        first.push(took * 1e3);
        sha512.push(seconds(|| black_box(Sha512::digest(black_box(snapshot)))).1 * 1e3);
        sha256.push(seconds(|| black_box(Sha256::digest(black_box(snapshot)))).1 * 1e3);
        signature.push(seconds(|| black_box(key.verify_strict(black_box(&message), &signed).is_ok())).1 * 1e3);
    }
    Ok(times.map(|times| percentile(&sorted(times), 50.0)))
}

fn replica(snapshot: Vec<u8>) -> Result<Replica> {
    Ok(Replica::new(Snapshot::decode(snapshot, &[signer().public_key()])?, ISSUER)?)
}

fn standing(replica: &Replica, token_id: &str) -> RevocationStatus {
    let token = TokenIdentifiers {
        issuer: ISSUER,
        token_id,
        session: Some("session-0815"),
        subject: "service-4711",
        client_id: "service-4711",
        key_id: Some("HS256"),
        issued_at: NOW - 60,
    };
    black_box(ReplicaView { replica, is_fresh: true }.status(black_box(&token)))
}

/// The costs as figures with their targets. `place`: natively, in wasmtime.
pub fn figures(costs: &Costs, place: &str) -> Vec<Figure> {
    let Costs { hs256_ns, clear_ns, clear_with_groups_ns, first_ms, sha512_ms, sha256_ms, signature_ms } = *costs;
    vec![
        Figure::new(format!("HS256 check {place}"), hs256_ns, "ns"),
        Figure::new(format!("a question that answers Clear {place}"), clear_ns, "ns"),
        Figure::new(format!("that question, of the HS256 check {place}"), clear_ns / hs256_ns, "").at_most(0.2),
        Figure::new(format!("with marks of all four kinds of group {place}"), clear_with_groups_ns, "ns"),
        Figure::new(format!("that question, of the HS256 check {place}"), clear_with_groups_ns / hs256_ns, ""),
        Figure::new(format!("a fresh instance's first answer {place}"), first_ms, "ms").at_most(2.0),
        Figure::new(format!("of that, SHA-512 over the snapshot {place}"), sha512_ms, "ms"),
        Figure::new(format!("for comparison, SHA-256 over the snapshot {place}"), sha256_ms, "ms"),
        Figure::new(format!("for comparison, Ed25519 over 64 bytes {place}"), signature_ms, "ms"),
    ]
}

/// The next one, from the front again after the last.
fn next<'a>(of: &'a [String], place: &mut usize) -> &'a str {
    let one = of.get(*place).map_or("", String::as_str);
    *place = (*place + 1) % of.len().max(1);
    one
}
