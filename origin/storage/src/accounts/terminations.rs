//! Ending grants, browser sessions, users and clients. Each has one function, and every way of ending it uses that function: a grant
//! [`Store::end_grant`], [`Store::withdraw_consent`] or a revocation in a [`Batch`](super::Batch); a browser session [`Store::end_session`]; a user
//! [`Store::disable_user`]; a client [`Store::disable_client`].
//!
//! Each function is one transaction. It commits together, or not at all: what ended, the deltas for edges, the security events, and the
//! back-channel logouts. Locks are taken in one order: issuing epoch, clients and users, browser sessions, grants, feed. The epoch comes
//! first, so that every token and grant that is older than the end is committed when the transaction looks for them.

use std::collections::HashMap;

use tollgate_model::{
    Actor, AuditAction, AuditKind, BrowserSessionId, Client, ClientId, Grant, GrantId, NewAuditEntry, NewRevocation,
    Target, UserId,
};

use crate::accounts::backchannel_logouts::EndedGrant;
use crate::accounts::sessions::SessionSelector;
use crate::database::Tx;
use crate::database::values::to_sql;
use crate::error::StoreError;
use crate::revocation::revocation_log::RevocationLog;
use crate::store::Store;

/// Who ends something, why and when.
#[derive(Debug, Clone)]
pub struct Termination {
    /// Who.
    pub by: Actor,
    /// Why, in words for the record of revocations.
    pub reason: &'static str,
    /// When, Unix seconds.
    pub at: u64,
    /// `traceparent` of the back-channel logouts; may be empty.
    pub trace: String,
}

impl Termination {
    /// An ending that is part of no trace.
    #[must_use]
    pub fn new(by: &Actor, reason: &'static str, at: u64) -> Termination {
        Termination { by: by.clone(), reason, at, trace: String::new() }
    }

    pub(crate) fn revoke(&self, target: Target) -> Result<NewRevocation, StoreError> {
        let reason = self.reason.parse().map_err(StoreError::corrupt("revocations"))?;
        NewRevocation::any(target, self.by.clone(), Some(reason), self.at).map_err(StoreError::corrupt("revocations"))
    }

    pub(crate) fn note(&self, action: AuditAction, kind: AuditKind, name: &str) -> NewAuditEntry {
        NewAuditEntry::new(self.at, self.by.clone(), action, kind, name)
    }
}

impl Store {
    /// Ends a browser's session, and what was given in it but for what was to last offline. False when the session was over; what is
    /// left of it is ended all the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(&self, id: &BrowserSessionId, ending: &Termination) -> Result<bool, StoreError> {
        Ok(self.end_sessions(SessionSelector::One(id), ending).await? > 0)
    }

    /// Ends all sessions of a user but one; of how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_user_sessions(
        &self,
        user: &UserId,
        kept: Option<&BrowserSessionId>,
        ending: &Termination,
    ) -> Result<u64, StoreError> {
        self.end_sessions(SessionSelector::AllBut(user, kept), ending).await
    }

    async fn end_sessions(&self, which: SessionSelector<'_>, ending: &Termination) -> Result<u64, StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let mut revokes = Vec::new();
        let ended = tx.end_sessions(which, ending, &mut revokes).await?;
        self.commit_end(tx, closed, &revokes, ending).await?;
        Ok(ended)
    }

    /// Ends the sessions whose time is over at the Unix second `now`; of how many.
    ///
    /// # Errors
    /// When the database fails; those that were ended by then stay so.
    pub async fn end_expired_sessions(&self, now: u64) -> Result<u64, StoreError> {
        let ending = Termination::new(&Actor::origin(), "the session expired", now);
        let mut all = 0;
        while self.has_expired_session(now).await? {
            match self.end_sessions(SessionSelector::Expired(now), &ending).await? {
                0 => break,
                ended => all += ended,
            }
        }
        Ok(all)
    }

    /// Ends a grant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_grant(&self, id: &GrantId, ending: &Termination) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let is_open = tx.has_open_grants("id", id.as_str()).await?;
        let revokes = if is_open { vec![ending.revoke(Target::Session(id.to_string()))?] } else { Vec::new() };
        self.commit_end(tx, closed, &revokes, ending).await
    }

    /// Ends a grant of a user, or all, and forgets what they agreed to: they are asked again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withdraw_consent(
        &self,
        user: &UserId,
        grant: Option<(&GrantId, &ClientId)>,
        ending: &Termination,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let revokes = match grant {
            Some((grant, _)) if tx.has_open_grants("id", grant.as_str()).await? => {
                vec![ending.revoke(Target::Session(grant.to_string()))?]
            }
            Some(_) => Vec::new(),
            None => tx.revokes_of_user(user, ending).await?,
        };
        tx.delete_consents(user, grant.map(|(_, client)| client)).await?;
        self.commit_end(tx, closed, &revokes, ending).await
    }

    /// Sets a user's password and ends all their sessions except `kept`, the one in which they change it themselves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_password(
        &self,
        id: &UserId,
        hash: &str,
        kept: Option<&BrowserSessionId>,
        ending: &Termination,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(hash)
                .execute(connection)
                .await?;
        });
        let mut revokes = Vec::new();
        tx.end_sessions(SessionSelector::AllBut(id, kept), ending, &mut revokes).await?;
        tx.write_audit_entries(&[ending.note(AuditAction::SetPassword, AuditKind::User, id.as_str())]).await?;
        self.commit_end(tx, closed, &revokes, ending).await
    }

    /// Disables a user: they sign in no more, every session of theirs ends, and so does all that they gave to clients and every token about
    /// them.
    ///
    /// # Errors
    /// [`StoreError::NotAdministrator`] when a user does it who is no active administrator at this moment, or when the database fails.
    pub async fn disable_user(&self, id: &UserId, ending: &Termination) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        tx.lock_users(id, Some(&ending.by)).await?;
        let disabled = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(id.as_str())
                .bind(to_sql(ending.at))
                .execute(connection)
                .await?
                .rows_affected()
        });
        let sessions = tx.delete_sessions(SessionSelector::AllBut(id, None)).await?;
        tx.note_ended(&sessions, ending).await?;
        if disabled > 0 {
            tx.write_audit_entries(&[ending.note(AuditAction::Disable, AuditKind::User, id.as_str())]).await?;
        }
        // An older version may have disabled the user and left grants.
        let has_more = disabled > 0 || tx.has_open_grants("user_id", id.as_str()).await?;
        let revokes = if has_more { tx.revokes_of_user(id, ending).await? } else { Vec::new() };
        self.commit_end(tx, closed, &revokes, ending).await
    }

    /// Disables a client and gives it as it is then; none when there is none of that id. All that it was given ends. One that is disabled
    /// already stays so since then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disable_client(&self, id: &ClientId, ending: &Termination) -> Result<Option<Client>, StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let disabled = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE clients SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(id.as_str())
                .bind(to_sql(ending.at))
                .execute(connection)
                .await?
                .rows_affected()
        });
        let mut revokes = Vec::new();
        if disabled > 0 {
            tx.write_audit_entries(&[ending.note(AuditAction::Disable, AuditKind::CLIENT, id.as_str())]).await?;
        }
        if disabled > 0 || tx.has_open_grants("client_id", id.as_str()).await? {
            revokes.push(ending.revoke(Target::Client(id.to_string()))?);
        }
        self.commit_end(tx, closed, &revokes, ending).await?;
        self.find_client(id).await
    }

    /// Makes revocations in a transaction that has ended the epoch `closed`, with all that follows of them, and commits it.
    pub(crate) async fn commit_end(
        &self,
        mut tx: Tx,
        closed: u32,
        revokes: &[NewRevocation],
        ending: &Termination,
    ) -> Result<(), StoreError> {
        tx.end_grants(revokes, &ending.trace).await?;
        if !revokes.is_empty() {
            match RevocationLog::open(&mut tx).await {
                Ok(mut ledger) => {
                    ledger.revoke(&mut tx, revokes, closed).await?;
                    ledger.close(&mut tx).await?;
                }
                // `serve` never ran on this database: there is no token to revoke.
                Err(StoreError::NoIssuer) => {}
                Err(error) => return Err(error),
            }
        }
        match revokes.is_empty() {
            true => tx.commit().await?,
            false => self.commit_and_notify(tx).await?,
        }
        self.logouts.notify_one();
        Ok(())
    }
}

