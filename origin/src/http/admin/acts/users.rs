//! Registering and disabling users, and their passwords.

use axum::http::StatusCode;
use zeroize::Zeroizing;

use crate::ambient;
use crate::domain::user::checked_password;
use crate::domain::{Actor, User, UserClaims, UserId, UserName};
use crate::http::App;
use crate::http::problem::Problem;

/// A user to be registered.
pub(in crate::http) struct NewUser {
    pub(in crate::http) name: UserName,
    /// Without one they sign in nowhere yet.
    pub(in crate::http) password: Option<Zeroizing<String>>,
    pub(in crate::http) claims: UserClaims,
    pub(in crate::http) external_id: Option<String>,
    /// Whether they may use the console.
    pub(in crate::http) is_admin: bool,
}

/// Registers a user.
pub(in crate::http) async fn register(app: &App, by: &Actor, new: NewUser) -> Result<User, Problem> {
    let password_hash = match new.password {
        Some(password) => Some(hashed(app, password).await?),
        None => None,
    };
    let user = User {
        password_hash,
        claims: new.claims,
        external_id: new.external_id,
        is_admin: new.is_admin,
        ..User::new(UserId::from_random(&ambient::random()?), new.name, ambient::now())
    };
    app.store.by(by).insert_user(&user).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "registered a user");
    Ok(user)
}

/// The user of this id.
pub(in crate::http) async fn find(app: &App, id: &str) -> Result<User, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "there is no user with that id");
    let id: UserId = id.parse().map_err(|_| unknown())?;
    app.store.user(&id).await?.ok_or_else(unknown)
}

/// Sets a password, and signs out every browser of the user.
pub(in crate::http) async fn set_password(
    app: &App,
    by: &Actor,
    user: &User,
    password: Zeroizing<String>,
) -> Result<(), Problem> {
    app.store.by(by).set_password(&user.id, &hashed(app, password).await?).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "set a password");
    Ok(())
}

/// Disables a user, and revokes what they gave.
pub(in crate::http) async fn disable(app: &App, by: &Actor, user: &User) -> Result<User, Problem> {
    app.store.by(by).disable_user(&user.id, by, ambient::now()).await?;
    tracing::info!(user = %user.id, by = by.as_str(), "disabled a user");
    find(app, user.id.as_str()).await
}

async fn hashed(app: &App, password: Zeroizing<String>) -> Result<String, Problem> {
    checked_password(&password).map_err(|error| Problem::bad_request(&error.to_string()))?;
    Ok(app.forge.hash(password).await?)
}
