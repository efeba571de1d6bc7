//! Group commit: what many callers want written at one time is written in one transaction.
//!
//! A commit costs a wait for the disk, whatever is in it. While one is under way others ask; all of them go into the next. Each
//! caller is answered after the commit that has its part, never before.

pub(crate) mod batch;
pub(crate) mod fast_path;
pub(crate) mod issuing;
pub(crate) mod redeem;

use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::Instant;
use tollgate_model::{AccessToken, NewAuditEntry, NewReinstatement, NewRevocation};

use crate::database::bulk::MAX_ROWS_PER_STATEMENT;
use crate::error::StoreError;
use crate::store::Store;
use crate::writer::batch::{Batch, IssueRequest, ReinstateOutcome, RevokeOutcome, WrittenBatch};
use crate::writer::fast_path::WriterConnection;
use crate::writer::redeem::{RedeemOutcome, RedeemRequest, ReplayKey};

/// Callers that wait at most; one more is told to come back.
const MAX_QUEUED: usize = 16 * 1024;
/// Things written in one transaction at most: it should hold the write lock for milliseconds, and a single statement may do.
const MAX_BATCH: usize = MAX_ROWS_PER_STATEMENT;
/// Age of a transaction from which the callers of its redemptions are checked again before the commit.
const SLOW_TRANSACTION: Duration = Duration::from_secs(1);
/// How often all others have their turn before a transaction begins. With more, those who wait and those who are answered take turns
/// with the disk, and each is idle while the other works.
const YIELDS_BEFORE_BATCH: usize = 3;

/// A handle to the task that writes; clones share it. The task ends with the last of them.
#[derive(Clone)]
pub struct Writer(mpsc::Sender<WriteRequest>);

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// More wait than can be served soon.
    #[error("too many requests wait to be written; try again")]
    Busy,
    /// The task that writes is gone: the origin stops.
    #[error("the origin stops")]
    Stopped,
    /// The database failed; the log says how.
    #[error("the database failed")]
    Database,
    /// The store refused this one.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Answer<T> = oneshot::Sender<Result<T, WriteError>>;

enum WriteRequest {
    Redeem(Box<RedeemRequest>, Answer<RedeemOutcome>),
    See(ReplayKey, Answer<bool>),
    Issue(Box<IssueRequest>, Answer<Box<AccessToken>>),
    Revoke(NewRevocation, Answer<RevokeOutcome>),
    Reinstate(NewReinstatement, Answer<ReinstateOutcome>),
    Note(Box<NewAuditEntry>, Answer<()>),
}

impl WriteRequest {
    /// Whether it is to be carried out. Nothing is redeemed or issued for a caller who has disconnected: they retry, and a code or refresh
    /// token must still be good then. Revocations and audit notes are written in any case.
    fn is_wanted(&self) -> bool {
        match self {
            WriteRequest::Redeem(_, answer) => !answer.is_closed(),
            WriteRequest::See(_, answer) => !answer.is_closed(),
            WriteRequest::Issue(_, answer) => !answer.is_closed(),
            WriteRequest::Reinstate(_, answer) => !answer.is_closed(),
            WriteRequest::Revoke(..) | WriteRequest::Note(..) => true,
        }
    }
}

/// WriteBatch that are to be granted together, sorted as in a [`Batch`].
#[derive(Default)]
struct WriteBatch {
    batch: Batch,
    redeems: Vec<Answer<RedeemOutcome>>,
    replay_keys: Vec<Answer<bool>>,
    issues: Vec<Answer<Box<AccessToken>>>,
    revokes: Vec<Answer<RevokeOutcome>>,
    reinstates: Vec<Answer<ReinstateOutcome>>,
    notes: Vec<Answer<()>>,
}

impl Writer {
    /// A writer, and the task that does its work, to be spawned.
    pub fn new(store: Store) -> (Writer, impl Future<Output = ()> + Send) {
        let (sender, mut receiver) = mpsc::channel(MAX_QUEUED);
        let task = async move {
            let (mut wishes, mut line) = (Vec::with_capacity(MAX_BATCH), WriterConnection::default());
            while let Some(first) = receiver.recv().await {
                wishes.push(first);
                // Whoever is about to ask does so first: a commit costs the same for one and for many.
                for _ in 0..YIELDS_BEFORE_BATCH {
                    yield_now().await;
                }
                while wishes.len() < MAX_BATCH
                    && let Ok(next) = receiver.try_recv()
                {
                    wishes.push(next);
                }
                WriteBatch::sorted(wishes.drain(..).filter(WriteRequest::is_wanted)).grant(&store, &mut line).await;
                if receiver.is_empty() {
                    line.end();
                }
            }
        };
        (Writer(sender), task)
    }

