//! The admin API, `/admin/api`. Each handler authenticates an administrator, then runs one of the
//! commands of [`tollgate_services::admin`], which the console uses as well; errors are
//! `application/problem+json`.

pub(super) mod audit;
pub(super) mod audit_export;
pub(super) mod auth;
pub(super) mod clients;
pub(super) mod edges;
pub(super) mod keys;
mod lists;
pub(super) mod overview;
mod request;
pub(super) mod resources;
pub(super) mod revocations;
pub(super) mod routes;
pub(super) mod users;
