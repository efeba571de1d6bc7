//! One transaction for many requests: tokens to issue, credentials to redeem, revocations to make
//! and to lift.
//!
//! Every transaction takes its locks in one order, issuing epoch before grants before feed, so that
//! no two transactions deadlock.

use tollgate_model::{
    AccessToken, Actor, AuditAction, AuditKind, NewAuditEntry, NewReinstatement, NewRevocation, Revocation, Target,
    TokenDraft, UserId,
};

use crate::database::Tx;
use crate::error::StoreError;
use crate::revocation::revocation_log::RevocationLog;
use crate::store::Store;
use crate::writer::fast_path::WriterConnection;
use crate::writer::first_use::ReplayKey;
use crate::writer::preconditions::IssuancePreconditions;
use crate::writer::redeem::{RedeemCredential, RedeemOutcome, RedeemRequest, Verdict};
use crate::writer::token_records::TokenNumber;

/// Requests to be written in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Credentials to redeem; written before all else.
    pub redemptions: Vec<RedeemRequest>,
    /// Tokens to issue.
    pub issuances: Vec<IssueRequest>,
    /// Revocations to make.
    pub revocations: Vec<NewRevocation>,
    /// Revocations to lift; written after `revocations`.
    pub reinstatements: Vec<NewReinstatement>,
    /// Values that may be used once.
    pub replay_keys: Vec<ReplayKey>,
    /// Audit entries about nothing else in the batch.
    pub audit_notes: Vec<NewAuditEntry>,
}

/// A token to be issued.
#[derive(Debug, Clone)]
pub struct IssueRequest {
    /// The token.
    pub draft: TokenDraft,
    /// Version of clients and resource servers, [`Versions::registrations`](crate::Versions), by
    /// which the request was decided. If it has changed, the token is not issued. `None` if the
    /// version was read from the database when the request came.
    pub registrations_version: Option<u64>,
    /// User the token is about, if it has no grant. If the user is not active, the token is not
    /// issued.
    pub user: Option<UserId>,
}

impl From<TokenDraft> for IssueRequest {
    /// A token whose issuance depends neither on a version nor on a user.
    fn from(draft: TokenDraft) -> IssueRequest {
        IssueRequest { draft, registrations_version: None, user: None }
    }
}

/// Asked before a commit: whether the callers of all redemptions in the batch are still connected.
pub(crate) type CallersWaiting<'a> = &'a (dyn Fn() -> bool + Sync);

/// Results of a batch, each list in the order of the requests.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    /// Results of the redemptions; an error if the token may not be issued.
    pub redeemed: Vec<Result<RedeemOutcome, StoreError>>,
    /// The issued tokens; an error for each that may not be issued.
    pub issued: Vec<Result<Box<AccessToken>, StoreError>>,
    /// The recorded revocations.
    pub revoked: Vec<RevokeOutcome>,
    /// The lifted revocations.
    pub reinstated: Vec<ReinstateOutcome>,
    /// Whether each replay key was used for the first time.
    pub first_uses: Vec<bool>,
}

/// Result of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeOutcome {
    /// Its record; the existing one, if the same actor had made the same revocation before.
    pub revocation: Revocation,
    /// Whether edges get a delta: not if an earlier revocation applies to the same tokens.
    pub is_new_to_edges: bool,
}

/// Result of a reinstatement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReinstateOutcome {
    /// The records that were in force and are now lifted; empty if none was in force.
    pub lifted: Vec<Revocation>,
    /// Whether edges get a delta: not if another revocation applies to the same tokens.
    pub is_new_to_edges: bool,
}

