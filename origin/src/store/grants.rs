//! Grants, how far their refresh tokens have come, and what stands for them until a client takes it: codes, device codes. These are
//! taken by way of a [`Batch`](super::Batch).

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::FromRow;

use super::clients::{from_json, json};
use super::rows::hashed;
use super::{Either, Store, StoreError, Tx, from_sql, portions, repeated, to_sql};
use crate::domain::{
    Access, Actor, AuditAction, AuditKind, AuditNote, ClientId, Code, Grant, GrantId, LoginId, PresentedRefresh,
    RefreshFamily, RefreshState, RefreshToken, Revoke, SecretHash, Target, UserId,
};

/// For how long a user sees what was ended, in seconds.
const DAY: u64 = 24 * 60 * 60;

#[derive(Clone, FromRow)]
pub(super) struct GrantRow {
    grant_id: String,
    grant_client_id: String,
    user_id: String,
    subject: String,
    login_id: Option<String>,
    terms: String,
    created_at: i64,
    ends_at: i64,
    ended_at: Option<i64>,
}

/// The columns of a [`GrantRow`].
macro_rules! grant_columns {
    () => {
        "g.id AS grant_id, g.client_id AS grant_client_id, g.user_id, g.subject, g.login_id, g.terms, g.created_at,
         g.ends_at, g.ended_at "
    };
}
pub(super) use grant_columns;

impl TryFrom<GrantRow> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Grant, StoreError> {
        let corrupt = StoreError::corrupt("grants");
        Ok(Grant {
            id: row.grant_id.parse().map_err(&corrupt)?,
            client: row.grant_client_id.parse().map_err(&corrupt)?,
            user: row.user_id.parse().map_err(&corrupt)?,
            subject: row.subject,
            login: row.login_id.map(|id| id.parse()).transpose().map_err(&corrupt)?,
            terms: from_json(&row.terms, "grants")?,
            created_at: from_sql(row.created_at),
            ends_at: from_sql(row.ends_at),
            ended_at: row.ended_at.map(from_sql),
        })
    }
}

/// What a user gave, and when it was last made use of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What was given.
    pub grant: Grant,
    /// When the client last took tokens of it, Unix seconds; when it was given, if it has taken none.
    pub used_at: u64,
}

#[derive(FromRow)]
struct GivenRow {
    #[sqlx(flatten)]
    grant: GrantRow,
    refreshed_at: Option<i64>,
    redeemed_at: Option<i64>,
}

impl TryFrom<GivenRow> for Given {
    type Error = StoreError;

    fn try_from(row: GivenRow) -> Result<Given, StoreError> {
        let grant = Grant::try_from(row.grant)?;
        let used_at = row.refreshed_at.max(row.redeemed_at).map_or(grant.created_at, from_sql);
        Ok(Given { grant, used_at })
    }
}

#[derive(FromRow)]
struct CodeRow {
    hash: Vec<u8>,
    #[sqlx(flatten)]
    grant: GrantRow,
    redirect_uri: Option<String>,
    challenge: String,
    nonce: Option<String>,
    jkt: Option<String>,
    expires_at: i64,
    redeemed_at: Option<i64>,
}

#[derive(Clone, FromRow)]
struct RefreshRow {
    #[sqlx(flatten)]
    grant: GrantRow,
    refresh_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    refresh_expires_at: i64,
    refresh_jkt: Option<String>,
}

impl RefreshRow {
    /// What it says of one of the grant's refresh tokens.
    fn token(self, hash: SecretHash) -> Result<RefreshToken, StoreError> {
        let state = refresh_state(&self.refresh_hash, self.previous_hash.as_deref(), None)?;
        let family = Arc::new(RefreshFamily { grant: self.grant.try_into()?, jkt: self.refresh_jkt });
        Ok(RefreshToken { family, turn: state.turn(&hash), expires_at: from_sql(self.refresh_expires_at) })
    }
}

/// How far a grant's refresh tokens have come, of its columns.
pub(super) fn refresh_state(
    current: &[u8],
    previous: Option<&[u8]>,
    refreshed_at: Option<i64>,
) -> Result<RefreshState, StoreError> {
    Ok(RefreshState {
        current: hashed(current, "grants")?,
        previous: previous.map(|hash| hashed(hash, "grants")).transpose()?,
        refreshed_at: refreshed_at.map(from_sql),
    })
}

