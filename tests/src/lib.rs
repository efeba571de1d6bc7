//! Kit of the integration suite: a real origin, real edges, tokens of every kind, clients, browsers,
//! faults, and the conformance table. It starts the real programs and mocks no part of Tollgate.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

pub mod adapter;
pub mod attacks;
pub mod browser;
pub mod browser_flows;
pub mod client_script;
pub mod conformance;
pub mod database;
pub mod database_proxy;
pub mod edge;
pub mod environment;
pub mod http_server;
pub mod origin;
pub mod origin_process;
pub mod origin_proxy;
pub mod parties;
pub mod postgres_server;
pub mod process;
pub mod public_client;
pub mod recording_server;
pub mod redis_server;
pub mod registered;
pub mod regression_case;
pub mod rfc_requirements;
pub mod secret_leaks;
pub mod service_client;
pub mod sign_in_flood;
#[path = "../../core/tests/vectors/signed/mod.rs"]
pub mod signed;
pub mod small_disk;
pub mod tcp_server;
pub mod token_builder;
pub mod token_factory;
pub mod vector_runners;
