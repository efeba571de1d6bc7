//! Users.

use std::collections::{BTreeSet, HashSet};

use tollgate_model::text::is_storable;
use tollgate_model::{Actor, AuditAction, AuditKind, GrantId, NewAuditEntry, User, UserClaims, UserId, UserName};

use crate::database::bulk::{padded_with_last, statement_chunks};
use crate::database::values::{from_json, from_sql, to_json, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

#[derive(sqlx_macros::FromRow)]
pub(crate) struct UserRow {
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

impl Store {
    /// Creates a user.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when the name or the external id is taken.
    pub async fn create_user(&self, user: &User) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        if !tx.insert_user(user).await? {
            return Err(StoreError::AlreadyExists("user"));
        }
        tx.write_audit_entries(&[self.created_user(user)]).await?;
        tx.commit().await
    }

    /// Creates users in one transaction, and returns the positions of those whose name or external
    /// id is taken. Commits if `commits` says so for their number.
    pub async fn import_users(
        &self,
        users: &[User],
        commits: impl Fn(usize) -> bool,
    ) -> Result<BTreeSet<usize>, StoreError> {
        let mut tx = self.begin_write().await?;
        let (mut conflicts, mut lines) = (BTreeSet::new(), Vec::new());
        for (position, user) in users.iter().enumerate() {
            match tx.insert_user(user).await? {
                true => lines.push(self.created_user(user)),
                false => {
                    conflicts.insert(position);
                }
            }
        }
        if commits(conflicts.len()) {
            tx.write_audit_entries(&lines).await?;
            tx.commit().await?;
        }
        Ok(conflicts)
    }

    fn created_user(&self, user: &User) -> NewAuditEntry {
        self.audit_entry(AuditAction::Create, AuditKind::User, user.id.as_str()).with_detail(user.name.as_str())
    }

    pub async fn find_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// The name of the user of a grant; `None` if the client knows them by a pairwise identifier,
    /// which a name would link to other clients'.
    pub async fn find_public_user_name(&self, grant: &GrantId) -> Result<Option<UserName>, StoreError> {
        let name = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>(
                "SELECT u.name FROM grants g JOIN users u ON u.id = g.user_id WHERE g.id = $1 AND g.subject = u.id",
            )
            .bind(grant.as_str())
            .fetch_optional(connection)
            .await?
        });
        Ok(name.map(UserName::from_stored))
    }

    pub async fn find_user_by_name(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE name = $1")
                .bind(name.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// The user with this name as typed at sign-in. A user whose name could not be prepared (RFC
    /// 8265) is found by the stored form.
    pub async fn find_user_by_typed_name(&self, typed: &str) -> Result<Option<User>, StoreError> {
        let unprepared = UserName::unprepared(typed);
        let name = typed.parse::<UserName>().map_or_else(|_| unprepared.clone(), |name| name.to_string());
        if !is_storable(&unprepared) {
            return Ok(None);
        }
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE name IN ($1, $2) ORDER BY name = $2 DESC LIMIT 1")
                .bind(name)
                .bind(unprepared)
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// The user with this id in the external user directory.
    pub async fn find_user_by_external_id(&self, id: &str) -> Result<Option<User>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE external_id = $1")
                .bind(id)
                .fetch_optional(connection)
                .await?
        });
        row.map(User::try_from).transpose()
    }

    /// All users, oldest first.
    pub async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users ORDER BY created_at, id").fetch_all(connection).await?
        });
        rows.into_iter().map(User::try_from).collect()
    }

    pub async fn has_users(&self) -> Result<bool, StoreError> {
        let one = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT id FROM users LIMIT 1").fetch_optional(connection).await?
        });
        Ok(one.is_some())
    }

    /// Whether a user who may use the console can sign in: disabled users and those without a
    /// password cannot.
    pub async fn has_active_admin(&self) -> Result<bool, StoreError> {
        let one = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>(
                "SELECT id FROM users
                 WHERE is_admin AND disabled_at IS NULL AND (password_hash IS NOT NULL OR auth_source <> 'local') LIMIT 1",
            )
            .fetch_optional(connection)
            .await?
        });
        Ok(one.is_some())
    }

    /// Replaces the claims of a user.
    pub async fn update_user_claims(&self, id: &UserId, claims: &UserClaims) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET claims = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(to_json(claims)?)
                .execute(connection)
                .await?;
        });
        tx.write_audit_entries(&[self
            .audit_entry(AuditAction::Update, AuditKind::User, id.as_str())
            .with_detail("claims")])
            .await?;
        tx.commit().await
    }

    /// Changes name, claims, external id and administrator role of a user, if they are still as
    /// `read`.
    ///
    /// # Errors
    /// [`StoreError::ConcurrentModification`] when they were changed since `read`,
    /// [`StoreError::AlreadyExists`] when the name or the external id is taken,
    /// [`StoreError::NotAdministrator`] when the acting user is not an active administrator.
    pub async fn change_user(&self, read: &User, changed: &User) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.lock_users(&read.id, self.actor.as_ref()).await?;
        let row = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, UserRow>("SELECT * FROM users WHERE id = $1")
                .bind(read.id.as_str())
                .fetch_optional(connection)
                .await?
        });
        let members = |user: &User| (user.name.clone(), user.claims.clone(), user.external_id.clone(), user.is_admin);
        let current = row.map(User::try_from).transpose()?;
        if current.is_none_or(|current| members(&current) != members(read)) {
            return Err(StoreError::ConcurrentModification);
        }
        let updated = with_connection!(&mut tx, connection => {
            sqlx::query(
                "UPDATE users SET name = $2, claims = $3, external_id = $4, is_admin = $5, name_prepared = TRUE
                 WHERE id = $1
                 AND NOT EXISTS (SELECT 1 FROM users other WHERE other.id <> $1 AND (other.name = $2 OR other.external_id = $4))",
            )
            .bind(read.id.as_str())
            .bind(changed.name.as_str())
            .bind(to_json(&changed.claims)?)
            .bind(&changed.external_id)
            .bind(changed.is_admin)
            .execute(connection)
            .await?
            .rows_affected()
        });
        if updated == 0 {
            return Err(StoreError::AlreadyExists("user"));
        }
        let line = self.audit_entry(AuditAction::Update, AuditKind::User, read.id.as_str());
        tx.write_audit_entries(&[line.with_detail(&changed_members(read, changed))]).await?;
        tx.commit().await
    }

    /// Replaces the hash of a password by a new hash of the same password, if the stored hash has
    /// not changed. Sessions continue.
    pub async fn rehash_password(&self, id: &UserId, old: &str, new: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
                .bind(id.as_str())
                .bind(old)
                .bind(new)
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// Enables a disabled user. What was revoked when they were disabled stays revoked.
    pub async fn enable_user(&self, id: &UserId) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let enabled = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL")
                .bind(id.as_str())
                .execute(connection)
                .await?
                .rows_affected()
        });
        if enabled > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Enable, AuditKind::User, id.as_str())]).await?;
        }
        tx.commit().await
    }

    /// Lets a user use the console, or no longer. To take the right from another user, the acting
    /// user must be an active administrator.
    ///
    /// # Errors
    /// [`StoreError::NotAdministrator`] when the acting user is not.
    pub async fn set_admin(&self, id: &UserId, is_admin: bool) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        if !is_admin {
            tx.lock_users(id, self.actor.as_ref()).await?;
        }
        let changed = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET is_admin = $2 WHERE id = $1 AND is_admin <> $2")
                .bind(id.as_str())
                .bind(is_admin)
                .execute(connection)
                .await?
                .rows_affected()
        });
        if changed > 0 {
            let line = self.audit_entry(AuditAction::Update, AuditKind::User, id.as_str());
            let what = if is_admin { "made an administrator" } else { "no administrator any more" };
            tx.write_audit_entries(&[line.with_detail(what)]).await?;
        }
        tx.commit().await
    }
}