impl Store {
    /// Records a grant and the code by which the client takes it, and what the user agreed to if it is to be remembered. False,
    /// and nothing recorded, when the user was disabled meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_code(&self, code: &Code, agreed: Option<&Access>) -> Result<bool, StoreError> {
        // As for a token: a revocation of the user or the client that is acknowledged before this commits strikes it.
        let mut tx = self.begin_write_in_epoch().await?;
        if !tx.insert_grant(&code.grant).await? {
            return Ok(false);
        }
        each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO codes (hash, grant_id, redirect_uri, challenge, nonce, jkt, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(code.hash.as_bytes().as_slice())
            .bind(code.grant.id.as_str())
            .bind(&code.redirect_uri)
            .bind(code.challenge.to_string())
            .bind(&code.nonce)
            .bind(&code.jkt)
            .bind(to_sql(code.expires_at))
            .execute(connection)
            .await?;
        });
        if let Some(access) = agreed {
            tx.insert_consent(&code.grant, access).await?;
        }
        tx.note(&[self.line_of_grant(AuditAction::Grant, &code.grant)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The line that tells of a grant.
    pub(super) fn line_of_grant(&self, action: AuditAction, grant: &Grant) -> AuditNote {
        let line = self.line_by(Actor::user(&grant.user), action, AuditKind::SESSION, grant.id.as_str());
        line.with(&format!("{}: {}", grant.client, grant.terms.access.scope))
    }

    /// The code with this hash, redeemed or not, if it is not long forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn code(&self, hash: &SecretHash) -> Result<Option<Code>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, CodeRow>(concat!(
                "SELECT c.hash, c.redirect_uri, c.challenge, c.nonce, c.jkt, c.expires_at, c.redeemed_at, ",
                grant_columns!(),
                "FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.hash = $1"
            ))
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(connection)
            .await?
        });
        let read = |row: CodeRow| {
            Ok(Code {
                hash: hashed(&row.hash, "codes")?,
                grant: row.grant.try_into()?,
                redirect_uri: row.redirect_uri,
                challenge: row.challenge.parse().map_err(StoreError::corrupt("codes"))?,
                nonce: row.nonce,
                jkt: row.jkt,
                expires_at: from_sql(row.expires_at),
                redeemed_at: row.redeemed_at.map(from_sql),
            })
        };
        row.map(read).transpose()
    }

    /// What the grant of this refresh token knows of it, used or not, if it has any and is not long forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh_token(&self, presented: PresentedRefresh) -> Result<Option<RefreshToken>, StoreError> {
        Ok(self.refresh_tokens(&[presented]).await?.pop().flatten())
    }

    /// As [`Store::refresh_token`], of many; in their order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh_tokens(
        &self,
        presented: &[PresentedRefresh],
    ) -> Result<Vec<Option<RefreshToken>>, StoreError> {
        let mut found: HashMap<String, RefreshRow> = HashMap::with_capacity(presented.len());
        let mut connection = self.reader().await?;
        for presented in portions(presented) {
            let rows: Vec<RefreshRow> = each!(&mut connection, connection => {
                let mut query = sqlx::QueryBuilder::new(concat!(
                    "SELECT g.refresh_hash, g.previous_hash, g.refresh_expires_at, g.refresh_jkt, ",
                    grant_columns!(),
                    "FROM grants g WHERE g.refresh_hash IS NOT NULL AND g.id IN ("
                ));
                let mut list = query.separated(", ");
                for presented in repeated(presented) {
                    list.push_bind(presented.grant.as_str());
                }
                query.push(")").build_query_as().fetch_all(connection).await?
            });
            found.extend(rows.into_iter().map(|row| (row.grant.grant_id.clone(), row)));
        }
        let token = |presented: &PresentedRefresh| {
            found.get(presented.grant.as_str()).map(|row| row.clone().token(presented.hash)).transpose()
        };
        presented.iter().map(token).collect()
    }

    /// The grant with this id, ended or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, GrantRow>(concat!("SELECT ", grant_columns!(), "FROM grants g WHERE g.id = $1"))
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(Grant::try_from).transpose()
    }

    /// What a user gave to clients and devices, newest first, 200 at most: what is good at the Unix second `now`, and what was ended
    /// in the day before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn given_by(&self, user: &UserId, now: u64) -> Result<Vec<Given>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, GivenRow>(concat!(
                "SELECT ",
                grant_columns!(),
                ", g.refreshed_at, (SELECT MAX(c.redeemed_at) FROM codes c WHERE c.grant_id = g.id) AS redeemed_at
                 FROM grants g WHERE g.user_id = $1 AND (g.ended_at > $2 OR g.ended_at IS NULL AND g.ends_at > $3)
                 ORDER BY g.created_at DESC, g.id LIMIT 200"
            ))
            .bind(user.as_str())
            .bind(to_sql(now.saturating_sub(DAY)))
            .bind(to_sql(now))
            .fetch_all(connection)
            .await?
        });
        rows.into_iter().map(Given::try_from).collect()
    }

    /// Forgets what a user agreed to, for one client or for all: they are asked anew.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_consents(&self, user: &UserId, client: Option<&ClientId>) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query("DELETE FROM consents WHERE user_id = $1 AND client_id = COALESCE($2, client_id)")
                .bind(user.as_str())
                .bind(client.map(ClientId::as_str))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// What a user agreed that a client may have without asking again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consent(&self, user: &UserId, client: &ClientId) -> Result<Option<Access>, StoreError> {
        let access = each!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT access FROM consents WHERE user_id = $1 AND client_id = $2")
                .bind(user.as_str())
                .bind(client.as_str())
                .fetch_optional(connection)
                .await?
        });
        access.map(|access| from_json(&access, "consents")).transpose()
    }
}

