//! The part that all Tollgate edges share: takes a request, returns a [`Decision`].
//!
//! The hosts (Cloudflare Worker, Spin component, wasmtime runner) supply the clock, the network and
//! the bytes. All rules are here and in `tollgate-core`. A host does this:
//!
//! 1. For each request, call [`Gate::decide`] and do what the decision says. Only on
//!    [`Decision::Wait`], await a fetch and decide again; only on [`Decision::Introspect`], ask the
//!    origin about the token and decide again.
//! 2. After any other decision, start a fetch in the background, unless [`Gate::freshness`] is
//!    [`Freshness::Fresh`].
//! 3. A fetch is a GET of the origin's URL followed by [`Gate::next_fetch`]; its answer goes to
//!    [`Gate::accept`]. Repeat while that returns true.
//! 4. Run one fetch at a time, shared by all requests that wait. After a failure, [`BackOff`] says
//!    when the next fetch may begin and which requests wait for it.
//! 5. For each stream that stays open, keep a [`StreamTicket`] and ask [`Gate::check_stream`] again
//!    when [`Gate::stream_schedule`] says so, and when the ticket expires.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic"))]

mod back_off;
mod bearer;
mod cors;
mod counters;
mod error_form;
mod gate;
mod headers;
mod host_signatures;
mod hub_location;
mod hub_spread;
mod identity;
mod identity_token;
mod introspection;
mod json;
mod message;
mod message_log;
mod named_upstreams;
mod path;
mod proofs;
mod rate_limiter;
mod refusal_log;
mod replica_state;
mod reporter;
mod resource_metadata;
mod routing;
mod setting_error;
mod settings;
mod streams;
mod sync;
mod trace;
#[cfg(feature = "cli")]
pub mod verify_cli;

pub use back_off::BackOff;
pub use cors::added_response_headers;
pub use counters::{Counters, RouteTotals, UPSTREAM_BUCKETS_MS};
pub use gate::{Freshness, Gate};
pub use headers::{HopByHopHeaders, Peer, RequestHeaderPolicy, TrustedProxies, is_reserved_header};
pub use host_signatures::SignatureCheck;
pub use hub_location::HubLocation;
pub use hub_spread::{HubLoad, HubSpread};
pub use identity::IdentityHeaders;
pub use identity_token::IdentityTokenSettings;
pub use json::JsonObject;
pub use message::{
    Connection, Decision, Forward, ForwardRoute, Header, RefusedRequest, Request, Response, RouteRateLimit,
};
pub use message_log::MessageLog;
pub use named_upstreams::NamedUpstreams;
pub use proofs::PublicUrl;
pub use rate_limiter::{RateLimitBucket, RateLimiter, rate_limited};
pub use refusal_log::{RefusalLog, refusal_line, request_id_for_log};
pub use replica_state::FetchError;
pub use reporter::{ReportQueue, Reporter};
#[cfg(feature = "cli")]
pub use routing::find_route_of_target;
pub use setting_error::SettingError;
pub use settings::{
    DEPRECATED_SETTINGS, DPOP_NONCE, DPOP_NONCE_KEY, DeprecatedSetting, EdgeIdentity, SETTINGS, Settings,
    deprecated_settings, split_path, with_path,
};
pub use streams::{StreamSchedule, StreamVerdict, may_stay_open, stream_check_delay_ms};
pub use sync::{FOLD_TARGET, MAX_FETCH_BYTES, MAX_PUSH_BYTES, PUSH_HEADER, Question};
pub use tollgate_core::{
    ConfigDigest, EdgeCounter, EdgeReport, EdgeTotals, Nonce, ProofUse, REFUSAL_REASONS, RateLimit, RateLimitKey,
    Refusal, ReplaySet, StreamPolicy, StreamTicket, TokenReference,
};
pub use trace::{new_traceparent, server_timing, trace_id};
