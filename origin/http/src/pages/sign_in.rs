//! Who has a name and a password: a user of this origin, or one whom an HTTP API of the operator's knows.

use tollgate_model::user::{MAX_PASSWORD_LENGTH, prepared_password};
use tollgate_model::{AuthSource, User, UserClaims, UserId, UserName};
use tollgate_services::external_users::{ExternalUser, UsersApi};
use tollgate_services::password_hashing::ForgeError;
use tollgate_storage::StoreError;
use tollgate_system::ambient;
use zeroize::Zeroizing;

use super::page::WebError;
use crate::App;

/// The user who has this name and this password. Whether there is no such user, or the password is wrong, or they may not sign in:
/// nobody learns which, not even by the time it takes. So the same is done for every name: the password is hashed here, and then,
/// where there is an API, asked for there.
pub(super) async fn signed_in(app: &App, username: &str, password: &str) -> Result<Option<User>, WebError> {
    let user = app.store.user_by_typed_name(username).await?.filter(|user| user.auth_source == AuthSource::Local);
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    if let Some(fit) = fit(app, password, hash).await? {
        let mut user = user.filter(User::is_active);
        if let Some(user) = &mut user {
            rehash(app, user, fit, prepared_password(password)).await;
        }
        return Ok(user);
    }
    match (&app.users_api, username.parse()) {
        (Some(api), Ok(name)) => of_api(app, api, name, &cut(password)).await,
        _ => Ok(None),
    }
}

/// How a password fits its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it is hashed today.
    Prepared,
    /// As it was typed, which is how it was hashed before passwords were prepared.
    Typed,
}

/// Whether this is the password of a hash. What is not hashed as it is typed is tried both ways, whether there is a hash or not.
pub(super) async fn fit(app: &App, typed: &str, hash: Option<String>) -> Result<Option<Fit>, ForgeError> {
    let (prepared, typed) = (cut(&prepared_password(typed)), cut(typed));
    if app.forge.verify(prepared.clone(), hash.clone()).await? {
        return Ok(Some(Fit::Prepared));
    }
    let is_typed = prepared != typed && app.forge.verify(typed, hash).await?;
    Ok(is_typed.then_some(Fit::Typed))
}

/// As much of a password as is hashed: no password is longer.
fn cut(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.chars().take(MAX_PASSWORD_LENGTH).collect())
}

/// Hashes a password anew if a hash costs more today, or is of what was typed. What goes wrong can wait for the next time.
async fn rehash(app: &App, user: &mut User, fit: Fit, password: Zeroizing<String>) {
    let is_old = |old: &&str| fit == Fit::Typed || app.forge.has_outgrown(old);
    let Some(old) = user.password_hash.as_deref().filter(is_old) else {
        return;
    };
    let Ok(new) = app.forge.hash(password).await else {
        return;
    };
    match app.store.rehash_password(&user.id, old, &new).await {
        Ok(()) => user.password_hash = Some(new),
        Err(error) => tracing::warn!(%error, user = %user.id, "a password could not be hashed anew"),
    }
}

/// The user whom the API knows by this name and this password: with what it says of them now, or new here.
async fn of_api(app: &App, api: &UsersApi, name: UserName, password: &str) -> Result<Option<User>, WebError> {
    let answer = api.check(&name, password).await.map_err(|error| {
        tracing::error!(%error, "the users' API could not be asked");
        WebError::away("Passwords cannot be checked at the moment. Please try again in a few minutes.")
    })?;
    let Some(ExternalUser { id, claims }) = answer else {
        return Ok(None);
    };
    if let Some(user) = known(app, &id, &name, &claims).await? {
        return Ok(Some(user).filter(User::is_active));
    }
    let user = User {
        claims: claims.clone(),
        external_id: Some(id.clone()),
        auth_source: AuthSource::HttpApi,
        ..User::new(UserId::from_random(&ambient::random()?), name, ambient::now())
    };
    match app.store.insert_user(&user).await {
        Ok(()) => {
            tracing::info!(user = %user.id, "a user of the API is known from now on");
            Ok(Some(user))
        }
        // Another sign-in of theirs may have been first; else somebody else has the name.
        Err(StoreError::Exists(_)) => match known(app, &id, &user.name, &claims).await? {
            Some(user) => Ok(Some(user).filter(User::is_active)),
            None => Err(conflict(&user.name, "another user has the name")),
        },
        Err(error) => Err(error.into()),
    }
}

/// The user whom the API knows by this identifier, with these claims from now on, if they were here before.
async fn known(app: &App, id: &str, name: &UserName, claims: &UserClaims) -> Result<Option<User>, WebError> {
    let Some(user) = app.store.user_by_external_id(id).await? else {
        return Ok(None);
    };
    if user.auth_source != AuthSource::HttpApi {
        return Err(conflict(name, "the identity that the API gives is that of a local user"));
    }
    if user.claims != *claims {
        app.store.set_claims(&user.id, claims).await?;
    }
    Ok(Some(User { claims: claims.clone(), ..user }))
}

/// Told only to whoever has shown the API's password for the name: it tells nobody else who exists.
fn conflict(name: &UserName, why: &str) -> WebError {
    tracing::warn!(name = name.as_str(), why, "a user of the API cannot be known here");
    WebError::conflict(
        "Your password is right, but another account here already has this name. Please ask whoever runs this place to rename one \
         of the two.",
    )
}
