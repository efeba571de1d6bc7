//! Builds and signs this origin's lists when they are asked for, and keeps them while they are
//! true.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tollgate_keys::IssueError;
use tollgate_model::encoding::base64url;
use tollgate_model::status_list::{STATUS_LIST_PATH, STATUS_LIST_TTL, TOKENS_PER_LIST, uri};
use tollgate_storage::{Store, StoreError};

use super::TOKEN_TYPE;
use super::list::StatusList;
use super::token::{Claims, ListMembers};
use crate::signing_keys::SigningKeys;

/// `ttl` in seconds: how long others may keep a copy, and so how late they may learn of a
/// revocation. Tollgate's own edges are told within a second; who needs that should not use lists.
pub const TTL: u64 = 30;
/// How many lists are kept signed. A hundred million live tokens have 763.
const KEPT: usize = 1024;

/// A signed list, with its name among its versions.
#[derive(Debug)]
pub struct SignedList {
    /// The JWT.
    pub token: String,
    /// A strong entity tag, quotes included.
    pub etag: String,
    sequence: u64,
    issued_at: u64,
}

/// A list could not be built.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum BuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] IssueError),
    #[error("the list could not be compressed: {0}")]
    Compress(#[from] std::io::Error),
    #[error("building the list was interrupted")]
    Interrupted,
}

/// A list's newest version, locked while it is built, so that many who ask at once wait for one
/// build.
type Slot = Arc<Mutex<Option<Arc<SignedList>>>>;

/// Builds lists; one for the process, shared.
pub struct StatusLists {
    store: Store,
    keys: SigningKeys,
    issuer: String,
    slots: Mutex<BTreeMap<u64, Slot>>,
}

impl StatusLists {
    /// The lists of this issuer's tokens.
    #[must_use]
    pub fn new(store: Store, keys: SigningKeys, issuer: String) -> StatusLists {
        StatusLists { store, keys, issuer, slots: Mutex::default() }
    }

    /// A list as of `now` or, if nothing was revoked or reinstated since, of at most [`TTL`]
    /// seconds ago. None when no token on record has its place there.
    ///
    /// # Errors
    /// When the store fails or the list cannot be signed.
    pub async fn get(&self, list: u64, now: u64) -> Result<Option<Arc<SignedList>>, BuildError> {
        if !self.store.get_status_list_range(TOKENS_PER_LIST).await?.contains(&list) {
            return Ok(None);
        }
        let slot = self.slot(list).await;
        let mut kept = slot.lock().await;
        if let Some(signed) = kept.as_ref()
            && signed.sequence == self.store.get_feed_head().await?.sequence
            && (signed.issued_at..signed.issued_at.saturating_add(TTL)).contains(&now)
        {
            return Ok(Some(Arc::clone(signed)));
        }
        let signed = Arc::new(self.build(list, now).await?);
        *kept = Some(Arc::clone(&signed));
        Ok(Some(signed))
    }

    /// The URIs of all lists that tokens on record refer to (TSL section 9.3).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.store.get_status_list_range(TOKENS_PER_LIST).await?.map(|list| uri(&self.issuer, list)).collect())
    }

    async fn slot(&self, list: u64) -> Slot {
        let mut slots = self.slots.lock().await;
        if slots.len() >= KEPT && !slots.contains_key(&list) {
            slots.pop_first(); // the oldest tokens', which will expire first
        }
        Arc::clone(slots.entry(list).or_default())
    }

    async fn build(&self, list: u64, now: u64) -> Result<SignedList, BuildError> {
        let first = list.saturating_mul(TOKENS_PER_LIST);
        let input = self.store.list_revoked_numbers(&self.issuer, first..first.saturating_add(TOKENS_PER_LIST)).await?;
        let (keys, issuer) = (self.keys.current(), self.issuer.clone());
        // Milliseconds of compression: not on a thread that serves others meanwhile.
        let built = tokio::task::spawn_blocking(move || {
            let mut statuses = StatusList::all_valid(TOKENS_PER_LIST);
            input.numbers.iter().for_each(|number| statuses.revoke(number - first));
            let claims = Claims {
                sub: uri(&issuer, list),
                iat: now,
                exp: Some(now.saturating_add(STATUS_LIST_TTL)),
                ttl: Some(TTL),
                status_list: ListMembers {
                    bits: statuses.bits(),
                    lst: statuses.to_lst()?,
                    aggregation_uri: Some(format!("{issuer}{STATUS_LIST_PATH}")),
                },
                iss: Some(issuer),
            };
            let token = keys.sign_statement(TOKEN_TYPE, &claims)?;
            let etag = format!("\"{}\"", base64url(&Sha256::digest(&token)));
            Ok(SignedList { token, etag, sequence: input.sequence, issued_at: now })
        });
        built.await.map_err(|_| BuildError::Interrupted)?
    }
}
