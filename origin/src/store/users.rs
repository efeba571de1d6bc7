//! Users and their browsers' sessions.

use sqlx::FromRow;

use super::clients::{from_json, json};
use super::rows::hashed;
use super::{Batch, Store, StoreError, from_sql, to_sql};
use crate::domain::text::is_storable;
use crate::domain::{
    Actor, AuditAction, AuditKind, AuditNote, Login, LoginId, Revoke, SecretHash, Target, User, UserClaims, UserId,
    UserName,
};

#[derive(FromRow)]
pub(super) struct UserRow {
    id: String,
    name: String,
    password_hash: Option<String>,
    claims: String,
    external_id: Option<String>,
    auth_source: String,
    is_admin: bool,
    created_at: i64,
    disabled_at: Option<i64>,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<User, StoreError> {
        let corrupt = StoreError::corrupt("users");
        Ok(User {
            id: row.id.parse().map_err(&corrupt)?,
            name: UserName::from_stored(row.name),
            password_hash: row.password_hash,
            claims: from_json(&row.claims, "users")?,
            external_id: row.external_id,
            auth_source: row.auth_source.parse().map_err(&corrupt)?,
            is_admin: row.is_admin,
            created_at: from_sql(row.created_at),
            disabled_at: row.disabled_at.map(from_sql),
        })
    }
}

#[derive(FromRow)]
struct LoginRow {
    id: String,
    hash: Vec<u8>,
    user_id: String,
    auth_time: i64,
    seen_at: i64,
    sender: String,
    expires_at: i64,
}

impl TryFrom<LoginRow> for Login {
    type Error = StoreError;

    fn try_from(row: LoginRow) -> Result<Login, StoreError> {
        let corrupt = StoreError::corrupt("logins");
        Ok(Login {
            id: row.id.parse().map_err(&corrupt)?,
            hash: hashed(&row.hash, "logins")?,
            user: row.user_id.parse().map_err(&corrupt)?,
            auth_time: from_sql(row.auth_time),
            // A session that is older than the column was seen when it began.
            seen_at: from_sql(row.seen_at.max(row.auth_time)),
            sender: from_json(&row.sender, "logins")?,
            expires_at: from_sql(row.expires_at),
        })
    }
}

