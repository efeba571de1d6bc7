//! Group commit: requests that arrive at about the same time are written in one transaction.
//!
//! A commit waits for the disk, however much it contains. Requests that arrive during a commit are
//! written together by the next one. Never: a caller is answered before the commit that contains
//! its request.

pub(crate) mod batch;
pub(crate) mod epoch;
pub(crate) mod fast_path;
pub(crate) mod first_use;
pub(crate) mod outcomes;
pub(crate) mod preconditions;
pub(crate) mod redeem;
pub(crate) mod refresh_update;
pub(crate) mod requests;
pub(crate) mod token_records;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tollgate_model::{AccessToken, NewAuditEntry, NewReinstatement, NewRevocation};
use tollgate_system::current_request::{self, Part};
use tollgate_system::histogram::{Durations, Histogram};

use crate::database::bulk::MAX_ROWS_PER_STATEMENT;
use crate::error::StoreError;
use crate::revocation::revocations::{ReinstateOutcome, RevokeOutcome};
use crate::store::Store;
use crate::writer::fast_path::WriterConnection;
use crate::writer::first_use::ReplayKey;
use crate::writer::outcomes::{RedeemOutcome, WrittenBatch};
use crate::writer::requests::{Batch, IssueRequest, RedeemRequest};

/// Maximum waiting requests; further ones are refused with [`WriteError::Busy`].
const MAX_QUEUED: usize = 16 * 1024;
/// Maximum requests per transaction: it should hold the write lock for milliseconds only, and fit
/// into one statement per table.
const MAX_BATCH: usize = MAX_ROWS_PER_STATEMENT;
/// Age of a transaction from which its callers are checked again before the commit.
const SLOW_TRANSACTION: Duration = Duration::from_secs(1);
/// Number of scheduler yields before a batch is closed, so that concurrent requests can join it.
/// With more yields, the writer idles while callers work and callers idle while the disk works.
const YIELDS_BEFORE_BATCH: usize = 3;

/// A handle to the writer task; clones share it. The task ends when the last handle is dropped.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<WriteRequest>,
    histograms: Arc<WriterHistograms>,
}

#[derive(Debug, Default)]
struct WriterHistograms {
    waits: Histogram,
    batches: Histogram,
}

/// Statistics of the writer.
#[derive(Debug, Clone, Copy)]
pub struct WriterStatistics {
    /// Waits of requests in the queue.
    pub waits: Durations,
    /// Durations of batches.
    pub batches: Durations,
}

/// A request was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The queue is full.
    #[error("too many requests are waiting to be written; try again")]
    Busy,
    /// The writer task has ended: the origin is shutting down.
    #[error("the origin is shutting down")]
    Stopped,
    /// The database failed; the log has the details.
    #[error("the database failed")]
    Database,
    /// The store refused this request.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where to send the result of a request.
struct Answer<T> {
    sender: oneshot::Sender<Written<T>>,
    queued_at: Instant,
    /// When the batch of the request was closed.
    written_from: Instant,
}

/// Result of a request, and when its batch was closed.
type Written<T> = (Result<T, WriteError>, Instant);

impl<T> Answer<T> {
    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Ends the wait in the queue.
    fn begin(mut self, at: Instant, histograms: &WriterHistograms) -> Answer<T> {
        histograms.waits.observe(at.saturating_duration_since(self.queued_at));
        self.written_from = at;
        self
    }

    /// Sends the result, unless the caller has disconnected.
    fn send(self, result: Result<T, WriteError>) {
        let _ = self.sender.send((result, self.written_from));
    }
}

/// A queued request, and where to send its result.
enum WriteRequest {
    Redeem(Box<RedeemRequest>, Answer<RedeemOutcome>),
    RecordFirstUse(ReplayKey, Answer<bool>),
    Issue(Box<IssueRequest>, Answer<Box<AccessToken>>),
    Revoke(NewRevocation, Answer<RevokeOutcome>),
    Reinstate(NewReinstatement, Answer<ReinstateOutcome>),
    AuditNote(Box<NewAuditEntry>, Answer<()>),
}

