//! What snapshots are built from, and the newest that was published.

use tollgate_core::{ConfigDigest, HashChain, RevocationId, RevocationKind, RevokedBefore};
use tollgate_model::revocation::REVOCATION_KEPT_AFTER_EXPIRY;
use tollgate_model::{Route, key_schedule as schedule};

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::revocation::feed::FeedHead;
use crate::store::Store;

/// Ids of recorded tokens read at a time.
const IDS: u64 = 16 * 1024;

/// Two that publish at one moment differ by less: a snapshot that is newer by more was dated by a wrong clock, and gives way.
pub const MAX_SNAPSHOT_CLOCK_SKEW_MS: u64 = 60 * 1000;

/// All that a snapshot says but the covered tokens, read in one state.
#[derive(Debug)]
pub struct SnapshotState {
    /// Where the history stood.
    pub head: FeedHead,
    /// Its fingerprint there.
    pub chain: HashChain,
    /// Tokens issued before this were revoked.
    pub before: RevokedBefore,
    /// The marks of groups.
    pub groups: Vec<(RevocationKind, RevocationId, RevokedBefore)>,
    /// The revoked tokens, with their epochs if they have one.
    pub revoked: Vec<(RevocationId, Option<u32>)>,
    /// The route rules.
    pub routes: Vec<Route>,
}

/// Reads one state of the database for as long as a snapshot's building takes.
pub struct SnapshotReader {
    tx: Tx,
    now: u64,
    /// The number of the last token that was read.
    last: u64,
}

/// The newest published snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedSnapshot {
    /// Which one it is; later ones have higher numbers. Given by the store.
    pub number: u64,
    /// The last delta that is in.
    pub sequence: u64,
    /// The newest epoch that is covered.
    pub epoch: u32,
    /// When it was made, Unix milliseconds.
    pub as_of_ms: u64,
    /// When the store was read for the covered tokens in it, Unix milliseconds.
    pub built_ms: u64,
    /// The number of revoked tokens in it.
    pub revoked: u64,
    /// The digest of the configuration in it.
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
    /// Begins to read one state of the database, as of the Unix second `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot_reader(&self, now: u64) -> Result<SnapshotReader, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        Ok(SnapshotReader { tx, now, last: 0 })
    }

    /// The newest published snapshot, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_published_snapshot(&self) -> Result<Option<PublishedSnapshot>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, PublishedRow>("SELECT * FROM snapshots").fetch_optional(connection).await?
        });
        row.map(PublishedSnapshot::try_from).transpose()
    }

    /// Publishes a snapshot: all origins serve it from now on. Gives its number; none, and nothing is published, if what is
    /// published by now is of a later sequence or a later moment. `new_keys` are the names of keys that no snapshot had before:
    /// from now on their time ahead runs.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
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

    /// Whether, after `sequence`, a token of an epoch up to `covered` was revoked or reinstated; so, too, if that is no longer
    /// known.
    ///
    /// # Errors
    /// When the database fails.
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
    /// All but the covered tokens.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn state(&mut self) -> Result<SnapshotState, StoreError> {
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

    /// How many tokens are on record, about: numbers that rolled back transactions took count too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn about_tokens(&mut self) -> Result<u64, StoreError> {
        let (first, last): (Option<i64>, Option<i64>) = with_connection!(&mut self.tx, connection => {
            // Two subqueries, for each is answered from an end of the index and both together would read all of it.
            sqlx::query_as("SELECT (SELECT min(number) FROM tokens), (SELECT max(number) FROM tokens)")
                .fetch_one(connection)
                .await?
        });
        Ok(first.zip(last).map_or(0, |(first, last)| from_sql(last) - from_sql(first) + 1))
    }

    /// The next ids of recorded tokens of the epochs up to `covered` that an edge may still accept; none when all were read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn covered_ids(&mut self, covered: u32) -> Result<Vec<RevocationId>, StoreError> {
        // Ids are in the order of their epochs; above those of the last epoch there is none.
        let end = match covered.checked_add(1) {
            Some(epoch) => [epoch.to_be_bytes().as_slice(), &[0; 14]].concat(),
            None => vec![0xff; 19],
        };
        loop {
            // By ranges of numbers, not by count: so no page has to look for its end among tokens that it leaves out.
            let from = self.last;
            let rows: Vec<(i64, Vec<u8>, i64)> = with_connection!(&mut self.tx, connection => {
                sqlx::query_as("SELECT number, id, expires_at FROM tokens WHERE number > $1 ORDER BY number LIMIT $2")
                    .bind(to_sql(from))
                    .bind(to_sql(IDS))
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
                // Of its 18 bytes the last 16 are the name of its revocation.
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
        Ok(PublishedSnapshot {
            number: from_sql(row.number),
            sequence: from_sql(row.sequence),
            epoch: u32::try_from(row.epoch).map_err(|_| StoreError::EpochsExhausted)?,
            as_of_ms: from_sql(row.as_of_ms),
            built_ms: from_sql(row.built_ms),
            revoked: from_sql(row.revoked),
            config: ConfigDigest::from_bytes(fixed_bytes(&row.config, "snapshots")?),
            message: row.message,
        })
    }
}
