//! What administrators do: one function an act. The admin API and the operators' pages are two faces of these, so that both
//! leave the same state and the same lines in the log, and refuse the same.
//!
//! None of them asks whether somebody may: the caller has proved that an administrator did, and says which as `by`.

pub(crate) mod audit;
pub(crate) mod clients;
pub(crate) mod edges;
pub(crate) mod keys;
pub(crate) mod overview;
pub(crate) mod resources;
pub(crate) mod revocations;
pub(crate) mod routes;
pub(crate) mod users;
