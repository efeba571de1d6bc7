//! Services of the origin, for requests and in the background: the revocation feed of edges, shared
//! signals, status lists, back-channel logout, caches, rate limits, password hashing, outbound
//! HTTP, telemetry.
//!
//! Services use storage, keys and settings. Never: HTTP servers, pages, the command line.

pub mod admin;
mod back_off;
pub mod backchannel_logout;
pub mod backup;
pub mod cache;
pub mod client_jwks;
pub mod external_users;
pub mod feed_change;
mod leader_loop;
pub mod outbound_http;
pub mod password_hashing;
mod public_address;
mod published;
pub mod rate_limit;
pub mod refusals;
pub mod request_objects;
pub mod revocation_feed;
pub mod shared_signals;
pub mod signing_keys;
pub mod single_flight;
pub mod status_lists;
pub mod telemetry;
pub mod termination;
pub mod worker_pool;
