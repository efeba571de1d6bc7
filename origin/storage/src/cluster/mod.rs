//! State that several origins on one database share and coordinate.

pub(crate) mod change_watch;
mod edge_reports;
pub(crate) mod edges;
pub(crate) mod issuers;
pub(crate) mod keys;
pub(crate) mod leader_lock;
pub(crate) mod live_counts;
pub(crate) mod maintenance;
pub(crate) mod routes;
