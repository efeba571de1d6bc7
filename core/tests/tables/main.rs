//! A key with a table accepts exactly the signatures that it accepts without one: vectors of the
//! RFCs and of Wycheproof, crafted keys and signatures, and random, mutated and forged ones.
//!
//! `TOLLGATE_TABLES_SIGNATURES` sets the number of random signatures for each algorithm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

mod ed25519;
mod key_variants;
mod p256;
mod random_signatures;
mod table_sizes;
