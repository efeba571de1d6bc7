//! Records of revocations, and whether one applies to a token. They are written in a
//! [`Batch`](crate::Batch).

use std::collections::HashMap;
use std::iter;

use tollgate_core::{RevocationId, RevocationKind, RevokedBefore};
use tollgate_model::{AccessToken, Actor, Reinstatement, Revocation, Target, TokenId};

use crate::cluster::change_watch::NOTIFY_CHANNEL;
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

/// Maximum records per page.
pub const MAX_REVOCATIONS_PAGE: u64 = 1000;

/// Result of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeOutcome {
    /// Its record; the existing one, if the same actor had made the same revocation before.
    pub revocation: Revocation,
    /// Whether edges get a delta: not if an earlier revocation applies to the same tokens.
    pub is_new_to_edges: bool,
}

/// Result of a reinstatement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReinstateOutcome {
    /// The records that were in force and are now lifted; empty if none was in force.
    pub lifted: Vec<Revocation>,
    /// Whether edges get a delta: not if another revocation applies to the same tokens.
    pub is_new_to_edges: bool,
}

/// Identifies what a revocation applies to.
pub(crate) type TargetId = (RevocationKind, RevocationId);

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct RevocationFilter {
    pub kind: Option<RevocationKind>,
    /// Name of the revoked token, session, subject, client or key.
    pub name: Option<String>,
    /// Lists records that are lifted or expired too.
    pub include_inactive: bool,
    /// Lists records with a lower number than this.
    pub below: Option<u64>,
    /// Page size, at most [`MAX_REVOCATIONS_PAGE`].
    pub limit: u64,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct RevocationRow {
    number: i64,
    kind: i64,
    name: String,
    mark: i64,
    reason: Option<String>,
    revoked_by: String,
    revoked_at: i64,
    void_after: i64,
    lifted_by: Option<String>,
    lifted_at: Option<i64>,
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = StoreError;

    fn try_from(row: RevocationRow) -> Result<Revocation, StoreError> {
        let revoked_before = mark_from_sql(row.mark);
        let target = match revocation_kind(row.kind, "revocations")? {
            RevocationKind::Everything => Target::Before(revoked_before.0),
            kind => Target::new(kind, &row.name).map_err(StoreError::corrupt("revocations"))?,
        };
        let lifted = row.lifted_by.zip(row.lifted_at);
        Ok(Revocation {
            number: from_sql(row.number),
            target,
            revoked_before,
            by: Actor::from_record(row.revoked_by),
            reason: row.reason,
            at: from_sql(row.revoked_at),
            void_after: from_sql(row.void_after),
            reinstated: lifted.map(|(by, at)| Reinstatement { by: Actor::from_record(by), at: from_sql(at) }),
        })
    }
}

impl Store {
    /// Records, newest first. A record is in force if it is not lifted and has not expired at the
    /// Unix second `now`.
    pub async fn list_revocations(&self, filter: &RevocationFilter, now: u64) -> Result<Vec<Revocation>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT * FROM revocations WHERE number < ");
            query.push_bind(to_sql(filter.below.unwrap_or(u64::MAX)));
            if let Some(kind) = filter.kind {
                query.push(" AND kind = ").push_bind(i64::from(kind.to_byte()));
            }
            if let Some(name) = &filter.name {
                query.push(" AND name = ").push_bind(name.as_str());
            }
            if !filter.include_inactive {
                query.push(" AND lifted_at IS NULL AND void_after >= ").push_bind(to_sql(now));
            }
            query.push(" ORDER BY number DESC LIMIT ").push_bind(to_sql(filter.limit.min(MAX_REVOCATIONS_PAGE)));
            query.build_query_as::<RevocationRow>().fetch_all(connection).await?
        });
        rows.into_iter().map(Revocation::try_from).collect()
    }

    /// The record with this number, until it is swept.
    pub async fn find_revocation(&self, number: u64) -> Result<Option<Revocation>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, RevocationRow>("SELECT * FROM revocations WHERE number = $1")
                .bind(to_sql(number))
                .fetch_optional(connection)
                .await?
        });
        row.map(Revocation::try_from).transpose()
    }

    /// Whether a revocation applies to a recorded token.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn is_token_revoked(&self, token: &AccessToken) -> Result<bool, StoreError> {
        self.begin_read().await?.is_token_revoked(token).await
    }
}

