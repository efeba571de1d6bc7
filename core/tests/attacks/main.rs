//! What an attacker, a broken disk or a broken network could hand to an edge: damaged, forged, old and absurd messages, and bytes
//! drawn at random. And that what an honest origin says of its tokens is told exactly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may fail by panic, and the modules of the fuzz project are public there"
)]

mod damage;
mod exactness;
mod fuzz;
mod history;
#[path = "../../fuzz/src/judged.rs"]
mod judged;
mod lengths;
mod mutation;
#[path = "../../fuzz/src/plain.rs"]
mod plain;
#[path = "../../fuzz/src/round_trip.rs"]
mod round_trip;
mod sample;
#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// A number that a setting may raise.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}