impl WriteRequest {
    /// Whether the request is still to be written. Nothing is redeemed or issued for a caller that
    /// has disconnected: it will retry, and its code or refresh token must be valid then.
    /// Revocations and audit notes are always written.
    fn is_wanted(&self) -> bool {
        match self {
            WriteRequest::Redeem(_, answer) => !answer.is_closed(),
            WriteRequest::RecordFirstUse(_, answer) => !answer.is_closed(),
            WriteRequest::Issue(_, answer) => !answer.is_closed(),
            WriteRequest::Reinstate(_, answer) => !answer.is_closed(),
            WriteRequest::Revoke(..) | WriteRequest::AuditNote(..) => true,
        }
    }
}

/// A batch with the answers of its requests, in the same order.
#[derive(Default)]
struct WriteBatch {
    batch: Batch,
    redemptions: Vec<Answer<RedeemOutcome>>,
    replay_keys: Vec<Answer<bool>>,
    issuances: Vec<Answer<Box<AccessToken>>>,
    revocations: Vec<Answer<RevokeOutcome>>,
    reinstatements: Vec<Answer<ReinstateOutcome>>,
    audit_notes: Vec<Answer<()>>,
}

impl Writer {
    /// Returns a writer, and its task, which the caller must spawn.
    pub fn new(store: Store) -> (Writer, impl Future<Output = ()> + Send) {
        let (queue, mut receiver) = mpsc::channel(MAX_QUEUED);
        let histograms = Arc::new(WriterHistograms::default());
        let writer = Writer { queue, histograms: Arc::clone(&histograms) };
        let task = async move {
            let (mut requests, mut connection) = (Vec::with_capacity(MAX_BATCH), WriterConnection::default());
            while let Some(first) = receiver.recv().await {
                requests.push(first);
                for _ in 0..YIELDS_BEFORE_BATCH {
                    yield_now().await;
                }
                while requests.len() < MAX_BATCH
                    && let Ok(next) = receiver.try_recv()
                {
                    requests.push(next);
                }
                let wanted = requests.drain(..).filter(WriteRequest::is_wanted);
                let began = Instant::now();
                WriteBatch::collect(wanted, began, &histograms).commit(&store, &mut connection).await;
                histograms.batches.observe(began.elapsed());
                if receiver.is_empty() {
                    connection.release();
                }
            }
        };
        (writer, task)
    }

    /// Issues a token. It may be signed and returned to the client only after this has returned.
    ///
    /// # Errors
    /// When the queue is full, the token may not be issued, or the database fails.
    pub fn issue<I: Into<IssueRequest>>(
        &self,
        issue: I,
    ) -> impl Future<Output = Result<Box<AccessToken>, WriteError>> + use<I> {
        self.send(|answer| WriteRequest::Issue(Box::new(issue.into()), answer))
    }

    /// Redeems a credential for a token.
    ///
    /// # Errors
    /// As [`Writer::issue`].
    pub fn redeem(&self, redeem: RedeemRequest) -> impl Future<Output = Result<RedeemOutcome, WriteError>> + use<> {
        self.send(|answer| WriteRequest::Redeem(Box::new(redeem), answer))
    }

