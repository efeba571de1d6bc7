//! Registering users, their passwords, who of them may use the console, and refusing them from now on.

use axum::http::StatusCode;
use tollgate_model::user::{checked_external_id, checked_password};
use tollgate_model::{Actor, User, UserClaims, UserId, UserName};
use tollgate_storage::Search;
use tollgate_system::{clock, rng};
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::{App, ending};

/// A user to be registered.
pub(crate) struct NewUser {
    pub(crate) name: UserName,
    /// Without one they sign in nowhere yet.
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) claims: UserClaims,
    pub(crate) external_id: Option<String>,
    /// Whether they may use the console.
    pub(crate) is_admin: bool,
}

/// A page of users.
pub(crate) async fn page(app: &App, search: &Search) -> Result<Vec<User>, Problem> {
    Ok(app.store.search_users(search).await?)
}

/// Registers a user.
pub(crate) async fn register(app: &App, by: &Actor, new: NewUser) -> Result<User, Problem> {
    if let Some(id) = &new.external_id {
        checked_external_id(id).map_err(|error| Problem::bad_request(&error.to_string()))?;
    }
    let password_hash = match new.password {
        Some(password) => Some(hashed(app, password).await?),
        None => None,
    };
    let user = User {
        password_hash,
        claims: new.claims,
        external_id: new.external_id,
        is_admin: new.is_admin,
        ..User::new(UserId::from_random(&rng::random()?), new.name, clock::now())
    };
    app.store.with_actor(by).create_user(&user).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "registered a user");
    Ok(user)
}

/// The user of this id.
pub(crate) async fn find(app: &App, id: &str) -> Result<User, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "there is no user with that id");
    let id: UserId = id.parse().map_err(|_| unknown())?;
    app.store.find_user(&id).await?.ok_or_else(unknown)
}

/// Sets a password, and ends every session of the user.
pub(crate) async fn set_password(
    app: &App,
    by: &Actor,
    user: &User,
    password: Zeroizing<String>,
) -> Result<(), Problem> {
    let hash = hashed(app, password).await?;
    app.store.update_password(&user.id, &hash, None, &ending(by, "an administrator set the password")).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "set a password");
    Ok(())
}

/// Disables a user, and ends what they gave. Nobody does that to themselves, and a user who does it must be an administrator when it is
/// done: so one at least is always left.
pub(crate) async fn disable(app: &App, by: &Actor, user: &User) -> Result<User, Problem> {
    not_oneself(by, user)?;
    app.store.disable_user(&user.id, &ending(by, "the user was disabled")).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "disabled a user");
    find(app, user.id.as_str()).await
}

/// Lets a user who was disabled sign in again. What they had given stays revoked.
pub(crate) async fn enable(app: &App, by: &Actor, user: &User) -> Result<User, Problem> {
    app.store.with_actor(by).enable_user(&user.id).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "enabled a user");
    find(app, user.id.as_str()).await
}

/// Lets a user use the console, or no longer. Nobody takes it from themselves.
pub(crate) async fn set_admin(app: &App, by: &Actor, user: &User, is_admin: bool) -> Result<User, Problem> {
    if !is_admin {
        not_oneself(by, user)?;
    }
    app.store.with_actor(by).set_admin(&user.id, is_admin).await?;
    tracing::info!(user = %user.id, by = by.as_str(), is_admin, "said whether a user is an administrator");
    find(app, user.id.as_str()).await
}

fn not_oneself(by: &Actor, user: &User) -> Result<(), Problem> {
    match *by == Actor::user(&user.id) {
        false => Ok(()),
        true => Err(Problem::new(StatusCode::CONFLICT, "nobody does that to themselves: another administrator can")),
    }
}

async fn hashed(app: &App, password: Zeroizing<String>) -> Result<String, Problem> {
    let prepared = checked_password(&password).map_err(|error| Problem::bad_request(&error.to_string()))?;
    Ok(app.password_hasher.hash(prepared).await?)
}
