//! Everything the origin takes from the machine: the time, random bytes, files. No other crate of
//! the origin reads the clock or the random source by itself. Also what all crates need to measure
//! how long their work takes.

pub mod clock;
pub mod current_request;
pub mod files;
pub mod histogram;
pub mod process;
pub mod rng;

pub use clock::{Clock, ManualTime};
