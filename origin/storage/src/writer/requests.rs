//! Requests to the writer.

use tollgate_model::{GrantId, NewAuditEntry, NewReinstatement, NewRevocation, SecretHash, TokenDraft, UserId};

use crate::writer::first_use::ReplayKey;

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
    pub(crate) fn drafts(&self) -> impl Iterator<Item = &TokenDraft> + Clone {
        let issuances = self.redemptions.iter().map(|redeem| &redeem.issue).chain(&self.issuances);
        issuances.map(|issue| &issue.draft)
    }
}

/// An access token to be issued for a credential. The caller has checked what the protocol requires
/// of the request.
#[derive(Debug, Clone)]
pub struct RedeemRequest {
    /// The credential to redeem.
    pub credential: RedeemCredential,
    /// The grant of the credential.
    pub grant: GrantId,
    /// The access token.
    pub issue: IssueRequest,
    /// Unix seconds.
    pub at: u64,
}

/// What an access token is issued for.
#[derive(Debug, Clone)]
pub enum RedeemCredential {
    /// An authorization code.
    Code {
        /// Hash of the code.
        hash: SecretHash,
        /// First refresh token of the grant.
        refresh: Option<NewRefreshToken>,
    },
    /// A device code that the user has approved.
    DeviceCode {
        /// Hash of the device code.
        hash: SecretHash,
        /// First refresh token of the grant.
        refresh: Option<NewRefreshToken>,
    },
    /// A refresh token.
    RefreshToken {
        /// Hash of the presented refresh token.
        hash: SecretHash,
        /// The refresh token that replaces it; without rotation, its expiry is that of the kept
        /// one.
        successor: NewRefreshToken,
        /// Whether the use replaces it.
        rotates: bool,
        /// Reuse grace in seconds: so long, presenting the token again returns the same successor.
        grace: u64,
    },
    /// Nothing is redeemed; the grant must be active.
    ActiveGrant,
}

/// A refresh token to be stored.
#[derive(Debug, Clone)]
pub struct NewRefreshToken {
    /// Hash of the token.
    pub hash: SecretHash,
    /// Unix second from which it has expired, unless it was used before.
    pub expires_at: u64,
    /// Thumbprint of the DPoP key it is bound to.
    pub jkt: Option<String>,
}

impl RedeemCredential {
    /// Reason of the revocation that a replay causes.
    pub(crate) const fn replay_reason(&self) -> &'static str {
        match self {
            RedeemCredential::Code { .. } => "an authorization code was used twice",
            RedeemCredential::DeviceCode { .. } => "a device code was used twice",
            RedeemCredential::RefreshToken { .. } => "an old refresh token was used",
            RedeemCredential::ActiveGrant => "the grant was used twice",
        }
    }
}

/// Asked before a commit: whether the callers of all redemptions in the batch are still connected.
pub(crate) type CallersWaiting<'a> = &'a (dyn Fn() -> bool + Sync);
