//! The origin's HTTP interface. One file an endpoint, each a straight line: authenticate, ask the domain, commit, answer.
//!
//! Handlers never see SQL. Errors of OAuth endpoints are RFC 6749 JSON, those of the edges' are `application/problem+json`;
//! what went wrong inside goes to the log, never to the client.

mod client_auth;
mod edge_deltas;
mod edge_snapshot;
mod health;
mod introspect;
mod jwks;
mod metadata;
mod oauth_error;
mod parameters;
mod problem;
mod revoke;
mod router;
mod token;

pub use router::router;

use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::domain::Audience;
use crate::feed::{Publisher, Wake};
use crate::keys::KeyRing;
use crate::store::Store;

/// What handlers share.
pub struct App {
    /// The database.
    pub store: Store,
    /// Signs and recognises tokens.
    pub keys: Arc<KeyRing>,
    /// Answers edges.
    pub publisher: Arc<Publisher>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens of clients that have none of their own.
    pub default_audience: Audience,
    /// How long tokens live, in seconds.
    pub token_lifetime: u64,
    /// Tells that the feed moved.
    pub wake: Receiver<Wake>,
    /// Ends long polls at shutdown.
    pub stop: CancellationToken,
}

/// The shared state as axum hands it around.
pub type AppState = Arc<App>;
