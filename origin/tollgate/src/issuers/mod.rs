//! Several issuers in one process, distinguished by host or path.
//!
//! Each issuer has its own database with its keys, clients, users, rules, revocations and
//! snapshots, so requests to one issuer cannot reach data of another. The default issuer is
//! configured by the settings. The others are registered in its database; a running server starts
//! them on registration.

mod dispatch;
mod issuer_settings;
mod running_issuer;
mod supervisor;

pub(crate) use dispatch::Dispatcher;
pub use issuer_settings::{check_is_new, default_audience, issuer_settings};
pub(crate) use running_issuer::{RunningIssuer, SharedServices};
pub(crate) use supervisor::Supervisor;
