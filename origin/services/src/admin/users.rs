//! Users, their passwords, and who of them may use the console.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_model::user::{checked_external_id, checked_password};
use tollgate_model::{Actor, AuthSource, User, UserClaims, UserId, UserName};
use tollgate_storage::{Search, StoreError};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{AdminError, MAX_CHANGE_ATTEMPTS, Registry};

/// What an administrator can change of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserProfile {
    /// The user name.
    pub name: UserName,
    /// The claims for ID tokens and userinfo.
    #[serde(default)]
    pub claims: UserClaims,
    /// The user's id in the system that provisioned them.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Whether the user may use the console.
    #[serde(default)]
    pub is_admin: bool,
}

impl UserProfile {
    /// Fingerprint, by which a form finds out whether the user was changed since it was opened.
    #[must_use]
    pub fn version(&self) -> String {
        super::version(self)
    }

    /// Applies a merge patch (RFC 7396). The result is not checked.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for a patch that is no object, or has a member that cannot be
    /// changed.
    pub fn patched(&self, patch: Value) -> Result<UserProfile, AdminError> {
        super::patched(self, patch).map_err(|error| AdminError::Invalid(format!("the user: {error}")))
    }
}

impl From<&User> for UserProfile {
    fn from(user: &User) -> UserProfile {
        let User { name, claims, external_id, is_admin, .. } = user.clone();
        UserProfile { name, claims, external_id, is_admin }
    }
}

/// A user to register.
pub struct NewUser {
    /// The user name.
    pub name: UserName,
    /// The password; without one, the user cannot sign in yet.
    pub password: Option<Zeroizing<String>>,
    /// The claims for ID tokens and userinfo.
    pub claims: UserClaims,
    /// The user's id in the external user directory.
    pub external_id: Option<String>,
    /// Whether the user may use the console.
    pub is_admin: bool,
}

