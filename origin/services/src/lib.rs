//! What the origin does for requests and behind them: the feed of revocations to edges, shared signals, status lists,
//! back-channel logout, caches, rate limits, password hashing, outbound HTTP, telemetry.
//!
//! Services know the storage, the keys and the settings; nothing here knows HTTP servers, pages or the command line.

pub mod backchannel_logout;
pub mod cache;
pub mod client_jwks;
pub mod external_users;
pub mod feed_change;
pub mod outbound_http;
pub mod password_hashing;
pub mod rate_limit;
pub mod revocation_feed;
pub mod shared_signals;
pub mod signing_keys;
pub mod single_flight;
pub mod status_lists;
pub mod telemetry;
