//! Telling the edges: snapshots and deltas of what is revoked, when asked ([`Publisher`]) and unasked ([`courier`]).
//!
//! Everything here reads the store for each answer it gives: what an edge is told is what was committed at the moment the
//! message says, never what this process remembers.

pub mod config;
pub mod courier;
mod publisher;
mod wake;

pub use publisher::{DeltaMessage, FeedError, Publisher, SnapshotFile};
pub use wake::{Wake, watch};
