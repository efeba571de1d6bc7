//! Administration: what an administrator can do. The admin API, the console and the command line
//! are three faces of these commands, so all leave the same state and the same audit entries, and
//! refuse the same input.
//!
//! No command checks who may do it: the caller has authenticated an administrator and names them as
//! `by`.

mod audit;
pub mod client_check;
mod clients;
mod edges;
mod error;
mod import;
mod keys;
mod overview;
mod refusals;
mod resources;
mod revocations;
mod routes;
mod streams;
mod users;

use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tollgate_model::encoding::base64url;
use tollgate_model::{Actor, ClientProfile, HttpRedirects, KeyPolicy, merge_patch};
use tollgate_storage::{Store, Termination, Writer};
use tollgate_system::Clock;

pub use self::clients::{
    NewSecret, SECRET_OVERLAP, client_version, has_secret, invalid_client, parse_client_metadata, patch_client_metadata,
};
pub use self::error::AdminError;
pub use self::import::{ClientFormat, ImportOptions, ImportReport, ImportedRow, UserFormat};
pub use self::keys::{KeyRevocation, ScheduledKey};
pub use self::overview::{HashingView, MinuteView, Overview};
pub use self::refusals::RefusalView;
pub use self::resources::{patch_resource, resource_version};
pub use self::revocations::{RevocationRequest, parse_reason};
pub use self::users::{NewUser, UserProfile};
use crate::password_hashing::PasswordHasher;
use crate::refusals::RefusalLog;
use crate::signing_keys::SigningKeys;
use crate::telemetry::Metrics;
use crate::termination::termination;

/// Commands on what the database has: clients, users, resource servers, routes, edges, streams, the
/// audit log. They need no running server; those on keys take the master key as an argument.
pub struct Registry {
    /// The issuer's database.
    pub store: Store,
    /// Hashes the passwords and secrets that people choose.
    pub passwords: PasswordHasher,
    /// The wall clock.
    pub clock: Clock,
    /// Where `http` redirect URIs of clients may lead.
    pub http_redirects: HttpRedirects,
    /// Profile of the issuer, which no client may contradict.
    pub profile: Option<ClientProfile>,
}

/// The commands of one issuer's administrators: those of the [`Registry`], and those that need the
/// signing keys of a running server.
pub struct Administration {
    /// The commands without signing keys.
    pub registry: Registry,
    /// Writes revocations.
    pub writer: Writer,
    /// The issuer's signing keys.
    pub keys: SigningKeys,
    /// When keys are rotated.
    pub key_policy: KeyPolicy,
    /// The `iss` of tokens.
    pub issuer: String,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
    /// Refused requests of clients.
    pub refusals: Arc<RefusalLog>,
}

impl Deref for Administration {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

/// How often a change is applied again to what another administrator has changed meanwhile.
const MAX_CHANGE_ATTEMPTS: usize = 8;

impl Registry {
    /// How what `by` ends now is recorded.
    fn termination(&self, by: &Actor, reason: &'static str) -> Termination {
        termination(by, reason, self.clock.now())
    }
}

/// Fingerprint of an object, by which a form finds out whether it was changed since it was opened.
fn version(object: &impl Serialize) -> String {
    base64url(&Sha256::digest(serde_json::to_vec(object).unwrap_or_default()))
}

/// Applies a merge patch (RFC 7396) to an object.
///
/// # Errors
/// The problem: the patch is no object, gives a member another type than it has, or names a member
/// that the object does not have.
fn patched<T: Serialize + DeserializeOwned>(object: &T, patch: Value) -> Result<T, String> {
    let Value::Object(members) = patch.clone() else { return Err("a change must be a JSON object".to_owned()) };
    let mut value = serde_json::to_value(object).map_err(|error| error.to_string())?;
    merge_patch(&mut value, patch);
    let changed: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let stored = serde_json::to_value(&changed).map_err(|error| error.to_string())?;
    // A member without a value is not written, so it cannot be told from an unknown one.
    let has_value = |value: &Value| !value.is_null() && value.as_array().is_none_or(|values| !values.is_empty());
    let unknown = members.iter().find(|(name, value)| has_value(value) && stored.get(name.as_str()).is_none());
    match unknown {
        Some((name, _)) => Err(format!("member {name} does not exist")),
        None => Ok(changed),
    }
}
