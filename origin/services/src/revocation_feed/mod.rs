//! Telling the edges: snapshots and deltas of what is revoked, when asked ([`FeedResponder`]) and unasked ([`courier`]).
//!
//! Deltas are read from the store for each answer: what an edge is told is what was committed at the moment the message says,
//! never what this process remembers. Snapshots are built in the background and are as old as they say; deltas make up for it.

pub mod edge_config;
mod edge_heartbeats;
pub mod edge_pusher;
mod feed_responder;
mod snapshot_content;
mod snapshot_scheduler;

pub use edge_heartbeats::EdgeHeartbeats;
pub use feed_responder::{DeltaMessage, FeedError, FeedResponder, SnapshotFile};
pub use snapshot_content::CASCADE_FROM;
