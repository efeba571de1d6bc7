//! Grants, the state of their refresh tokens, and their authorization codes. Codes and refresh
//! tokens are redeemed in a [`Batch`](crate::Batch).

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_model::{
    Access, Actor, AuditAction, AuditKind, AuthorizationCode, BrowserSessionId, ClientId, Grant, GrantId, LateRetries,
    NewAuditEntry, NewRevocation, PresentedRefreshToken, RefreshFamily, RefreshState, RefreshToken, SecretHash, Target,
};

use crate::accounts::backchannel_logouts::EndedGrant;
use crate::database::bulk::{MAX_ROWS_PER_STATEMENT, padded_with_last, statement_chunks};
use crate::database::values::{from_json, from_sql, secret_hash, to_json, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

const MAX_GRANTS_PER_STATEMENT: u64 = 1024;

/// The grant that a revocation names, and the Unix second of the revocation.
fn named_grant(revoke: &NewRevocation) -> Option<(&str, u64)> {
    match &revoke.target {
        Target::Session(id) => Some((id, revoke.at)),
        _ => None,
    }
}

#[derive(Clone, sqlx_macros::FromRow)]
pub(crate) struct GrantRow {
    grant_id: String,
    grant_client_id: String,
    user_id: String,
    subject: String,
    browser_session_id: Option<String>,
    terms: String,
    created_at: i64,
    ends_at: i64,
    ended_at: Option<i64>,
}

macro_rules! grant_columns {
    () => {
        "g.id AS grant_id, g.client_id AS grant_client_id, g.user_id, g.subject, g.browser_session_id, g.terms, g.created_at,
         g.ends_at, g.ended_at "
    };
}
pub(crate) use grant_columns;

/// SQL condition: the user of a row of `grants` is active. The transaction that disables a user
/// ends their grants, so it is false only for grants left by an older version.
macro_rules! is_user_active_sql {
    () => {
        "EXISTS (SELECT 1 FROM users WHERE users.id = grants.user_id AND users.disabled_at IS NULL)"
    };
}
pub(crate) use is_user_active_sql;

impl TryFrom<GrantRow> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Grant, StoreError> {
        let corrupt = StoreError::corrupt("grants");
        Ok(Grant {
            id: row.grant_id.parse().map_err(&corrupt)?,
            client: row.grant_client_id.parse().map_err(&corrupt)?,
            user: row.user_id.parse().map_err(&corrupt)?,
            subject: row.subject,
            browser_session: row.browser_session_id.map(|id| id.parse()).transpose().map_err(&corrupt)?,
            terms: from_json(&row.terms, "grants")?,
            created_at: from_sql(row.created_at),
            ends_at: from_sql(row.ends_at),
            ended_at: row.ended_at.map(from_sql),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
struct CodeRow {
    hash: Vec<u8>,
    #[sqlx(flatten)]
    grant: GrantRow,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    nonce: Option<String>,
    jkt: Option<String>,
    expires_at: i64,
    tokens_expire_at: Option<i64>,
    redeemed_at: Option<i64>,
}

#[derive(Clone, sqlx_macros::FromRow)]
struct RefreshRow {
    #[sqlx(flatten)]
    grant: GrantRow,
    refresh_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    refresh_expires_at: i64,
    refresh_jkt: Option<String>,
}

impl RefreshRow {
    /// The refresh token with this hash, as the grant's state describes it.
    fn token(self, hash: SecretHash) -> Result<RefreshToken, StoreError> {
        let state = refresh_state(&self.refresh_hash, self.previous_hash.as_deref(), None, 0)?;
        let family = Arc::new(RefreshFamily { grant: self.grant.try_into()?, jkt: self.refresh_jkt });
        Ok(RefreshToken { family, generation: state.generation(&hash), expires_at: from_sql(self.refresh_expires_at) })
    }
}

/// The state of a grant's refresh tokens, from its columns.
pub(crate) fn refresh_state(
    current: &[u8],
    previous: Option<&[u8]>,
    refreshed_at: Option<i64>,
    late_retries: i64,
) -> Result<RefreshState, StoreError> {
    Ok(RefreshState {
        current: secret_hash(current, "grants")?,
        previous: previous.map(|hash| secret_hash(hash, "grants")).transpose()?,
        refreshed_at: refreshed_at.map(from_sql),
        late_retries: u8::try_from(late_retries).map_or(LateRetries::NotAllowed, LateRetries::Count),
    })
}

/// The inverse of what [`refresh_state`] reads.
pub(crate) fn late_retries_to_sql(late_retries: LateRetries) -> i64 {
    match late_retries {
        LateRetries::Count(times) => i64::from(times),
        LateRetries::NotAllowed => -1,
    }
}

impl Store {
    /// Creates a grant with its authorization code, and records the consent that the user has just
    /// given, if any. Returns false and records nothing if meanwhile the user or the client was
    /// disabled or the user signed out.
    pub async fn create_code(&self, code: &AuthorizationCode, agreed: Option<&Access>) -> Result<bool, StoreError> {
        // The transaction holds the epoch: a revocation of the user or the client that is
        // acknowledged before the commit applies to the grant.
        let mut tx = self.begin_write_in_epoch().await?;
        if !tx.insert_grant(&code.grant).await? {
            return Ok(false);
        }
        with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO codes (hash, grant_id, redirect_uri, challenge, nonce, jkt, expires_at, tokens_expire_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(code.hash.as_bytes().as_slice())
            .bind(code.grant.id.as_str())
            .bind(&code.redirect_uri)
            .bind(code.challenge.as_ref().map(ToString::to_string))
            .bind(&code.nonce)
            .bind(&code.jkt)
            .bind(to_sql(code.expires_at))
            .bind(code.tokens_expire_at.map(to_sql))
            .execute(connection)
            .await?;
        });
        if let Some(access) = agreed {
            tx.add_consent(&code.grant, access).await?;
        }
        tx.write_audit_entries(&[self.grant_entry(AuditAction::Grant, &code.grant)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The audit entry about a grant.
    pub(crate) fn grant_entry(&self, action: AuditAction, grant: &Grant) -> NewAuditEntry {
        let line = self.audit_entry_by(Actor::user(&grant.user), action, AuditKind::SESSION, grant.id.as_str());
        line.with_detail(&format!("{}: {}", grant.client, grant.terms.access.scope))
    }

    /// The authorization code with this hash, redeemed or not, until it is swept.
    pub async fn find_code(&self, hash: &SecretHash) -> Result<Option<AuthorizationCode>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, CodeRow>(concat!(
                "SELECT c.hash, c.redirect_uri, c.challenge, c.nonce, c.jkt, c.expires_at, c.tokens_expire_at, c.redeemed_at, ",
                grant_columns!(),
                "FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.hash = $1"
            ))
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(connection)
            .await?
        });
        let read = |row: CodeRow| {
            Ok(AuthorizationCode {
                hash: secret_hash(&row.hash, "codes")?,
                grant: row.grant.try_into()?,
                redirect_uri: row.redirect_uri,
                challenge: row.challenge.map(|text| text.parse()).transpose().map_err(StoreError::corrupt("codes"))?,
                nonce: row.nonce,
                jkt: row.jkt,
                expires_at: from_sql(row.expires_at),
                tokens_expire_at: row.tokens_expire_at.map(from_sql),
                redeemed_at: row.redeemed_at.map(from_sql),
            })
        };
        row.map(read).transpose()
    }

    /// The refresh token with this hash, current or not, if its grant has refresh tokens and has
    /// not been swept.
    pub async fn find_refresh_token(
        &self,
        presented: PresentedRefreshToken,
    ) -> Result<Option<RefreshToken>, StoreError> {
        Ok(self.find_refresh_tokens(&[presented]).await?.pop().flatten())
    }

    /// Finds refresh tokens as [`Store::find_refresh_token`] does, in the order of `presented`.
    pub async fn find_refresh_tokens(
        &self,
        presented: &[PresentedRefreshToken],
    ) -> Result<Vec<Option<RefreshToken>>, StoreError> {
        let mut found: HashMap<String, RefreshRow> = HashMap::with_capacity(presented.len());
        let mut connection = self.reader().await?;
        for presented in statement_chunks(presented) {
            let rows: Vec<RefreshRow> = with_connection!(&mut connection, connection => {
                let mut query = sqlx::QueryBuilder::new(concat!(
                    "SELECT g.refresh_hash, g.previous_hash, g.refresh_expires_at, g.refresh_jkt, ",
                    grant_columns!(),
                    "FROM grants g WHERE g.refresh_hash IS NOT NULL AND g.id IN ("
                ));
                let mut list = query.separated(", ");
                for presented in padded_with_last(presented) {
                    list.push_bind(presented.grant.as_str());
                }
                query.push(")").build_query_as().fetch_all(connection).await?
            });
            found.extend(rows.into_iter().map(|row| (row.grant.grant_id.clone(), row)));
        }
        let token = |presented: &PresentedRefreshToken| {
            found.get(presented.grant.as_str()).map(|row| row.clone().token(presented.hash)).transpose()
        };
        presented.iter().map(token).collect()
    }

    /// The grant with this id, ended or not.
    pub async fn find_grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, GrantRow>(concat!("SELECT ", grant_columns!(), "FROM grants g WHERE g.id = $1"))
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(Grant::try_from).transpose()
    }
}

impl Tx {
    /// Inserts a grant. Returns false if its client or its user is disabled, or if the browser
    /// session in which it is given has ended. On PostgreSQL, a transaction that disables the user
    /// or ends the session waits for this one, and so finds the grant.
    pub(crate) async fn insert_grant(&mut self, grant: &Grant) -> Result<bool, StoreError> {
        if !self.is_client_active(&grant.client).await? {
            return Ok(false);
        }
        if !self.lock_active_user(&grant.user).await? {
            return Ok(false);
        }
        if let Some(login) = &grant.browser_session
            && !self.lock_session(login).await?
        {
            return Ok(false);
        }
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO grants (id, client_id, user_id, subject, browser_session_id, terms, created_at, ends_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(grant.id.as_str())
            .bind(grant.client.as_str())
            .bind(grant.user.as_str())
            .bind(&grant.subject)
            .bind(grant.browser_session.as_ref().map(BrowserSessionId::as_str))
            .bind(to_json(&grant.terms)?)
            .bind(to_sql(grant.created_at))
            .bind(to_sql(grant.ends_at))
            .execute(connection)
            .await?;
        });
        Ok(true)
    }

    /// No lock is needed: a client that is disabled later cannot authenticate to redeem anything.
    async fn is_client_active(&mut self, client: &ClientId) -> Result<bool, StoreError> {
        let active: Option<String> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar("SELECT id FROM clients WHERE disabled_at IS NULL AND id = $1")
                .bind(client.as_str())
                .fetch_optional(connection)
                .await?
        });
        Ok(active.is_some())
    }

    /// The grants given in these sessions that have not ended.
    pub(crate) async fn open_grants_of_sessions(&mut self, session_ids: &[String]) -> Result<Vec<Grant>, StoreError> {
        let mut grants = Vec::new();
        for ids in statement_chunks(session_ids) {
            let rows: Vec<GrantRow> = with_connection!(&mut *self, connection => {
                let select = concat!("SELECT ", grant_columns!(), "FROM grants g WHERE g.ended_at IS NULL AND g.browser_session_id IN (");
                let mut query = sqlx::QueryBuilder::new(select);
                let mut list = query.separated(", ");
                for id in padded_with_last(ids) {
                    list.push_bind(id.as_str());
                }
                query.push(") ORDER BY g.id").build_query_as().fetch_all(connection).await?
            });
            for row in rows {
                grants.push(Grant::try_from(row)?);
            }
        }
        Ok(grants)
    }

    /// Whether a row of `grants` with this value in a column has not ended.
    pub(crate) async fn has_open_grants(&mut self, column: &'static str, name: &str) -> Result<bool, StoreError> {
        let one: Option<String> = with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT id FROM grants WHERE ended_at IS NULL AND ");
            query.push(column).push(" = ").push_bind(name).push(" LIMIT 1");
            query.build_query_scalar().fetch_optional(connection).await?
        });
        Ok(one.is_some())
    }

    /// Ends the grants that revocations apply to, so that no refresh token outlives them, and
    /// queues the back-channel logouts of their clients; returns whether one was queued. The epoch
    /// must have been closed before: every grant that could be older than the revocation is
    /// committed then. Lifting the revocation does not restore the grants: their access tokens are
    /// valid again until they expire, then the user is asked again.
    pub(crate) async fn end_grants(&mut self, revocations: &[NewRevocation], trace: &str) -> Result<bool, StoreError> {
        let (mut has_endpoint, mut has_logouts) = (HashMap::new(), false);
        let named: Vec<(&str, u64)> = revocations.iter().filter_map(named_grant).collect();
        let is_one_statement = named.len() <= MAX_ROWS_PER_STATEMENT;
        if !is_one_statement
            || revocations.iter().any(|revoke| !matches!(revoke.target, Target::Session(_) | Target::Token(_)))
        {
            self.allow_long_statements().await?;
        }
        for same_time in named.chunk_by(|one, next| one.1 == next.1) {
            for grants in statement_chunks(same_time) {
                let ended = self.end_named_grants(grants).await?;
                has_logouts |= self.insert_logouts(&ended, trace, grants[0].1, &mut has_endpoint).await?;
            }
        }
        for revoke in revocations.iter().filter(|revoke| named_grant(revoke).is_none()) {
            loop {
                let ended = self.end_some_grants(revoke).await?;
                has_logouts |= self.insert_logouts(&ended, trace, revoke.at, &mut has_endpoint).await?;
                if ended.is_empty() {
                    break;
                }
            }
        }
        Ok(has_logouts)
    }

    /// Ends grants by id, all at the time of the first.
    async fn end_named_grants(&mut self, grants: &[(&str, u64)]) -> Result<Vec<EndedGrant>, StoreError> {
        let Some((_, at)) = grants.first() else { return Ok(Vec::new()) };
        let (order, lock) = match self {
            Either::Postgres(_) => (" ORDER BY id COLLATE \"C\"", " FOR NO KEY UPDATE)"),
            Either::Sqlite(_) => (" ORDER BY id", ")"),
        };
        Ok(with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new(
                "WITH ending AS MATERIALIZED (SELECT id FROM grants WHERE ended_at IS NULL AND id IN (",
            );
            let mut ids = query.separated(", ");
            padded_with_last(grants).for_each(|(id, _)| {
                ids.push_bind(*id);
            });
            query.push(")").push(order).push(lock);
            query.push(" UPDATE grants SET ended_at = ").push_bind(to_sql(*at));
            query.push(" WHERE id IN (SELECT id FROM ending) RETURNING id, client_id, subject");
            query.build_query_as().fetch_all(connection).await?
        }))
    }

    async fn end_some_grants(&mut self, revoke: &NewRevocation) -> Result<Vec<EndedGrant>, StoreError> {
        // Every transaction that ends or uses grants locks them in this order, so that none
        // deadlock.
        let (order, lock) = match self {
            Either::Postgres(_) => (" ORDER BY id COLLATE \"C\" LIMIT ", " FOR NO KEY UPDATE)"),
            Either::Sqlite(_) => (" ORDER BY id LIMIT ", ")"),
        };
        let (column, name) = match &revoke.target {
            Target::Subject(subject) => ("subject = ", subject),
            Target::Client(client) => ("client_id = ", client),
            Target::Before(_) => ("created_at < ", &String::new()),
            Target::Session(_) | Target::Token(_) | Target::Key(_) => return Ok(Vec::new()),
        };
        Ok(with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new(
                "WITH ending AS MATERIALIZED (SELECT id FROM grants WHERE ended_at IS NULL AND ",
            );
            query.push(column);
            match revoke.target {
                Target::Before(time) => query.push_bind(to_sql(time)),
                _ => query.push_bind(name),
            };
            query.push(order).push_bind(to_sql(MAX_GRANTS_PER_STATEMENT)).push(lock);
            query.push(" UPDATE grants SET ended_at = ").push_bind(to_sql(revoke.at));
            query.push(" WHERE id IN (SELECT id FROM ending) RETURNING id, client_id, subject");
            query.build_query_as().fetch_all(connection).await?
        }))
    }
}
