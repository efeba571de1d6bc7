//! Users of an origin, registered in its database.

use anyhow::Result;
use serde_json::json;
use tollgate_model::{User, UserClaims, UserId};
use tollgate_services::password_hashing::hash_password_blocking;
use tollgate_system::{Clock, rng};

use crate::browser::Person;
use crate::origin::TestOrigin;

/// Password of every registered user.
pub const PASSWORD: &str = "correct horse battery staple";
/// The party that knows registered users by the same name, see [`crate::partner::Partner`].
pub const PARTNER_ISSUER: &str = "https://partner.example";

/// Registers a user with an email address, a full name and [`PASSWORD`].
pub async fn register_user(origin: &TestOrigin, name: &str) -> Result<(UserId, Person)> {
    let hash = tokio::task::spawn_blocking(|| hash_password_blocking(&PASSWORD.to_owned().into())).await??;
    let claims = json!({ "email": format!("{name}@example.org"), "name": "Ada Lovelace" });
    let id = UserId::from_random(&rng::random()?);
    let user = User {
        password_hash: Some(hash),
        claims: UserClaims::parse(&claims.to_string())?,
        external_id: Some(format!("{PARTNER_ISSUER}|{name}")),
        ..User::new(id, name.parse()?, Clock::system().now())
    };
    origin.server.store().create_user(&user).await?;
    Ok((user.id, Person::new(name, PASSWORD)))
}
