//! Random histories of an issuer and its edges against a plain model. Whatever was issued, revoked, reinstated, lost,
//! repeated, reordered or restarted: for every live token an edge answers as the model does at the edge's sequence.
//!
//! `TOLLGATE_MODEL_DECISIONS` asks for more than the ten million decisions of the suite, `TOLLGATE_MODEL_SEED` for another
//! beginning. A failure prints its seed and the shortest history that still fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

mod history;
mod world;

use history::{Random, shortened};

/// Operations of one history.
const OPERATIONS: usize = 220;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}

#[test]
fn every_edge_answers_as_the_model_does() {
    let wanted = setting("TOLLGATE_MODEL_DECISIONS", 10_000_000);
    let first = setting("TOLLGATE_MODEL_SEED", 1);
    let (mut decisions, mut revoked, mut remembered, mut histories, mut most_changes) = (0, 0, 0, 0, 0);
    while decisions < wanted {
        let seed = first + histories;
        let history = history::random(&mut Random::new(seed), OPERATIONS);
        match world::run(&history) {
            Ok(counts) => {
                decisions += counts.decisions;
                revoked += counts.revoked;
                remembered += counts.remembered;
                most_changes = most_changes.max(counts.most_changes);
            }
            Err(difference) => {
                let shortest = shortened(&history, |history| world::run(history).is_err());
                let difference = world::run(&shortest).err().unwrap_or(difference);
                panic!("seed {seed}: {difference}\n{shortest:#?}");
            }
        }
        histories += 1;
    }
    println!("{decisions} decisions in {histories} histories, {revoked} of them on revoked tokens; none was wrong");
    println!("{remembered} of them a verifier would have remembered, rightly");
    println!("an edge kept {most_changes} changes beside its snapshot at most, and never more than deltas followed it");
    assert!(revoked > wanted / 100 && revoked < wanted, "the histories try both answers");
    assert!(remembered > wanted / 10, "a verifier's memory is tried as well");
}

/// The test above can fail: an edge that forgets what it hears is found out.
#[test]
fn a_broken_edge_is_found_out_by_a_short_history() {
    let broken = |history: &[history::Operation]| world::run_with(history, world::Edges::Deaf).is_err();
    let history = (1..).map(|seed| history::random(&mut Random::new(seed), OPERATIONS)).find(|history| broken(history));
    let shortest = shortened(&history.expect("some history shows it"), broken);
    assert!(shortest.len() <= 8, "{shortest:#?}");
}
