//! The admin API, `/admin/api`: what the command line can do, over the network. Each handler authenticates an administrator first;
//! errors are `application/problem+json`.

pub(super) mod audit;
pub(super) mod auth;
pub(super) mod clients;
pub(super) mod resources;
pub(super) mod revocations;
pub(super) mod routes;
pub(super) mod users;
