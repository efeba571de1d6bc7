//! Test kit: a real origin in this process, with its database, users, clients, browsers and
//! certificates. The origin's tests and the suite share it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

pub mod admin_client;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod database;
pub mod environment;
pub mod jwt;
pub mod logout_listener;
pub mod origin;
pub mod partner;
pub mod recording_server;
pub mod secret_leaks;
pub mod token_builder;
pub mod token_factory;
pub mod users;
pub mod wait;