impl Batch {
    /// Number of requests.
    #[must_use]
    pub fn len(&self) -> usize {
        let issuances = self.redemptions.len() + self.issuances.len();
        issuances + self.revocations.len() + self.reinstatements.len() + self.replay_keys.len() + self.audit_notes.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All tokens that the batch may issue.
    fn drafts(&self) -> impl Iterator<Item = &TokenDraft> + Clone {
        let issuances = self.redemptions.iter().map(|redeem| &redeem.issue).chain(&self.issuances);
        issuances.map(|issue| &issue.draft)
    }
}

/// What was written of a batch: a [`BatchOutcome`] without what the batch itself contains.
#[derive(Debug, Default)]
pub(crate) struct WrittenBatch {
    redeemed: Vec<Result<RedeemOutcome<TokenNumber>, StoreError>>,
    issued: Vec<Result<TokenNumber, StoreError>>,
    revoked: Vec<RevokeOutcome>,
    reinstated: Vec<ReinstateOutcome>,
    first_uses: Vec<bool>,
}

impl WrittenBatch {
    /// A batch that only issued tokens, all of them; the first `redemptions` tokens are those of
    /// redemptions.
    pub(crate) fn all_issued(mut numbers: impl Iterator<Item = TokenNumber>, redemptions: usize) -> WrittenBatch {
        let redeemed = numbers.by_ref().take(redemptions).map(|number| Ok(RedeemOutcome::Issued(number))).collect();
        WrittenBatch { redeemed, issued: numbers.map(Ok).collect(), ..WrittenBatch::default() }
    }

    /// Completes the results with the batch that was written.
    pub(crate) fn complete(self, batch: Batch) -> BatchOutcome {
        let WrittenBatch { redeemed, issued, revoked, reinstated, first_uses } = self;
        let redemptions = redeemed.into_iter().zip(batch.redemptions);
        let redeemed = redemptions.map(|(redeemed, redeem)| {
            redeemed.map(|redeemed| redeemed.map(|number| number.complete(redeem.issue.draft)))
        });
        let issuances = issued.into_iter().zip(batch.issuances);
        let issued = issuances.map(|(number, issue)| number.map(|number| number.complete(issue.draft)));
        BatchOutcome { redeemed: redeemed.collect(), issued: issued.collect(), revoked, reinstated, first_uses }
    }
}

impl Store {
    /// Writes a batch in one transaction. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet; nothing is written then.
    pub async fn apply(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        Ok(self.write(&batch, &mut WriterConnection::default(), &|| true).await?.complete(batch))
    }

    /// Writes a batch as [`Store::apply`] does; the caller keeps the batch for another attempt. If
    /// `callers_waiting` is false before the commit, nothing is written, and the error is
    /// [`StoreError::CallerDisconnected`].
    pub(crate) async fn write(
        &self,
        batch: &Batch,
        connection: &mut WriterConnection,
        callers_waiting: CallersWaiting<'_>,
    ) -> Result<WrittenBatch, StoreError> {
        if let Some(written) = self.try_fast_path(batch, connection, callers_waiting).await? {
            return Ok(written);
        }
        let closes_epoch = batch.revocations.iter().any(|revoke| revoke.target.closes_epoch());
        match self.attempt_batch(batch, closes_epoch, callers_waiting).await? {
            Some(written) => Ok(written),
            // A credential was replayed, so its grant must be revoked, which closes the epoch. The
            // epoch must be closed before all else: two transactions that share the lock on the
            // epoch and then want to close it would deadlock.
            None => {
                let written = self.attempt_batch(batch, true, callers_waiting).await?;
                written.ok_or_else(|| StoreError::invariant("a batch that closes the epoch is written"))
            }
        }
    }

