//! Shared Signals (OpenID SSF 1.0, CAEP 1.0): notifies receivers of revocations and reinstatements
//! by signed security event tokens (RFC 8417), by push (RFC 8935) and poll (RFC 8936).
//!
//! Once there is a [`Stream`](tollgate_model::event_stream::Stream), each delta for edges is
//! recorded as a [`Signal`](tollgate_storage::Signal) in the same transaction. A stream is a
//! position in the sequence of signals, and advances only with an acknowledgement, so no signal is
//! lost. Tokens are built from the signals when they are sent. The same signal gives the same
//! token, byte for byte, so a token that is sent again because its acknowledgement was lost has the
//! same `jti`, and the receiver drops it.
//!
//! Never: a token that says more than that something is or is no longer revoked; a receiver's
//! credentials in the log; a stream that another client reads.

mod event;
mod event_pusher;
mod poll;

pub use event::{TOKEN_TYPE, Transmitter};
pub use event_pusher::SecurityEventPusher;
pub use poll::{PollAnswer, PollError, PollRequest, PollResponder, SetError};

/// `delivery.method` of pushed streams (SSF section 6.1.1).
pub const PUSH: &str = "urn:ietf:rfc:8935";
/// `delivery.method` of polled streams (SSF section 6.1.2).
pub const POLL: &str = "urn:ietf:rfc:8936";
/// The scope of tokens that read streams (CAEP Interoperability Profile 1.0, section 2.7.3).
pub const SCOPE_READ: &str = "ssf.read";
