//! The revocation feed of edges: snapshots and deltas, pulled ([`FeedResponder`]) and pushed
//! ([`EdgePusher`]).
//!
//! Deltas are read from the database for each response, so an edge receives what was committed at
//! the time that the message states. Snapshots are built in the background and state the time they
//! were built; deltas bring an edge up to date from there.

pub mod edge_config;
mod edge_heartbeats;
mod edge_pusher;
mod feed_responder;
mod revocation_counter;
mod snapshot_content;
mod snapshot_scheduler;

pub use edge_heartbeats::EdgeHeartbeats;
pub use edge_pusher::EdgePusher;
pub use feed_responder::{DeltaMessage, FeedError, FeedResponder, SnapshotFile};
pub use revocation_counter::count_revocations;
pub use snapshot_content::MIN_CASCADE_TOKENS;
