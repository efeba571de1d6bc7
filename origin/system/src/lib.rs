//! What the origin takes from the machine that it runs on: the time, random bytes, files. Everything else takes these as
//! arguments or from here, so a reader finds every ambient input in this crate.

pub mod ambient;
pub mod files;