    /// Records the use of a replay key, and returns whether it is the first.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn record_first_use(&self, key: ReplayKey) -> impl Future<Output = Result<bool, WriteError>> + use<> {
        self.send(move |answer| WriteRequest::RecordFirstUse(key, answer))
    }

    /// Makes a revocation.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn revoke(&self, revoke: NewRevocation) -> impl Future<Output = Result<RevokeOutcome, WriteError>> + use<> {
        self.send(|answer| WriteRequest::Revoke(revoke, answer))
    }

    /// Lifts revocations.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn reinstate(
        &self,
        reinstate: NewReinstatement,
    ) -> impl Future<Output = Result<ReinstateOutcome, WriteError>> + use<> {
        self.send(|answer| WriteRequest::Reinstate(reinstate, answer))
    }

    /// Adds an audit entry about something that is not written otherwise, such as a failed sign-in.
    ///
    /// # Errors
    /// When the queue is full or the database fails.
    pub fn record_audit_note(&self, note: NewAuditEntry) -> impl Future<Output = Result<(), WriteError>> + use<> {
        self.send(|answer| WriteRequest::AuditNote(Box::new(note), answer))
    }

    /// Maximum number of queued requests.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.queue.max_capacity() as u64
    }

    /// Number of queued requests.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queue.max_capacity().saturating_sub(self.queue.capacity()) as u64
    }

    /// Statistics since the start.
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        WriterStatistics { waits: self.histograms.waits.read(), batches: self.histograms.batches.read() }
    }

    /// Queues the request immediately; the returned future only waits for the result, so a waiting
    /// caller does not keep the request in memory.
    fn send<T, F: FnOnce(Answer<T>) -> WriteRequest>(
        &self,
        request: F,
    ) -> impl Future<Output = Result<T, WriteError>> + use<T, F> {
        let ((sender, result), queued_at) = (oneshot::channel(), Instant::now());
        let answer = Answer { sender, queued_at, written_from: queued_at };
        let queued = self.queue.try_send(request(answer)).map_err(|error| match error {
            TrySendError::Full(_) => WriteError::Busy,
            TrySendError::Closed(_) => WriteError::Stopped,
        });
        async move {
            queued?;
            let (result, began) = result.await.map_err(|_| WriteError::Stopped)?;
            current_request::record(Part::Queue, "writer", queued_at, began.saturating_duration_since(queued_at));
            current_request::record(Part::Database, "writer", began, began.elapsed());
            result
        }
    }
}

impl WriteBatch {
    fn collect(
        requests: impl Iterator<Item = WriteRequest>,
        began: Instant,
        histograms: &WriterHistograms,
    ) -> WriteBatch {
        let mut collected = WriteBatch::default();
        for request in requests {
            match request {
                WriteRequest::Redeem(redeem, answer) => {
                    collected.batch.redemptions.push(*redeem);
                    collected.redemptions.push(answer.begin(began, histograms));
                }
                WriteRequest::RecordFirstUse(key, answer) => {
                    collected.batch.replay_keys.push(key);
                    collected.replay_keys.push(answer.begin(began, histograms));
                }
                WriteRequest::Issue(issue, answer) => {
                    collected.batch.issuances.push(*issue);
                    collected.issuances.push(answer.begin(began, histograms));
                }
                WriteRequest::Revoke(revoke, answer) => {
                    collected.batch.revocations.push(revoke);
                    collected.revocations.push(answer.begin(began, histograms));
                }
                WriteRequest::Reinstate(reinstate, answer) => {
                    collected.batch.reinstatements.push(reinstate);
                    collected.reinstatements.push(answer.begin(began, histograms));
                }
                WriteRequest::AuditNote(note, answer) => {
                    collected.batch.audit_notes.push(*note);
                    collected.audit_notes.push(answer.begin(began, histograms));
                }
            }
        }
        collected
    }

    /// Writes all requests in one transaction and answers them. If one of them makes the
    /// transaction fail, each is written in a transaction of its own, so that it fails alone. If
    /// the database fails, all are refused: another attempt would only make the callers wait
    /// longer.
    async fn commit(mut self, store: &Store, connection: &mut WriterConnection) {
        let written = loop {
            if self.batch.is_empty() {
                return;
            }
            let begun = Instant::now();
            let callers_waiting =
                || begun.elapsed() < SLOW_TRANSACTION || self.redemptions.iter().all(|answer| !answer.is_closed());
            match store.write(&self.batch, connection, &callers_waiting).await {
                Err(StoreError::CallerDisconnected) => self.drop_disconnected(),
                written => break written,
            }
        };
        match written {
            Ok(written) => self.answer(written),
            Err(error) if is_about_one_row(&error) => {
                let requests = self.batch.len();
                tracing::warn!(%error, requests, "a transaction was refused; writing its requests one by one");
                self.commit_each(store).await;
            }
            Err(error) => {
                match error.is_known_outage() {
                    true => tracing::debug!(%error, requests = self.batch.len(), "requests could not be written"),
                    false => tracing::error!(%error, requests = self.batch.len(), "requests could not be written"),
                }
                self.refuse();
            }
        }
    }

