//! Token Status Lists (draft-ietf-oauth-status-list, "TSL" below): what is revoked, for verifiers
//! that are not Tollgate's.
//!
//! Every issued token has a number; [`Place`] says which list and which bit of it that is, and the
//! token's `status` claim says the same ([`Claim`]). [`StatusLists`] builds and signs the lists
//! from the store; [`StatusListToken::decode`] reads anybody's, bounded, for the command line and
//! the tests.
//!
//! What never happens here: a list says of a live token anything but what introspection would have
//! said at its `iat`. A list is as old as its `ttl` allows when a verifier asks it; Tollgate's own
//! edges do not use it.

mod list;
mod signed_lists;
mod token;

pub use list::{MAX_LIST_BYTES, StatusList, StatusListError};
pub use signed_lists::{BuildError, SignedList, StatusLists, TTL};
pub use token::{MAX_TOKEN_BYTES, MEDIA_TYPE, StatusListToken, TOKEN_TYPE};
