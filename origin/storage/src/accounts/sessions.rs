//! Browser sessions.

use tollgate_model::{Actor, AuditAction, AuditKind, BrowserSession, BrowserSessionId, SecretHash, UserId};

use crate::accounts::termination::Termination;
use crate::database::values::{from_json, from_sql, secret_hash, to_json, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

const MAX_EXPIRED_SESSIONS_PER_TRANSACTION: u64 = 64;

#[derive(sqlx_macros::FromRow)]
struct SessionRow {
    id: String,
    hash: Vec<u8>,
    user_id: String,
    auth_time: i64,
    seen_at: i64,
    sender: String,
    expires_at: i64,
}

impl TryFrom<SessionRow> for BrowserSession {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<BrowserSession, StoreError> {
        let corrupt = StoreError::corrupt("browser_sessions");
        Ok(BrowserSession {
            id: row.id.parse().map_err(&corrupt)?,
            hash: secret_hash(&row.hash, "browser_sessions")?,
            user: row.user_id.parse().map_err(&corrupt)?,
            auth_time: from_sql(row.auth_time),
            // Rows older than the column `seen_at` have 0 there.
            seen_at: from_sql(row.seen_at.max(row.auth_time)),
            sender: from_json(&row.sender, "browser_sessions")?,
            expires_at: from_sql(row.expires_at),
        })
    }
}

/// Selects browser sessions.
#[derive(Clone, Copy)]
pub(crate) enum SessionSelector<'a> {
    One(&'a BrowserSessionId),
    /// All sessions of a user, or all but one.
    AllBut(&'a UserId, Option<&'a BrowserSessionId>),
    /// At most [`MAX_EXPIRED_SESSIONS_PER_TRANSACTION`] sessions that have expired at this Unix
    /// second.
    Expired(u64),
}

impl Store {
    /// Creates a browser session in place of the one that the browser had. Grants of the replaced
    /// session move to the new one if it is of the same user; a session of another user ends.
    ///
    /// # Errors
    /// [`StoreError::UserDisabled`] when the user is not active.
    pub async fn create_session(
        &self,
        session: &BrowserSession,
        replaced: Option<&BrowserSession>,
    ) -> Result<(), StoreError> {
        let user = Actor::user(&session.user);
        let termination = Termination::new(&user, "another user signed in in the same browser", session.auth_time);
        let mut tx = self.begin_write().await?;
        let others = replaced.filter(|old| old.user != session.user);
        let closed = if others.is_some() { tx.close_epoch().await? } else { 0 };
        if !tx.lock_active_user(&session.user).await? {
            return Err(StoreError::UserDisabled);
        }
        tx.insert_session(session).await?;
        let mut revocations = Vec::new();
        match (others, replaced) {
            (Some(old), _) => {
                tx.end_sessions(SessionSelector::One(&old.id), &termination, &mut revocations).await?;
            }
            (None, Some(old)) => tx.move_grants(&old.id, &session.id).await?,
            (None, None) => {}
        }
        tx.write_audit_entries(&[self.audit_entry_by(
            user,
            AuditAction::SignIn,
            AuditKind::BrowserSession,
            session.id.as_str(),
        )])
        .await?;
        self.commit_termination(tx, closed, &revocations, &termination).await
    }

    /// The session of a cookie, unless it has expired at the Unix second `now`.
    pub async fn find_session(&self, cookie: &SecretHash, now: u64) -> Result<Option<BrowserSession>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, SessionRow>("SELECT * FROM browser_sessions WHERE hash = $1 AND expires_at > $2")
                .bind(cookie.as_bytes().as_slice())
                .bind(to_sql(now))
                .fetch_optional(connection)
                .await?
        });
        row.map(BrowserSession::try_from).transpose()
    }

    /// The sessions of a user that have not expired at the Unix second `now`, newest first.
    pub async fn list_sessions(&self, user: &UserId, now: u64) -> Result<Vec<BrowserSession>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, SessionRow>(
                "SELECT * FROM browser_sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY auth_time DESC, id",
            )
            .bind(user.as_str())
            .bind(to_sql(now))
            .fetch_all(connection)
            .await?
        });
        rows.into_iter().map(BrowserSession::try_from).collect()
    }

    pub async fn record_session_activity(&self, id: &BrowserSessionId, now: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE browser_sessions SET seen_at = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(to_sql(now))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    pub(crate) async fn has_expired_session(&self, now: u64) -> Result<bool, StoreError> {
        let one: Option<String> = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar("SELECT id FROM browser_sessions WHERE expires_at < $1 LIMIT 1")
                .bind(to_sql(now))
                .fetch_optional(connection)
                .await?
        });
        Ok(one.is_some())
    }
}

