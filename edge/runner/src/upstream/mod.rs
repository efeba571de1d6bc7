//! The upstream that gets allowed requests.

mod client;
mod forward;
mod upgrade;

pub(crate) use client::{Client, HttpVersions, client, tls_config};
pub(crate) use forward::Upstream;