impl Store {
    /// Records a pairwise subject of a user that tokens without a grant use, so that they can be
    /// revoked with the user. Returns false if the user is not active.
    pub async fn record_pairwise_subject(&self, id: &UserId, subject: &str) -> Result<bool, StoreError> {
        let recorded: Option<String> = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar("SELECT subject FROM pairwise_subjects WHERE user_id = $1 AND subject = $2")
                .bind(id.as_str())
                .bind(subject)
                .fetch_optional(connection)
                .await?
        });
        if recorded.is_some() {
            return Ok(true);
        }
        let mut tx = self.begin_write().await?;
        if !tx.lock_active_user(id).await? {
            return Ok(false);
        }
        with_connection!(&mut tx, connection => {
            sqlx::query("INSERT INTO pairwise_subjects (user_id, subject) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(id.as_str())
                .bind(subject)
                .execute(connection)
                .await?;
        });
        tx.commit().await?;
        Ok(true)
    }
}

/// What was changed of a user, for the audit log.
fn changed_members(read: &User, changed: &User) -> String {
    let role = if changed.is_admin { "made an administrator" } else { "no administrator any more" };
    let members = [
        ("name", read.name != changed.name),
        ("claims", read.claims != changed.claims),
        ("external_id", read.external_id != changed.external_id),
        (role, read.is_admin != changed.is_admin),
    ];
    let changed: Vec<&str> = members.into_iter().filter_map(|(name, is_changed)| is_changed.then_some(name)).collect();
    changed.join(", ")
}

