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
pub struct PresentedRefreshToken {
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
    pub fn read(&self, unverified_token: &str) -> Option<PresentedRefreshToken> {
        let bytes = SecretKind::Refresh.bytes(unverified_token)?;
        let (marked, mark) = bytes.split_at_checked(GRANT_BYTES + SECRET_BYTES)?;
        if !bool::from(self.mark(marked).ct_eq(mark)) {
            return None;
        }
        let grant = marked.first_chunk().map(GrantId::from_random)?;
        Some(PresentedRefreshToken { grant, hash: SecretHash::of(unverified_token) })
    }

    fn mark(&self, marked: &[u8]) -> [u8; MARK_BYTES] {
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&self.mark.code(&[SecretKind::Refresh.prefix().as_bytes(), marked])[..MARK_BYTES]);
        mark
    }
}

/// Which of its grant's refresh tokens one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshTokenGeneration {
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
            return Err(GrantError::ProofKey);
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
    pub generation: RefreshTokenGeneration,
    /// The Unix second from which the grant's current one is bad.
    pub expires_at: u64,
}

impl RefreshToken {
    /// Whether it would give `client`, which proves what it must, something now.
    #[must_use]
    pub fn is_usable_by(&self, client: &ClientId, now: u64) -> bool {
        let may_be_used = self.family.check(client, self.family.jkt.as_deref(), now).is_ok();
        may_be_used && self.generation == RefreshTokenGeneration::Current && now < self.expires_at
    }
}

/// For how long after its last use a refresh token gives its successor again in spite of the grace, in seconds.
const LATE_RETRY_WINDOW: u64 = 24 * 60 * 60;
/// How often it does.
const MAX_LATE_RETRIES: u8 = 3;

/// How often the current refresh token was given again after the grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateRetries {
    /// This many times.
    Given(u8),
    /// Never, because the previous token was itself given again after the grace. So two holders of that token cannot both continue: once
    /// one has used it, its use by the other is reuse.
    Barred,
}

impl LateRetries {
    /// The count of a token that has just become the current one.
    pub const NONE: LateRetries = LateRetries::Given(0);

    /// The count after one more late retry; `None` if that is not allowed.
    fn next(self) -> Option<LateRetries> {
        match self {
            LateRetries::Given(times) if times < MAX_LATE_RETRIES => Some(LateRetries::Given(times + 1)),
            LateRetries::Given(_) | LateRetries::Barred => None,
        }
    }

    /// The count of the token that follows.
    fn of_successor(self) -> LateRetries {
        match self {
            LateRetries::Given(0) | LateRetries::Barred => LateRetries::NONE,
            LateRetries::Given(_) => LateRetries::Barred,
        }
    }
}

/// How far the refresh tokens of a grant have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshState {
    /// The hash of the current one.
    pub current: SecretHash,
    /// The hash of the one that it followed.
    pub previous: Option<SecretHash>,
    /// When it followed, or was given again after the grace, Unix seconds.
    pub refreshed_at: Option<u64>,
    /// How often it was given again after the grace.
    pub late_retries: LateRetries,
}

/// Result of using a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshUse {
    /// The current token gives its successor. Holds the new state.
    Rotated(RefreshState),
    /// The previous token gives the current one again, within the grace. The state does not change.
    Repeated,
    /// The previous token gives the current one again, after the grace. Holds the new state.
    RetriedLate(RefreshState),
    /// Two parties hold the token (RFC 9700 §4.14.2).
    Reused,
}

impl RefreshState {
    /// The state with the first refresh token.
    #[must_use]
    pub fn first(hash: SecretHash) -> RefreshState {
        RefreshState { current: hash, previous: None, refreshed_at: None, late_retries: LateRetries::NONE }
    }

    /// Which one this is, of which it is certain that it is one of the grant's.
    #[must_use]
    pub fn generation(&self, hash: &SecretHash) -> RefreshTokenGeneration {
        match () {
            () if self.current == *hash => RefreshTokenGeneration::Current,
            () if self.previous.as_ref() == Some(hash) => RefreshTokenGeneration::Previous,
            () => RefreshTokenGeneration::Older,
        }
    }

