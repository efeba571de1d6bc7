//! Everything the origin takes from the machine: the time, random bytes, files. No other crate of
//! the origin reads the clock or the random source by itself.

pub mod clock;
pub mod files;
pub mod rng;

pub use clock::{Clock, ManualTime};
