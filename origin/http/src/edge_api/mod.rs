//! Endpoints of edges (`/edge/v1`), and the check of a request by their rules (`/validate`).

pub(crate) mod deltas;
pub(crate) mod edge_feed;
pub(crate) mod edge_rules;
pub(crate) mod introspect;
pub(crate) mod snapshot;
pub(crate) mod validate;