    /// Uses one of the grant's refresh tokens at the Unix second `at`. `successor` is the token that follows it.
    ///
    /// The previous token gives the current one again as long as that is unused. Within the grace it does so without a limit: an answer was
    /// lost, or two tabs refresh at the same time. After the grace it does so a few times within a day: the origin or the database failed
    /// after the commit. A grace of 0 disables both. The grace is an absolute difference, so a clock that was set back does not extend it.
    #[must_use]
    pub fn used(&self, hash: SecretHash, successor: SecretHash, grace: u64, at: u64) -> RefreshUse {
        match self.generation(&hash) {
            RefreshTokenGeneration::Current => RefreshUse::Rotated(RefreshState {
                current: successor,
                previous: Some(hash),
                refreshed_at: Some(at),
                late_retries: self.late_retries.of_successor(),
            }),
            RefreshTokenGeneration::Previous if self.current == successor && grace > 0 => self.retried(grace, at),
            RefreshTokenGeneration::Previous | RefreshTokenGeneration::Older => RefreshUse::Reused,
        }
    }

    fn retried(&self, grace: u64, at: u64) -> RefreshUse {
        let Some(refreshed_at) = self.refreshed_at else {
            return RefreshUse::Reused;
        };
        if at.abs_diff(refreshed_at) <= grace {
            return RefreshUse::Repeated;
        }
        let in_time = (refreshed_at..=refreshed_at.saturating_add(LATE_RETRY_WINDOW)).contains(&at);
        match self.late_retries.next() {
            Some(late_retries) if in_time => {
                RefreshUse::RetriedLate(RefreshState { refreshed_at: Some(at), late_retries, ..*self })
            }
            _ => RefreshUse::Reused,
        }
    }
}

/// Lifetimes of refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshTokenPolicy {
    /// Reuse grace in seconds: how long after its first use a refresh token returns the same successor
    /// again. It covers a lost response, and two tabs of one application. A longer grace gives a thief
    /// more time before reuse is detected.
    pub reuse_grace: u64,
    /// Seconds after which an unused refresh token expires.
    pub idle_timeout: u64,
    /// Seconds after which a grant ends, however often it is refreshed.
    pub lifetime: u64,
}

