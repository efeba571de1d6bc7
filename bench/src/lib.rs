//! Code that the benchmark programs share: timing that is robust against noise, the measured tokens
//! and snapshots, and figures with targets, printed, stored and plotted. Benchmarks are not part of
//! the tests, because figures depend on the machine.

pub mod bars;
pub mod callgrind;
pub mod figures;
pub mod hostile;
pub mod kit;
pub mod lanes;
pub mod lookup_cost;
pub mod measure;
pub mod population;
pub mod report;
pub mod tokens;

pub use tollgate_plot as plot;