impl Registry {
    /// All users, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_users(&self) -> Result<Vec<User>, AdminError> {
        Ok(self.store.list_users().await?)
    }

    /// A page of users.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn search_users(&self, search: &Search) -> Result<Vec<User>, AdminError> {
        Ok(self.store.search_users(search).await?)
    }

    /// The user of this id.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_user(&self, id: &str) -> Result<User, AdminError> {
        let not_found = || AdminError::not_found("user", id);
        let parsed: UserId = id.parse().map_err(|_| not_found())?;
        self.store.find_user(&parsed).await?.ok_or_else(not_found)
    }

    /// The user of this name, as typed at sign-in.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_user_by_name(&self, name: &str) -> Result<User, AdminError> {
        self.store.find_user_by_typed_name(name).await?.ok_or_else(|| AdminError::not_found("user", name))
    }

    /// Changes a user. A change that another administrator makes at the same time is kept: then
    /// `change` is applied again.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`], those of `change`,
    /// [`AdminError::Conflict`] when `by` would no longer be an administrator or the external user
    /// directory decides about the member, or when the database refuses or fails.
    pub async fn change_user(
        &self,
        by: &Actor,
        id: &str,
        change: impl Fn(&UserProfile) -> Result<UserProfile, AdminError> + Send + Sync,
    ) -> Result<User, AdminError> {
        for _ in 0..MAX_CHANGE_ATTEMPTS {
            let user = self.get_user(id).await?;
            let current = UserProfile::from(&user);
            let wanted = change(&current)?;
            if wanted == current {
                return Ok(user);
            }
            check_profile(by, &user, &wanted)?;
            let UserProfile { name, claims, external_id, is_admin } = wanted;
            let changed = User { name, claims, external_id, is_admin, ..user.clone() };
            match self.store.with_actor(by).change_user(&user, &changed).await {
                Err(StoreError::ConcurrentModification) => {}
                outcome => {
                    outcome?;
                    tracing::info!(user = %user.id, by = by.as_str(), "changed a user");
                    return self.get_user(id).await;
                }
            }
        }
        Err(AdminError::changing())
    }

    /// Registers a user.
    ///
    /// # Errors
    /// When the name or the external id is taken or malformed, the password is too weak, or the
    /// database fails.
    pub async fn create_user(&self, by: &Actor, new: NewUser) -> Result<User, AdminError> {
        if let Some(id) = &new.external_id {
            checked_external_id(id).map_err(|error| AdminError::invalid(&error))?;
        }
        let password_hash = match new.password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        let user = User {
            password_hash,
            claims: new.claims,
            external_id: new.external_id,
            is_admin: new.is_admin,
            ..User::new(UserId::from_random(&rng::random()?), new.name, self.clock.now())
        };
        self.store.with_actor(by).create_user(&user).await?;
        tracing::info!(user = %user.id, by = by.as_str(), "registered a user");
        Ok(user)
    }

    /// Sets a password, and ends all sessions of the user.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for a weak password, [`AdminError::Conflict`] for a user of the
    /// external user directory, or when it cannot be hashed or the database fails.
    pub async fn set_password(&self, by: &Actor, user: &User, password: Zeroizing<String>) -> Result<(), AdminError> {
        if user.auth_source != AuthSource::Local {
            return Err(AdminError::Conflict(format!(
                "{} has an account in the external user directory: change the password there",
                user.name
            )));
        }
        let hash = self.hash_password(password).await?;
        let termination = self.termination(by, "an administrator set the password");
        self.store.update_password(&user.id, &hash, None, &termination).await?;
        tracing::info!(user = %user.id, by = by.as_str(), "set a password");
        Ok(())
    }

    /// Disables a user, and ends their sessions and grants. A user cannot disable themselves, and
    /// must still be an administrator when the change is committed, so at least one
    /// administrator is always left.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when `by` is the user, or when the database refuses or fails.
    pub async fn disable_user(&self, by: &Actor, user: &User) -> Result<User, AdminError> {
        require_another(by, user)?;
        self.store.disable_user(&user.id, &self.termination(by, "the user was disabled")).await?;
        tracing::info!(user = %user.id, by = by.as_str(), "disabled a user");
        self.get_user(user.id.as_str()).await
    }

    /// Lets a disabled user sign in again. What was revoked stays revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enable_user(&self, by: &Actor, user: &User) -> Result<User, AdminError> {
        self.store.with_actor(by).enable_user(&user.id).await?;
        tracing::info!(user = %user.id, by = by.as_str(), "enabled a user");
        self.get_user(user.id.as_str()).await
    }

    /// Makes a user an administrator, or takes that back. Administrators cannot take it from
    /// themselves.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when `by` is the user, or when the database refuses or fails.
    pub async fn set_admin(&self, by: &Actor, user: &User, is_admin: bool) -> Result<User, AdminError> {
        if !is_admin {
            require_another(by, user)?;
        }
        self.store.with_actor(by).set_admin(&user.id, is_admin).await?;
        tracing::info!(user = %user.id, by = by.as_str(), is_admin, "changed whether a user is an administrator");
        self.get_user(user.id.as_str()).await
    }

    async fn hash_password(&self, password: Zeroizing<String>) -> Result<String, AdminError> {
        let prepared = checked_password(&password).map_err(|error| AdminError::invalid(&error))?;
        Ok(self.passwords.hash(prepared).await?)
    }
}

fn check_profile(by: &Actor, user: &User, wanted: &UserProfile) -> Result<(), AdminError> {
    if user.is_admin && !wanted.is_admin {
        require_another(by, user)?;
    }
    let is_renamed = wanted.name != user.name || wanted.external_id != user.external_id;
    if is_renamed && user.auth_source != AuthSource::Local {
        // Another account of the directory would sign in as this user.
        return Err(AdminError::Conflict(format!(
            "{} has an account in the external user directory, which decides about the name and the external_id",
            user.name
        )));
    }
    if let Some(id) = &wanted.external_id {
        checked_external_id(id).map_err(|error| AdminError::invalid(&error))?;
    }
    let claims = serde_json::to_string(&wanted.claims).map_err(|error| AdminError::invalid(&error))?;
    UserClaims::parse(&claims)?;
    Ok(())
}

fn require_another(by: &Actor, user: &User) -> Result<(), AdminError> {
    match *by == Actor::user(&user.id) {
        false => Ok(()),
        true => Err(AdminError::Conflict("you cannot do this to yourself; ask another administrator".to_owned())),
    }
}
