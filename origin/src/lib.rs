//! The Tollgate origin: issues OAuth 2.0 access tokens, remembers which are revoked, and tells the edges.
//!
//! From the outside in: [`cli`] and [`http`] take requests, [`domain`] decides, [`store`] remembers, [`feed`] tells the
//! edges, [`status_list`] and [`ssf`] tell verifiers and receivers of others, `logouts` tells clients, [`keys`] signs, [`watch`] counts. [`settings`] says how, [`ambient`]
//! is the clock and the random source, [`issuers`] runs all of it for each issuer, and [`Server`] is the process.
//!
//! What never happens: a handler talks SQL; the domain names axum or sqlx; a token or a revocation is acknowledged before
//! its commit; a secret reaches the log.

pub mod ambient;
mod causes;
pub mod cli;
mod client_keys;
pub mod domain;
mod encoding;
pub mod feed;
mod files;
pub mod forge;
pub mod guard;
pub mod http;
pub mod issuers;
mod jose;
pub mod keys;
mod known;
mod listen;
mod logouts;
mod outbound;
mod server;
pub mod settings;
mod single_flight;
pub mod ssf;
pub mod status_list;
pub mod store;
mod users_api;
pub mod watch;

pub use server::{Server, default_audience, open_keys, open_shared_keys};
pub use settings::Settings;
