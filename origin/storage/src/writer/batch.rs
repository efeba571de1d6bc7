//! What one transaction writes: tokens to be issued, revocations to be made and to be lifted, as many as came together.
//!
//! The order of locks is the same everywhere, issuing before grants before feed, so that no two transactions wait for each other.

use tollgate_model::{
    AccessToken, Actor, AuditAction, AuditKind, NewAuditEntry, NewReinstatement, NewRevocation, Revocation, Target,
    TokenDraft, UserId,
};

use crate::database::Tx;
use crate::error::StoreError;
use crate::revocation::revocation_log::RevocationLog;
use crate::store::Store;
use crate::writer::fast_path::WriterConnection;
use crate::writer::issuing::{IssuancePreconditions, Place};
use crate::writer::redeem::{RedeemCredential, RedeemOutcome, RedeemRequest, ReplayKey, Verdict};

/// What is to be written together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Tokens to issue for what may be taken once, before all else.
    pub redeems: Vec<RedeemRequest>,
    /// Tokens to issue.
    pub issues: Vec<IssueRequest>,
    /// Revocations to make.
    pub revokes: Vec<NewRevocation>,
    /// Revocations to lift, after those were made.
    pub reinstates: Vec<NewReinstatement>,
    /// What may be shown once.
    pub replay_keys: Vec<ReplayKey>,
    /// Lines of the audit log that tell of nothing else here.
    pub notes: Vec<NewAuditEntry>,
}

/// A token to be issued.
#[derive(Debug, Clone)]
pub struct IssueRequest {
    /// The token.
    pub draft: TokenDraft,
    /// The state of clients and resource servers by which it was decided on, as [`Versions::registrations`](super::Versions), where
    /// that was not asked for when the request came: the token is issued only if it is still the same.
    pub registrations_version: Option<u64>,
    /// The user whom the token is about, if it has no grant: it is issued only if that user is active.
    pub user: Option<UserId>,
}

impl From<TokenDraft> for IssueRequest {
    /// Of a decision that holds.
    fn from(draft: TokenDraft) -> IssueRequest {
        IssueRequest { draft, registrations_version: None, user: None }
    }
}

/// Whether the callers of all redemptions in a batch still wait.
pub(crate) type CallersWaiting<'a> = &'a (dyn Fn() -> bool + Sync);

/// What became of a batch, each list in its order.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    /// What became of what may be taken once; refused are tokens whose key is revoked.
    pub redeemed: Vec<Result<RedeemOutcome, StoreError>>,
    /// The tokens as they were issued; refused are those whose key is revoked, or that were decided on by what has changed.
    pub issued: Vec<Result<Box<AccessToken>, StoreError>>,
    /// The revocations as they are on record.
    pub revoked: Vec<RevokeOutcome>,
    /// What was lifted.
    pub reinstated: Vec<ReinstateOutcome>,
    /// Whether each was shown for the first time.
    pub first_uses: Vec<bool>,
}

/// A revocation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeOutcome {
    /// Its record. If the same actor had revoked the same before, that record: asking again makes no second one.
    pub revocation: Revocation,
    /// Whether edges were told: not if what it strikes was struck already.
    pub is_new_to_edges: bool,
}

/// A reinstatement that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReinstateOutcome {
    /// The records that were in force and are lifted now; none if nothing was in force.
    pub lifted: Vec<Revocation>,
    /// Whether edges were told: not if another revocation of the same still strikes as far.
    pub is_new_to_edges: bool,
}