    /// Drops the redemptions whose callers have disconnected.
    fn drop_disconnected(&mut self) {
        let before = self.redemptions.len();
        let redemptions =
            std::mem::take(&mut self.batch.redemptions).into_iter().zip(std::mem::take(&mut self.redemptions));
        (self.batch.redemptions, self.redemptions) = redemptions.filter(|(_, answer)| !answer.is_closed()).unzip();
        let disconnected = before - self.redemptions.len();
        tracing::info!(disconnected, "callers disconnected while the database was slow");
    }

    async fn commit_each(self, store: &Store) {
        let WriteBatch { batch, redemptions, replay_keys, issuances, revocations, reinstatements, audit_notes } = self;
        for (redeem, answer) in batch.redemptions.into_iter().zip(redemptions).filter(|(_, answer)| !answer.is_closed())
        {
            send_result(answer, store.redeem(redeem).await);
        }
        for (issue, answer) in batch.issuances.into_iter().zip(issuances) {
            send_result(answer, store.issue(issue).await.map(Box::new));
        }
        for (revoke, answer) in batch.revocations.into_iter().zip(revocations) {
            send_result(answer, store.revoke(revoke).await);
        }
        for (reinstate, answer) in batch.reinstatements.into_iter().zip(reinstatements) {
            send_result(answer, store.reinstate(reinstate).await);
        }
        for (key, answer) in batch.replay_keys.into_iter().zip(replay_keys) {
            send_result(answer, store.record_first_use(key).await);
        }
        for (note, answer) in batch.audit_notes.into_iter().zip(audit_notes) {
            send_result(answer, store.apply(Batch { audit_notes: vec![note], ..Batch::default() }).await.map(drop));
        }
    }

    fn refuse(self) {
        let WriteBatch { batch: _, redemptions, replay_keys, issuances, revocations, reinstatements, audit_notes } =
            self;
        redemptions.into_iter().for_each(|answer| answer.send(Err(WriteError::Database)));
        replay_keys.into_iter().for_each(|answer| answer.send(Err(WriteError::Database)));
        issuances.into_iter().for_each(|answer| answer.send(Err(WriteError::Database)));
        revocations.into_iter().for_each(|answer| answer.send(Err(WriteError::Database)));
        reinstatements.into_iter().for_each(|answer| answer.send(Err(WriteError::Database)));
        audit_notes.into_iter().for_each(|answer| answer.send(Err(WriteError::Database)));
    }

    fn answer(self, written: WrittenBatch) {
        let outcome = written.complete(self.batch);
        self.redemptions.into_iter().zip(outcome.redeemed).for_each(|(answer, redeemed)| send_result(answer, redeemed));
        self.replay_keys.into_iter().zip(outcome.first_uses).for_each(|(answer, first)| send_result(answer, Ok(first)));
        self.issuances.into_iter().zip(outcome.issued).for_each(|(answer, issued)| send_result(answer, issued));
        self.revocations
            .into_iter()
            .zip(outcome.revoked)
            .for_each(|(answer, revoked)| send_result(answer, Ok(revoked)));
        self.reinstatements
            .into_iter()
            .zip(outcome.reinstated)
            .for_each(|(answer, lifted)| send_result(answer, Ok(lifted)));
        self.audit_notes.into_iter().for_each(|answer| send_result(answer, Ok(())));
    }
}

/// Whether a transaction failed because of the content of one row.
fn is_about_one_row(error: &StoreError) -> bool {
    match error {
        StoreError::Database(sqlx::Error::Database(error)) => error.kind() != sqlx::error::ErrorKind::Other,
        _ => false,
    }
}

/// Sends a result. The caller may have disconnected; what was written stays written.
fn send_result<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    answer.send(result.map_err(WriteError::Store));
}
