//! Cost of a revocation lookup in a replica. The same source is measured natively and, compiled to
//! WebAssembly, in wasmtime.

use std::hint::black_box;

use anyhow::{Result, ensure};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use tollgate_bench_lane::requirements;
use tollgate_core::{
    CheckedByCaller, Replica, ReplicaView, RevocationChecker as _, RevocationStatus, Snapshot, TokenIdentifiers, verify,
};

use crate::figures::Figure;
use crate::measure::{alternating_medians, percentile, seconds, sorted};
use crate::population::{Population, signer, snapshot_with_groups};
use crate::tokens::{AUDIENCE, ISSUER, KEYLESS_CONFIG, NOW, Signer};

/// Number of different tokens: too many for the processor's caches, as in production.
const LOOKUP_TOKENS: u64 = 1 << 16;
/// Number of new instances.
const NEW_INSTANCES: usize = 51;

/// Results natively or in wasmtime.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LookupCosts {
    /// Verification of an HS256 token without a revocation lookup, in nanoseconds.
    pub hs256_ns: f64,
    /// A lookup of a token that is not revoked, in nanoseconds.
    pub lookup_ns: f64,
    /// The same with revocations of all four kinds of groups in the snapshot, in nanoseconds.
    pub lookup_with_groups_ns: f64,
    /// Decoding the snapshot and a first lookup, in milliseconds.
    pub first_ms: f64,
    /// Part of that for SHA-512 over the snapshot, in milliseconds.
    pub sha512_ms: f64,
    /// SHA-256 over the snapshot, for comparison, in milliseconds.
    pub sha256_ms: f64,
    /// An Ed25519 check over 64 bytes, for comparison, in milliseconds.
    pub signature_ms: f64,
}

/// Measures with the snapshot of a population.
///
/// # Errors
/// If the snapshot or a token is invalid.
pub fn measure(snapshot: &[u8], population: Population) -> Result<LookupCosts> {
    let signing = Signer::hs256(&[3; 32])?;
    let keys = signing.keys()?;
    let ids: Vec<String> =
        population.not_revoked(LOOKUP_TOKENS).map(|nth| Population::token(nth).to_string()).collect();
    let texts: Vec<String> = ids.iter().map(|id| signing.token(id, NOW)).collect();
    let replica = replica(snapshot.to_vec())?;
    let grouped = self::replica(snapshot_with_groups(KEYLESS_CONFIG.as_bytes())?)?;
    let (mut looked_up, mut checked, mut looked_up_grouped) = (0, 0, 0);
    let mut wrong = [0_u32; 3];
    let [wrong_hs256, wrong_lookup, wrong_grouped] = &mut wrong;
    let requirements = requirements(ISSUER, AUDIENCE);
    let [hs256_ns, lookup_ns, lookup_with_groups_ns] = alternating_medians([
        &mut || {
            let text = next(&texts, &mut checked);
            let verdict = verify(black_box(text.as_bytes()), &keys, &requirements, &CheckedByCaller, NOW);
            *wrong_hs256 += u32::from(verdict.is_err());
        },
        &mut || {
            *wrong_lookup +=
                u32::from(revocation_status(&replica, next(&ids, &mut looked_up)) != RevocationStatus::NotRevoked)
        },
        &mut || {
            *wrong_grouped += u32::from(
                revocation_status(&grouped, next(&ids, &mut looked_up_grouped)) != RevocationStatus::NotRevoked,
            )
        },
    ]);
    ensure!(wrong == [0; 3], "wrong answers for valid tokens: {wrong:?}");
    let [first_ms, sha512_ms, sha256_ms, signature_ms] = first_answer(snapshot, &ids)?;
    Ok(LookupCosts { hs256_ns, lookup_ns, lookup_with_groups_ns, first_ms, sha512_ms, sha256_ms, signature_ms })
}

/// Time of a new instance, with the snapshot's bytes in memory, to its first answer, and of the
/// parts of that.
fn first_answer(snapshot: &[u8], ids: &[String]) -> Result<[f64; 4]> {
    let mut times: [Vec<f64>; 4] = Default::default();
    let [first, sha512, sha256, signature] = &mut times;
    let (key, message) = (SigningKey::from_bytes(&[9; 32]), [7; 64]);
    let (key, signed) = (key.verifying_key(), key.sign(&message));
    for id in ids.iter().cycle().take(NEW_INSTANCES) {
        let bytes = snapshot.to_vec();
        let (status, took) = seconds(|| replica(bytes).map(|replica| revocation_status(&replica, id)));
        ensure!(status? == RevocationStatus::NotRevoked, "the token is not revoked");
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

fn revocation_status(replica: &Replica, token_id: &str) -> RevocationStatus {
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

/// The figures with their targets. `environment` is "natively" or "in wasmtime".
pub fn figures(costs: &LookupCosts, environment: &str) -> Vec<Figure> {
    let LookupCosts { hs256_ns, lookup_ns, lookup_with_groups_ns, first_ms, sha512_ms, sha256_ms, signature_ms } =
        *costs;
    vec![
        Figure::new(format!("HS256 check {environment}"), hs256_ns, "ns"),
        Figure::new(format!("revocation lookup {environment}"), lookup_ns, "ns"),
        Figure::new(format!("that lookup compared with the HS256 check {environment}"), lookup_ns / hs256_ns, "")
            .at_most(0.2),
        Figure::new(
            format!("lookup with revocations of all kinds of groups {environment}"),
            lookup_with_groups_ns,
            "ns",
        ),
        Figure::new(
            format!("that lookup compared with the HS256 check {environment}"),
            lookup_with_groups_ns / hs256_ns,
            "",
        ),
        Figure::new(format!("first answer of a new instance {environment}"), first_ms, "ms").at_most(2.0),
        Figure::new(format!("part of that: SHA-512 over the snapshot {environment}"), sha512_ms, "ms"),
        Figure::new(format!("for comparison: SHA-256 over the snapshot {environment}"), sha256_ms, "ms"),
        Figure::new(format!("for comparison: Ed25519 over 64 bytes {environment}"), signature_ms, "ms"),
    ]
}

/// The next text, starting again after the last one.
fn next<'a>(texts: &'a [String], index: &mut usize) -> &'a str {
    let text = texts.get(*index).map_or("", String::as_str);
    *index = (*index + 1) % texts.len().max(1);
    text
}