impl Batch {
    /// How many things are to be written.
    #[must_use]
    pub fn len(&self) -> usize {
        let issues = self.redeems.len() + self.issues.len();
        issues + self.revokes.len() + self.reinstates.len() + self.replay_keys.len() + self.notes.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was written of a batch, each list in its order: an [`BatchOutcome`] but for what the batch itself says.
#[derive(Debug, Default)]
pub(crate) struct WrittenBatch {
    redeemed: Vec<Result<RedeemOutcome<Place>, StoreError>>,
    issued: Vec<Result<Place, StoreError>>,
    revoked: Vec<RevokeOutcome>,
    reinstated: Vec<ReinstateOutcome>,
    first_uses: Vec<bool>,
}

impl WrittenBatch {
    /// Of a batch that issues and does nothing else: every token was issued, here, the first ones for what was taken.
    pub(crate) fn all_issued(mut places: impl Iterator<Item = Place>, redeems: usize) -> WrittenBatch {
        let redeemed = places.by_ref().take(redeems).map(|place| Ok(RedeemOutcome::Issued(place))).collect();
        WrittenBatch { redeemed, issued: places.map(Ok).collect(), ..WrittenBatch::default() }
    }

    /// What became of this batch, of which it was written.
    pub(crate) fn of(self, batch: Batch) -> BatchOutcome {
        let WrittenBatch { redeemed, issued, revoked, reinstated, first_uses } = self;
        let redeems = redeemed.into_iter().zip(batch.redeems);
        let redeemed = redeems
            .map(|(redeemed, redeem)| redeemed.map(|redeemed| redeemed.map(|place| place.of(redeem.issue.draft))));
        let issues = issued.into_iter().zip(batch.issues);
        let issued = issues.map(|(place, issue)| place.map(|place| place.of(issue.draft)));
        BatchOutcome { redeemed: redeemed.collect(), issued: issued.collect(), revoked, reinstated, first_uses }
    }
}

impl Batch {
    /// All tokens that it may issue.
    fn drafts(&self) -> impl Iterator<Item = &TokenDraft> + Clone {
        let issues = self.redeems.iter().map(|redeem| &redeem.issue).chain(&self.issues);
        issues.map(|issue| &issue.draft)
    }
}

impl Store {
    /// Writes all of a batch in one transaction. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet; nothing is written then.
    pub async fn apply(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        Ok(self.write(&batch, &mut WriterConnection::default(), &|| true).await?.of(batch))
    }

    /// As [`Store::apply`], for callers that need the batch again if nothing is written. `wanted` is asked before the commit; if it is false,
    /// nothing is written and the result is [`StoreError::CallerDisconnected`].
    pub(crate) async fn write(
        &self,
        batch: &Batch,
        line: &mut WriterConnection,
        wanted: CallersWaiting<'_>,
    ) -> Result<WrittenBatch, StoreError> {
        if let Some(written) = self.try_fast_path(batch, line, wanted).await? {
            return Ok(written);
        }
        let closes_epoch = batch.revokes.iter().any(|revoke| revoke.target.closes_epoch());
        match self.attempt_batch(batch, closes_epoch, wanted).await? {
            Some(written) => Ok(written),
            // Something was taken twice, so its grant is to be revoked, and that ends the epoch. The end must be taken before
            // anything else: two transactions that hold the epoch and both want to end it would wait for each other.
            None => self.attempt_batch(batch, true, wanted).await?.ok_or(StoreError::EpochsExhausted),
        }
    }

    /// Writes all of a batch, or nothing when it turns out that the epoch must end and it was not ended.
    async fn attempt_batch(
        &self,
        batch: &Batch,
        closes_epoch: bool,
        wanted: CallersWaiting<'_>,
    ) -> Result<Option<WrittenBatch>, StoreError> {
        let holds_epoch = !closes_epoch && batch.drafts().next().is_some();
        let mut tx = if holds_epoch { self.begin_write_in_epoch().await? } else { self.begin_write().await? };
        // One end of an epoch serves all revocations that need it.
        let closed = if closes_epoch { Some(tx.close_epoch().await?) } else { None };
        let mut written = WrittenBatch { first_uses: tx.see(&batch.replay_keys).await?, ..WrittenBatch::default() };
        if !batch.replay_keys.is_empty() {
            // Of what may have been swept nobody knows whether it was shown before; by a clock that is behind it is not expired.
            let swept_until = self.trusted_time.swept_until();
            let replay_keys = written.first_uses.iter_mut().zip(&batch.replay_keys);
            replay_keys.for_each(|(is_new, key)| *is_new &= key.expires_at >= swept_until);
        }
        tx.note(&batch.notes).await?;
        let bars = tx.bars(batch.drafts()).await?.with_users(tx.inactive_users(&batch.issues).await?);
        if batch.drafts().next().is_some() {
            self.found(&bars);
        }
        let verdicts = tx.claim(&batch.redeems, &bars).await?;
        let reused = reuse(&batch.redeems, &verdicts)?;
        if !reused.is_empty() && closed.is_none() {
            return Ok(None);
        }
        // In the epoch that ends, if one does: a revocation of this transaction strikes what is taken in it.
        written.redeemed = tx.issue_redeemed(&batch.redeems, &verdicts, closed.unwrap_or(bars.epoch), &bars).await?;
        // What this batch issues is issued after what it revokes; but what comes of an older token is revoked with that.
        let epoch = |issue: &IssueRequest| match issue.draft.details.exchanged_from.is_empty() {
            true => bars.epoch,
            false => closed.unwrap_or(bars.epoch),
        };
        let issues: Vec<(&IssueRequest, u32)> = batch.issues.iter().map(|issue| (issue, epoch(issue))).collect();
        written.issued = tx.issue(&issues, &bars).await?;
        if !wanted() {
            return Err(StoreError::CallerDisconnected);
        }
        let revokes = [batch.revokes.as_slice(), &reused].concat();
        if revokes.is_empty() && batch.reinstates.is_empty() {
            tx.commit().await?;
            return Ok(Some(written));
        }
        let told = tx.end_grants(&revokes, "").await?;
        let mut ledger = RevocationLog::open(&mut tx).await?;
        written.revoked = ledger.revoke(&mut tx, &revokes, closed.unwrap_or(0)).await?;
        written.revoked.truncate(batch.revokes.len());
        for reinstate in &batch.reinstates {
            written.reinstated.push(ledger.reinstate(&mut tx, reinstate).await?);
        }
        ledger.close(&mut tx).await?;
        self.commit_and_notify(tx).await?;
        if told {
            self.logouts.notify_one();
        }
        Ok(Some(written))
    }

    /// Issues one token for what may be taken once.
    ///
    /// # Errors
    /// When the database fails or the key is revoked.
    pub async fn redeem(&self, redeem: RedeemRequest) -> Result<RedeemOutcome, StoreError> {
        let outcome = self.apply(Batch { redeems: vec![redeem], ..Batch::default() }).await?;
        outcome.redeemed.into_iter().next().unwrap_or(Err(StoreError::AlreadyExists("token")))
    }

    /// Remembers what may be shown once; whether it was not shown before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_first_use(&self, key: ReplayKey) -> Result<bool, StoreError> {
        let outcome = self.apply(Batch { replay_keys: vec![key], ..Batch::default() }).await?;
        Ok(outcome.first_uses.first().copied().unwrap_or(false))
    }

    /// Issues one token. It may be signed and handed out only after this has returned.
    ///
    /// # Errors
    /// When the database fails, the key is revoked, or it was decided on by what has changed.
    pub async fn issue(&self, issue: impl Into<IssueRequest>) -> Result<AccessToken, StoreError> {
        let outcome = self.apply(Batch { issues: vec![issue.into()], ..Batch::default() }).await?;
        outcome.issued.into_iter().next().unwrap_or(Err(StoreError::AlreadyExists("token"))).map(|token| *token)
    }

    /// Makes one revocation.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn revoke(&self, revoke: NewRevocation) -> Result<RevokeOutcome, StoreError> {
        let outcome = self.apply(Batch { revokes: vec![revoke], ..Batch::default() }).await?;
        outcome.revoked.into_iter().next().ok_or(StoreError::NoIssuer)
    }

