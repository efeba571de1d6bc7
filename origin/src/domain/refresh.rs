//! Refresh tokens: what their text says, and what a grant knows of them.
//!
//! A text names its grant and proves by a MAC that this origin made it: the prefix, then base64url of
//!
//! ```text
//! grant (12) || secret (32) || HMAC-SHA256(mark key, prefix || grant || secret), its first 16 || checksum (4)
//! ```
//!
//! So a grant need know two of its refresh tokens only: the current one and the one before. Any other text with a good MAC was one of
//! them once, and that it comes again tells that somebody has a copy. A text with a bad MAC tells nothing: a grant's id is no secret.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::secret::MacKey;
use super::{ClientId, Grant, GrantError, GrantId, Secret, SecretHash, SecretKind};

const GRANT_BYTES: usize = 12;
const SECRET_BYTES: usize = 32;
const MARK_BYTES: usize = 16;
/// What comes before the checksum.
pub(super) const TEXT_BYTES: usize = GRANT_BYTES + SECRET_BYTES + MARK_BYTES;

/// The keys by which this origin makes refresh tokens, and knows its own again.
pub struct RefreshKeys {
    /// Marks what was made here.
    mark: MacKey,
    /// Gives each its successor.
    successor: MacKey,
}

/// A refresh token as somebody presented it: this origin made it. Whether it is still good, its grant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedRefresh {
    /// Whose it is.
    pub grant: GrantId,
    /// Its hash.
    pub hash: SecretHash,
}

impl RefreshKeys {
    /// The keys of these bytes: those that mark what was made here, and those that give each its successor. They must not be the same.
    #[must_use]
    pub fn new(mark: &[u8; 32], successor: &[u8; 32]) -> RefreshKeys {
        RefreshKeys { mark: MacKey::new(mark), successor: MacKey::new(successor) }
    }

    /// The first refresh token of a grant; none if the grant's id is not of our making.
    #[must_use]
    pub fn first(&self, grant: &GrantId, random: &[u8; 32]) -> Option<Secret> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(TEXT_BYTES));
        bytes.extend_from_slice(&grant.random()?);
        bytes.extend_from_slice(random);
        let mark = self.mark(&bytes);
        bytes.extend_from_slice(&mark);
        Some(Secret::of_bytes(SecretKind::Refresh, &bytes))
    }

    /// The refresh token of the grant that follows `predecessor`, a function of it and the key alone: so whoever lost the answer can be
    /// given it again, and nothing of it needs to be kept.
    #[must_use]
    pub fn successor(&self, grant: &GrantId, predecessor: &str) -> Option<Secret> {
        self.first(grant, &Zeroizing::new(self.successor.code(&[predecessor.as_bytes()])))
    }

    /// Reads what somebody presents as a refresh token; none if this origin did not make it.
    #[must_use]
    pub fn read(&self, unverified_token: &str) -> Option<PresentedRefresh> {
        let bytes = SecretKind::Refresh.bytes(unverified_token)?;
        let (marked, mark) = bytes.split_at_checked(GRANT_BYTES + SECRET_BYTES)?;
        if !bool::from(self.mark(marked).ct_eq(mark)) {
            return None;
        }
        let grant = marked.first_chunk().map(GrantId::from_random)?;
        Some(PresentedRefresh { grant, hash: SecretHash::of(unverified_token) })
    }

    fn mark(&self, marked: &[u8]) -> [u8; MARK_BYTES] {
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&self.mark.code(&[SecretKind::Refresh.prefix().as_bytes(), marked])[..MARK_BYTES]);
        mark
    }
}

/// Which of its grant's refresh tokens one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The one that nobody used yet.
    Current,
    /// The one that the current one followed.
    Previous,
    /// One before those.
    Older,
}

/// What all refresh tokens of a grant have in common. Nothing of it ever changes but that the grant may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshFamily {
    /// What they give.
    pub grant: Grant,
    /// The thumbprint of the key that they are bound to: that of a public client which proved one (RFC 9449 §5).
    pub jkt: Option<String>,
}

