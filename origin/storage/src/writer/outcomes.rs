//! Results of the writer.

use tollgate_model::AccessToken;

use crate::error::StoreError;
use crate::revocation::revocations::{ReinstateOutcome, RevokeOutcome};
use crate::writer::requests::{Batch, RedeemCredential, RedeemRequest};
use crate::writer::token_records::TokenNumber;

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

/// Result of a redemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedeemOutcome<T = Box<AccessToken>> {
    /// The access token and the new refresh token are recorded.
    Issued(T),
    /// The access token is recorded; the used refresh token stays the current one.
    IssuedWithoutRotation(T),
    /// The credential had been redeemed before. The grant is revoked now.
    Replayed,
    /// The grant was revoked or has ended.
    Ended,
    /// The refresh token was not used in time.
    Expired,
}

impl<T> RedeemOutcome<T> {
    pub(crate) fn map<U>(self, issued: impl FnOnce(T) -> U) -> RedeemOutcome<U> {
        match self {
            RedeemOutcome::Issued(token) => RedeemOutcome::Issued(issued(token)),
            RedeemOutcome::IssuedWithoutRotation(token) => RedeemOutcome::IssuedWithoutRotation(issued(token)),
            RedeemOutcome::Replayed => RedeemOutcome::Replayed,
            RedeemOutcome::Ended => RedeemOutcome::Ended,
            RedeemOutcome::Expired => RedeemOutcome::Expired,
        }
    }
}

/// What was written of a batch: a [`BatchOutcome`] without what the batch itself contains.
#[derive(Debug, Default)]
pub(crate) struct WrittenBatch {
    pub(crate) redeemed: Vec<Result<RedeemOutcome<TokenNumber>, StoreError>>,
    pub(crate) issued: Vec<Result<TokenNumber, StoreError>>,
    pub(crate) revoked: Vec<RevokeOutcome>,
    pub(crate) reinstated: Vec<ReinstateOutcome>,
    pub(crate) first_uses: Vec<bool>,
}

impl WrittenBatch {
    /// A batch that only issued tokens, all of them; the first ones are those of the redemptions,
    /// which used current refresh tokens.
    pub(crate) fn all_issued(
        mut numbers: impl Iterator<Item = TokenNumber>,
        redemptions: &[RedeemRequest],
    ) -> WrittenBatch {
        let outcome = |(redeem, number): (&RedeemRequest, TokenNumber)| match redeem.credential {
            RedeemCredential::RefreshToken { rotates: false, .. } => Ok(RedeemOutcome::IssuedWithoutRotation(number)),
            _ => Ok(RedeemOutcome::Issued(number)),
        };
        let redeemed = redemptions.iter().zip(numbers.by_ref()).map(outcome).collect();
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
