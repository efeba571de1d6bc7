//! Users, their passwords, and who of them may use the console.

use tollgate_model::user::{checked_external_id, checked_password};
use tollgate_model::{Actor, User, UserClaims, UserId, UserName};
use tollgate_storage::Search;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{AdminError, Administration};

const NOT_FOUND: AdminError = AdminError::NotFound("there is no user with that id");

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

impl Administration {
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
        let id: UserId = id.parse().map_err(|_| NOT_FOUND)?;
        self.store.find_user(&id).await?.ok_or(NOT_FOUND)
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
    /// [`AdminError::Invalid`] for a weak password, or when it cannot be hashed or the database
    /// fails.
    pub async fn set_password(&self, by: &Actor, user: &User, password: Zeroizing<String>) -> Result<(), AdminError> {
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

fn require_another(by: &Actor, user: &User) -> Result<(), AdminError> {
    match *by == Actor::user(&user.id) {
        false => Ok(()),
        true => Err(AdminError::Conflict("you cannot do this to yourself; ask another administrator".to_owned())),
    }
}