    /// Issues a token. It may be signed and handed out only after this has returned.
    ///
    /// # Errors
    /// When the queue is full, the key is revoked, what it was decided on by has changed, or the database fails.
    pub fn issue<I: Into<IssueRequest>>(
        &self,
        issue: I,
    ) -> impl Future<Output = Result<Box<AccessToken>, WriteError>> + use<I> {
        self.ask(|answer| WriteRequest::Issue(Box::new(issue.into()), answer))
    }

    /// Issues a token for what may be taken once, if nobody took it before.
    ///
    /// # Errors
    /// As [`Writer::issue`].
    pub fn redeem(&self, redeem: RedeemRequest) -> impl Future<Output = Result<RedeemOutcome, WriteError>> + use<> {
        self.ask(|answer| WriteRequest::Redeem(Box::new(redeem), answer))
    }

    /// Remembers what may be shown once; whether it was not shown before.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn record_first_use(&self, key: ReplayKey) -> impl Future<Output = Result<bool, WriteError>> + use<> {
        self.ask(move |answer| WriteRequest::See(key, answer))
    }

    /// Makes a revocation.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn revoke(&self, revoke: NewRevocation) -> impl Future<Output = Result<RevokeOutcome, WriteError>> + use<> {
        self.ask(|answer| WriteRequest::Revoke(revoke, answer))
    }

    /// Lifts revocations.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn reinstate(
        &self,
        reinstate: NewReinstatement,
    ) -> impl Future<Output = Result<ReinstateOutcome, WriteError>> + use<> {
        self.ask(|answer| WriteRequest::Reinstate(reinstate, answer))
    }

    /// Adds a line to the audit log that tells of nothing that is written otherwise, such as a sign-in that was refused.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn record_audit_note(&self, note: NewAuditEntry) -> impl Future<Output = Result<(), WriteError>> + use<> {
        self.ask(|answer| WriteRequest::Note(Box::new(note), answer))
    }

    /// How many callers can wait.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.0.max_capacity() as u64
    }

    /// How many callers wait to have something written.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.0.max_capacity().saturating_sub(self.0.capacity()) as u64
    }

    /// Asks at once; what is given only waits. So a request that waits does not carry what it asked for along.
    fn ask<T, F: FnOnce(Answer<T>) -> WriteRequest>(
        &self,
        wish: F,
    ) -> impl Future<Output = Result<T, WriteError>> + use<T, F> {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.try_send(wish(answer)).map_err(|error| match error {
            TrySendError::Full(_) => WriteError::Busy,
            TrySendError::Closed(_) => WriteError::Stopped,
        });
        async move {
            asked?;
            answered.await.map_err(|_| WriteError::Stopped)?
        }
    }
}

impl WriteBatch {
    fn sorted(all: impl Iterator<Item = WriteRequest>) -> WriteBatch {
        let mut wishes = WriteBatch::default();
        for wish in all {
            match wish {
                WriteRequest::Redeem(redeem, answer) => {
                    wishes.batch.redeems.push(*redeem);
                    wishes.redeems.push(answer);
                }
                WriteRequest::See(key, answer) => {
                    wishes.batch.replay_keys.push(key);
                    wishes.replay_keys.push(answer);
                }
                WriteRequest::Issue(issue, answer) => {
                    wishes.batch.issues.push(*issue);
                    wishes.issues.push(answer);
                }
                WriteRequest::Revoke(revoke, answer) => {
                    wishes.batch.revokes.push(revoke);
                    wishes.revokes.push(answer);
                }
                WriteRequest::Reinstate(reinstate, answer) => {
                    wishes.batch.reinstates.push(reinstate);
                    wishes.reinstates.push(answer);
                }
                WriteRequest::Note(note, answer) => {
                    wishes.batch.notes.push(*note);
                    wishes.notes.push(answer);
                }
            }
        }
        wishes
    }