impl RefreshTokenPolicy {
    /// When a refresh token issued at `now` expires.
    #[must_use]
    pub fn expiry(&self, grant_ends_at: u64, now: u64) -> u64 {
        now.saturating_add(self.idle_timeout).min(grant_ends_at)
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
        assert!(SecretKind::Refresh.is_well_formed(first.reveal()));
        let read = keys(1).read(first.reveal()).expect("our own");
        assert_eq!((read.grant, read.hash), (grant.clone(), first.hash()));
        assert_eq!(keys(9).read(first.reveal()), None, "another's keys");
        let forged = keys(9).first(&grant, &[7; 32]).expect("an id of ours");
        assert!(SecretKind::Refresh.is_well_formed(forged.reveal()), "anybody can make the checksum");
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
            assert!(SecretKind::Refresh.is_well_formed(altered.reveal()), "its checksum is right");
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

    /// A state with the current token `r2`, which followed `r1` at the second 100,000.
    fn state() -> RefreshState {
        RefreshState {
            current: hash("r2"),
            previous: Some(hash("r1")),
            refreshed_at: Some(AT),
            ..RefreshState::first(hash("r0"))
        }
    }

    const AT: u64 = 100_000;

    fn used(state: &RefreshState, from: &str, to: &str, grace: u64, at: u64) -> RefreshUse {
        state.used(hash(from), hash(to), grace, at)
    }

    #[test]
    fn the_current_one_gives_its_successor() {
        let first = RefreshState::first(hash("r0"));
        assert_eq!(
            (first.generation(&hash("r0")), first.generation(&hash("x"))),
            (RefreshTokenGeneration::Current, RefreshTokenGeneration::Older)
        );
        assert_eq!(
            ["r2", "r1", "r0"].map(|text| state().generation(&hash(text))),
            [RefreshTokenGeneration::Current, RefreshTokenGeneration::Previous, RefreshTokenGeneration::Older]
        );
        let RefreshUse::Rotated(next) = used(&first, "r0", "r1", 10, AT) else { panic!("it is the current one") };
        assert_eq!((next.current, next.previous, next.refreshed_at), (hash("r1"), Some(hash("r0")), Some(AT)));
        assert_eq!(used(&first, "x", "r1", 10, AT), RefreshUse::Reused);
    }

    #[test]
    fn within_the_grace_the_one_before_gives_the_current_one_again() {
        for at in [AT - 10, AT, AT + 10] {
            assert_eq!(used(&state(), "r1", "r2", 10, at), RefreshUse::Repeated, "{at}");
        }
        for (from, to) in [("r1", "r3"), ("r0", "r1"), ("r0", "r2")] {
            assert_eq!(used(&state(), from, to, 10, AT + 5), RefreshUse::Reused, "{from} {to}");
        }
    }

    #[test]
    fn without_a_grace_every_second_use_is_reuse() {
        for at in [AT - 1, AT, AT + 1, AT + 3600] {
            assert_eq!(used(&state(), "r1", "r2", 0, at), RefreshUse::Reused, "{at}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_prolongs_nothing() {
        for back in [11, 60, 3600, AT] {
            assert_eq!(used(&state(), "r1", "r2", 10, AT - back), RefreshUse::Reused, "{back}");
        }
    }

    #[test]
    fn after_the_grace_a_current_one_that_nobody_used_is_given_again_a_few_times_within_a_day() {
        let mut state = state();
        for (times, at) in [(1, AT + 11), (2, AT + 11 + LATE_RETRY_WINDOW), (3, AT + 5000 + LATE_RETRY_WINDOW)] {
            let RefreshUse::RetriedLate(next) = used(&state, "r1", "r2", 10, at) else { panic!("{times} at {at}") };
            assert_eq!((next.current, next.previous, next.refreshed_at), (hash("r2"), Some(hash("r1")), Some(at)));
            assert_eq!(next.late_retries, LateRetries::Given(times));
            assert_eq!(used(&next, "r1", "r2", 10, at + 10), RefreshUse::Repeated, "ten at that moment are one");
            state = next;
        }
        assert_eq!(used(&state, "r1", "r2", 10, AT + 9000 + LATE_RETRY_WINDOW), RefreshUse::Reused, "too often");
        assert_eq!(used(&self::state(), "r1", "r2", 10, AT + LATE_RETRY_WINDOW + 1), RefreshUse::Reused, "too late");
    }

    #[test]
    fn of_two_who_hold_a_token_that_was_given_late_one_is_noticed() {
        let RefreshUse::RetriedLate(late) = used(&state(), "r1", "r2", 10, AT + 60) else { panic!("late") };
        let RefreshUse::Rotated(next) = used(&late, "r2", "r3", 10, AT + 70) else { panic!("the current one") };
        assert_eq!(next.late_retries, LateRetries::Barred);
        assert_eq!(used(&next, "r2", "r3", 10, AT + 81), RefreshUse::Reused, "by the other");
        assert_eq!(used(&next, "r1", "r2", 10, AT + 81), RefreshUse::Reused, "or with what both have");
        let RefreshUse::Rotated(after) = used(&next, "r3", "r4", 10, AT + 90) else { panic!("the current one") };
        assert_eq!(used(&after, "r2", "r3", 10, AT + 99), RefreshUse::Reused);
        assert!(matches!(used(&after, "r3", "r4", 10, AT + 200), RefreshUse::RetriedLate(_)), "the next outage");
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
        assert_eq!(bound.check(&shop, None, 200), Err(GrantError::ProofKey));
        assert_eq!(bound.check(&shop, Some("key"), 200), Ok(()));
    }

    #[test]
    fn a_refresh_token_has_two_ends() {
        let client = "shop".parse().expect("an id");
        let family = Arc::new(RefreshFamily { grant: grant(), jkt: Some("key".to_owned()) });
        let token = RefreshToken { family, generation: RefreshTokenGeneration::Current, expires_at: 300 };
        assert!(token.is_usable_by(&client, 299) && !token.is_usable_by(&client, 300));
        assert!(!RefreshToken { expires_at: 2000, ..token.clone() }.is_usable_by(&client, 1000), "the grant is over");
        assert!(
            !RefreshToken { generation: RefreshTokenGeneration::Previous, ..token.clone() }.is_usable_by(&client, 299)
        );
        assert!(!token.is_usable_by(&"other".parse().expect("an id"), 200));
        let rules = RefreshTokenPolicy { reuse_grace: 10, idle_timeout: 50, lifetime: 900 };
        assert_eq!((rules.expiry(1000, 100), rules.expiry(1000, 990)), (150, 1000));
    }
}
