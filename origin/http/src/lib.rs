//! The origin's HTTP interface. Each endpoint has a file with a straight-line handler:
//! authenticate, decide, commit, respond.
//!
//! Never: SQL in a handler; details of an internal failure in a response. OAuth endpoints return
//! errors as RFC 6749 JSON, all others as `application/problem+json`.

mod admin_api;
mod allowed_origins;
mod console;
mod cors;
mod edge_api;
mod extract;
mod failed_authentication;
mod home;
mod hsts;
mod issuer;
mod json;
mod jwks;
mod limits;
mod long_polls;
mod method_not_allowed;
mod oauth;
mod oidc;
mod openapi;
mod operations;
mod pages;
mod problem;
mod ratelimit_headers;
mod refused_request;
mod request_context;
mod router;
mod shared_signals;
mod state;
mod status_list;

pub use hsts::of_issuer as hsts_of_issuer;
pub use long_polls::LongPolls;
pub use oauth::certificate::Certificate;
pub use operations::metrics::listener as metrics_listener;
pub use operations::observe::Refusal;
pub use pages::brand::Appearance;
pub use problem::Problem;
pub use router::router;
pub use state::IssuerServices;
