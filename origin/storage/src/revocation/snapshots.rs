//! The data that snapshots are built from, and the newest published snapshot.

use tollgate_core::{ConfigDigest, HashChain, RevocationId, RevocationKind, RevokedBefore};
use tollgate_model::revocation::REVOCATION_KEPT_AFTER_EXPIRY;
use tollgate_model::{Malformed, Route, key_schedule as schedule};

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::revocation::feed::FeedHead;
use crate::store::Store;

/// Recorded tokens read per statement.
const TOKENS_PER_READ: u64 = 16 * 1024;

/// Maximum difference between the clocks of two publishers. A snapshot that is newer by more was
/// dated by a wrong clock and is replaced.
pub const MAX_SNAPSHOT_CLOCK_SKEW_MS: u64 = 60 * 1000;

/// The content of a snapshot except the covered tokens, read in one transaction.
#[derive(Debug)]
pub struct SnapshotState {
    pub head: FeedHead,
    /// Hash chain at the head.
    pub chain: HashChain,
    /// Tokens issued before this were revoked.
    pub before: RevokedBefore,
    /// Marks of groups of tokens.
    pub groups: Vec<(RevocationKind, RevocationId, RevokedBefore)>,
    /// The revoked tokens, with their epochs if they have one.
    pub revoked: Vec<(RevocationId, Option<u32>)>,
    pub routes: Vec<Route>,
}

/// Reads one state of the database while a snapshot is built.
pub struct SnapshotReader {
    tx: Tx,
    now: u64,
    /// Number of the last token read.
    last: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedSnapshot {
    /// Assigned by the store; later snapshots have higher numbers.
    pub number: u64,
    /// Sequence of the last delta contained.
    pub sequence: u64,
    /// Newest covered epoch.
    pub epoch: u32,
    /// Creation time, Unix milliseconds.
    pub as_of_ms: u64,
    /// Time at which the covered tokens were read, Unix milliseconds.
    pub built_ms: u64,
    /// Number of revoked tokens contained.
    pub revoked: u64,
    pub config: ConfigDigest,
    /// The signed message.
    pub message: Vec<u8>,
}

#[derive(sqlx_macros::FromRow)]
struct PublishedRow {
    number: i64,
    sequence: i64,
    epoch: i64,
    as_of_ms: i64,
    built_ms: i64,
    revoked: i64,
    config: Vec<u8>,
    message: Vec<u8>,
}

impl Store {
    /// Starts to read one state of the database, as of the Unix second `now`.
    pub async fn snapshot_reader(&self, now: u64) -> Result<SnapshotReader, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        Ok(SnapshotReader { tx, now, last: 0 })
    }

    pub async fn find_published_snapshot(&self) -> Result<Option<PublishedSnapshot>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, PublishedRow>("SELECT * FROM snapshots").fetch_optional(connection).await?
        });
        row.map(PublishedSnapshot::try_from).transpose()
    }

    /// Publishes a snapshot, which all origins serve from then on, and returns its number.
    /// Publishes nothing and returns `None` if the published snapshot has a later sequence or time.
    /// `new_keys` are keys that no snapshot contained before: their lead time starts now.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn publish_snapshot(
        &self,
        snapshot: &PublishedSnapshot,
        new_keys: &[String],
    ) -> Result<Option<u64>, StoreError> {
        let mut tx = self.begin_write().await?;
        let number = with_connection!(&mut tx, connection => {
            sqlx::query_scalar::<_, i64>("UPDATE feed SET snapshot = snapshot + 1 RETURNING snapshot")
                .fetch_optional(connection)
                .await?
        });
        let number = number.ok_or(StoreError::NoIssuer)?;
        let written = with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO snapshots (one, number, sequence, epoch, as_of_ms, built_ms, revoked, config, message)
                 VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (one) DO UPDATE SET number = excluded.number, sequence = excluded.sequence,
                     epoch = excluded.epoch, as_of_ms = excluded.as_of_ms, built_ms = excluded.built_ms,
                     revoked = excluded.revoked, config = excluded.config, message = excluded.message
                 WHERE snapshots.sequence <= excluded.sequence
                     AND (snapshots.as_of_ms <= excluded.as_of_ms OR snapshots.as_of_ms > excluded.as_of_ms + $9)",
            )
            .bind(number)
            .bind(to_sql(snapshot.sequence))
            .bind(i64::from(snapshot.epoch))
            .bind(to_sql(snapshot.as_of_ms))
            .bind(to_sql(snapshot.built_ms))
            .bind(to_sql(snapshot.revoked))
            .bind(snapshot.config.as_bytes().as_slice())
            .bind(&snapshot.message)
            .bind(to_sql(MAX_SNAPSHOT_CLOCK_SKEW_MS))
            .execute(connection)
            .await?
            .rows_affected()
        });
        if written == 0 {
            return Ok(None);
        }
        if new_keys.is_empty() {
            tx.notify().await?;
        } else {
            tx.bump_version().await?;
            tx.lock_keys().await?;
            let published = schedule::publish(&tx.keys().await?, new_keys, snapshot.as_of_ms / 1000);
            tx.write_keys(&published).await?;
        }
        self.commit_and_notify(tx).await?;
        Ok(Some(from_sql(number)))
    }

    /// Whether a token of an epoch up to `covered` was revoked or reinstated after `sequence`; also
    /// true if the deltas since then are no longer kept.
    pub async fn has_covered_change_since(&self, sequence: u64, covered: u32) -> Result<bool, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        let head = tx.feed().await?.head().sequence;
        let (kept, changed): (i64, i64) = with_connection!(&mut tx, connection => {
            sqlx::query_as(
                "SELECT COUNT(*), COUNT(CASE WHEN epoch <= $2 THEN 1 END) FROM deltas WHERE sequence > $1",
            )
            .bind(to_sql(sequence))
            .bind(i64::from(covered))
            .fetch_one(connection)
            .await?
        });
        Ok(changed > 0 || from_sql(kept) < head.saturating_sub(sequence))
    }
}

