//! The revocation feed of edges: snapshots and deltas, pulled ([`FeedResponder`]) and pushed
//! ([`EdgePusher`]).
//!
//! Deltas are read from the database for each batch of responses ([`DeltaPolls`]), so an edge
//! receives what was committed at the time that the message states. Snapshots are built in the
//! background and state the time they were built; deltas bring an edge up to date from there.

mod delta_polls;
pub mod edge_config;
mod edge_heartbeats;
mod edge_pusher;
mod feed_responder;
mod registered_edges;
mod revocation_counter;
mod snapshot_content;
mod snapshot_scheduler;

pub use delta_polls::{DeltaAnswer, DeltaPolls, DeltaRequest};
pub use edge_heartbeats::EdgeHeartbeats;
pub use edge_pusher::EdgePusher;
pub use feed_responder::{DeltaMessage, FeedError, FeedResponder, FeedWork, SnapshotFile};
pub use registered_edges::RegisteredEdges;
pub use revocation_counter::count_revocations;
pub use snapshot_content::MIN_CASCADE_TOKENS;