impl Store {
    /// Registers a user.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name or the external id is taken.
    pub async fn insert_user(&self, user: &User) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let inserted = each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO users
                 (id, name, password_hash, claims, external_id, auth_source, is_admin, created_at, disabled_at, name_prepared)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, TRUE) ON CONFLICT DO NOTHING",
            )
            .bind(user.id.as_str())
            .bind(user.name.as_str())
            .bind(&user.password_hash)
            .bind(json(&user.claims)?)
            .bind(&user.external_id)
            .bind(user.auth_source.as_str())
            .bind(user.is_admin)
            .bind(to_sql(user.created_at))
            .bind(user.disabled_at.map(to_sql))
            .execute(connection)
            .await?
            .rows_affected()
        });
        if inserted == 0 {
            return Err(StoreError::Exists("user"));
        }
        let line = self.line(AuditAction::Create, AuditKind::User, user.id.as_str());
        tx.note(&[line.with(user.name.as_str())]).await?;
        tx.commit().await
    }

    /// The user with this id, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// The user with this name, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_name(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE name = $1")
                .bind(name.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// The user with this name as somebody typed it. One whose name was stored before names were prepared, and could not be since, has
    /// it as it was typed then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_typed_name(&self, typed: &str) -> Result<Option<User>, StoreError> {
        let unprepared = UserName::unprepared(typed);
        let name = typed.parse::<UserName>().map_or_else(|_| unprepared.clone(), |name| name.to_string());
        if !is_storable(&unprepared) {
            return Ok(None);
        }
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE name IN ($1, $2) ORDER BY name = $2 DESC LIMIT 1")
                .bind(name)
                .bind(unprepared)
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// The user whom somebody else provisioned under this id, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_by_external_id(&self, id: &str) -> Result<Option<User>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE external_id = $1")
                .bind(id)
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// All users, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users ORDER BY created_at, id").fetch_all(connection).await?
        });
        rows.into_iter().map(User::try_from).collect()
    }

    /// Whether there is any user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        let one = each!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT id FROM users LIMIT 1").fetch_optional(connection).await?
        });
        Ok(one.is_some())
    }

    /// Gives a user another password. It signs out every browser: whoever had the old one is out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password(&self, id: &UserId, hash: &str) -> Result<(), StoreError> {
        self.change_password(id, hash, None).await
    }

    /// As [`Store::set_password`], but for one session: that in which they change it themselves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_password(&self, id: &UserId, hash: &str, kept: Option<&LoginId>) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(hash)
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM logins WHERE user_id = $1 AND id <> $2")
                .bind(id.as_str())
                .bind(kept.map_or("", LoginId::as_str))
                .execute(connection)
                .await?;
        });
        tx.note(&[self.line(AuditAction::SetPassword, AuditKind::User, id.as_str())]).await?;
        tx.commit().await
    }

    /// Takes over what clients may be told of a user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_claims(&self, id: &UserId, claims: &UserClaims) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query("UPDATE users SET claims = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(json(claims)?)
                .execute(connection)
                .await?;
        });
        tx.note(&[self.line(AuditAction::Update, AuditKind::User, id.as_str()).with("claims")]).await?;
        tx.commit().await
    }

    /// Replaces the hash of a password by another of the same password, if it still is the one that is stored. Nobody is signed out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rehash_password(&self, id: &UserId, old: &str, new: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
                .bind(id.as_str())
                .bind(old)
                .bind(new)
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// Lets a user sign in no more, signs out every browser, and revokes what they gave to clients: its tokens are refused at the
    /// edges as any that is revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disable_user(&self, id: &UserId, by: &Actor, now: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let disabled = each!(&mut tx, connection => {
            let disabled = sqlx::query("UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(id.as_str())
                .bind(to_sql(now))
                .execute(&mut *connection)
                .await?
                .rows_affected();
            sqlx::query("DELETE FROM logins WHERE user_id = $1").bind(id.as_str()).execute(connection).await?;
            disabled
        });
        if disabled > 0 {
            let (action, kind) = (AuditAction::Disable, AuditKind::User);
            tx.note(&[AuditNote::new(now, by.clone(), action, kind, id.as_str())]).await?;
        }
        tx.commit().await?;
        // Nothing can be given from here on: what is found is all there will be.
        let grants = self.open_grants(id).await?;
        let revoke = |grant: String| {
            let reason = "the user was disabled".parse().map_err(StoreError::corrupt("grants"))?;
            Revoke::any(Target::Session(grant), by.clone(), Some(reason), now).map_err(StoreError::corrupt("grants"))
        };
        let revokes = grants.into_iter().map(revoke).collect::<Result<Vec<_>, _>>()?;
        if !revokes.is_empty() {
            self.apply(Batch { revokes, ..Batch::default() }).await?;
        }
        Ok(())
    }

    /// Lets a user who was disabled sign in again. What they had given to clients stays revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enable_user(&self, id: &UserId) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let enabled = each!(&mut tx, connection => {
            sqlx::query("UPDATE users SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL")
                .bind(id.as_str())
                .execute(connection)
                .await?
                .rows_affected()
        });
        if enabled > 0 {
            tx.note(&[self.line(AuditAction::Enable, AuditKind::User, id.as_str())]).await?;
        }
        tx.commit().await
    }

    /// Lets a user use the console, or no longer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_admin(&self, id: &UserId, is_admin: bool) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let changed = each!(&mut tx, connection => {
            sqlx::query("UPDATE users SET is_admin = $2 WHERE id = $1 AND is_admin <> $2")
                .bind(id.as_str())
                .bind(is_admin)
                .execute(connection)
                .await?
                .rows_affected()
        });
        if changed > 0 {
            let line = self.line(AuditAction::Update, AuditKind::User, id.as_str());
            let what = if is_admin { "made an administrator" } else { "no administrator any more" };
            tx.note(&[line.with(what)]).await?;
        }
        tx.commit().await
    }

    /// The ids of the grants of a user that are not ended.
    async fn open_grants(&self, id: &UserId) -> Result<Vec<String>, StoreError> {
        Ok(each!(&mut self.reader().await?, connection => {
            sqlx::query_scalar("SELECT id FROM grants WHERE user_id = $1 AND ended_at IS NULL ORDER BY id")
                .bind(id.as_str())
                .fetch_all(connection)
                .await?
        }))
    }

    /// Begins a browser's session, in place of the one it had.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_login(&self, login: &Login, instead_of: Option<&LoginId>) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO logins (id, hash, user_id, auth_time, seen_at, sender, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(login.id.as_str())
            .bind(login.hash.as_bytes().as_slice())
            .bind(login.user.as_str())
            .bind(to_sql(login.auth_time))
            .bind(to_sql(login.seen_at))
            .bind(json(&login.sender)?)
            .bind(to_sql(login.expires_at))
            .execute(&mut *connection)
            .await?;
            if let Some(old) = instead_of {
                sqlx::query("DELETE FROM logins WHERE id = $1").bind(old.as_str()).execute(connection).await?;
            }
        });
        let user = Actor::user(&login.user);
        tx.note(&[self.line_by(user, AuditAction::SignIn, AuditKind::Login, login.id.as_str())]).await?;
        tx.commit().await
    }

    /// The session of a cookie, if it is one that is not over at the Unix second `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn login(&self, cookie: &SecretHash, now: u64) -> Result<Option<Login>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, LoginRow>("SELECT * FROM logins WHERE hash = $1 AND expires_at > $2")
                .bind(cookie.as_bytes().as_slice())
                .bind(to_sql(now))
                .fetch_optional(connection)
                .await?
        });
        row.map(Login::try_from).transpose()
    }

    /// The sessions of a user that are not over at the Unix second `now`, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn logins_of(&self, user: &UserId, now: u64) -> Result<Vec<Login>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, LoginRow>(
                "SELECT * FROM logins WHERE user_id = $1 AND expires_at > $2 ORDER BY auth_time DESC, id",
            )
            .bind(user.as_str())
            .bind(to_sql(now))
            .fetch_all(connection)
            .await?
        });
        rows.into_iter().map(Login::try_from).collect()
    }

    /// Records that a browser was heard of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn saw_login(&self, id: &LoginId, now: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query("UPDATE logins SET seen_at = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(to_sql(now))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }
}
