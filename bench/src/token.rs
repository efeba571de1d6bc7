//! What a token check costs: the whole strict check with a `Clear` from a snapshot, beside the bare signature check of the
//! same bytes.

use std::hint::black_box;

use anyhow::{Result, ensure};
use tollgate_bench::measure::in_turn;
use tollgate_bench::population::{Population, signer};
use tollgate_bench::query::expected;
use tollgate_bench::tokens::{self, ISSUER, NOW};
use tollgate_core::{Replica, ReplicaView, Snapshot, verify};

/// What is in the snapshot.
const POPULATION: Population = Population { live: 10_000_000, revoked: 100_000 };

/// Prints a line for each algorithm.
pub(crate) fn compare() -> Result<()> {
    let tokens = tokens::all()?;
    let bytes = POPULATION.snapshot(tokens::config(&tokens).as_bytes())?;
    let replica = Replica::new(Snapshot::decode(bytes, &[signer().public_key()])?, ISSUER)?;
    let view = ReplicaView { replica: &replica, fresh: true };
    let expected = expected();
    println!("{:<8} {:>8} {:>12} {:>12} {:>7}", "", "bytes", "check ns", "bare ns", "ratio");
    for token in &tokens {
        let keys = token.secret.as_ref().unwrap_or(replica.snapshot().config().keys());
        let (mut refused, mut disproved) = (0_u32, 0_u32);
        let [check, bare] = in_turn([
            &mut || {
                let verdict = verify(black_box(token.text.as_bytes()), keys, &expected, &view, NOW);
                refused += u32::from(verdict.is_err());
            },
            &mut || disproved += u32::from(!(token.bare)(black_box(token.text.as_bytes()))),
        ]);
        ensure!((refused, disproved) == (0, 0), "{} is a good token", token.name);
        println!("{:<8} {:>8} {check:>12.0} {bare:>12.0} {:>7.2}", token.name, token.text.len(), check / bare);
    }
    Ok(())
}
