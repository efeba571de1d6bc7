//! What administrators do: one function an act. The admin API and the operators' pages are two faces of these, so that both
//! leave the same state and the same lines in the log, and refuse the same.
//!
//! None of them asks whether somebody may: the caller has proved that an administrator did, and says which as `by`.

pub(in crate::http) mod audit;
pub(in crate::http) mod clients;
pub(in crate::http) mod edges;
pub(in crate::http) mod keys;
pub(in crate::http) mod overview;
pub(in crate::http) mod resources;
pub(in crate::http) mod revocations;
pub(in crate::http) mod routes;
pub(in crate::http) mod users;
