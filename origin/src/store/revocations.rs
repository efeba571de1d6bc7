//! Revocations on record, and whether a token is struck. They are written by way of a [`Batch`](super::Batch).

use tollgate_core::{Kind, RevocationId};

use super::rows::{RevocationRow, kind};
use super::watch::CHANNEL;
use super::{Either, Store, StoreError, Tx, mark_from_sql, to_sql};
use crate::domain::{AccessToken, Revocation, Target};

/// Records of a listing at most.
pub const MAX_REVOCATIONS_PAGE: u64 = 1000;

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Those of this kind alone.
    pub kind: Option<Kind>,
    /// Those with this name alone.
    pub name: Option<String>,
    /// Those that are lifted or void, too.
    pub all: bool,
    /// Those with a lower number than this one alone.
    pub below: Option<u64>,
    /// As many at most, up to [`MAX_REVOCATIONS_PAGE`].
    pub limit: u64,
}

impl Store {
    /// Records, newest first; what is in force is judged at the Unix second `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revocations(&self, listing: &Listing, now: u64) -> Result<Vec<Revocation>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT * FROM revocations WHERE number < ");
            query.push_bind(to_sql(listing.below.unwrap_or(u64::MAX)));
            if let Some(kind) = listing.kind {
                query.push(" AND kind = ").push_bind(i64::from(kind.to_byte()));
            }
            if let Some(name) = &listing.name {
                query.push(" AND name = ").push_bind(name.as_str());
            }
            if !listing.all {
                query.push(" AND lifted_at IS NULL AND void_after >= ").push_bind(to_sql(now));
            }
            query.push(" ORDER BY number DESC LIMIT ").push_bind(to_sql(listing.limit.min(MAX_REVOCATIONS_PAGE)));
            query.build_query_as::<RevocationRow>().fetch_all(connection).await?
        });
        rows.into_iter().map(Revocation::try_from).collect()
    }

    /// The record with this number, if it is not long void.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revocation(&self, number: u64) -> Result<Option<Revocation>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, RevocationRow>("SELECT * FROM revocations WHERE number = $1")
                .bind(to_sql(number))
                .fetch_optional(connection)
                .await?
        });
        row.map(Revocation::try_from).transpose()
    }

    /// Whether a token on record is struck by any revocation now.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn is_struck(&self, token: &AccessToken) -> Result<bool, StoreError> {
        self.begin_read().await?.is_struck(token).await
    }
}

impl Tx {
    /// Whether a token is struck, as of this transaction.
    pub(super) async fn is_struck(&mut self, token: &AccessToken) -> Result<bool, StoreError> {
        let issuer = self.feed().await?.issuer;
        let group = |target: Target| (target.kind(), target.id(&issuer));
        let mut names = vec![
            (Kind::Token, token.id.revocation_id()),
            group(Target::Subject(token.subject.clone())),
            group(Target::Client(token.client.to_string())),
            group(Target::Key(token.key_id.clone())),
            (Kind::Everything, RevocationId::EVERYTHING),
        ];
        names.extend(token.session.clone().map(|session| group(Target::Session(session))));
        let rows: Vec<(i64, i64)> = each!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT kind, mark FROM marks WHERE (kind, id) IN (");
            query.push_values(&names, |mut row, (kind, id)| {
                row.push_bind(i64::from(kind.to_byte())).push_bind(id.as_bytes().as_slice());
            });
            query.push(")").build_query_as().fetch_all(connection).await?
        });
        for (byte, mark) in rows {
            let mark = mark_from_sql(mark);
            let struck = match kind(byte, "marks")? {
                Kind::Token => true,
                Kind::Everything => mark.strikes(token.issued_at),
                Kind::Session | Kind::Subject | Kind::Client | Kind::Key => mark.strikes(token.id.epoch().into()),
            };
            if struck {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts a change of what edges depend on beside the deltas.
    pub(super) async fn bump_version(&mut self) -> Result<(), StoreError> {
        each!(&mut *self, connection => {
            sqlx::query("UPDATE feed SET version = version + 1").execute(connection).await?;
        });
        self.notify().await
    }

    /// Wakes the publishers of all origins at the commit. On SQLite they notice by themselves.
    pub(super) async fn notify(&mut self) -> Result<(), StoreError> {
        if let Either::Postgres(transaction) = self {
            let notify = sqlx::AssertSqlSafe(format!("SELECT pg_notify({CHANNEL}, '')"));
            supervised!(transaction, connection => { sqlx::query(notify).execute(connection).await?; });
        }
        Ok(())
    }
}