impl RefreshFamily {
    /// Checks that one of them may be used now, as far as it does not matter which: that, and whether the grant still stands, is
    /// decided when its use is written.
    ///
    /// # Errors
    /// The first rule that is not kept.
    pub fn check(&self, client: &ClientId, jkt: Option<&str>, now: u64) -> Result<(), GrantError> {
        if self.grant.client != *client {
            return Err(GrantError::OtherClient);
        }
        if self.grant.ended_at.is_some() {
            return Err(GrantError::Ended);
        }
        if now >= self.grant.ends_at {
            return Err(GrantError::Expired);
        }
        if self.jkt.is_some() && self.jkt.as_deref() != jkt {
            return Err(GrantError::Key);
        }
        Ok(())
    }
}

/// A refresh token that was presented, and what its grant knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// What it has in common with others.
    pub family: Arc<RefreshFamily>,
    /// Which of the grant's it is.
    pub turn: Turn,
    /// The Unix second from which the grant's current one is bad.
    pub expires_at: u64,
}

impl RefreshToken {
    /// Whether it would give `client`, which proves what it must, something now.
    #[must_use]
    pub fn is_good(&self, client: &ClientId, now: u64) -> bool {
        let may_be_used = self.family.check(client, self.family.jkt.as_deref(), now).is_ok();
        may_be_used && self.turn == Turn::Current && now < self.expires_at
    }
}

/// How far the refresh tokens of a grant have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshState {
    /// The hash of the current one.
    pub current: SecretHash,
    /// The hash of the one that it followed.
    pub previous: Option<SecretHash>,
    /// When it followed, Unix seconds.
    pub refreshed_at: Option<u64>,
}

impl RefreshState {
    /// Which one this is, of which it is certain that it is one of the grant's.
    #[must_use]
    pub fn turn(&self, hash: &SecretHash) -> Turn {
        match () {
            () if self.current == *hash => Turn::Current,
            () if self.previous.as_ref() == Some(hash) => Turn::Previous,
            () => Turn::Older,
        }
    }

    /// Whether the one before gives its successor again: it was used not long ago, and the successor was not.
    #[must_use]
    pub fn gives_again(&self, hash: &SecretHash, successor: &SecretHash, grace: u64, at: u64) -> bool {
        let recently = self.refreshed_at.is_some_and(|refreshed_at| at <= refreshed_at.saturating_add(grace));
        self.turn(hash) == Turn::Previous && self.current == *successor && recently
    }
}

/// How long refresh tokens are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshRules {
    /// For how long after its first use a refresh token gives the same successor again, in seconds: for an answer that was
    /// lost, or two tabs of one app. Longer means that a thief has longer to go unnoticed.
    pub grace: u64,
    /// How long one may lie unused, in seconds.
    pub idle: u64,
    /// How long a grant lasts, however often it is used, in seconds.
    pub lifetime: u64,
}

