//! Token Status Lists (draft-ietf-oauth-status-list, "TSL" below): revocations for verifiers other
//! than Tollgate's edges.
//!
//! Each issued token has a number, from which follow its list and its index in the list (see
//! [`tollgate_model::status_list`]). The token's `status` claim contains both. [`StatusLists`]
//! builds and signs the lists; [`StatusListToken::decode`] parses lists of any issuer, with bounds,
//! for the command line and the tests.
//!
//! Never: a list that says of a live token anything other than what introspection said at the
//! list's `iat`. A verifier may use a list until its `ttl` has passed; edges do not use lists.

mod list;
mod signed_lists;
mod token;

pub use list::{MAX_LIST_BYTES, StatusList, StatusListError};
pub use signed_lists::{STATUS_LIST_TTL, SignedList, StatusListBuildError, StatusLists};
pub use token::{MAX_TOKEN_BYTES, MEDIA_TYPE, StatusListToken, TOKEN_TYPE};
