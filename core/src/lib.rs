//! Verification of access tokens with exact revocation, for Tollgate's edges and origin.
//!
//! [`verify()`] checks one token against a [`KeySet`], the [`TokenRequirements`] of a route and a
//! [`RevocationChecker`]. At an edge that checker is a [`Replica`]: a signed [`Snapshot`] of the
//! origin's revocations with the signed [`Deltas`] after it.
//!
//! ```
//! use tollgate_core::{CheckedByCaller, KeySet, TokenRequirements, UnknownStatusPolicy, verify};
//!
//! let keys = KeySet::from_jwks(
//!     br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1",
//!         "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
//! )?;
//! let requirements = TokenRequirements {
//!     issuer: "https://auth.example",
//!     audience: "https://api.example",
//!     scope: &["reports:read".to_owned()],
//!     rules: None,
//!     leeway: 30,
//!     allow_plain_jwt: false,
//!     on_stale: UnknownStatusPolicy::Deny,
//!     on_not_covered: UnknownStatusPolicy::Deny,
//! };
//! let now = 1_800_000_000;
//! let refusal = verify(b"not a token", &keys, &requirements, &CheckedByCaller, now).unwrap_err();
//! assert_eq!(refusal.code(), "not_compact");
//! # Ok::<(), tollgate_core::JwksError>(())
//! ```
//!
//! The crate is `no_std`. It has no clock, random source, socket or global: the caller passes the
//! time and all bytes. No input makes it panic, recurse without bound, or allocate by a length that
//! the input only claims.
#![no_std]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic"))]

extern crate alloc;

mod algorithm;
mod base64url;
mod batch;
mod bloom_filter;
#[cfg(feature = "build")]
mod build;
mod bytes;
mod claims;
mod comb;
mod confirmation;
mod deltas;
mod dpop;
mod edge_report;
mod fuse_filter;
mod header;
mod hex;
mod identity_signer;
mod introspection;
mod json;
mod key;
mod mac;
mod nonce_tree;
mod policy;
mod possession;
mod push_proof;
mod refusal;
mod replica;
mod revocation;
mod rs256;
mod snapshot;
mod stream_ticket;
mod sync_request;
mod token;
mod verifier;
mod verify;
mod wire;

pub use algorithm::Algorithm;
pub use batch::verify_all;
#[cfg(feature = "build")]
pub use build::{
    BuildError, Cascade, CascadeBuilder, DeltaParts, SharedParts, SnapshotParts, SnapshotSigner, build_deltas,
    build_shared_deltas, build_snapshot,
};
pub use claims::is_scope_value;
pub use comb::TableSize;
pub use confirmation::{Thumbprint, certificate_thumbprint};
pub use deltas::{Deltas, MAX_DELTAS, MAX_DELTAS_BYTES, MAX_DOCUMENT_BYTES, SnapshotInfo, UnverifiedDeltas};
pub use dpop::{
    DpopRequest, MAX_PROOF_AGE_SECONDS, MAX_PROOF_BYTES, MAX_PROOF_USES, NonceKey, PROOF_ALGORITHMS, ProofError,
    ProofUse, ReplaySet, RequestUrl,
};
pub use edge_report::{EdgeCounter, EdgeReport, EdgeTotals, MAX_REPORT_BYTES, REFUSAL_REASONS, refusal_reason_index};
pub use header::canonical_header;
pub use identity_signer::IdentitySigner;
pub use introspection::{IntrospectedToken, MAX_INTROSPECTION_BYTES, TokenReference};
pub use json::JsonError;
pub use key::{JwksError, KeySet, MAX_KEYS};
pub use nonce_tree::{MAX_TREE_NONCES, NonceTree};
pub use policy::{
    AmbiguousRequest, ClaimCondition, ClaimRule, ClaimValue, Config, ConfigError, Cors, MAX_ROUTES, RateLimit,
    RateLimitKey, Route, StreamPolicy, TokenFacts, TokenRules, UnknownStatusPolicy, may_carry_identity,
};
#[cfg(feature = "build")]
pub use policy::{RuleConflict, RuleMatch, check_new_rule};
pub use possession::Possession;
pub use refusal::{MAX_TOKEN_BYTES, Refusal, TokenPart};
pub use replica::{Replica, ReplicaError, ReplicaView};
pub use revocation::{
    CheckedByCaller, ConfigDigest, Delta, EpochTokenId, HashChain, RevocationChecker, RevocationId, RevocationKind,
    RevocationStatus, RevokedBefore, TokenIdentifiers,
};
pub use snapshot::{MAX_SNAPSHOT_BYTES, Snapshot};
pub use stream_ticket::StreamTicket;
pub use sync_request::{EdgeKey, Nonce};
pub use verifier::{MAX_CACHED_TOKEN_BYTES, Verifier};
pub use verify::{MAX_LEEWAY_SECONDS, TokenRequirements, VerifiedToken, check_token_signature, verify};
pub use wire::{MessageKind, WireError};