    /// Lifts revocations.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn reinstate(&self, reinstate: NewReinstatement) -> Result<ReinstateOutcome, StoreError> {
        let outcome = self.apply(Batch { reinstates: vec![reinstate], ..Batch::default() }).await?;
        outcome.reinstated.into_iter().next().ok_or(StoreError::NoIssuer)
    }
}

impl Tx {
    /// Issues the tokens of what was rightly taken, and answers for each.
    async fn issue_redeemed(
        &mut self,
        redeems: &[RedeemRequest],
        verdicts: &[Verdict],
        epoch: u32,
        bars: &IssuancePreconditions,
    ) -> Result<Vec<Result<RedeemOutcome<Place>, StoreError>>, StoreError> {
        let good = redeems.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Good);
        let issues: Vec<(&IssueRequest, u32)> = good.map(|(redeem, _)| (&redeem.issue, epoch)).collect();
        let mut issued = self.issue(&issues, bars).await?.into_iter();
        let taken = redeems.iter().zip(verdicts).filter(|(redeem, verdict)| {
            **verdict == Verdict::Good
                && matches!(redeem.credential, RedeemCredential::Code { .. } | RedeemCredential::DeviceCode { .. })
        });
        let note = |(redeem, _): (&RedeemRequest, &Verdict)| {
            let by = Actor::client(&redeem.issue.draft.client);
            NewAuditEntry::new(redeem.at, by, AuditAction::Redeem, AuditKind::SESSION, redeem.grant.as_str())
        };
        self.note(&taken.map(note).collect::<Vec<_>>()).await?;
        let answer = |(redeem, verdict): (&RedeemRequest, &Verdict)| match verdict {
            Verdict::Good => {
                issued.next().unwrap_or(Err(StoreError::AlreadyExists("token"))).map(RedeemOutcome::Issued)
            }
            Verdict::Replayed => Ok(RedeemOutcome::Replayed),
            Verdict::Ended => Ok(RedeemOutcome::Ended),
            Verdict::Expired => Ok(RedeemOutcome::Expired),
            Verdict::Barred => bars.check(&redeem.issue).map(|()| RedeemOutcome::Ended),
        };
        Ok(redeems.iter().zip(verdicts).map(answer).collect())
    }
}

/// The revocations of grants of which something was taken twice, each once.
fn reuse(redeems: &[RedeemRequest], verdicts: &[Verdict]) -> Result<Vec<NewRevocation>, StoreError> {
    let mut revokes: Vec<NewRevocation> = Vec::new();
    for (redeem, _) in redeems.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Replayed) {
        let target = Target::Session(redeem.grant.to_string());
        if revokes.iter().any(|revoke| revoke.target == target) {
            continue;
        }
        let reason = redeem.credential.reuse().parse().map_err(StoreError::corrupt("grants"))?;
        let by = Actor::client(&redeem.issue.draft.client);
        revokes.push(NewRevocation::any(target, by, Some(reason), redeem.at).map_err(StoreError::corrupt("grants"))?);
    }
    Ok(revokes)
}
