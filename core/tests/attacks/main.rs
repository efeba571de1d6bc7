//! Messages that an attacker, a broken disk or a broken network could pass to an edge: corrupted,
//! forged, outdated and malformed ones, and random bytes. Also that a snapshot of an honest origin
//! answers exactly for every token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may fail by panic, and the modules of the fuzz crate are public there"
)]

mod corruption;
mod exactness;
mod fuzz;
mod length_fields;
mod mutation;
#[path = "../../fuzz/src/reference_reader.rs"]
mod reference_reader;
mod rollback_gap_fork;
#[path = "../../fuzz/src/round_trip.rs"]
mod round_trip;
mod sample_messages;
#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// A number from an environment variable, or the default.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}
