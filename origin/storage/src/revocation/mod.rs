//! Revocations, and the forms in which edges and receivers of security events get them.

pub(crate) mod feed;
pub(crate) mod revocation_log;
pub(crate) mod revocations;
pub(crate) mod security_events;
pub(crate) mod snapshots;
pub(crate) mod status_list;
