//! Streams of security events (OpenID Shared Signals), and the signals that they deliver.

use std::collections::BTreeSet;

use tollgate_core::{RevocationKind, RevokedBefore};
use tollgate_model::event_stream::{Delivery, EventType, Stream, StreamName};
use tollgate_model::{AuditAction, AuditKind};

use crate::database::Tx;
use crate::database::values::{from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// A delta as receivers of security events get it: what changed, when, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Sequence of the delta.
    pub sequence: u64,
    pub kind: RevocationKind,
    /// Name of the target; for a revocation of everything, a time.
    pub name: String,
    /// The mark from now on.
    pub mark: RevokedBefore,
    pub is_reinstatement: bool,
    /// Unix seconds.
    pub at: u64,
    /// Actor.
    pub by: String,
    pub reason: Option<String>,
    /// Unix second after which the signal is irrelevant.
    pub void_after: u64,
}

impl Signal {
    /// The CAEP event type by which a stream delivers this signal.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        if self.kind == RevocationKind::Token || self.mark == RevokedBefore::NOT_REVOKED {
            EventType::TokenClaimsChange
        } else {
            EventType::SessionRevoked
        }
    }

    /// Whether another revocation of the target is still in force after a reinstatement.
    #[must_use]
    pub fn is_still_revoked(&self) -> bool {
        self.is_reinstatement && self.mark != RevokedBefore::NOT_REVOKED
    }
}

#[derive(sqlx_macros::FromRow)]
struct SignalRow {
    sequence: i64,
    kind: i64,
    name: String,
    mark: i64,
    is_reinstatement: bool,
    at: i64,
    actor: String,
    reason: Option<String>,
    void_after: i64,
}

impl TryFrom<SignalRow> for Signal {
    type Error = StoreError;

    fn try_from(row: SignalRow) -> Result<Signal, StoreError> {
        Ok(Signal {
            sequence: from_sql(row.sequence),
            kind: revocation_kind(row.kind, "signals")?,
            name: row.name,
            mark: mark_from_sql(row.mark),
            is_reinstatement: row.is_reinstatement,
            at: from_sql(row.at),
            by: row.actor,
            reason: row.reason,
            void_after: from_sql(row.void_after),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
struct StreamRow {
    number: i64,
    name: String,
    audience: String,
    client_id: Option<String>,
    url: Option<String>,
    sealed_authorization: Option<Vec<u8>>,
    events: String,
    acknowledged: i64,
    acknowledged_at_ms: Option<i64>,
    refused: i64,
    problem: Option<String>,
    created_at: i64,
}

impl TryFrom<StreamRow> for Stream {
    type Error = StoreError;

    fn try_from(row: StreamRow) -> Result<Stream, StoreError> {
        let corrupt = StoreError::corrupt("streams");
        let events = row.events.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(&corrupt)?;
        Ok(Stream {
            number: from_sql(row.number),
            name: row.name.parse().map_err(&corrupt)?,
            audience: row.audience.parse().map_err(&corrupt)?,
            client: row.client_id.map(|id| id.parse()).transpose().map_err(&corrupt)?,
            delivery: match row.url {
                None => Delivery::Poll,
                Some(url) => Delivery::Push {
                    url: url.parse().map_err(&corrupt)?,
                    sealed_authorization: row.sealed_authorization,
                },
            },
            events,
            acknowledged: from_sql(row.acknowledged),
            acknowledged_at_ms: row.acknowledged_at_ms.map(from_sql),
            refused: from_sql(row.refused),
            problem: row.problem,
            created_at: from_sql(row.created_at),
        })
    }
}

impl Store {
    /// Registers a stream, which delivers what follows the newest delta, and returns it as
    /// registered.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when its name is taken; [`StoreError::NoIssuer`] when the
    /// database has no issuer yet.
    pub async fn create_stream(&self, stream: &Stream) -> Result<Stream, StoreError> {
        let events: Vec<&str> = stream.events.iter().map(|event| event.name()).collect();
        let (url, sealed) = match &stream.delivery {
            Delivery::Push { url, sealed_authorization } => (Some(url.as_str()), sealed_authorization.as_deref()),
            Delivery::Poll => (None, None),
        };
        let mut tx = self.begin_write().await?;
        // Locks the row of the feed first: a transaction that writes a later delta sees the stream,
        // and earlier deltas are at or below the sequence read here.
        tx.bump_version().await?;
        let acknowledged: Option<i64> = with_connection!(&mut tx, connection => {
            sqlx::query_scalar("SELECT sequence FROM feed").fetch_optional(connection).await?
        });
        let row = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, StreamRow>(
                "INSERT INTO streams
                 (name, audience, client_id, url, sealed_authorization, events, acknowledged, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING RETURNING *",
            )
            .bind(stream.name.as_str())
            .bind(stream.audience.as_str())
            .bind(stream.client.as_ref().map(|client| client.as_str()))
            .bind(url)
            .bind(sealed)
            .bind(events.join(" "))
            .bind(acknowledged.ok_or(StoreError::NoIssuer)?)
            .bind(to_sql(stream.created_at))
            .fetch_optional(connection)
            .await?
        });
        let registered = Stream::try_from(row.ok_or(StoreError::AlreadyExists("stream"))?)?;
        tx.write_audit_entries(&[self.audit_entry(AuditAction::Create, AuditKind::Stream, stream.name.as_str())])
            .await?;
        self.commit_and_notify(tx).await?;
        Ok(registered)
    }

    pub async fn list_streams(&self) -> Result<Vec<Stream>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, StreamRow>("SELECT * FROM streams ORDER BY name").fetch_all(connection).await?
        });
        rows.into_iter().map(Stream::try_from).collect()
    }

