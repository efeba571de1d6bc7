//! What one transaction writes: tokens to be issued, revocations to be made and to be lifted, as many as came together.
//!
//! The order of locks is the same everywhere, issuing before feed, so that no two transactions wait for each other.

use super::ledger::Ledger;
use super::{Store, StoreError};
use crate::domain::{AccessToken, Reinstate, Revocation, Revoke, TokenDraft};

/// What is to be written together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Tokens to issue.
    pub issues: Vec<TokenDraft>,
    /// Revocations to make.
    pub revokes: Vec<Revoke>,
    /// Revocations to lift, after those were made.
    pub reinstates: Vec<Reinstate>,
}

/// What became of a batch, each list in its order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The tokens as they were issued; refused are those whose key is revoked.
    pub issued: Vec<Result<AccessToken, StoreError>>,
    /// The revocations as they are on record.
    pub revoked: Vec<Revoked>,
    /// What was lifted.
    pub reinstated: Vec<Reinstated>,
}

/// A revocation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its record. If the same actor had revoked the same before, that record: asking again makes no second one.
    pub revocation: Revocation,
    /// Whether edges were told: not if what it strikes was struck already.
    pub is_news: bool,
}

/// A reinstatement that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reinstated {
    /// The records that were in force and are lifted now; none if nothing was in force.
    pub lifted: Vec<Revocation>,
    /// Whether edges were told: not if another revocation of the same still strikes as far.
    pub is_news: bool,
}

impl Batch {
    /// How many things are to be written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.issues.len() + self.revokes.len() + self.reinstates.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Store {
    /// Writes all of a batch in one transaction. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet; nothing is written then.
    pub async fn apply(&self, batch: &Batch) -> Result<Outcome, StoreError> {
        let mut tx = self.begin_write().await?;
        // One end of an epoch serves all revocations that need it: what this batch issues is issued after it.
        let closed = match batch.revokes.iter().any(|revoke| revoke.target.closes_epoch()) {
            true => Some(tx.close_epoch().await?),
            false => None,
        };
        let mut outcome = Outcome::default();
        if !batch.issues.is_empty() {
            let epoch = match closed {
                Some(closed) => closed.checked_add(1).ok_or(StoreError::NoEpoch)?,
                None => tx.hold_epoch().await?,
            };
            outcome.issued = tx.issue(&batch.issues, epoch).await?;
        }
        let changes_marks = !batch.revokes.is_empty() || !batch.reinstates.is_empty();
        if changes_marks {
            let mut ledger = Ledger::open(&mut tx).await?;
            outcome.revoked = ledger.revoke(&mut tx, &batch.revokes, closed.unwrap_or(0)).await?;
            for reinstate in &batch.reinstates {
                outcome.reinstated.push(ledger.reinstate(&mut tx, reinstate).await?);
            }
            ledger.close(&mut tx).await?;
        }
        if changes_marks {
            self.commit_news(tx).await?
        } else {
            tx.commit().await?
        }
        Ok(outcome)
    }

    /// Issues one token. It may be signed and handed out only after this has returned.
    ///
    /// # Errors
    /// When the database fails or the key is revoked.
    pub async fn issue(&self, draft: TokenDraft) -> Result<AccessToken, StoreError> {
        let outcome = self.apply(&Batch { issues: vec![draft], ..Batch::default() }).await?;
        outcome.issued.into_iter().next().unwrap_or(Err(StoreError::Exists("token")))
    }

    /// Makes one revocation.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn revoke(&self, revoke: Revoke) -> Result<Revoked, StoreError> {
        let outcome = self.apply(&Batch { revokes: vec![revoke], ..Batch::default() }).await?;
        outcome.revoked.into_iter().next().ok_or(StoreError::NoIssuer)
    }

    /// Lifts revocations.
    ///
    /// # Errors
    /// When the database fails, or nobody served from it yet.
    pub async fn reinstate(&self, reinstate: Reinstate) -> Result<Reinstated, StoreError> {
        let outcome = self.apply(&Batch { reinstates: vec![reinstate], ..Batch::default() }).await?;
        outcome.reinstated.into_iter().next().ok_or(StoreError::NoIssuer)
    }
}