impl Tx {
    /// Whether a revocation applies to a token or to one of its source tokens.
    pub(crate) async fn is_token_revoked(&mut self, token: &AccessToken) -> Result<bool, StoreError> {
        let Some(sources) = self.find_all_records(&token.details.exchanged_from).await? else {
            return Ok(true);
        };
        self.is_any_record_revoked(&iter::once(token).chain(&sources).collect::<Vec<_>>()).await
    }

    /// Whether a revocation applies to one of these tokens, or one of them is not recorded.
    pub(crate) async fn is_any_token_revoked(&mut self, ids: &[TokenId]) -> Result<bool, StoreError> {
        match self.find_all_records(ids).await? {
            Some(sources) => self.is_any_record_revoked(&sources.iter().collect::<Vec<_>>()).await,
            None => Ok(true),
        }
    }

    /// The records of all these tokens; `None` if one is missing. A token expires no later than its
    /// source tokens, so they are recorded while it is valid.
    async fn find_all_records(&mut self, ids: &[TokenId]) -> Result<Option<Vec<AccessToken>>, StoreError> {
        if ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let tokens = self.tokens(ids).await?;
        Ok((tokens.len() == ids.len()).then_some(tokens))
    }

    async fn is_any_record_revoked(&mut self, tokens: &[&AccessToken]) -> Result<bool, StoreError> {
        let issuer = self.feed().await?.issuer;
        let all_targets: Vec<_> = tokens.iter().flat_map(|token| targets(token, &issuer)).collect();
        let marks = self.marks(&all_targets).await?;
        Ok(tokens.iter().any(|token| targets(token, &issuer).any(|target| is_revoked_by(token, &marks, target))))
    }

    /// The marks of these targets; targets without a mark are missing.
    async fn marks(&mut self, targets: &[TargetId]) -> Result<HashMap<TargetId, RevokedBefore>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT kind, id, mark FROM marks WHERE (kind, id) IN (");
            query.push_values(targets, |mut row, (kind, id)| {
                row.push_bind(i64::from(kind.to_byte())).push_bind(id.as_bytes().as_slice());
            });
            query.push(")").build_query_as().fetch_all(connection).await?
        });
        let mark = |(byte, id, mark): (i64, Vec<u8>, i64)| {
            Ok((
                (revocation_kind(byte, "marks")?, RevocationId::from_bytes(fixed_bytes(&id, "marks")?)),
                mark_from_sql(mark),
            ))
        };
        rows.into_iter().map(mark).collect()
    }

    /// Raises the version of data that edges depend on.
    pub(crate) async fn bump_version(&mut self) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query("UPDATE feed SET version = version + 1").execute(connection).await?;
        });
        self.notify().await
    }

    /// Wakes the publishers of all origins at the commit. On SQLite they poll.
    pub(crate) async fn notify(&mut self) -> Result<(), StoreError> {
        if let Either::Postgres(transaction) = self {
            let notify = sqlx::AssertSqlSafe(format!("SELECT pg_notify({NOTIFY_CHANNEL}, '')"));
            supervised!(transaction, connection => { sqlx::query(notify).execute(connection).await?; });
        }
        Ok(())
    }
}

/// The targets whose revocation applies to a token.
fn targets(token: &AccessToken, issuer: &str) -> impl Iterator<Item = TargetId> {
    let id = |target: Target| (target.kind(), target.id(issuer));
    let session = token.session.clone().map(|session| id(Target::Session(session)));
    let targets = [
        (RevocationKind::Token, token.id.revocation_id()),
        id(Target::Subject(token.subject.clone())),
        id(Target::Client(token.client.to_string())),
        id(Target::Key(token.key_id.clone())),
        (RevocationKind::Everything, RevocationId::EVERYTHING),
    ];
    targets.into_iter().chain(session)
}

fn is_revoked_by(token: &AccessToken, marks: &HashMap<TargetId, RevokedBefore>, target: TargetId) -> bool {
    marks.get(&target).is_some_and(|mark| match target.0 {
        RevocationKind::Token => true,
        RevocationKind::Everything => mark.applies_to(token.issued_at),
        RevocationKind::Session | RevocationKind::Subject | RevocationKind::Client | RevocationKind::Key => {
            mark.applies_to(token.id.epoch().into())
        }
    })
}