impl Tx {
    /// Ends sessions and returns their number. Adds the revocations of their grants to `revokes`. Grants with `offline_access` go on; their
    /// clients are sent a logout token all the same (Back-Channel Logout §2.7).
    pub(crate) async fn end_sessions(
        &mut self,
        which: SessionSelector<'_>,
        ending: &Termination,
        revokes: &mut Vec<NewRevocation>,
    ) -> Result<u64, StoreError> {
        let deleted = self.delete_sessions(which).await?;
        // Ends what is left of a session that was deleted before.
        let mut logins = deleted.clone();
        if let SessionSelector::One(id) = which
            && logins.is_empty()
        {
            logins.push(id.to_string());
        }
        let grants = self.open_grants_of(&logins).await?;
        let (lasting, ended): (Vec<&Grant>, Vec<&Grant>) =
            grants.iter().partition(|grant| grant.terms.access.scope.has("offline_access"));
        for grant in ended {
            revokes.push(ending.revoke(Target::Session(grant.id.to_string()))?);
        }
        let was_over = deleted.is_empty();
        let lasting: Vec<EndedGrant> = lasting.into_iter().filter(|_| !was_over).map(EndedGrant::from).collect();
        self.insert_logouts(&lasting, &ending.trace, ending.at, &mut HashMap::new()).await?;
        self.note_ended(&deleted, ending).await?;
        Ok(deleted.len() as u64)
    }

    async fn note_ended(&mut self, sessions: &[String], ending: &Termination) -> Result<(), StoreError> {
        let note =
            |id: &String| ending.note(AuditAction::SignOut, AuditKind::BrowserSession, id).with_detail(ending.reason);
        self.write_audit_entries(&sessions.iter().map(note).collect::<Vec<_>>()).await
    }

    /// What revokes all about a user: each subject under which clients know them.
    async fn revokes_of_user(&mut self, id: &UserId, ending: &Termination) -> Result<Vec<NewRevocation>, StoreError> {
        let mut subjects: Vec<String> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar(
                "SELECT subject FROM grants WHERE user_id = $1 UNION SELECT subject FROM pairwise_subjects WHERE user_id = $1",
            )
            .bind(id.as_str())
            .fetch_all(connection)
            .await?
        });
        subjects.push(id.to_string());
        subjects.sort_unstable();
        subjects.dedup();
        subjects.into_iter().map(|subject| ending.revoke(Target::Subject(subject))).collect()
    }
}
