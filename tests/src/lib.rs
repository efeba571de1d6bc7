//! Infrastructure of the suite on top of the test kit: real edges and origin processes, faults,
//! attacks, the conformance table. It starts the real programs and mocks no part of Tollgate.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

pub mod adapter;
pub mod attacks;
pub mod browser_flows;
pub mod client_program;
pub mod client_script;
pub mod conformance;
pub mod curl;
pub mod database_proxy;
pub mod debian_root;
pub mod documentation;
pub mod echo_upstream;
pub mod edge;
pub mod http_server;
pub mod origin_process;
pub mod origin_proxy;
pub mod otlp_collector;
pub mod postgres_server;
pub mod process;
pub mod prometheus;
pub mod redis_server;
pub mod regression_case;
pub mod rfc_requirements;
pub mod sign_in_flood;
#[path = "../../core/tests/vectors/signed/mod.rs"]
pub mod signed;
pub mod small_disk;
pub mod streams;
pub mod tcp_server;
pub mod vector_runners;
pub mod worker;

pub use tollgate_test_kit::{
    admin_client, browser, certificates, client, database, environment, jwt, logout_listener, origin, partner,
    recording_server, secret_leaks, token_builder, token_factory, users, wait,
};
