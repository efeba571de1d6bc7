//! What the bench programs share: timing that a noisy machine does not spoil, the tokens and snapshots that are
//! measured, and figures with their targets, printed, written down and drawn. Never part of the tests: a figure depends on
//! the machine.

pub mod bars;
pub mod counts;
pub mod figures;
pub mod hostile;
pub mod kit;
pub mod lanes;
pub mod measure;
pub mod plot;
pub mod population;
pub mod query;
pub mod report;
pub mod tokens;