    pub async fn find_stream(&self, name: &StreamName) -> Result<Option<Stream>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, StreamRow>("SELECT * FROM streams WHERE name = $1")
                .bind(name.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(Stream::try_from).transpose()
    }

    /// Deletes a stream. Returns false if it does not exist.
    pub async fn delete_stream(&self, name: &StreamName) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        // Locks in the order that every writer keeps: the row of the feed before the streams.
        tx.bump_version().await?;
        let deleted = with_connection!(&mut tx, connection => {
            sqlx::query("DELETE FROM streams WHERE name = $1").bind(name.as_str()).execute(connection).await?.rows_affected()
        });
        if deleted > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Remove, AuditKind::Stream, name.as_str())]).await?;
        }
        self.commit_and_notify(tx).await?;
        Ok(deleted > 0)
    }

    /// The signals that a stream must deliver and that are not acknowledged, oldest first, among
    /// the first `window` signals after its position. If `delivers` selects none of a full window,
    /// the position moves on, and the next window is read.
    pub async fn list_pending_signals(
        &self,
        stream: u64,
        window: u64,
        delivers: impl Fn(&Signal) -> bool,
    ) -> Result<Vec<Signal>, StoreError> {
        loop {
            let mut tx = self.begin_read().await?;
            let Some(from) = tx.stream_position(stream).await? else {
                return Ok(Vec::new());
            };
            let signals = tx.signals_after(from, window).await?;
            let early = tx.early_acknowledgements(stream).await?;
            drop(tx);
            let is_full = signals.len() as u64 >= window;
            let last = signals.last().map_or(from, |signal| signal.sequence);
            let pending: Vec<Signal> =
                signals.into_iter().filter(|signal| delivers(signal) && !early.contains(&signal.sequence)).collect();
            if !pending.is_empty() || !is_full {
                return Ok(pending);
            }
            self.skip_signals(stream, last).await?;
        }
    }

    /// Records which of the `window` signals after a stream's position were acknowledged, and moves
    /// the position to the first signal that was not. `acknowledged` returns whether a signal was
    /// received, and if so, whether it was refused.
    pub async fn acknowledge_signals(
        &self,
        stream: u64,
        window: u64,
        acknowledged: impl Fn(&Signal) -> Option<bool>,
        delivers: impl Fn(&Signal) -> bool,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let Some(from) = tx.lock_stream(stream).await? else {
            return Ok(());
        };
        let mut early = tx.early_acknowledgements(stream).await?;
        let (mut to, mut is_contiguous, mut refused) = (from, true, 0);
        let mut new_early = Vec::new();
        for signal in tx.signals_after(from, window).await? {
            if !delivers(&signal) {
                // Not delivered by this stream, so nothing to acknowledge.
            } else if let Some(refusal) = acknowledged(&signal) {
                if early.insert(signal.sequence) {
                    refused += u64::from(refusal);
                    new_early.push(signal.sequence);
                }
            } else if !early.contains(&signal.sequence) {
                is_contiguous = false;
            }
            if is_contiguous {
                to = signal.sequence;
            }
        }
        new_early.retain(|sequence| *sequence > to);
        tx.advance_stream(stream, to, &new_early, refused, now_ms).await?;
        tx.commit().await
    }

    /// Records that the last delivery failed, for the list of streams.
    pub async fn record_stream_problem(&self, stream: u64, problem: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE streams SET problem = $2 WHERE number = $1")
                .bind(to_sql(stream))
                .bind(problem)
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// Moves the position of a stream past signals that it does not deliver.
    async fn skip_signals(&self, stream: u64, to: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE streams SET acknowledged = $2 WHERE number = $1 AND acknowledged < $2")
                .bind(to_sql(stream))
                .bind(to_sql(to))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// Deletes the signals that every stream has passed, and those that are irrelevant at the Unix
    /// second `now`; returns their number.
    pub async fn sweep_signals(&self, now: u64) -> Result<u64, StoreError> {
        let mut tx = self.begin_write().await?;
        tx.allow_long_statements().await?;
        let swept = with_connection!(&mut tx, connection => {
            sqlx::query(
                "DELETE FROM signals WHERE void_after < $1
                 OR NOT EXISTS (SELECT 1 FROM streams WHERE streams.acknowledged < signals.sequence)",
            )
            .bind(to_sql(now))
            .execute(connection)
            .await?
            .rows_affected()
        });
        tx.commit().await?;
        Ok(swept)
    }
}

impl Tx {
    /// Records signals, if a stream is registered. The caller has locked the row of the feed: see
    /// [`Store::create_stream`].
    pub(crate) async fn insert_signals(&mut self, signals: &[Signal]) -> Result<(), StoreError> {
        let any_stream: Option<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar("SELECT number FROM streams LIMIT 1").fetch_optional(connection).await?
        });
        if any_stream.is_none() {
            return Ok(());
        }
        insert_rows!(
            self,
            "INSERT INTO signals (sequence, kind, name, mark, is_reinstatement, at, actor, reason, void_after)",
            "",
            signals,
            |row, signal| row
                .push_bind(to_sql(signal.sequence))
                .push_bind(i64::from(signal.kind.to_byte()))
                .push_bind(&signal.name)
                .push_bind(to_sql(signal.mark.0))
                .push_bind(signal.is_reinstatement)
                .push_bind(to_sql(signal.at))
                .push_bind(&signal.by)
                .push_bind(&signal.reason)
                .push_bind(to_sql(signal.void_after))
        );
        Ok(())
    }

    async fn stream_position(&mut self, stream: u64) -> Result<Option<u64>, StoreError> {
        let sequence: Option<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar("SELECT acknowledged FROM streams WHERE number = $1")
                .bind(to_sql(stream))
                .fetch_optional(connection)
                .await?
        });
        Ok(sequence.map(from_sql))
    }

    /// The position of a stream, locked until this transaction ends.
    async fn lock_stream(&mut self, stream: u64) -> Result<Option<u64>, StoreError> {
        let sequence: Option<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar("UPDATE streams SET acknowledged = acknowledged WHERE number = $1 RETURNING acknowledged")
                .bind(to_sql(stream))
                .fetch_optional(connection)
                .await?
        });
        Ok(sequence.map(from_sql))
    }

    async fn early_acknowledgements(&mut self, stream: u64) -> Result<BTreeSet<u64>, StoreError> {
        let early: Vec<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar("SELECT sequence FROM early_acknowledgements WHERE stream = $1")
                .bind(to_sql(stream))
                .fetch_all(connection)
                .await?
        });
        Ok(early.into_iter().map(from_sql).collect())
    }

    async fn signals_after(&mut self, from: u64, limit: u64) -> Result<Vec<Signal>, StoreError> {
        let rows = with_connection!(&mut *self, connection => {
            sqlx::query_as::<_, SignalRow>("SELECT * FROM signals WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(to_sql(from))
                .bind(to_sql(limit))
                .fetch_all(connection)
                .await?
        });
        rows.into_iter().map(Signal::try_from).collect()
    }

    async fn advance_stream(
        &mut self,
        stream: u64,
        to: u64,
        early: &[u64],
        refused: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "UPDATE streams SET acknowledged = $2, refused = refused + $3, acknowledged_at_ms = $4, problem = NULL
                 WHERE number = $1",
            )
            .bind(to_sql(stream))
            .bind(to_sql(to))
            .bind(to_sql(refused))
            .bind(to_sql(now_ms))
            .execute(&mut *connection)
            .await?;
            sqlx::query("DELETE FROM early_acknowledgements WHERE stream = $1 AND sequence <= $2")
                .bind(to_sql(stream))
                .bind(to_sql(to))
                .execute(connection)
                .await?;
        });
        for sequence in early {
            with_connection!(&mut *self, connection => {
                sqlx::query("INSERT INTO early_acknowledgements (stream, sequence) VALUES ($1, $2)")
                    .bind(to_sql(stream))
                    .bind(to_sql(*sequence))
                    .execute(connection)
                    .await?;
            });
        }
        Ok(())
    }
}
