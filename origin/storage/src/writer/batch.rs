//! One transaction for many requests: tokens to issue, credentials to redeem, revocations to make
//! and to lift.
//!
//! Every transaction takes its locks in one order, issuing epoch before grants before feed, so that
//! no two transactions deadlock.

use tollgate_model::{
    AccessToken, Actor, AuditAction, AuditKind, NewAuditEntry, NewReinstatement, NewRevocation, Target,
};

use crate::database::Tx;
use crate::error::StoreError;
use crate::revocation::revocation_log::RevocationLog;
use crate::revocation::revocations::{ReinstateOutcome, RevokeOutcome};
use crate::store::Store;
use crate::writer::fast_path::WriterConnection;
use crate::writer::first_use::ReplayKey;
use crate::writer::outcomes::{BatchOutcome, RedeemOutcome, WrittenBatch};
use crate::writer::preconditions::IssuancePreconditions;
use crate::writer::redeem::Verdict;
use crate::writer::requests::{Batch, CallersWaiting, IssueRequest, RedeemCredential, RedeemRequest};
use crate::writer::token_records::TokenNumber;

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
        let is_issued = |verdict: &Verdict| matches!(verdict, Verdict::Redeemed | Verdict::Kept);
        let redeemed = redemptions.iter().zip(verdicts).filter(|(_, verdict)| is_issued(verdict));
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
        let mut next = || issued.next().unwrap_or_else(|| Err(no_result()));
        let outcome = |(redeem, verdict): (&RedeemRequest, &Verdict)| match verdict {
            Verdict::Redeemed => next().map(RedeemOutcome::Issued),
            Verdict::Kept => next().map(RedeemOutcome::IssuedWithoutRotation),
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