impl Tx {
    /// Records a grant. False when its user is disabled: on PostgreSQL, whoever disables them waits for this transaction, and so
    /// finds the grant.
    pub(super) async fn insert_grant(&mut self, grant: &Grant) -> Result<bool, StoreError> {
        let lock = if matches!(self, Either::Postgres(_)) { " FOR SHARE" } else { "" };
        let user: Option<String> = each!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT id FROM users WHERE disabled_at IS NULL AND id = ");
            query.push_bind(grant.user.as_str()).push(lock).build_query_scalar().fetch_optional(connection).await?
        });
        if user.is_none() {
            return Ok(false);
        }
        each!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO grants (id, client_id, user_id, subject, login_id, terms, created_at, ends_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(grant.id.as_str())
            .bind(grant.client.as_str())
            .bind(grant.user.as_str())
            .bind(&grant.subject)
            .bind(grant.login.as_ref().map(LoginId::as_str))
            .bind(json(&grant.terms)?)
            .bind(to_sql(grant.created_at))
            .bind(to_sql(grant.ends_at))
            .execute(connection)
            .await?;
        });
        Ok(true)
    }

    async fn insert_consent(&mut self, grant: &Grant, access: &Access) -> Result<(), StoreError> {
        each!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO consents (user_id, client_id, access, agreed_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (user_id, client_id) DO UPDATE SET access = excluded.access, agreed_at = excluded.agreed_at",
            )
            .bind(grant.user.as_str())
            .bind(grant.client.as_str())
            .bind(json(access)?)
            .bind(to_sql(grant.created_at))
            .execute(connection)
            .await?;
        });
        Ok(())
    }

    /// Ends the grants that revocations strike, so that no refresh token outlives them. Comes after the end of the epoch: every
    /// grant that could be older than the revocation is committed by then. Lifting a revocation does not bring them back: its
    /// access tokens are good again for what is left of their time, and then the user is asked anew.
    pub(super) async fn end_grants(&mut self, revokes: &[Revoke]) -> Result<(), StoreError> {
        for revoke in revokes {
            let (by_name, name) = match &revoke.target {
                Target::Session(id) => ("id", id),
                Target::Subject(subject) => ("subject", subject),
                Target::Client(client) => ("client_id", client),
                Target::Before(time) => {
                    self.end_grants_before(*time, revoke.at).await?;
                    continue;
                }
                Target::Token(_) | Target::Key(_) => continue,
            };
            let on_postgres = matches!(self, Either::Postgres(_));
            each!(&mut *self, connection => {
                // In one order, so that no two transactions that end or use grants wait for each other.
                let mut query = sqlx::QueryBuilder::new("UPDATE grants SET ended_at = ");
                query.push_bind(to_sql(revoke.at)).push(" WHERE id IN (SELECT id FROM grants WHERE ");
                query.push(by_name).push(" = ").push_bind(name).push(" AND ended_at IS NULL ORDER BY id");
                query.push(if on_postgres { " FOR UPDATE)" } else { ")" });
                query.build().execute(connection).await?;
            });
        }
        Ok(())
    }

    async fn end_grants_before(&mut self, time: u64, at: u64) -> Result<(), StoreError> {
        each!(&mut *self, connection => {
            sqlx::query("UPDATE grants SET ended_at = $1 WHERE created_at < $2 AND ended_at IS NULL")
                .bind(to_sql(at))
                .bind(to_sql(time))
                .execute(connection)
                .await?;
        });
        Ok(())
    }
}
