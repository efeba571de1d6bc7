//! Several issuers in one process, told apart by host or path.
//!
//! Each has a database of its own, and with it keys, clients, users, rules, revocations and
//! snapshots; nothing of one is in another's, so nothing of one can be seen through another. The
//! default issuer is the one of the settings. The others are registered in its database and served
//! by the same process, from the moment that they are registered.

mod dispatch;
mod issuer_settings;
mod running;
mod supervisor;

pub(crate) use dispatch::Dispatcher;
pub use issuer_settings::{check_is_new, default_audience, issuer_settings};
pub(crate) use running::{Running, Shared};
pub(crate) use supervisor::Supervisor;
