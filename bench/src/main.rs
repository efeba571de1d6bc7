//! What a token check costs: the whole strict check with a `Clear` from a snapshot of revocations, beside the bare signature
//! check of the same bytes. Run it by `cargo run --release --package tollgate-bench`.
//!
//! Machines are noisy: each figure is the median of many short batches, the two of a row are measured in turn, and the ratio
//! is what to quote. It measures the machine it runs on and is never a test.

mod measure;
mod tokens;

use std::hint::black_box;

use anyhow::Result;
use tollgate_core::{
    Chain, Expected, OnStale, Replica, ReplicaView, RevocationId, Snapshot, SnapshotParts, SnapshotSigner,
    build_snapshot, verify,
};

use crate::measure::{median, seconds};
use crate::tokens::{AUDIENCE, ISSUER, NOW, Signed, all};

/// Revocations in the snapshot.
const REVOKED: u32 = 1_000_000;

fn main() -> Result<()> {
    let tokens = all()?;
    let (snapshot, built, read) = snapshot(&tokens)?;
    println!(
        "snapshot of {REVOKED} revocations: {} bytes ({:.1} each), built in {built:.2} s, read in {:.1} ms",
        snapshot.as_bytes().len(),
        snapshot.as_bytes().len() as f64 / f64::from(REVOKED),
        read * 1000.0
    );
    let replica = Replica::new(snapshot, ISSUER)?;

    println!("\n{:<8} {:>8} {:>12} {:>12} {:>7}", "", "bytes", "check ns", "bare ns", "ratio");
    for token in &tokens {
        let (check, bare) = compare(token, &replica);
        println!("{:<8} {:>8} {check:>12.0} {bare:>12.0} {:>7.2}", token.name, token.text.len(), check / bare);
    }
    let clear = median(|| {
        black_box(replica.is_revoked(black_box("AAAAAAAAAAAAAAAAAAAAAA")));
    });
    println!("\na query that answers Clear: {clear:.0} ns");
    Ok(())
}

/// The median times of the whole check and of the bare signature check, nanoseconds.
fn compare(token: &Signed, replica: &Replica) -> (f64, f64) {
    let view = ReplicaView { replica, fresh: true };
    let expected = Expected {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        leeway: 30,
        plain_jwt: false,
        on_stale: OnStale::Deny,
    };
    let keys = replica.snapshot().config().keys();
    let keys = token.secret.as_ref().unwrap_or(keys);
    let mut refused = 0_u32;
    let check =
        median(|| refused += u32::from(verify(black_box(token.text.as_bytes()), keys, &expected, &view, NOW).is_err()));
    let bare = median(|| refused += u32::from(!(token.bare)(black_box(token.text.as_bytes()))));
    assert_eq!(refused, 0, "{} is a good token", token.name);
    (check, bare)
}

/// A snapshot with the tokens' keys, the seconds it took to build and those to read.
fn snapshot(tokens: &[Signed]) -> Result<(Snapshot, f64, f64)> {
    let signer = SnapshotSigner::from_seed(&[7; 32]);
    let revoked: Vec<RevocationId> = (0..REVOKED).map(|n| RevocationId::token(ISSUER, &n.to_string())).collect();
    let jwks: Vec<_> = tokens.iter().filter(|token| token.secret.is_none()).map(|token| token.jwk.clone()).collect();
    let config = serde_json::json!({ "audience": AUDIENCE, "jwks": { "keys": jwks }, "routes": [] }).to_string();
    let parts = SnapshotParts {
        issuer: ISSUER,
        sequence: 1,
        as_of_ms: 1,
        chain: Chain::genesis(ISSUER),
        config: config.as_bytes(),
        revoked: &revoked,
    };
    let (bytes, built) = seconds(|| build_snapshot(&parts, &signer));
    let bytes = bytes?;
    let (snapshot, read) = seconds(|| Snapshot::decode(bytes, &[signer.public_key()]));
    Ok((snapshot?, built, read))
}
