//! What every Tollgate edge shares: a request goes in, a [`Decision`] comes out.
//!
//! The adapters (Cloudflare Worker, Spin component, wasmtime runner) bring the clock, the network and the bytes; the rules are
//! here and in `tollgate-core`, and nowhere else. An adapter, in full: on a request ask [`Gate::refresh`]; on
//! [`Refresh::Background`] start a fetch that outlives the request, on [`Refresh::Required`] await one; a fetch is a GET of the
//! origin's address with [`Gate::next_fetch`] behind it, given to [`Gate::accept`], again while that says so; then
//! [`Gate::decide`], and do what it says.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic"))]

mod bearer;
mod feeding;
mod gate;
mod json;
mod knowledge;
mod message;
mod path;
mod settings;
#[cfg(feature = "cli")]
pub mod verify_cli;

pub use feeding::{MAX_FETCH_BYTES, MAX_PUSH_BYTES};
pub use gate::{Gate, Refresh};
pub use json::JsonObject;
pub use knowledge::FetchError;
pub use message::{Decision, Header, Request, Response, is_reserved_header};
pub use settings::{SETTINGS, SettingError, Settings};
pub use tollgate_core::Refusal;