impl RefreshRules {
    /// When a refresh token that is made now is bad.
    #[must_use]
    pub fn expiry(&self, grant_ends_at: u64, now: u64) -> u64 {
        now.saturating_add(self.idle).min(grant_ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::tests::grant;
    use super::*;

    fn keys(of: u8) -> RefreshKeys {
        RefreshKeys::new(&[of; 32], &[of + 1; 32])
    }

    fn hash(text: &str) -> SecretHash {
        SecretHash::of(text)
    }

    #[test]
    fn a_text_names_its_grant_and_is_known_by_its_maker_alone() {
        let grant = GrantId::from_random(&[1; 12]);
        let first = keys(1).first(&grant, &[7; 32]).expect("an id of ours");
        assert!(SecretKind::Refresh.made(first.reveal()));
        let read = keys(1).read(first.reveal()).expect("our own");
        assert_eq!((read.grant, read.hash), (grant.clone(), first.hash()));
        assert_eq!(keys(9).read(first.reveal()), None, "another's keys");
        let forged = keys(9).first(&grant, &[7; 32]).expect("an id of ours");
        assert!(SecretKind::Refresh.made(forged.reveal()), "anybody can make the checksum");
        assert_eq!(keys(1).read(forged.reveal()), None, "but not the mark");
        assert_eq!(keys(1).read("tgr_"), None);
    }

    #[test]
    fn no_byte_of_a_text_can_be_another() {
        let first = keys(1).first(&GrantId::from_random(&[1; 12]), &[7; 32]).expect("an id of ours");
        let bytes = SecretKind::Refresh.bytes(first.reveal()).expect("well-formed");
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let altered = Secret::of_bytes(SecretKind::Refresh, &altered);
            assert!(SecretKind::Refresh.made(altered.reveal()), "its checksum is right");
            assert_eq!(keys(1).read(altered.reveal()), None, "byte {index}");
        }
    }

    #[test]
    fn a_successor_is_the_same_each_time_and_nobody_elses() {
        let grant = GrantId::from_random(&[1; 12]);
        let first = keys(1).first(&grant, &[7; 32]).expect("an id of ours");
        let after = |keys: RefreshKeys, text: &str| keys.successor(&grant, text).expect("an id of ours");
        let second = after(keys(1), first.reveal());
        assert_eq!(keys(1).read(second.reveal()).map(|read| read.grant), Some(grant.clone()));
        assert_eq!(second.hash(), after(keys(1), first.reveal()).hash());
        assert_ne!(second.hash(), first.hash());
        assert_ne!(second.hash(), after(keys(2), first.reveal()).hash());
        assert_ne!(second.hash(), after(keys(1), second.reveal()).hash());
    }

    #[test]
    fn the_one_before_gives_its_successor_again_for_a_while() {
        let at_first = RefreshState { current: hash("r0"), previous: None, refreshed_at: None };
        assert_eq!((at_first.turn(&hash("r0")), at_first.turn(&hash("x"))), (Turn::Current, Turn::Older));
        let state = RefreshState { current: hash("r2"), previous: Some(hash("r1")), refreshed_at: Some(100) };
        assert_eq!(
            ["r2", "r1", "r0"].map(|text| state.turn(&hash(text))),
            [Turn::Current, Turn::Previous, Turn::Older]
        );
        let again = |from: &str, to: &str, at| state.gives_again(&hash(from), &hash(to), 10, at);
        assert!(again("r1", "r2", 100) && again("r1", "r2", 110));
        assert!(!again("r1", "r2", 111), "too late");
        assert!(!again("r1", "r3", 105) && !again("r0", "r2", 105) && !again("r2", "r2", 105));
    }

    #[test]
    fn a_refresh_token_is_its_clients_and_its_keys() {
        let (shop, other) = ("shop".parse().expect("an id"), "other".parse().expect("an id"));
        let family = RefreshFamily { grant: grant(), jkt: None };
        assert_eq!(family.check(&shop, None, 999), Ok(()));
        assert_eq!(family.check(&shop, None, 1000), Err(GrantError::Expired));
        assert_eq!(family.check(&other, None, 200), Err(GrantError::OtherClient));
        let ended = RefreshFamily { grant: Grant { ended_at: Some(150), ..grant() }, jkt: None };
        assert_eq!(ended.check(&shop, None, 200), Err(GrantError::Ended));
        let bound = RefreshFamily { jkt: Some("key".to_owned()), ..family };
        assert_eq!(bound.check(&shop, None, 200), Err(GrantError::Key));
        assert_eq!(bound.check(&shop, Some("key"), 200), Ok(()));
    }

    #[test]
    fn a_refresh_token_has_two_ends() {
        let client = "shop".parse().expect("an id");
        let family = Arc::new(RefreshFamily { grant: grant(), jkt: Some("key".to_owned()) });
        let token = RefreshToken { family, turn: Turn::Current, expires_at: 300 };
        assert!(token.is_good(&client, 299) && !token.is_good(&client, 300));
        assert!(!RefreshToken { expires_at: 2000, ..token.clone() }.is_good(&client, 1000), "the grant is over");
        assert!(!RefreshToken { turn: Turn::Previous, ..token.clone() }.is_good(&client, 299));
        assert!(!token.is_good(&"other".parse().expect("an id"), 200));
        let rules = RefreshRules { grace: 10, idle: 50, lifetime: 900 };
        assert_eq!((rules.expiry(1000, 100), rules.expiry(1000, 990)), (150, 1000));
    }
}
