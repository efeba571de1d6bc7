//! Streams: exchanges that stay open, such as WebSockets, event streams, gRPC calls and long
//! downloads. Each ends when the token of its request is revoked or expires, unless its route says
//! that it continues.
//!
//! An exchange becomes a stream when it is open for [`STREAM_AGE`], or is upgraded. Until then it
//! costs a few words of memory. The [`watcher`] asks the gate about all streams when the replica
//! changes, and sets the state that the bodies and tunnels of the exchange read.
//!
//! Never: data of a stream passes after the gate refused its token, or while the gate waits for a
//! fresher replica.

mod body;
mod exchange;
mod frames;
mod grpc;
mod registry;
mod response;
mod tunnel;
mod watcher;

pub(crate) use body::{StreamedRequest, StreamedResponse};
pub(crate) use exchange::Exchange;
pub(crate) use grpc::is_grpc;
pub(crate) use registry::Streams;
pub(crate) use response::response_to_ended;
pub(crate) use tunnel::{Protocol, Tunnel, TunnelHold};
pub(crate) use watcher::StreamWatcher;
