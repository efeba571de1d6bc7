//! Revocations.

use tollgate_core::RevocationKind;
use tollgate_model::{Actor, NewReinstatement, NewRevocation, Reason, Revocation, RevocationSelector, Target, TokenId};
use tollgate_storage::{MAX_REVOCATIONS_PAGE, RevocationFilter, RevokeOutcome};

use super::{AdminError, Administration, Registry};

const KINDS: &str = "kind must be token, session, subject, client or key; for everything give before";

/// What to revoke, as people say it: a kind with a name, a token itself, or everything issued
/// before a time.
#[derive(Debug, Default)]
pub struct RevocationRequest {
    /// `token`, `session`, `subject`, `client` or `key`.
    pub kind: Option<String>,
    /// The id of the token, session, subject, client or key.
    pub name: Option<String>,
    /// The token itself.
    pub token: Option<String>,
    /// Everything issued before this Unix second.
    pub before: Option<u64>,
}

impl Administration {
    /// The target of a request.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::NotFound`] for a token that is not on record, or when
    /// the database fails.
    pub async fn resolve_target(&self, request: RevocationRequest) -> Result<Target, AdminError> {
        match (request.kind.as_deref(), request.name, request.token, request.before) {
            (None | Some("token"), None, Some(token), None) => {
                let verified = self.keys.verify_token(&token, &self.issuer).await?;
                let verified =
                    verified.ok_or_else(|| AdminError::Invalid("token is not one of this origin's".to_owned()))?;
                let token = self.store.find_verified_token(&verified).await?;
                let token = token
                    .ok_or_else(|| AdminError::NotFound("the token does not exist, or it has expired".to_owned()))?;
                Ok(Target::Token(token.id.to_string()))
            }
            (None | Some("everything"), None, None, Some(time)) => Ok(Target::Before(time)),
            (Some(kind), Some(name), None, None) if kind != "everything" => {
                let kind = RevocationKind::from_name(kind).ok_or_else(|| AdminError::Invalid(KINDS.to_owned()))?;
                Ok(Target::new(kind, &name)?)
            }
            _ => Err(AdminError::Invalid("give kind and name, or token, or before, and one of these alone".to_owned())),
        }
    }

    /// Commits a revocation.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn revoke(&self, revocation: NewRevocation) -> Result<RevokeOutcome, AdminError> {
        let outcome = self.writer.revoke(revocation).await?;
        let revocation = &outcome.revocation;
        tracing::info!(number = revocation.number, by = revocation.by.as_str(), target = %revocation.target, "revoked");
        Ok(outcome)
    }

    /// Reinstates what one revocation revoked, and returns its record. One that was reinstated
    /// before stays as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn reinstate(
        &self,
        by: &Actor,
        revocation: &Revocation,
        reason: Option<Reason>,
    ) -> Result<Revocation, AdminError> {
        let (number, at) = (revocation.number, self.clock.now());
        let new = NewReinstatement { selector: RevocationSelector::Number(number), by: by.clone(), reason, at };
        let lifted = self.writer.reinstate(new).await?.lifted;
        tracing::info!(number, by = by.as_str(), is_lifted = !lifted.is_empty(), "reinstated");
        match lifted.into_iter().next() {
            Some(revocation) => Ok(revocation),
            None => self.get_revocation(&number.to_string()).await,
        }
    }
}

impl Registry {
    /// A revocation of this target. A client must be registered and a token on record: the id of
    /// one that never was is more likely mistyped.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`], or when the database fails.
    pub async fn prepare_revocation(
        &self,
        by: &Actor,
        target: Target,
        reason: Option<Reason>,
    ) -> Result<NewRevocation, AdminError> {
        let (by, now) = (by.clone(), self.clock.now());
        if let Target::Client(id) = &target {
            self.get_client(id).await?;
        }
        let Target::Token(jti) = &target else {
            return Ok(NewRevocation::any(target, by, reason, now)?);
        };
        let not_found = || AdminError::NotFound(format!("token {jti} does not exist, or it has expired"));
        let id: TokenId = jti.parse().map_err(|_| not_found())?;
        let token = self.store.find_token(id).await?.ok_or_else(not_found)?;
        NewRevocation::token(&token, by, reason, now).ok_or_else(not_found)
    }

    /// A page of revocations, the newest first, and the number to continue below if there is a next
    /// page.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for a page size out of range, or when the database fails.
    pub async fn list_revocations(
        &self,
        filter: &RevocationFilter,
    ) -> Result<(Vec<Revocation>, Option<u64>), AdminError> {
        if !(1..=MAX_REVOCATIONS_PAGE).contains(&filter.limit) {
            return Err(AdminError::Invalid("limit must be 1 to 1000".to_owned()));
        }
        let found = self.store.list_revocations(filter, self.clock.now()).await?;
        let next = found.last().filter(|_| found.len() as u64 == filter.limit).map(|revocation| revocation.number);
        Ok((found, next))
    }

    /// The revocation of this number.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_revocation(&self, number: &str) -> Result<Revocation, AdminError> {
        let not_found = || AdminError::not_found("revocation", number);
        let parsed = number.parse().map_err(|_| not_found())?;
        self.store.find_revocation(parsed).await?.ok_or_else(not_found)
    }
}

/// Parses the reason of a revocation or reinstatement.
///
/// # Errors
/// [`AdminError::Invalid`].
pub fn parse_reason(text: Option<&str>) -> Result<Option<Reason>, AdminError> {
    Ok(text.map(str::parse).transpose()?)
}
