//! The heart of Tollgate: a token goes in, a verdict comes out.
//!
//! [`verify()`] judges one token against a [`KeySet`], what it is [`Expected`] to be for, and a [`RevocationStatus`]. At an
//! edge that status is a [`Replica`]: a signed [`Snapshot`] of the origin's revocations with the signed [`Deltas`] since.
//!
//! The crate is `no_std` and has no clock, no random source, no socket and no global: the caller gives the time and the
//! bytes. Nothing a stranger sends makes it panic, recurse without bound, or allocate by a length that was merely claimed.
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic"))]

extern crate alloc;

mod base64url;
#[cfg(feature = "build")]
mod build;
mod claims;
mod deltas;
mod filter;
mod header;
mod json;
mod key;
mod policy;
mod refusal;
mod replica;
mod revocation;
mod snapshot;
mod token;
mod verify;
mod wire;

#[cfg(feature = "build")]
pub use build::{BuildError, DeltaParts, SnapshotParts, SnapshotSigner, build_deltas, build_snapshot};
pub use claims::is_scope_value;
pub use deltas::{Deltas, MAX_DELTAS, MAX_DELTAS_BYTES};
pub use json::JsonFault;
pub use key::{Algorithm, JwksError, KeySet, MAX_KEYS};
pub use policy::{Config, ConfigError, MAX_ROUTES, OnStale, Route};
pub use refusal::{Part, Refusal};
pub use replica::{Replica, ReplicaError, ReplicaView};
pub use revocation::{AskedElsewhere, Chain, Change, ConfigDigest, Delta, RevocationId, RevocationStatus, Standing};
pub use snapshot::{MAX_SNAPSHOT_BYTES, Snapshot};
pub use token::MAX_TOKEN_BYTES;
pub use verify::{Expected, MAX_LEEWAY, Verified, verify};
pub use wire::{MessageKind, WireError};