    /// Writes a batch in one transaction, or nothing if the epoch must be closed and `closes_epoch`
    /// is false.
    async fn attempt_batch(
        &self,
        batch: &Batch,
        closes_epoch: bool,
        callers_waiting: CallersWaiting<'_>,
    ) -> Result<Option<WrittenBatch>, StoreError> {
        let shares_epoch = !closes_epoch && batch.drafts().next().is_some();
        let mut tx = if shares_epoch { self.begin_write_in_epoch().await? } else { self.begin_write().await? };
        // The epoch is closed once for all revocations that need it.
        let closed = if closes_epoch { Some(tx.close_epoch().await?) } else { None };
        let first_uses = tx.record_first_uses(&batch.replay_keys).await?;
        let mut written = WrittenBatch { first_uses, ..WrittenBatch::default() };
        if !batch.replay_keys.is_empty() {
            // A key that a sweep may have deleted cannot be checked. By a clock that is behind, the
            // value that it belongs to has not expired yet; it counts as used.
            let swept_until = self.trusted_time.swept_until();
            let keys = written.first_uses.iter_mut().zip(&batch.replay_keys);
            keys.for_each(|(is_first, key)| *is_first &= key.expires_at >= swept_until);
        }
        tx.write_audit_entries(&batch.audit_notes).await?;
        let preconditions = tx.read_preconditions(batch.drafts(), &batch.issuances).await?;
        if batch.drafts().next().is_some() {
            self.remember_preconditions(&preconditions);
        }
        let verdicts = tx.redeem_credentials(&batch.redemptions, &preconditions).await?;
        let replays = revocations_of_replays(&batch.redemptions, &verdicts)?;
        if !replays.is_empty() && closed.is_none() {
            return Ok(None);
        }
        // Tokens of redemptions belong to the epoch that is closed, if one is: a revocation in this
        // transaction applies to them.
        let redeem_epoch = closed.unwrap_or(preconditions.epoch);
        written.redeemed = tx.issue_redeemed(&batch.redemptions, &verdicts, redeem_epoch, &preconditions).await?;
        // Tokens of this batch are issued after its revocations, except those exchanged from an
        // older token, which are revoked together with it.
        let epoch = |issue: &IssueRequest| match issue.draft.details.exchanged_from.is_empty() {
            true => preconditions.epoch,
            false => redeem_epoch,
        };
        let issuances: Vec<(&IssueRequest, u32)> = batch.issuances.iter().map(|issue| (issue, epoch(issue))).collect();
        written.issued = tx.issue_tokens(&issuances, &preconditions).await?;
        if !callers_waiting() {
            return Err(StoreError::CallerDisconnected);
        }
        let revocations = [batch.revocations.as_slice(), &replays].concat();
        if revocations.is_empty() && batch.reinstatements.is_empty() {
            tx.commit().await?;
            return Ok(Some(written));
        }
        let has_logouts = tx.end_grants(&revocations, "").await?;
        let mut log = RevocationLog::open(&mut tx).await?;
        written.revoked = log.revoke(&mut tx, &revocations, closed.unwrap_or(0)).await?;
        written.revoked.truncate(batch.revocations.len());
        for reinstate in &batch.reinstatements {
            written.reinstated.push(log.reinstate(&mut tx, reinstate).await?);
        }
        log.close(&mut tx).await?;
        self.commit_and_notify(tx).await?;
        if has_logouts {
            self.logouts.notify_one();
        }
        Ok(Some(written))
    }

    /// Redeems one credential.
    ///
    /// # Errors
    /// When the database fails, or the token may not be issued.
    pub async fn redeem(&self, redeem: RedeemRequest) -> Result<RedeemOutcome, StoreError> {
        let outcome = self.apply(Batch { redemptions: vec![redeem], ..Batch::default() }).await?;
        outcome.redeemed.into_iter().next().unwrap_or_else(|| Err(no_result()))
    }

    /// Records the use of a replay key, and returns whether it is the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_first_use(&self, key: ReplayKey) -> Result<bool, StoreError> {
        let outcome = self.apply(Batch { replay_keys: vec![key], ..Batch::default() }).await?;
        outcome.first_uses.first().copied().ok_or_else(no_result)
    }

