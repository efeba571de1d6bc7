//! The feed: the revocation log as edges read it, its head and the deltas after a sequence.

use tollgate_core::{ConfigDigest, Delta, HashChain, MAX_DELTAS, RevocationId};

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::store::Store;

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
