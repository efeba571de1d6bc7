//! The history of revocations as edges need it: its head, and the deltas after a sequence.

use tollgate_core::{ConfigDigest, Delta, HashChain, MAX_DELTAS, RevocationId};
use tollgate_model::revocation::REVOCATION_KEPT_AFTER_EXPIRY;

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// How many deltas are kept at least; those after the newest published snapshot are kept however many they are, for an edge that
/// takes it goes on from there. An edge asks at most 16 times in a row for up to [`MAX_DELTAS`] each; one that is further
/// behind takes the snapshot, which is cheaper by then.
const MIN_KEPT_DELTAS: u64 = 16 * MAX_DELTAS as u64;

/// Rows that one transaction of the sweep deletes of a table at most.
const MAX_ROWS_PER_SWEEP: u64 = 10_000;
/// What the sweep deletes before the time `$1`, at most `$2` rows at a time.
const EXPIRED_TOKENS: &str =
    "DELETE FROM tokens WHERE number IN (SELECT number FROM tokens WHERE expires_at < $1 LIMIT $2)";
const VOID_REVOCATIONS: &str =
    "DELETE FROM revocations WHERE number IN (SELECT number FROM revocations WHERE void_after < $1 LIMIT $2)";
const VOID_MARKS: &str =
    "DELETE FROM marks WHERE (kind, id) IN (SELECT kind, id FROM marks WHERE void_after < $1 LIMIT $2)";
/// With a grant, whose refresh tokens are its own, go its codes and the device code it was given by.
const EXPIRED: [&str; 7] = [
    "DELETE FROM grants WHERE id IN
     (SELECT grant_id FROM codes WHERE redeemed_at IS NULL AND expires_at < $1 LIMIT $2)",
    "DELETE FROM grants WHERE id IN
     (SELECT grant_id FROM device_codes WHERE grant_id IS NOT NULL AND redeemed_at IS NULL AND expires_at < $1 LIMIT $2)",
    "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE ends_at < $1 LIMIT $2)",
    "DELETE FROM device_codes WHERE hash IN (SELECT hash FROM device_codes WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM authorization_requests WHERE hash IN
     (SELECT hash FROM authorization_requests WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM seen WHERE hash IN (SELECT hash FROM seen WHERE expires_at < $1 LIMIT $2)",
    "DELETE FROM attempts WHERE name IN (SELECT name FROM attempts WHERE began_at < $1 - 86400 LIMIT $2)",
];

/// Where the history stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedHead {
    /// The number of the last delta; 0 before the first.
    pub sequence: u64,
    /// Counts changes of what else edges depend on.
    pub version: u64,
    /// The number of the newest published snapshot; 0 before the first.
    pub snapshot: u64,
}

/// The deltas after a sequence, with the state they were read in.
#[derive(Debug)]
pub struct FeedPage {
    /// Where the history stood.
    pub head: FeedHead,
    /// The fingerprint of the history at the sequence asked for; none when it is older than what is kept, or in the future.
    pub chain: Option<HashChain>,
    /// What follows it without a gap, at most [`MAX_DELTAS`].
    pub deltas: Vec<Delta>,
    /// The epoch in which tokens were being issued.
    pub epoch: u32,
    /// The configuration in the newest published snapshot; none before the first.
    pub config: Option<ConfigDigest>,
}

/// How much was swept away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepCounts {
    /// Records of tokens that no edge accepts any more.
    pub tokens: u64,
    /// Records of revocations that strike none but such tokens.
    pub revocations: u64,
    /// Deltas beyond what is kept.
    pub deltas: u64,
    /// Grants, sign-ins and all else that has an end of its own.
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
    /// Makes the database `issuer`'s if it is nobody's yet.
    ///
    /// # Errors
    /// [`StoreError::WrongIssuer`] when it is another's: its revocations are named after that issuer.
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

    /// Whose database this is.
    ///
    /// # Errors
    /// [`StoreError::NoIssuer`] when it is nobody's yet.
    pub async fn get_issuer(&self) -> Result<String, StoreError> {
        Ok(self.begin_read().await?.feed().await?.issuer)
    }

    /// Where the history stands. Answers whether the database works, too.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
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
    /// When the database fails, or nobody served from it yet.
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

    /// Forgets what nobody can need any more at the Unix second `now`, in small transactions: a backlog of any size shrinks, and others
    /// write in between. SessionSelector that expired are not among it: they are ended, by [`Store::end_expired_sessions`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, now: u64) -> Result<SweepCounts, StoreError> {
        // Before anything is deleted: whoever goes by what is on record must know that something may be gone.
        self.trusted_time.record_sweep(now);
        // Tokens are kept as long as their revocations would be: reinstating and introspecting need the record.
        let tokens = self.sweep_portions(EXPIRED_TOKENS, now.saturating_sub(REVOCATION_KEPT_AFTER_EXPIRY)).await?;
        let revocations = self.sweep_portions(VOID_REVOCATIONS, now).await?;
        self.sweep_portions(VOID_MARKS, now).await?;
        let mut others = 0;
        for sql in EXPIRED {
            others += self.sweep_portions(sql, now).await?;
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

    /// Deletes by a statement that deletes some at a time until none is left; of how many.
    async fn sweep_portions(&self, sql: &'static str, before: u64) -> Result<u64, StoreError> {
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

    /// The history's fingerprint at `sequence`, as long as that is known.
    async fn chain_at(&mut self, sequence: u64, feed: &FeedRow) -> Result<Option<HashChain>, StoreError> {
        if sequence == 0 && feed.sequence == 0 {
            return Ok(Some(HashChain::genesis(&feed.issuer)));
        }
        // At 0 there is no delta to ask; the history is whole from there if its first delta is still kept.
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
