//! The Tollgate origin: issues OAuth 2.0 access tokens, remembers which are revoked, and tells the
//! edges.
//!
//! This crate is the program: the [`Server`], the issuers that it runs, and the command line
//! ([`cli`]). What it does is in the crates below: `http` answers, `services` do what is not a
//! request's own, `storage` records, `keys` sign, `config` is the settings, `model` the rules.

pub mod cli;
mod issuer_keys;
pub mod issuers;
mod listen;
mod server;

pub use issuer_keys::{open_keys, open_shared_keys};
pub use issuers::default_audience;
pub use server::Server;
