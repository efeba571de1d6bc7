//! Administration: what an administrator can do. The admin API and the console are two faces of
//! these commands, so both leave the same state and the same audit entries, and refuse the same
//! input. The command line writes to the database itself.
//!
//! No command checks who may do it: the caller has authenticated an administrator and names them as
//! `by`.

mod clients;
mod edges;
mod error;
mod keys;
mod overview;
mod refusals;
mod resources;
mod revocations;
mod routes;
mod users;

use std::sync::Arc;

use tollgate_model::{Actor, KeyPolicy};
use tollgate_storage::{Store, Termination, Writer};
use tollgate_system::Clock;

pub use self::clients::{SECRET_OVERLAP, has_secret, invalid_client, parse_client_metadata};
pub use self::error::AdminError;
pub use self::overview::{HashingView, MinuteView, Overview};
pub use self::refusals::RefusalView;
pub use self::revocations::{RevocationRequest, parse_reason};
pub use self::users::NewUser;
use crate::password_hashing::PasswordHasher;
use crate::refusals::RefusalLog;
use crate::signing_keys::SigningKeys;
use crate::telemetry::Metrics;
use crate::termination::termination;

/// The commands of one issuer's administrators.
pub struct Administration {
    /// The issuer's database.
    pub store: Store,
    /// Writes revocations.
    pub writer: Writer,
    /// The issuer's signing keys.
    pub keys: SigningKeys,
    /// When keys are rotated.
    pub key_policy: KeyPolicy,
    /// Hashes the passwords and secrets that people choose.
    pub passwords: PasswordHasher,
    /// The `iss` of tokens.
    pub issuer: String,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// Refused requests of clients.
    pub refusals: Arc<RefusalLog>,
    /// The wall clock.
    pub clock: Clock,
}

impl Administration {
    /// How what `by` ends now is recorded.
    fn termination(&self, by: &Actor, reason: &'static str) -> Termination {
        termination(by, reason, self.clock.now())
    }
}
