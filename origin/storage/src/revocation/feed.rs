//! The feed: the revocation log as edges read it, its head and the deltas after a sequence.

use tollgate_core::{ConfigDigest, Delta, HashChain, MAX_DELTAS, RevocationId};
use tollgate_model::revocation::REVOCATION_KEPT_AFTER_EXPIRY;

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// Minimum number of deltas kept. Those after the newest published snapshot are always kept,
/// because an edge continues from it. An edge asks at most 16 times in a row for up to
/// [`MAX_DELTAS`] each; an edge that is further behind takes the snapshot, which is cheaper then.
const MIN_KEPT_DELTAS: u64 = 16 * MAX_DELTAS as u64;

/// Maximum rows that one transaction of the sweep deletes from a table.
const MAX_ROWS_PER_SWEEP: u64 = 10_000;
/// Statements of the sweep: each deletes rows from before the time `$1`, at most `$2` of them.
const DELETE_EXPIRED_TOKENS: &str =
    "DELETE FROM tokens WHERE number IN (SELECT number FROM tokens WHERE expires_at < $1 LIMIT $2)";
const DELETE_VOID_REVOCATIONS: &str =
    "DELETE FROM revocations WHERE number IN (SELECT number FROM revocations WHERE void_after < $1 LIMIT $2)";
const DELETE_VOID_MARKS: &str =
    "DELETE FROM marks WHERE (kind, id) IN (SELECT kind, id FROM marks WHERE void_after < $1 LIMIT $2)";
/// A grant is deleted with its codes and with its device code; its refresh tokens are part of it.
const DELETE_EXPIRED_RECORDS: [&str; 7] = [
    "DELETE FROM grants WHERE id IN
     (SELECT grant_id FROM codes WHERE redeemed_at IS NULL AND expires_at < $1 LIMIT $2)",
    "DELETE FROM grants WHERE id IN
     (SELECT grant_id FROM device_codes WHERE grant_id IS NOT NULL AND redeemed_at IS NULL AND expires_at < $1 LIMIT $2)",
    "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ends_at < $1 LIMIT $2)",
    "DELETE FROM device_codes WHERE hash IN (SELECT hash FROM device_codes WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM authorization_requests WHERE hash IN
     (SELECT hash FROM authorization_requests WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM replay_keys WHERE hash IN (SELECT hash FROM replay_keys WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM attempts WHERE name IN (SELECT name FROM attempts WHERE began_at < $1 - 86400 LIMIT $2)",
];

/// Head of the revocation log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedHead {
    /// Sequence of the last delta; 0 before the first.
    pub sequence: u64,
    /// Version of other data that edges depend on.
    pub version: u64,
    /// Number of the newest published snapshot; 0 before the first.
    pub snapshot: u64,
}

/// The deltas after a sequence, with the state in which they were read.
#[derive(Debug)]
pub struct FeedPage {
    pub head: FeedHead,
    /// Hash chain at the requested sequence; `None` if the sequence is no longer kept or does not
    /// exist yet.
    pub chain: Option<HashChain>,
    /// The deltas after it without gaps, at most [`MAX_DELTAS`].
    pub deltas: Vec<Delta>,
    /// Current issuing epoch.
    pub epoch: u32,
    /// Configuration of the newest published snapshot; `None` before the first.
    pub config: Option<ConfigDigest>,
}

/// Numbers of deleted records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepCounts {
    /// Tokens that no edge accepts any more.
    pub tokens: u64,
    /// Revocations that apply to no other tokens.
    pub revocations: u64,
    /// Deltas that are no longer kept.
    pub deltas: u64,
    /// Grants, authorization requests and other records with an expiry.
    pub others: u64,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct FeedRow {
    pub(crate) issuer: String,
    sequence: i64,
    chain: Vec<u8>,
    version: i64,
    snapshot: i64,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct DeltaRow {
    sequence: i64,
    id: Vec<u8>,
    kind: i64,
    mark: i64,
    void_after: i64,
}

impl TryFrom<DeltaRow> for Delta {
    type Error = StoreError;

    fn try_from(row: DeltaRow) -> Result<Delta, StoreError> {
        Ok(Delta {
            sequence: from_sql(row.sequence),
            id: RevocationId::from_bytes(fixed_bytes(&row.id, "deltas")?),
            kind: revocation_kind(row.kind, "deltas")?,
            revoked_before: mark_from_sql(row.mark),
            expires_at: from_sql(row.void_after),
        })
    }
}

impl Store {
    /// Makes the database this issuer's, if it has none.
    ///
    /// # Errors
    /// [`StoreError::WrongIssuer`] when it has another: its revocations are named by that issuer.
    pub async fn adopt_issuer(&self, issuer: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO feed (one, issuer, sequence, chain, version, revocation, snapshot)
                 VALUES (1, $1, 0, $2, 1, 0, 0) ON CONFLICT DO NOTHING",
            )
            .bind(issuer)
            .bind(HashChain::genesis(issuer).as_bytes().as_slice())
            .execute(connection)
            .await?;
        });
        let stored = tx.feed().await?.issuer;
        if stored != issuer {
            return Err(StoreError::WrongIssuer { stored, wanted: issuer.to_owned() });
        }
        tx.commit().await
    }

    /// The issuer of the database.
    ///
    /// # Errors
    /// [`StoreError::NoIssuer`] when it has none yet.
    pub async fn get_issuer(&self) -> Result<String, StoreError> {
        Ok(self.begin_read().await?.feed().await?.issuer)
    }

    /// Head of the revocation log. Also serves as a health check of the database.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn get_feed_head(&self) -> Result<FeedHead, StoreError> {
        let mut reader = self.reader().await?;
        reader.use_probe_timeout();
        let row = with_connection!(&mut reader, connection => {
            sqlx::query_as::<_, FeedRow>("SELECT issuer, sequence, chain, version, snapshot FROM feed")
                .fetch_optional(connection)
                .await?
        });
        Ok(row.ok_or(StoreError::NoIssuer)?.head())
    }

    /// The deltas after the sequence `after`.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn get_feed_page(&self, after: u64) -> Result<FeedPage, StoreError> {
        let mut tx = self.begin_read().await?;
        let feed = tx.feed().await?;
        let chain = tx.chain_at(after, &feed).await?;
        let rows = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, DeltaRow>(
                "SELECT sequence, id, kind, mark, void_after FROM deltas WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            )
            .bind(to_sql(after))
            .bind(to_sql(MAX_DELTAS as u64))
            .fetch_all(connection)
            .await?
        });
        let deltas = rows.into_iter().map(Delta::try_from).collect::<Result<_, _>>()?;
        let config = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, Vec<u8>>("SELECT config FROM snapshots").fetch_optional(connection).await?
        });
        let config =
            config.map(|config| fixed_bytes(&config, "snapshots").map(ConfigDigest::from_bytes)).transpose()?;
        Ok(FeedPage { head: feed.head(), chain, deltas, epoch: tx.epoch().await?, config })
    }

    /// Deletes what has expired at the Unix second `now`, in small transactions: a backlog of any
    /// size shrinks while others write. Expired sessions are not deleted but ended, by
    /// [`Store::end_expired_sessions`].
    pub async fn sweep(&self, now: u64) -> Result<SweepCounts, StoreError> {
        // Recorded before anything is deleted: whoever relies on a record must know that it may be
        // gone.
        self.trusted_time.record_sweep(now);
        // Tokens are kept as long as their revocations, because reinstatement and introspection
        // need the record.
        let tokens =
            self.delete_in_chunks(DELETE_EXPIRED_TOKENS, now.saturating_sub(REVOCATION_KEPT_AFTER_EXPIRY)).await?;
        let revocations = self.delete_in_chunks(DELETE_VOID_REVOCATIONS, now).await?;
        self.delete_in_chunks(DELETE_VOID_MARKS, now).await?;
        let mut others = 0;
        for sql in DELETE_EXPIRED_RECORDS {
            others += self.delete_in_chunks(sql, now).await?;
        }
        let mut tx = self.begin_write().await?;
        tx.allow_long_statements().await?;
        let (deltas, secrets) = with_connection!(&mut tx, connection => {
            let deltas = sqlx::query(
                "DELETE FROM deltas WHERE sequence <= (SELECT sequence FROM feed) - $1
                 AND sequence <= (SELECT sequence FROM snapshots)",
            )
            .bind(to_sql(MIN_KEPT_DELTAS))
            .execute(&mut *connection)
            .await?;
            let secrets = sqlx::query("DELETE FROM client_secrets WHERE expires_at < $1")
                .bind(to_sql(now))
                .execute(&mut *connection)
                .await?;
            (deltas.rows_affected(), secrets.rows_affected())
        });
        tx.commit().await?;
        Ok(SweepCounts { tokens, revocations, deltas, others: others + secrets })
    }

    /// Repeats a statement that deletes a limited number of rows until none is left, and returns
    /// the number deleted.
    async fn delete_in_chunks(&self, sql: &'static str, before: u64) -> Result<u64, StoreError> {
        let mut swept = 0;
        loop {
            let mut tx = self.begin_write().await?;
            tx.allow_long_statements().await?;
            let deleted = with_connection!(&mut tx, connection => {
                sqlx::query(sql)
                    .bind(to_sql(before))
                    .bind(to_sql(MAX_ROWS_PER_SWEEP))
                    .execute(connection)
                    .await?
                    .rows_affected()
            });
            tx.commit().await?;
            swept += deleted;
            if deleted < MAX_ROWS_PER_SWEEP {
                return Ok(swept);
            }
        }
    }
}

