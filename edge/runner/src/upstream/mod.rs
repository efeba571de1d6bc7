//! The upstreams that get allowed requests: several, each with one or more addresses.

mod client;
mod forward;
mod health_checks;
mod outgoing;
mod retry_budget;
mod send;
mod target;
mod target_pool;
mod upgrade;

pub(crate) use client::{Client, Clients, HttpVersions, tls_config};
pub(crate) use forward::Upstreams;
pub(crate) use target::Lease;
