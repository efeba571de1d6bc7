//! The admin API, `/admin/api`: what the command line can do, over the network. Each handler authenticates an administrator first
//! and leaves the act itself to [`acts`], which the operators' pages use, too; errors are `application/problem+json`.

pub(super) mod audit_export;
pub(super) mod audit;
pub(super) mod auth;
pub(super) mod clients;
pub(super) mod edges;
pub(super) mod keys;
mod lists;
pub(super) mod overview;
pub(super) mod resources;
pub(super) mod revocations;
pub(super) mod routes;
pub(super) mod users;
