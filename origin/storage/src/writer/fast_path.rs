//! Fast path of the writer: batches that only issue tokens and use refresh tokens, in as few round
//! trips as possible.
//!
//! It relies on the preconditions that the previous batch observed. Never: it writes anything if
//! they no longer hold. Each statement checks them itself; if one of them finds a change, nothing
//! is written, and the batch takes the normal path, which finds out what changed and what follows
//! from it.
//!
//! To measure the writer without it, make `Store::remembered_epoch` return `None`.

use std::collections::HashSet;

use tollgate_model::RefreshState;

use crate::database::Connection;
use crate::database::bulk::MAX_ROWS_PER_STATEMENT;
use crate::error::StoreError;
use crate::store::Store;
use crate::store::connections::{BEGIN_IN_EPOCH, BEGIN_ON_SQLITE};
use crate::writer::outcomes::WrittenBatch;
use crate::writer::preconditions::ObservedPreconditions;
use crate::writer::refresh_update::{RefreshUpdate, WriteRefreshUpdates};
use crate::writer::requests::{Batch, CallersWaiting, IssueRequest, RedeemCredential, RedeemRequest};
use crate::writer::token_records::{NewTokenRow, RecordTokens, TokenNumber};

/// Batches that one connection writes in a row before it goes back to the pool, so that others who
/// wait to write get a turn.
const MAX_CONSECUTIVE_BATCHES: usize = 8;

/// A batch that the fast path can write.
struct FastPathBatch<'a> {
    /// The tokens; those of refreshes first.
    issuances: Vec<&'a IssueRequest>,
    refreshes: Vec<RefreshUpdate<'a>>,
    /// Unix second of the refreshes.
    at: u64,
    /// Version of clients and resource servers by which the batch was decided, if it depends on
    /// one.
    registrations: Option<u64>,
}

impl<'a> FastPathBatch<'a> {
    /// The batch, if the fast path can write it.
    fn from_batch(batch: &'a Batch) -> Option<FastPathBatch<'a>> {
        let Batch { redemptions, issuances, revocations, reinstatements, replay_keys, audit_notes } = batch;
        let has_more =
            !(revocations.is_empty() && reinstatements.is_empty() && replay_keys.is_empty() && audit_notes.is_empty());
        let issuances: Vec<&IssueRequest> = redemptions.iter().map(|redeem| &redeem.issue).chain(issuances).collect();
        // A token exchange writes an audit entry and depends on its source token; a token about a
        // user depends on the user.
        let is_plain = |issue: &&IssueRequest| {
            let details = &issue.draft.details;
            details.act.is_none() && details.exchanged_from.is_empty() && issue.user.is_none()
        };
        let are_plain = issuances.iter().all(is_plain);
        if has_more || !are_plain || !(1..=MAX_ROWS_PER_STATEMENT).contains(&issuances.len()) {
            return None;
        }
        let mut versions = issuances.iter().filter_map(|issue| issue.registrations_version);
        let registrations = versions.next();
        let have_one_version = versions.all(|version| Some(version) == registrations);
        let refreshes: Vec<RefreshUpdate> = redemptions.iter().map(refresh).collect::<Option<_>>()?;
        let grants: HashSet<&str> = refreshes.iter().map(|refresh| refresh.grant_id).collect();
        // The requests of a batch arrived within moments; a difference of a second is irrelevant.
        let at = redemptions.first().map_or(0, |redeem| redeem.at);
        let is_possible = have_one_version && grants.len() == refreshes.len();
        is_possible.then_some(FastPathBatch { issuances, refreshes, at, registrations })
    }
}

/// The use of a refresh token, if it is its grant's current one.
fn refresh(redeem: &RedeemRequest) -> Option<RefreshUpdate<'_>> {
    let RedeemCredential::RefreshToken { hash, successor, rotates, .. } = &redeem.credential else {
        return None;
    };
    let (current, previous) = if *rotates { (successor.hash, Some(*hash)) } else { (*hash, None) };
    let state = RefreshState { previous, refreshed_at: Some(redeem.at), ..RefreshState::first(current) };
    Some(RefreshUpdate { grant_id: redeem.grant.as_str(), used: Some(*hash), state, token: successor })
}

