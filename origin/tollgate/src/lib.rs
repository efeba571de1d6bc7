//! The Tollgate origin: issues OAuth 2.0 access tokens, records revocations, and sends them to the
//! edges.
//!
//! This crate is the program: the [`Server`], the issuers that it runs, and the command line
//! ([`cli`]). The crates below do the work: `http` handles requests, `services` runs background
//! tasks and what requests share, `storage` is the database, `keys` signs, `config` reads the
//! settings, `model` has the domain types and rules.

pub mod cli;
mod heap_profile;
mod issuer_keys;
pub mod issuers;
mod listen;
mod server;

pub use issuer_keys::{open_keys, open_shared_keys};
pub use issuers::default_audience;
pub use server::Server;
