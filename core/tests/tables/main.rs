//! A key with a table accepts what the same key accepts without one, no more and no less: on the vectors of RFCs and of
//! Wycheproof, on signatures and keys crafted to be special, and on ones drawn at random, mutated and forged.
//!
//! `TOLLGATE_TABLES_SIGNATURES` asks for another number of the latter, for each algorithm; the suite has fewer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

mod ed25519;
mod judge;
mod many;
mod memory;
mod p256;