impl Store {
    /// Writes a batch if the fast path can write it and the observed preconditions still hold;
    /// returns `None` and writes nothing otherwise.
    pub(crate) async fn try_fast_path(
        &self,
        batch: &Batch,
        connection: &mut WriterConnection,
        callers_waiting: CallersWaiting<'_>,
    ) -> Result<Option<WrittenBatch>, StoreError> {
        let (Some(epoch), Some(fast)) = (self.remembered_epoch(), FastPathBatch::from_batch(batch)) else {
            connection.release();
            return Ok(None);
        };
        let rows = fast.issuances.iter().map(|issue| NewTokenRow::new(&issue.draft, epoch));
        let rows: Vec<NewTokenRow> = rows.collect::<Result<_, _>>()?;
        let observed = ObservedPreconditions { epoch, registrations: fast.registrations };
        let acquired = connection.acquire(self).await?;
        let Some((numbers, acquired)) = fast.try_write(&rows, observed, acquired, callers_waiting).await? else {
            return Ok(None);
        };
        connection.keep(acquired);
        let numbers = numbers.into_iter().map(|number| TokenNumber { epoch, number });
        Ok(Some(WrittenBatch::all_issued(numbers, &batch.redemptions)))
    }
}

impl FastPathBatch<'_> {
    /// Writes the batch, and returns the numbers of the tokens and the connection; `None` if
    /// nothing was written.
    async fn try_write(
        &self,
        rows: &[NewTokenRow<'_>],
        observed: ObservedPreconditions,
        mut connection: Connection,
        callers_waiting: CallersWaiting<'_>,
    ) -> Result<Option<(Vec<u64>, Connection)>, StoreError> {
        if self.refreshes.is_empty() {
            // A single statement is a transaction of its own.
            let numbers =
                with_connection!(&mut connection, connection => connection.record_tokens(rows, Some(observed)).await?);
            if numbers.len() < rows.len() {
                return Ok(None);
            }
            connection.record_write();
            return Ok(Some((numbers, connection)));
        }
        let mut tx = connection.begin(BEGIN_ON_SQLITE, BEGIN_IN_EPOCH).await?;
        let used = with_connection!(&mut tx, connection => {
            connection.write_refresh_updates(&self.refreshes, Some(self.at)).await?
        });
        if used < self.refreshes.len() as u64 {
            return Ok(None);
        }
        let numbers = with_connection!(&mut tx, connection => connection.record_tokens(rows, Some(observed)).await?);
        if !callers_waiting() {
            return Err(StoreError::CallerDisconnected);
        }
        if numbers.len() < rows.len() {
            return Ok(None);
        }
        Ok(Some((numbers, tx.commit_and_keep().await?)))
    }
}

/// The connection that the writer keeps between batches: checking one out of the pool and back
/// costs about as much as writing a batch.
#[derive(Default)]
pub(crate) struct WriterConnection {
    connection: Option<Connection>,
    /// Batches written since it was checked out.
    batches: usize,
}

impl WriterConnection {
    /// Gives the connection back to the pool.
    pub(crate) fn release(&mut self) {
        *self = WriterConnection::default();
    }

    async fn acquire(&mut self, store: &Store) -> Result<Connection, StoreError> {
        match self.connection.take().filter(|connection| !connection.is_stale()) {
            Some(connection) => Ok(connection),
            None => {
                self.batches = 0;
                store.writing_connection().await
            }
        }
    }

    fn keep(&mut self, connection: Connection) {
        self.batches += 1;
        if self.batches < MAX_CONSECUTIVE_BATCHES {
            self.connection = Some(connection);
        } else {
            self.release();
        }
    }
}