impl Tx {
    /// Deletes sessions and returns their ids. Of two concurrent callers, one gets each id.
    /// Transactions that create grants in these sessions have committed when this returns.
    pub(crate) async fn delete_sessions(&mut self, which: SessionSelector<'_>) -> Result<Vec<String>, StoreError> {
        let lock = if matches!(self, Either::Postgres(_)) { " FOR UPDATE)" } else { ")" };
        Ok(with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("WITH ending AS MATERIALIZED (SELECT id FROM browser_sessions WHERE ");
            match which {
                SessionSelector::One(id) => query.push("id = ").push_bind(id.as_str()),
                SessionSelector::AllBut(user, except) => {
                    query.push("user_id = ").push_bind(user.as_str());
                    query.push(" AND id <> ").push_bind(except.map_or("", BrowserSessionId::as_str)).push(" ORDER BY id")
                }
                SessionSelector::Expired(now) => {
                    query.push("expires_at < ").push_bind(to_sql(now));
                    query.push(" ORDER BY id LIMIT ").push_bind(to_sql(MAX_EXPIRED_SESSIONS_PER_TRANSACTION))
                }
            };
            query.push(lock).push(" DELETE FROM browser_sessions WHERE id IN (SELECT id FROM ending) RETURNING id");
            query.build_query_scalar().fetch_all(connection).await?
        }))
    }

    /// Moves the grants of one session to another of the same user, and deletes the first.
    async fn move_grants(&mut self, from: &BrowserSessionId, to: &BrowserSessionId) -> Result<(), StoreError> {
        // Waits for transactions that are creating grants in the session.
        if self.delete_sessions(SessionSelector::One(from)).await?.is_empty() {
            return Ok(());
        }
        let lock =
            if matches!(self, Either::Postgres(_)) { " ORDER BY id COLLATE \"C\" FOR NO KEY UPDATE)" } else { ")" };
        with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("UPDATE grants SET browser_session_id = ");
            query.push_bind(to.as_str()).push(" WHERE id IN (SELECT id FROM grants WHERE browser_session_id = ");
            query.push_bind(from.as_str()).push(lock).build().execute(connection).await?;
        });
        Ok(())
    }

    async fn insert_session(&mut self, session: &BrowserSession) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO browser_sessions (id, hash, user_id, auth_time, seen_at, sender, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(session.id.as_str())
            .bind(session.hash.as_bytes().as_slice())
            .bind(session.user.as_str())
            .bind(to_sql(session.auth_time))
            .bind(to_sql(session.seen_at))
            .bind(to_json(&session.sender)?)
            .bind(to_sql(session.expires_at))
            .execute(connection)
            .await?;
        });
        Ok(())
    }

    /// Whether a session exists. On PostgreSQL, transactions that end it wait for this one.
    pub(crate) async fn lock_session(&mut self, id: &BrowserSessionId) -> Result<bool, StoreError> {
        let lock = if matches!(self, Either::Postgres(_)) { " FOR KEY SHARE" } else { "" };
        let found: Option<String> = with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT id FROM browser_sessions WHERE id = ");
            query.push_bind(id.as_str()).push(lock).build_query_scalar().fetch_optional(connection).await?
        });
        Ok(found.is_some())
    }
}
