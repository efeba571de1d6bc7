//! What the integration suite stands on: a real origin, real edges, tokens of every kind, and the conformance table.
//! Nothing here imitates a part of Tollgate.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

pub mod adapter;
pub mod app;
pub mod browser;
pub mod cases;
pub mod client;
pub mod conformance;
pub mod flood;
pub mod forge;
pub mod hostile;
pub mod http_server;
pub mod judges;
pub mod leaks;
pub mod mint;
pub mod musts;
pub mod parties;
pub mod peer;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod registered;
pub mod script;
pub mod served;
#[path = "../../core/tests/vectors/signed/mod.rs"]
pub mod signed;
pub mod small_disk;
pub mod stack;
pub mod stage;
pub mod tcp_peers;
