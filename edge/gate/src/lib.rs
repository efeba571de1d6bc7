//! What every Tollgate edge shares: a request goes in, a [`Decision`] comes out.
//!
//! The adapters (Cloudflare Worker, Spin component, wasmtime runner) bring the clock, the network and the bytes; the rules are
//! here and in `tollgate-core`, and nowhere else. An adapter, in full: on a request ask [`Gate::decide`] and do what it says; on
//! [`Decision::Wait`], and then only, await a fetch and decide again. After any other decision start a fetch that outlives the
//! request, unless [`Gate::refresh`] says that none is due. A fetch is a GET of the origin's address with [`Gate::next_fetch`]
//! behind it, given to [`Gate::accept`], again while that says so. There is one at a time, shared by all that wait, and
//! [`BackOff`] says when the next one may begin after a failure, and who waits for it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic"))]

mod back_off;
mod bearer;
mod feeding;
mod gate;
mod headers;
mod json;
mod knowledge;
mod message;
mod path;
mod record;
mod settings;
#[cfg(feature = "cli")]
pub mod verify_cli;

pub use back_off::BackOff;
pub use feeding::{MAX_FETCH_BYTES, MAX_PUSH_BYTES, Question};
pub use gate::{Gate, Refresh};
pub use headers::{HopByHop, RequestHeaders, Sender, TrustedProxies, is_reserved_header};
pub use json::JsonObject;
pub use knowledge::FetchError;
pub use message::{Decision, Header, Request, Response};
pub use record::Record;
pub use settings::{SETTINGS, SettingError, Settings, split_path, with_path};
pub use tollgate_core::{Nonce, Refusal};
