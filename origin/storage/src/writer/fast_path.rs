//! The usual batch, in as few rounds to the database as can be: tokens that need nothing but to be recorded, and uses of refresh tokens
//! that nobody used before.
//!
//! It goes by what was so when tokens were last issued. Each statement is carried out only as far as that still is so; if it is not, nothing
//! is written, and the batch goes the long way, which finds out why and what is to be done.

use std::collections::HashSet;
use std::sync::PoisonError;

use tollgate_model::RefreshState;

use crate::database::Connection;
use crate::database::bulk::MAX_ROWS_PER_STATEMENT;
use crate::database::connections::{BEGIN_IN_EPOCH, BEGIN_ON_SQLITE};
use crate::error::StoreError;
use crate::store::Store;
use crate::writer::batch::{Batch, CallersWaiting, IssueRequest, WrittenBatch};
use crate::writer::issuing::{IssuancePreconditions, NewTokenRow, ObservedPreconditions, Place, RecordTokens};
use crate::writer::redeem::{RedeemCredential, RedeemRequest, RotateRefreshTokens, Rotation};

/// Batches that go by one connection, one after the other, until it is lent to whoever else waits to write.
const MAX_CONSECUTIVE_BATCHES: usize = 8;

/// What such a batch writes.
struct FastPathBatch<'a> {
    /// The tokens: those of the refresh tokens first.
    issues: Vec<&'a IssueRequest>,
    /// The grants whose refresh tokens are used.
    rotations: Vec<Rotation<'a>>,
    /// When, Unix seconds.
    at: u64,
    /// By which state of clients and resource servers it was decided on, if by any.
    registrations: Option<u64>,
}

impl<'a> FastPathBatch<'a> {
    /// The batch, if it is such a one.
    fn of(batch: &'a Batch) -> Option<FastPathBatch<'a>> {
        let Batch { redeems, issues, revokes, reinstates, replay_keys, notes } = batch;
        let is_more = !(revokes.is_empty() && reinstates.is_empty() && replay_keys.is_empty() && notes.is_empty());
        let issues: Vec<&IssueRequest> = redeems.iter().map(|redeem| &redeem.issue).chain(issues).collect();
        // A token that is handed on leaves a line in the audit log, one that it is exchanged from may be revoked, and one about a user must
        // find them active.
        let is_plain = |issue: &&IssueRequest| {
            let details = &issue.draft.details;
            details.act.is_none() && details.exchanged_from.is_empty() && issue.user.is_none()
        };
        let are_plain = issues.iter().all(is_plain);
        if is_more || !are_plain || !(1..=MAX_ROWS_PER_STATEMENT).contains(&issues.len()) {
            return None;
        }
        let mut states = issues.iter().filter_map(|issue| issue.registrations_version);
        let registrations = states.next();
        let agree = states.all(|state| Some(state) == registrations);
        let rotations: Vec<Rotation> = redeems.iter().map(refreshed).collect::<Option<_>>()?;
        let grants: HashSet<&str> = rotations.iter().map(|(grant, _, _)| *grant).collect();
        // WriteBatch of one moment; a second more or less decides nothing.
        let at = redeems.first().map_or(0, |redeem| redeem.at);
        (agree && grants.len() == rotations.len()).then_some(FastPathBatch { issues, rotations, at, registrations })
    }
}

/// What comes of a refresh token that is its grant's current one.
fn refreshed(redeem: &RedeemRequest) -> Option<Rotation<'_>> {
    let RedeemCredential::RefreshToken { hash, successor, .. } = &redeem.credential else {
        return None;
    };
    let first = RefreshState::first(successor.hash);
    let state = RefreshState { previous: Some(*hash), refreshed_at: Some(redeem.at), ..first };
    Some((redeem.grant.as_str(), state, successor))
}

impl Store {
    /// Remembers what a transaction found to bar tokens, for the next that goes by it.
    pub(crate) fn found(&self, bars: &IssuancePreconditions) {
        *self.open_epoch.lock().unwrap_or_else(PoisonError::into_inner) = bars.open_epoch();
    }

    /// Writes all of a batch, if it is a usual one and nothing has changed; else nothing.
    pub(crate) async fn try_fast_path(
        &self,
        batch: &Batch,
        line: &mut WriterConnection,
        wanted: CallersWaiting<'_>,
    ) -> Result<Option<WrittenBatch>, StoreError> {
        let open_epoch = *self.open_epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(epoch), Some(usual)) = (open_epoch, FastPathBatch::of(batch)) else {
            line.end();
            return Ok(None);
        };
        let rows = usual.issues.iter().map(|issue| NewTokenRow::new(&issue.draft, epoch));
        let rows: Vec<NewTokenRow> = rows.collect::<Result<_, _>>()?;
        let seen = ObservedPreconditions { epoch, registrations: usual.registrations };
        let connection = line.take(self).await?;
        let Some((numbers, connection)) = usual.record(&rows, seen, connection, wanted).await? else {
            return Ok(None);
        };
        line.keep(connection);
        let places = numbers.into_iter().map(|number| Place { epoch, number });
        Ok(Some(WrittenBatch::all_issued(places, batch.redeems.len())))
    }
}

impl FastPathBatch<'_> {
    /// The numbers of the tokens, and the connection; none, and no connection, if nothing was written.
    async fn record(
        &self,
        rows: &[NewTokenRow<'_>],
        seen: ObservedPreconditions,
        mut connection: Connection,
        wanted: CallersWaiting<'_>,
    ) -> Result<Option<(Vec<u64>, Connection)>, StoreError> {
        if self.rotations.is_empty() {
            // A statement by itself is a transaction, too.
            let numbers =
                with_connection!(&mut connection, connection => connection.record_tokens(rows, Some(seen)).await?);
            if numbers.len() < rows.len() {
                return Ok(None);
            }
            connection.note_written();
            return Ok(Some((numbers, connection)));
        }
        let mut tx = connection.begin(BEGIN_ON_SQLITE, BEGIN_IN_EPOCH).await?;
        let rotations = with_connection!(&mut tx, connection => connection.rotate_refresh_tokens(&self.rotations, Some(self.at)).await?);
        if rotations < self.rotations.len() as u64 {
            return Ok(None);
        }
        let numbers = with_connection!(&mut tx, connection => connection.record_tokens(rows, Some(seen)).await?);
        if !wanted() {
            return Err(StoreError::CallerDisconnected);
        }
        if numbers.len() < rows.len() {
            return Ok(None);
        }
        Ok(Some((numbers, tx.commit_and_keep().await?)))
    }
}

/// The connection of whoever writes again and again: what a pool does before and after each use costs about as much as the writing.
#[derive(Default)]
pub(crate) struct WriterConnection {
    connection: Option<Connection>,
    /// How often it was kept.
    kept: usize,
}

impl WriterConnection {
    /// Gives it back.
    pub(crate) fn end(&mut self) {
        *self = WriterConnection::default();
    }

    async fn take(&mut self, store: &Store) -> Result<Connection, StoreError> {
        match self.connection.take().filter(|connection| !connection.is_shed()) {
            Some(connection) => Ok(connection),
            None => {
                self.kept = 0;
                store.writing_connection().await
            }
        }
    }

    fn keep(&mut self, connection: Connection) {
        self.kept += 1;
        if self.kept < MAX_CONSECUTIVE_BATCHES {
            self.connection = Some(connection);
        } else {
            self.end();
        }
    }
}
