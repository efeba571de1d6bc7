//! What the pages of users work with.

use std::sync::Arc;

use tollgate_config::AccountSettings;
use tollgate_services::external_users::ExternalUserDirectory;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_services::rate_limit::RateLimiter;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::telemetry::Metrics;
use tollgate_storage::{Store, Writer};
use tollgate_system::Clock;

use super::brand::Appearance;
use super::browser::BrowserSessions;
use crate::extract::proxies::Proxies;
use crate::failed_authentication::FailedAuthentications;
use crate::issuer::Issuer;
use crate::oauth::authorize::AuthorizationEndpoint;

/// State of the pages of users.
pub(crate) struct PageState {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    /// MACs of forms, user codes and known devices.
    pub(crate) keys: SigningKeys,
    pub(crate) appearance: Arc<Appearance>,
    pub(crate) accounts: AccountSettings,
    pub(crate) external_users: Option<ExternalUserDirectory>,
    pub(crate) password_hasher: PasswordHasher,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) failures: FailedAuthentications,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sessions: Arc<BrowserSessions>,
    /// Continues authorization requests.
    pub(crate) authorization: Arc<AuthorizationEndpoint>,
}
