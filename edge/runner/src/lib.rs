//! The Tollgate edge gate on wasmtime: the program `tollgate-edge`, and a library for tests and
//! embedders.
//!
//! It hosts one of two WebAssembly components. In component mode, the WIT validator decides, and
//! this crate provides clock, network and proxying. In Spin mode, the Spin component does all that
//! itself.
//!
//! Never: this crate decides whether a request may pass.

mod admin;
mod call_limits;
mod check;
mod component;
mod edge;
mod error_chain;
mod files;
mod gate;
mod health;
mod introspector;
mod listener;
mod metrics;
mod origin_client;
mod pool;
mod rate_limits;
mod relay;
mod request_id;
mod response;
mod settings;
mod signatures;
mod spin;
mod streams;
mod sync;
mod timed_body;
mod upstream;
mod validator;
mod verify;
mod wasm;

pub use check::{Finding, Outcome, Report, check};
pub use edge::{Edge, StartError};
pub use health::check_health;
pub use settings::{
    ComponentSource, DEPRECATED_FLAGS, GATE_FLAGS, GateKind, RUNNER_SETTINGS, RelaySettings, RunnerSetting,
    SettingError, Settings, Sources, find_component,
};
pub use validator::{
    Activity, Connection, Decision, Forward, ForwardRoute, IssuedTicket, OpenError, Question, RateLimit, RateLimitKey,
    Refresh, RefusedRequest, Request, Response, SignatureCheck, StreamPolicy, StreamSchedule, StreamTicket,
    StreamVerdict, Validator, Verdict,
};
pub use verify::verify;
pub use wasm::{LoadError, Program};