impl SnapshotReader {
    /// Reads everything except the covered tokens.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn read_state(&mut self) -> Result<SnapshotState, StoreError> {
        let feed = self.tx.feed().await?;
        let rows: Vec<(i64, Vec<u8>, i64, Option<i64>)> = with_connection!(&mut self.tx, connection => {
            sqlx::query_as("SELECT kind, id, mark, epoch FROM marks WHERE void_after >= $1")
                .bind(to_sql(self.now))
                .fetch_all(connection)
                .await?
        });
        let (mut before, mut groups, mut revoked) = (RevokedBefore::NOT_REVOKED, Vec::new(), Vec::new());
        for (byte, id, mark, epoch) in rows {
            let id = RevocationId::from_bytes(fixed_bytes(&id, "marks")?);
            match revocation_kind(byte, "marks")? {
                RevocationKind::Token => revoked.push((id, epoch.and_then(|epoch| u32::try_from(epoch).ok()))),
                RevocationKind::Everything => before = mark_from_sql(mark),
                group => groups.push((group, id, mark_from_sql(mark))),
            }
        }
        let (head, chain) = (feed.head(), feed.chain()?);
        Ok(SnapshotState { head, chain, before, groups, revoked, routes: self.tx.routes().await? })
    }

    /// Approximate number of recorded tokens: numbers used by rolled back transactions count too.
    pub async fn estimate_token_count(&mut self) -> Result<u64, StoreError> {
        let (first, last): (Option<i64>, Option<i64>) = with_connection!(&mut self.tx, connection => {
            // Two subqueries, because each reads one end of the index; a single query would read
            // all of it.
            sqlx::query_as("SELECT (SELECT min(number) FROM tokens), (SELECT max(number) FROM tokens)")
                .fetch_one(connection)
                .await?
        });
        Ok(first.zip(last).map_or(0, |(first, last)| from_sql(last) - from_sql(first) + 1))
    }

    /// The next ids of recorded tokens of epochs up to `covered` that edges may still accept; empty
    /// when all have been read.
    pub async fn next_covered_ids(&mut self, covered: u32) -> Result<Vec<RevocationId>, StoreError> {
        // Ids sort by epoch; none is above those of the last epoch.
        let end = match covered.checked_add(1) {
            Some(epoch) => [epoch.to_be_bytes().as_slice(), &[0; 14]].concat(),
            None => vec![0xff; 19],
        };
        loop {
            // Pages by token number, not by count: no page searches for its end among tokens that
            // it skips.
            let from = self.last;
            let rows: Vec<(i64, Vec<u8>, i64)> = with_connection!(&mut self.tx, connection => {
                sqlx::query_as("SELECT number, id, expires_at FROM tokens WHERE number > $1 ORDER BY number LIMIT $2")
                    .bind(to_sql(from))
                    .bind(to_sql(TOKENS_PER_READ))
                    .fetch_all(connection)
                    .await?
            });
            let Some((number, _, _)) = rows.last() else {
                return Ok(Vec::new());
            };
            self.last = from_sql(*number);
            let alive = |expires_at: i64| from_sql(expires_at).saturating_add(REVOCATION_KEPT_AFTER_EXPIRY) >= self.now;
            let mut ids = Vec::with_capacity(rows.len());
            for (_, id, _) in rows.iter().filter(|(_, id, expires_at)| *id < end && alive(*expires_at)) {
                // The last 16 of the 18 bytes are the id of the token's revocation.
                ids.push(RevocationId::from_bytes(fixed_bytes(id.get(2..).unwrap_or_default(), "tokens")?));
            }
            if !ids.is_empty() {
                return Ok(ids);
            }
        }
    }
}

impl TryFrom<PublishedRow> for PublishedSnapshot {
    type Error = StoreError;

    fn try_from(row: PublishedRow) -> Result<PublishedSnapshot, StoreError> {
        let invalid_epoch = |_| StoreError::corrupt("snapshots")(Malformed::new("epoch", "is out of range"));
        Ok(PublishedSnapshot {
            number: from_sql(row.number),
            sequence: from_sql(row.sequence),
            epoch: u32::try_from(row.epoch).map_err(invalid_epoch)?,
            as_of_ms: from_sql(row.as_of_ms),
            built_ms: from_sql(row.built_ms),
            revoked: from_sql(row.revoked),
            config: ConfigDigest::from_bytes(fixed_bytes(&row.config, "snapshots")?),
            message: row.message,
        })
    }
}
