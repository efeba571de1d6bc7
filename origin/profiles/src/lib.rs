//! Profiles of a process in the format of pprof (gzipped protobuf), which `go tool pprof` and most
//! viewers of profiles read, and samples of the processor's time.

mod cpu;
mod format;
pub mod protobuf;

pub use cpu::{DEFAULT_DURATION, MAX_DURATION, sample_cpu};
pub use format::{Frame, Profile};