impl Tx {
    pub(crate) async fn feed(&mut self) -> Result<FeedRow, StoreError> {
        let row = with_connection!(&mut *self, connection => {
            sqlx::query_as::<_, FeedRow>("SELECT issuer, sequence, chain, version, snapshot FROM feed")
                .fetch_optional(connection)
                .await?
        });
        row.ok_or(StoreError::NoIssuer)
    }

    /// Hash chain at `sequence`, if it is kept.
    async fn chain_at(&mut self, sequence: u64, feed: &FeedRow) -> Result<Option<HashChain>, StoreError> {
        if sequence == 0 && feed.sequence == 0 {
            return Ok(Some(HashChain::genesis(&feed.issuer)));
        }
        // Sequence 0 has no delta. The log is complete from there if its first delta is kept.
        let row = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, Vec<u8>>("SELECT chain FROM deltas WHERE sequence = $1")
                .bind(to_sql(sequence.max(1)))
                .fetch_optional(connection)
                .await?
        });
        match row {
            Some(_) if sequence == 0 => Ok(Some(HashChain::genesis(&feed.issuer))),
            Some(chain) => Ok(Some(HashChain::from_bytes(fixed_bytes(&chain, "deltas")?))),
            None => Ok(None),
        }
    }
}

impl FeedRow {
    pub(crate) fn head(&self) -> FeedHead {
        let [sequence, version, snapshot] = [self.sequence, self.version, self.snapshot].map(from_sql);
        FeedHead { sequence, version, snapshot }
    }

    pub(crate) fn chain(&self) -> Result<HashChain, StoreError> {
        Ok(HashChain::from_bytes(fixed_bytes(&self.chain, "feed")?))
    }
}
