//! Telling the edges: snapshots and deltas of what is revoked, when asked ([`Publisher`]) and unasked ([`courier`]).
//!
//! Deltas are read from the store for each answer: what an edge is told is what was committed at the moment the message says,
//! never what this process remembers. Snapshots are built in the background and are as old as they say; deltas make up for it.

mod build;
pub mod config;
mod contacts;
pub mod courier;
mod publisher;
mod publishing;

pub use build::CASCADE_FROM;
pub use contacts::Contacts;
pub use publisher::{DeltaMessage, FeedError, Publisher, SnapshotFile};