    /// Issues one token. It may be signed and returned to the client only after this has returned.
    ///
    /// # Errors
    /// When the database fails, or the token may not be issued.
    pub async fn issue(&self, issue: impl Into<IssueRequest>) -> Result<AccessToken, StoreError> {
        let outcome = self.apply(Batch { issuances: vec![issue.into()], ..Batch::default() }).await?;
        outcome.issued.into_iter().next().unwrap_or_else(|| Err(no_result())).map(|token| *token)
    }

    /// Makes one revocation.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn revoke(&self, revoke: NewRevocation) -> Result<RevokeOutcome, StoreError> {
        let outcome = self.apply(Batch { revocations: vec![revoke], ..Batch::default() }).await?;
        outcome.revoked.into_iter().next().ok_or_else(no_result)
    }

    /// Lifts revocations.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn reinstate(&self, reinstate: NewReinstatement) -> Result<ReinstateOutcome, StoreError> {
        let outcome = self.apply(Batch { reinstatements: vec![reinstate], ..Batch::default() }).await?;
        outcome.reinstated.into_iter().next().ok_or_else(no_result)
    }
}

fn no_result() -> StoreError {
    StoreError::invariant("a written batch has a result for each request")
}

impl Tx {
    /// Issues the tokens of the redeemed credentials, and returns a result for each request.
    async fn issue_redeemed(
        &mut self,
        redemptions: &[RedeemRequest],
        verdicts: &[Verdict],
        epoch: u32,
        preconditions: &IssuancePreconditions,
    ) -> Result<Vec<Result<RedeemOutcome<TokenNumber>, StoreError>>, StoreError> {
        let redeemed = redemptions.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Redeemed);
        let issuances: Vec<(&IssueRequest, u32)> = redeemed.map(|(redeem, _)| (&redeem.issue, epoch)).collect();
        let mut issued = self.issue_tokens(&issuances, preconditions).await?.into_iter();
        let codes = redemptions.iter().zip(verdicts).filter(|(redeem, verdict)| {
            **verdict == Verdict::Redeemed
                && matches!(redeem.credential, RedeemCredential::Code { .. } | RedeemCredential::DeviceCode { .. })
        });
        let entry = |(redeem, _): (&RedeemRequest, &Verdict)| {
            let by = Actor::client(&redeem.issue.draft.client);
            NewAuditEntry::new(redeem.at, by, AuditAction::Redeem, AuditKind::SESSION, redeem.grant.as_str())
        };
        self.write_audit_entries(&codes.map(entry).collect::<Vec<_>>()).await?;
        let outcome = |(redeem, verdict): (&RedeemRequest, &Verdict)| match verdict {
            Verdict::Redeemed => issued.next().unwrap_or_else(|| Err(no_result())).map(RedeemOutcome::Issued),
            Verdict::Replayed => Ok(RedeemOutcome::Replayed),
            Verdict::Ended => Ok(RedeemOutcome::Ended),
            Verdict::Expired => Ok(RedeemOutcome::Expired),
            Verdict::NotIssuable => preconditions.check(&redeem.issue).map(|()| RedeemOutcome::Ended),
        };
        Ok(redemptions.iter().zip(verdicts).map(outcome).collect())
    }
}

/// The revocations of the grants whose credentials were replayed, one per grant.
fn revocations_of_replays(
    redemptions: &[RedeemRequest],
    verdicts: &[Verdict],
) -> Result<Vec<NewRevocation>, StoreError> {
    let mut revocations: Vec<NewRevocation> = Vec::new();
    for (redeem, _) in redemptions.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Replayed) {
        let target = Target::Session(redeem.grant.to_string());
        if revocations.iter().any(|revoke| revoke.target == target) {
            continue;
        }
        let reason = redeem.credential.replay_reason().parse().map_err(StoreError::corrupt("grants"))?;
        let by = Actor::client(&redeem.issue.draft.client);
        revocations
            .push(NewRevocation::any(target, by, Some(reason), redeem.at).map_err(StoreError::corrupt("grants"))?);
    }
    Ok(revocations)
}
