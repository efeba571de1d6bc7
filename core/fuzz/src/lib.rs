//! The fuzz targets as a library for cargo-fuzz. The tests run the same targets: see
//! `tests/attacks`.

pub mod reference_reader;
pub mod round_trip;
pub mod targets;
