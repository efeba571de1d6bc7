//! The fuzz targets as a library for cargo-fuzz; the suite runs the same ones, see `tests/attacks`.

pub mod judged;
pub mod plain;
pub mod round_trip;
pub mod targets;
