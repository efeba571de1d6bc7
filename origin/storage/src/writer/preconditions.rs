//! The conditions under which tokens may be issued: the signing key and the source tokens are not
//! revoked, the user is active, and clients and resource servers are as they were when the request
//! was decided.

use std::collections::HashSet;
use std::sync::PoisonError;

use tollgate_core::{EpochTokenId, RevocationId, RevocationKind};
use tollgate_model::TokenDraft;

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql};
use crate::error::StoreError;
use crate::store::Store;
use crate::writer::requests::IssueRequest;

/// Random part of a token id; identifies a draft within a batch.
type DraftId = [u8; EpochTokenId::UNIQUE_BYTES];

/// The conditions for issuing tokens, read in the transaction that records them.
#[derive(Default)]
pub(crate) struct IssuancePreconditions {
    /// The issuing epoch.
    pub(crate) epoch: u32,
    /// Revoked keys among the signing keys of the batch.
    revoked_keys: HashSet<String>,
    /// Drafts whose source token (token exchange) is revoked.
    drafts_of_revoked_sources: HashSet<DraftId>,
    /// Whether any key is revoked, used by the batch or not.
    has_revoked_keys: bool,
    /// Version of clients and resource servers.
    registrations: u64,
    /// Users of the batch who are not active.
    inactive_users: HashSet<String>,
}

impl IssuancePreconditions {
    /// The epoch in which the next batch may be issued by the fast path; `None` if a key is
    /// revoked, because each signing key must be checked then.
    fn open_epoch(&self) -> Option<u32> {
        (!self.has_revoked_keys).then_some(self.epoch)
    }

    /// Checks that this token may be issued.
    pub(crate) fn check(&self, issue: &IssueRequest) -> Result<(), StoreError> {
        if issue.registrations_version.is_some_and(|version| version != self.registrations) {
            return Err(StoreError::ConcurrentModification);
        }
        if issue.user.as_ref().is_some_and(|user| self.inactive_users.contains(user.as_str())) {
            return Err(StoreError::UserDisabled);
        }
        if self.revoked_keys.contains(&issue.draft.key_id) {
            return Err(StoreError::KeyRevoked(issue.draft.key_id.clone()));
        }
        if self.drafts_of_revoked_sources.contains(&issue.draft.unique) {
            return Err(StoreError::SubjectTokenRevoked);
        }
        Ok(())
    }
}

/// Preconditions as an earlier batch observed them: no key was revoked, and these values. The fast
/// path issues only if they still hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObservedPreconditions {
    /// The issuing epoch.
    pub(crate) epoch: u32,
    /// Version of clients and resource servers, if the batch depends on it.
    pub(crate) registrations: Option<u64>,
}

impl Store {
    /// Remembers the preconditions of this batch for the fast path of the next one.
    pub(crate) fn remember_preconditions(&self, preconditions: &IssuancePreconditions) {
        *self.open_epoch.lock().unwrap_or_else(PoisonError::into_inner) = preconditions.open_epoch();
    }

    /// The epoch of the last batch, if no key was revoked then.
    pub(crate) fn remembered_epoch(&self) -> Option<u32> {
        *self.open_epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tx {
    /// Reads the preconditions of these requests. The transaction must hold the epoch.
    pub(crate) async fn read_preconditions<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a TokenDraft> + Clone,
        issuances: &[IssueRequest],
    ) -> Result<IssuancePreconditions, StoreError> {
        let preconditions = self.read_draft_preconditions(drafts).await?;
        Ok(IssuancePreconditions { inactive_users: self.inactive_users(issuances).await?, ..preconditions })
    }

    async fn read_draft_preconditions<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a TokenDraft> + Clone,
    ) -> Result<IssuancePreconditions, StoreError> {
        if drafts.clone().next().is_none() {
            return Ok(IssuancePreconditions::default());
        }
        let drafts_of_revoked_sources = self.drafts_of_revoked_sources(drafts.clone()).await?;
        let rows: Vec<(i64, i64, Option<Vec<u8>>)> = with_connection!(&mut *self, connection => {
            sqlx::query_as(
                "SELECT issuing.epoch, registrations.version, marks.id
                 FROM issuing CROSS JOIN registrations LEFT JOIN marks ON marks.kind = $1",
            )
            .bind(i64::from(RevocationKind::Key.to_byte()))
            .fetch_all(connection)
            .await?
        });
        let no_row = || StoreError::invariant("the tables issuing and registrations have one row each");
        let (epoch, registrations, _) = rows.first().ok_or_else(no_row)?;
        let epoch = u32::try_from(*epoch).map_err(|_| StoreError::EpochsExhausted)?;
        let registrations = from_sql(*registrations);
        let marks = rows.iter().filter_map(|(_, _, mark)| mark.as_ref());
        let marks = marks.map(|id| Ok(RevocationId::from_bytes(fixed_bytes(id, "marks")?)));
        let marks = marks.collect::<Result<HashSet<RevocationId>, StoreError>>()?;
        let open = IssuancePreconditions {
            epoch,
            registrations,
            drafts_of_revoked_sources,
            ..IssuancePreconditions::default()
        };
        if marks.is_empty() {
            return Ok(open);
        }
        let issuer = self.feed().await?.issuer;
        let revoked =
            drafts.filter(|draft| marks.contains(&RevocationId::new(RevocationKind::Key, &issuer, &draft.key_id)));
        let revoked_keys = revoked.map(|draft| draft.key_id.clone()).collect();
        Ok(IssuancePreconditions { revoked_keys, has_revoked_keys: true, ..open })
    }

    /// Users of these requests who are not active or do not exist. The active ones stay active
    /// until this transaction ends.
    async fn inactive_users(&mut self, issuances: &[IssueRequest]) -> Result<HashSet<String>, StoreError> {
        let users: HashSet<&str> = issuances.iter().filter_map(|issue| Some(issue.user.as_ref()?.as_str())).collect();
        let users: Vec<&str> = users.into_iter().collect();
        let active = self.lock_active_users(&users).await?;
        Ok(users.into_iter().filter(|user| !active.contains(*user)).map(str::to_owned).collect())
    }

    async fn drafts_of_revoked_sources<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a TokenDraft>,
    ) -> Result<HashSet<DraftId>, StoreError> {
        let mut revoked = HashSet::new();
        for draft in drafts.filter(|draft| !draft.details.exchanged_from.is_empty()) {
            if self.is_any_token_revoked(&draft.details.exchanged_from).await? {
                revoked.insert(draft.unique);
            }
        }
        Ok(revoked)
    }
}
