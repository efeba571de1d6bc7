//! Model test: random sequences of operations on an issuer and its edges, compared with a simple
//! model. Tokens are issued, revoked and reinstated; messages are lost, repeated and reordered;
//! edges restart. For each live token an edge must answer what the model answers at the edge's
//! sequence.
//!
//! `TOLLGATE_MODEL_DECISIONS` sets the number of decisions (default: ten million),
//! `TOLLGATE_MODEL_SEED` the first random seed. A failure prints its seed and the shortest sequence
//! of operations that still fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

mod operations;
mod simulation;

use operations::{Operation, Random, shortest_failing};

/// Operations of one run.
const OPERATIONS_PER_RUN: usize = 220;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}

#[test]
fn every_edge_answers_as_the_model_does() {
    let wanted = setting("TOLLGATE_MODEL_DECISIONS", 10_000_000);
    let first = setting("TOLLGATE_MODEL_SEED", 1);
    let (mut decisions, mut revoked, mut cached, mut runs, mut max_changes) = (0, 0, 0, 0, 0);
    while decisions < wanted {
        let seed = first + runs;
        let operations = operations::random(&mut Random::new(seed), OPERATIONS_PER_RUN);
        match simulation::run(&operations) {
            Ok(counts) => {
                decisions += counts.decisions;
                revoked += counts.revoked;
                cached += counts.cached;
                max_changes = max_changes.max(counts.max_changes);
            }
            Err(difference) => {
                let shortest = shortest_failing(&operations, |operations| simulation::run(operations).is_err());
                let difference = simulation::run(&shortest).err().unwrap_or(difference);
                panic!("seed {seed}: {difference}\n{shortest:#?}");
            }
        }
        runs += 1;
    }
    println!("{decisions} decisions in {runs} runs, {revoked} of them on revoked tokens; none was wrong");
    println!("{cached} of them a verifier would have answered from its cache, correctly");
    println!("an edge had at most {max_changes} changes after its snapshot, and never more than deltas followed it");
    assert!(revoked > wanted / 100 && revoked < wanted, "the runs try both answers");
    assert!(cached > wanted / 10, "the runs try a verifier's cache, too");
}

/// Proves that the test above can fail: it detects edges that ignore deltas.
#[test]
fn a_broken_edge_is_detected_by_few_operations() {
    let fails =
        |operations: &[Operation]| simulation::run_with(operations, simulation::EdgeBehavior::IgnoresDeltas).is_err();
    let mut runs = (1..).map(|seed| operations::random(&mut Random::new(seed), OPERATIONS_PER_RUN));
    let failing = runs.find(|operations| fails(operations));
    let shortest = shortest_failing(&failing.expect("some run fails"), fails);
    assert!(shortest.len() <= 8, "{shortest:#?}");
}
