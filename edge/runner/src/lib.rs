//! The Tollgate edge gate on wasmtime: a library for tests and embedders, and the binary `tollgate-edge`.
//!
//! It hosts one of two WebAssembly components. In component mode the WIT validator decides and this crate brings the clock,
//! the network and the proxying. In Spin mode the Spin component does all of that itself and this crate is only its host.
//! Neither mode holds policy: whether a request may pass is never decided here.

mod answer;
mod component;
mod connections;
mod edge;
mod feed;
mod files;
mod forward;
mod pool;
mod server;
mod settings;
mod spin;
mod timed_body;
mod validator;
mod verify;
mod wasm;

pub use edge::{Edge, StartError};
pub use settings::{GateKind, SettingError, Settings, Sources, find_component};
pub use validator::{Decision, OpenError, Question, Refresh, Request, Response, Validator, Verdict};
pub use verify::verify;
pub use wasm::{LoadError, Program};