impl Tx {
    /// Inserts a user. Returns false if the name or the external id is taken.
    async fn insert_user(&mut self, user: &User) -> Result<bool, StoreError> {
        let inserted = with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO users
                 (id, name, password_hash, claims, external_id, auth_source, is_admin, created_at, disabled_at, name_prepared)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, TRUE) ON CONFLICT DO NOTHING",
            )
            .bind(user.id.as_str())
            .bind(user.name.as_str())
            .bind(&user.password_hash)
            .bind(to_json(&user.claims)?)
            .bind(&user.external_id)
            .bind(user.auth_source.as_str())
            .bind(user.is_admin)
            .bind(to_sql(user.created_at))
            .bind(user.disabled_at.map(to_sql))
            .execute(connection)
            .await?
            .rows_affected()
        });
        Ok(inserted > 0)
    }

    /// Locks the row of a user, and that of the acting user, until the commit. The acting user must
    /// be an active administrator: of two administrators who disable each other, the second fails.
    pub(crate) async fn lock_users(&mut self, id: &UserId, by: Option<&Actor>) -> Result<(), StoreError> {
        let actor = by.and_then(Actor::as_user);
        let lock = if matches!(self, Either::Postgres(_)) { " FOR NO KEY UPDATE" } else { "" };
        let administrators: Vec<(String, bool)> = with_connection!(&mut *self, connection => {
            let mut query =
                sqlx::QueryBuilder::new("SELECT id, is_admin AND disabled_at IS NULL FROM users WHERE id IN (");
            query.push_bind(id.as_str()).push(", ").push_bind(actor.as_ref().unwrap_or(id).as_str());
            query.push(") ORDER BY id").push(lock).build_query_as().fetch_all(connection).await?
        });
        let may = |actor: &UserId| administrators.iter().any(|(id, is_one)| *is_one && *id == actor.as_str());
        if actor.as_ref().is_none_or(may) { Ok(()) } else { Err(StoreError::NotAdministrator) }
    }
    /// The active users among these. On PostgreSQL, transactions that disable one of them wait for
    /// this one.
    pub(crate) async fn lock_active_users(&mut self, ids: &[&str]) -> Result<HashSet<String>, StoreError> {
        let lock = if matches!(self, Either::Postgres(_)) { " FOR SHARE" } else { "" };
        let mut active = HashSet::new();
        for ids in statement_chunks(ids) {
            active.extend(with_connection!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("SELECT id FROM users WHERE disabled_at IS NULL AND id IN (");
                let mut list = query.separated(", ");
                for id in padded_with_last(ids) {
                    list.push_bind(*id);
                }
                query.push(") ORDER BY id").push(lock);
                query.build_query_scalar::<String>().fetch_all(connection).await?
            }));
        }
        Ok(active)
    }

    pub(crate) async fn lock_active_user(&mut self, id: &UserId) -> Result<bool, StoreError> {
        Ok(self.lock_active_users(&[id.as_str()]).await?.contains(id.as_str()))
    }
}