    /// Writes all in one transaction. If one of them is what fails it, each gets one of its own, so that a bad one spoils nothing
    /// for the others; if it is the database, trying again would only make everybody wait.
    async fn grant(mut self, store: &Store, line: &mut WriterConnection) {
        let written = loop {
            if self.batch.is_empty() {
                return;
            }
            let begun = Instant::now();
            let wanted = || begun.elapsed() < SLOW_TRANSACTION || self.redeems.iter().all(|answer| !answer.is_closed());
            match store.write(&self.batch, line, &wanted).await {
                Err(StoreError::CallerDisconnected) => self.forget_departed(),
                written => break written,
            }
        };
        match written {
            Ok(written) => self.answer(written),
            Err(error) if is_of_one(&error) => {
                tracing::warn!(%error, wishes = self.batch.len(), "a transaction was refused; trying its parts one by one");
                self.grant_each(store).await;
            }
            Err(error) => {
                match error.is_known_outage() {
                    true => tracing::debug!(%error, wishes = self.batch.len(), "nothing could be written"),
                    false => tracing::error!(%error, wishes = self.batch.len(), "nothing could be written"),
                }
                self.refuse();
            }
        }
    }

    /// Drops the redemptions of callers who have disconnected.
    fn forget_departed(&mut self) {
        let before = self.redeems.len();
        let redeems = std::mem::take(&mut self.batch.redeems).into_iter().zip(std::mem::take(&mut self.redeems));
        (self.batch.redeems, self.redeems) = redeems.filter(|(_, answer)| !answer.is_closed()).unzip();
        tracing::info!(departed = before - self.redeems.len(), "callers gave up while the database was slow");
    }

    async fn grant_each(self, store: &Store) {
        let WriteBatch { batch, redeems, replay_keys, issues, revokes, reinstates, notes } = self;
        for (redeem, answer) in batch.redeems.into_iter().zip(redeems).filter(|(_, answer)| !answer.is_closed()) {
            give(answer, store.redeem(redeem).await);
        }
        for (issue, answer) in batch.issues.into_iter().zip(issues) {
            give(answer, store.issue(issue).await.map(Box::new));
        }
        for (revoke, answer) in batch.revokes.into_iter().zip(revokes) {
            give(answer, store.revoke(revoke).await);
        }
        for (reinstate, answer) in batch.reinstates.into_iter().zip(reinstates) {
            give(answer, store.reinstate(reinstate).await);
        }
        for (key, answer) in batch.replay_keys.into_iter().zip(replay_keys) {
            give(answer, store.record_first_use(key).await);
        }
        for (note, answer) in batch.notes.into_iter().zip(notes) {
            give(answer, store.apply(Batch { notes: vec![note], ..Batch::default() }).await.map(drop));
        }
    }

    fn refuse(self) {
        let WriteBatch { batch: _, redeems, replay_keys, issues, revokes, reinstates, notes } = self;
        redeems.into_iter().for_each(|answer| drop(answer.send(Err(WriteError::Database))));
        replay_keys.into_iter().for_each(|answer| drop(answer.send(Err(WriteError::Database))));
        issues.into_iter().for_each(|answer| drop(answer.send(Err(WriteError::Database))));
        revokes.into_iter().for_each(|answer| drop(answer.send(Err(WriteError::Database))));
        reinstates.into_iter().for_each(|answer| drop(answer.send(Err(WriteError::Database))));
        notes.into_iter().for_each(|answer| drop(answer.send(Err(WriteError::Database))));
    }

    fn answer(self, written: WrittenBatch) {
        let outcome = written.of(self.batch);
        self.redeems.into_iter().zip(outcome.redeemed).for_each(|(answer, redeemed)| give(answer, redeemed));
        self.replay_keys.into_iter().zip(outcome.first_uses).for_each(|(answer, new)| give(answer, Ok(new)));
        self.issues.into_iter().zip(outcome.issued).for_each(|(answer, issued)| give(answer, issued));
        self.revokes.into_iter().zip(outcome.revoked).for_each(|(answer, revoked)| give(answer, Ok(revoked)));
        self.reinstates.into_iter().zip(outcome.reinstated).for_each(|(answer, lifted)| give(answer, Ok(lifted)));
        self.notes.into_iter().for_each(|answer| give(answer, Ok(())));
    }
}

/// Whether a transaction failed for what one of its rows says.
fn is_of_one(error: &StoreError) -> bool {
    match error {
        StoreError::Database(sqlx::Error::Database(error)) => error.kind() != sqlx::error::ErrorKind::Other,
        _ => false,
    }
}

/// Whoever asked may have gone away meanwhile: what is written stays written.
fn give<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    drop(answer.send(result.map_err(WriteError::Store)));
}
