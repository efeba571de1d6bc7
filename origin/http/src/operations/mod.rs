//! Health checks, metrics, and the log and trace of each request.

mod exposition;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod observe;
mod profiles;
pub(crate) mod slow_requests;
pub(crate) mod state;
