//! Checks a username and a password: of a local user, or with the operator's external user
//! directory.

use tollgate_model::user::{MAX_PASSWORD_LENGTH, prepared_password};
use tollgate_model::{AuthSource, User, UserClaims, UserId, UserName};
use tollgate_services::external_users::{ExternalUser, ExternalUserDirectory};
use tollgate_services::password_hashing::{PasswordHasher, PasswordHashingError};
use tollgate_storage::{Store, StoreError};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::error::WebError;
use super::state::PageState;

/// The active user with this username and password. The caller cannot tell an unknown username from
/// a wrong password or a disabled user, not even by timing: for every username the password is
/// hashed here and then, if there is an external directory, sent there.
pub(crate) async fn authenticate(state: &PageState, username: &str, password: &str) -> Result<Option<User>, WebError> {
    let user =
        state.store.find_user_by_typed_name(username).await?.filter(|user| user.auth_source == AuthSource::Local);
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    if let Some(form) = verify_password(&state.password_hasher, password, hash).await? {
        let mut user = user.filter(User::is_active);
        if let Some(user) = &mut user {
            rehash(state, user, form, prepared_password(password)).await;
        }
        return Ok(user);
    }
    match (&state.external_users, username.parse()) {
        (Some(api), Ok(name)) => authenticate_externally(state, api, name, &truncated(password)).await,
        _ => Ok(None),
    }
}

/// The form of a password that its hash was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashedForm {
    /// Prepared (RFC 8265), as passwords are hashed today.
    Prepared,
    /// As typed, as passwords were hashed before.
    Typed,
}

/// Checks a password against a hash, in both forms where they differ. Takes the same time without a
/// hash. None if the password is wrong.
pub(super) async fn verify_password(
    hasher: &PasswordHasher,
    typed: &str,
    hash: Option<String>,
) -> Result<Option<HashedForm>, PasswordHashingError> {
    let (prepared, typed) = (truncated(&prepared_password(typed)), truncated(typed));
    if hasher.verify(prepared.clone(), hash.clone()).await? {
        return Ok(Some(HashedForm::Prepared));
    }
    let is_typed = prepared != typed && hasher.verify(typed, hash).await?;
    Ok(is_typed.then_some(HashedForm::Typed))
}

/// The password up to the maximum length: more is never hashed.
fn truncated(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.chars().take(MAX_PASSWORD_LENGTH).collect())
}

/// Replaces the stored hash if hashes cost more today, or if it was made of the typed form. A
/// failure is logged: the next sign-in tries again.
async fn rehash(state: &PageState, user: &mut User, form: HashedForm, password: Zeroizing<String>) {
    let is_old = |old: &&str| form == HashedForm::Typed || state.password_hasher.needs_rehash(old);
    let Some(old) = user.password_hash.as_deref().filter(is_old) else {
        return;
    };
    let Ok(new) = state.password_hasher.hash(password).await else {
        return;
    };
    match state.store.rehash_password(&user.id, old, &new).await {
        Ok(()) => user.password_hash = Some(new),
        Err(error) => tracing::warn!(%error, user = %user.id, "updating a password hash failed"),
    }
}

/// The user whom the external directory knows by this username and password, with its claims.
/// Creates the user at the first sign-in.
async fn authenticate_externally(
    state: &PageState,
    api: &ExternalUserDirectory,
    name: UserName,
    password: &str,
) -> Result<Option<User>, WebError> {
    let answer = api.authenticate(&name, password).await.map_err(|error| {
        tracing::error!(%error, "asking the external user directory failed");
        WebError::unavailable("error-users-unavailable")
    })?;
    let Some(ExternalUser { id, claims }) = answer else {
        return Ok(None);
    };
    if let Some(user) = find_external_user(&state.store, &id, &name, &claims).await? {
        return Ok(Some(user).filter(User::is_active));
    }
    let user = User {
        claims: claims.clone(),
        external_id: Some(id.clone()),
        auth_source: AuthSource::HttpApi,
        ..User::new(UserId::from_random(&rng::random()?), name, state.clock.now())
    };
    match state.store.create_user(&user).await {
        Ok(()) => {
            tracing::info!(user = %user.id, "created a user of the external directory");
            Ok(Some(user))
        }
        // A concurrent sign-in created the user, or another user has the name.
        Err(StoreError::AlreadyExists(_)) => match find_external_user(&state.store, &id, &user.name, &claims).await? {
            Some(user) => Ok(Some(user).filter(User::is_active)),
            None => Err(conflict(&user.name, "another user has this username")),
        },
        Err(error) => Err(error.into()),
    }
}

/// The user with this identifier in the external directory, updated to its claims, if they signed
/// in before.
async fn find_external_user(
    store: &Store,
    id: &str,
    name: &UserName,
    claims: &UserClaims,
) -> Result<Option<User>, WebError> {
    let Some(user) = store.find_user_by_external_id(id).await? else {
        return Ok(None);
    };
    if user.auth_source != AuthSource::HttpApi {
        return Err(conflict(name, "the external identifier belongs to a local user"));
    }
    if user.claims != *claims {
        store.update_user_claims(&user.id, claims).await?;
    }
    Ok(Some(User { claims: claims.clone(), ..user }))
}

/// Shown only after the external directory accepted the password, so it reveals no usernames to
/// others.
fn conflict(name: &UserName, reason: &str) -> WebError {
    tracing::warn!(name = name.as_str(), reason, "a user of the external directory cannot sign in");
    WebError::conflict("error-username-conflict")
}
