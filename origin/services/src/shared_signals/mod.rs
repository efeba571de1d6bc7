//! Shared Signals (OpenID SSF 1.0, CAEP 1.0): telling receivers of others what was revoked and reinstated, as signed security
//! event tokens (RFC 8417), by push (RFC 8935) and poll (RFC 8936).
//!
//! Every delta that edges get is recorded as a [`Signal`](tollgate_storage::Signal) too, in its transaction, once there is a
//! [`Stream`]. A stream is a place in that sequence. Its tokens are made of the records when they are sent and not before:
//! the same record makes the same token, byte for byte, so that one sent twice (its acknowledgement may be lost) has the same
//! `jti` and receivers drop it. Nothing is lost, for the place moves on only with an acknowledgement.
//!
//! What never happens here: a token whose `sub_id` or claims say more than that something is or is not revoked any more; a
//! receiver's credentials in the log; a stream that another client reads.

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
