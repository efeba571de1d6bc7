//! Refresh tokens: their format, rotation and reuse detection.
//!
//! A refresh token names its grant and is authenticated by a MAC of this origin: the
//! prefix, then base64url of
//!
//! ```text
//! grant (12) || secret (32)
//!     || HMAC-SHA256(MAC key, prefix || grant || secret), first 16 bytes
//!     || checksum (4)
//! ```
//!
//! Therefore a grant stores only the hashes of its current and its previous refresh
//! token. Any other token with a valid MAC is an older one of the grant: its use is
//! reuse, so someone has a copy (RFC 9700 §4.14.2). A token with an invalid MAC
//! proves nothing, because the id of a grant is not secret.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::grant::{Grant, GrantError};
use super::ids::{ClientId, GrantId};
use super::secret::{MacKey, REFRESH_TOKEN_BYTES, Secret, SecretHash, SecretKind};

const GRANT_BYTES: usize = 12;
const SECRET_BYTES: usize = 32;
const MAC_BYTES: usize = 16;
const _: () = assert!(GRANT_BYTES + SECRET_BYTES + MAC_BYTES == REFRESH_TOKEN_BYTES);

/// The keys with which this origin generates and authenticates refresh tokens.
pub struct RefreshKeys {
    /// Authenticates tokens.
    mac: MacKey,
    /// Derives a token's successor.
    successor: MacKey,
}

/// A presented refresh token with a valid MAC. Whether it is usable, its grant
/// decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedRefreshToken {
    pub grant: GrantId,
    pub hash: SecretHash,
}

impl RefreshKeys {
    /// The two keys must be different, so that no token is both a MAC and a
    /// successor.
    #[must_use]
    pub fn new(mac: &[u8; 32], successor: &[u8; 32]) -> RefreshKeys {
        RefreshKeys { mac: MacKey::new(mac), successor: MacKey::new(successor) }
    }

    /// The first refresh token of a grant; `None` if this origin did not generate the
    /// id of the grant.
    #[must_use]
    pub fn first(&self, grant: &GrantId, random: &[u8; 32]) -> Option<Secret> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(REFRESH_TOKEN_BYTES));
        bytes.extend_from_slice(&grant.random()?);
        bytes.extend_from_slice(random);
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(&mac);
        Some(Secret::of_bytes(SecretKind::Refresh, &bytes))
    }

    /// The refresh token that replaces `predecessor`. It depends only on the
    /// predecessor and the key, so it can be computed again if the response was
    /// lost, and need not be stored.
    #[must_use]
    pub fn successor(&self, grant: &GrantId, predecessor: &str) -> Option<Secret> {
        self.first(grant, &Zeroizing::new(self.successor.code(&[predecessor.as_bytes()])))
    }

    /// Parses a presented refresh token; `None` if this origin did not generate it.
    #[must_use]
    pub fn parse(&self, unverified_token: &str) -> Option<PresentedRefreshToken> {
        let bytes = SecretKind::Refresh.bytes(unverified_token)?;
        let (authenticated, mac) = bytes.split_at_checked(GRANT_BYTES + SECRET_BYTES)?;
        if !bool::from(self.mac(authenticated).ct_eq(mac)) {
            return None;
        }
        let grant = authenticated.first_chunk().map(GrantId::from_random)?;
        Some(PresentedRefreshToken { grant, hash: SecretHash::of(unverified_token) })
    }

    fn mac(&self, authenticated: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&self.mac.code(&[SecretKind::Refresh.prefix().as_bytes(), authenticated])[..MAC_BYTES]);
        mac
    }
}

/// The position of a refresh token in its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshTokenGeneration {
    /// Not used yet.
    Current,
    /// Replaced by the current one.
    Previous,
    /// Replaced before the previous one was issued.
    Older,
}

/// What all refresh tokens of a grant have in common. Only the end of the grant
/// changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshFamily {
    pub grant: Grant,
    /// Thumbprint of the DPoP key that the tokens are bound to, for public clients
    /// (RFC 9449 §5).
    pub jkt: Option<String>,
}

impl RefreshFamily {
    /// Checks whether a refresh token of the grant may be used now. The generation of
    /// the token, and whether the grant is still active, are checked when the use
    /// is written.
    ///
    /// # Errors
    /// The first violated rule.
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

/// A presented refresh token, and what its grant knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    pub family: Arc<RefreshFamily>,
    pub generation: RefreshTokenGeneration,
    /// The Unix second at which the grant's current refresh token expires.
    pub expires_at: u64,
}

impl RefreshToken {
    /// Whether `client` could use the token now, given the required proofs.
    #[must_use]
    pub fn is_usable_by(&self, client: &ClientId, now: u64) -> bool {
        let may_be_used = self.family.check(client, self.family.jkt.as_deref(), now).is_ok();
        may_be_used && self.generation == RefreshTokenGeneration::Current && now < self.expires_at
    }
}

/// Seconds after its last use in which a refresh token returns its successor again
/// after the reuse grace.
const LATE_RETRY_WINDOW: u64 = 24 * 60 * 60;
const MAX_LATE_RETRIES: u8 = 3;

/// Number of times the current refresh token was returned again after the reuse
/// grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateRetries {
    Count(u8),
    /// Not allowed, because the previous token was itself returned again after the
    /// reuse grace. So two holders of that token cannot both continue: when one
    /// has used it, the other's use is reuse.
    NotAllowed,
}

impl LateRetries {
    /// The count of a new current token.
    pub const NONE: LateRetries = LateRetries::Count(0);

    /// The count after one more late retry; `None` if it is not allowed.
    fn next(self) -> Option<LateRetries> {
        match self {
            LateRetries::Count(times) if times < MAX_LATE_RETRIES => Some(LateRetries::Count(times + 1)),
            LateRetries::Count(_) | LateRetries::NotAllowed => None,
        }
    }

    /// The count of the next token.
    fn of_successor(self) -> LateRetries {
        match self {
            LateRetries::Count(0) | LateRetries::NotAllowed => LateRetries::NONE,
            LateRetries::Count(_) => LateRetries::NotAllowed,
        }
    }
}

/// State of the rotation of a grant's refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshState {
    /// Hash of the current token.
    pub current: SecretHash,
    /// Hash of the previous token.
    pub previous: Option<SecretHash>,
    /// When the current token replaced the previous one, was returned again after the
    /// reuse grace, or was used without rotation, Unix seconds.
    pub refreshed_at: Option<u64>,
    pub late_retries: LateRetries,
}

/// Result of using a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshUse {
    /// The current token returns its successor. Contains the new state.
    Rotated(RefreshState),
    /// The current token stays the current one. Contains the new state.
    Kept(RefreshState),
    /// The previous token returns the current one again, within the reuse grace. The
    /// state does not change.
    Repeated,
    /// The previous token returns the current one again, after the reuse grace.
    /// Contains the new state.
    RetriedLate(RefreshState),
    /// Two parties hold the token (RFC 9700 §4.14.2).
    Reused,
}

impl RefreshState {
    /// The state of a grant with its first refresh token.
    #[must_use]
    pub fn first(hash: SecretHash) -> RefreshState {
        RefreshState { current: hash, previous: None, refreshed_at: None, late_retries: LateRetries::NONE }
    }

    /// The generation of a token that is known to belong to the grant.
    #[must_use]
    pub fn generation(&self, hash: &SecretHash) -> RefreshTokenGeneration {
        match () {
            () if self.current == *hash => RefreshTokenGeneration::Current,
            () if self.previous.as_ref() == Some(hash) => RefreshTokenGeneration::Previous,
            () => RefreshTokenGeneration::Older,
        }
    }

    /// Uses a refresh token of the grant at the Unix second `at`. `successor` is the
    /// token that replaces it.
    ///
    /// As long as the current token is unused, the previous one returns it again.
    /// Within the reuse grace there is no limit: a response was lost, or two tabs
    /// refresh concurrently. After the grace it is allowed a few times within a
    /// day: the origin or the database failed after the commit. A grace of 0
    /// disables both. The grace is an absolute difference, so a clock that was
    /// set back does not extend it.
    #[must_use]
    pub fn use_token(&self, hash: SecretHash, successor: SecretHash, grace: u64, at: u64) -> RefreshUse {
        match self.generation(&hash) {
            RefreshTokenGeneration::Current => RefreshUse::Rotated(RefreshState {
                current: successor,
                previous: Some(hash),
                refreshed_at: Some(at),
                late_retries: self.late_retries.of_successor(),
            }),
            RefreshTokenGeneration::Previous if self.current == successor && grace > 0 => self.retry(grace, at),
            RefreshTokenGeneration::Previous | RefreshTokenGeneration::Older => RefreshUse::Reused,
        }
    }

    /// Uses a refresh token of a client whose refresh tokens are not rotated. The
    /// current token stays the current one; since it is used now, the previous one
    /// does not return it again. Any other token is from the time when they were
    /// rotated, and is judged as then.
    #[must_use]
    pub fn use_without_rotation(&self, hash: SecretHash, successor: SecretHash, grace: u64, at: u64) -> RefreshUse {
        match self.generation(&hash) {
            RefreshTokenGeneration::Current => {
                RefreshUse::Kept(RefreshState { previous: None, refreshed_at: Some(at), ..*self })
            }
            RefreshTokenGeneration::Previous | RefreshTokenGeneration::Older => {
                self.use_token(hash, successor, grace, at)
            }
        }
    }

    fn retry(&self, grace: u64, at: u64) -> RefreshUse {
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

#[cfg(test)]
mod tests {
    use super::super::grant::tests::grant;
    use super::super::token_lifetime::RefreshTokenPolicy;
    use super::*;

    fn keys(of: u8) -> RefreshKeys {
        RefreshKeys::new(&[of; 32], &[of + 1; 32])
    }

    fn hash(text: &str) -> SecretHash {
        SecretHash::of(text)
    }

    #[test]
    fn refresh_token_names_its_grant_and_is_authenticated() {
        let grant = GrantId::from_random(&[1; 12]);
        let first = keys(1).first(&grant, &[7; 32]).expect("an id of ours");
        assert!(SecretKind::Refresh.is_well_formed(first.reveal()));
        let read = keys(1).parse(first.reveal()).expect("our own");
        assert_eq!((read.grant, read.hash), (grant.clone(), first.hash()));
        assert_eq!(keys(9).parse(first.reveal()), None, "another's keys");
        let forged = keys(9).first(&grant, &[7; 32]).expect("an id of ours");
        assert!(SecretKind::Refresh.is_well_formed(forged.reveal()), "anybody can make the checksum");
        assert_eq!(keys(1).parse(forged.reveal()), None, "but not the mac");
        assert_eq!(keys(1).parse("tgr_"), None);
    }

    #[test]
    fn altered_refresh_token_is_refused() {
        let first = keys(1).first(&GrantId::from_random(&[1; 12]), &[7; 32]).expect("an id of ours");
        let bytes = SecretKind::Refresh.bytes(first.reveal()).expect("well-formed");
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let altered = Secret::of_bytes(SecretKind::Refresh, &altered);
            assert!(SecretKind::Refresh.is_well_formed(altered.reveal()), "its checksum is right");
            assert_eq!(keys(1).parse(altered.reveal()), None, "byte {index}");
        }
    }

    #[test]
    fn successor_is_deterministic_and_unique() {
        let grant = GrantId::from_random(&[1; 12]);
        let first = keys(1).first(&grant, &[7; 32]).expect("an id of ours");
        let after = |keys: RefreshKeys, text: &str| keys.successor(&grant, text).expect("an id of ours");
        let second = after(keys(1), first.reveal());
        assert_eq!(keys(1).parse(second.reveal()).map(|read| read.grant), Some(grant.clone()));
        assert_eq!(second.hash(), after(keys(1), first.reveal()).hash());
        assert_ne!(second.hash(), first.hash());
        assert_ne!(second.hash(), after(keys(2), first.reveal()).hash());
        assert_ne!(second.hash(), after(keys(1), second.reveal()).hash());
    }

    /// A state whose current token `r2` replaced `r1` at the second 100,000.
    fn state() -> RefreshState {
        RefreshState {
            current: hash("r2"),
            previous: Some(hash("r1")),
            refreshed_at: Some(AT),
            ..RefreshState::first(hash("r0"))
        }
    }

    const AT: u64 = 100_000;

    fn use_token(state: &RefreshState, from: &str, to: &str, grace: u64, at: u64) -> RefreshUse {
        state.use_token(hash(from), hash(to), grace, at)
    }

    #[test]
    fn current_token_rotates() {
        let first = RefreshState::first(hash("r0"));
        assert_eq!(
            (first.generation(&hash("r0")), first.generation(&hash("x"))),
            (RefreshTokenGeneration::Current, RefreshTokenGeneration::Older)
        );
        assert_eq!(
            ["r2", "r1", "r0"].map(|text| state().generation(&hash(text))),
            [RefreshTokenGeneration::Current, RefreshTokenGeneration::Previous, RefreshTokenGeneration::Older]
        );
        let RefreshUse::Rotated(next) = use_token(&first, "r0", "r1", 10, AT) else { panic!("it is the current one") };
        assert_eq!((next.current, next.previous, next.refreshed_at), (hash("r1"), Some(hash("r0")), Some(AT)));
        assert_eq!(use_token(&first, "x", "r1", 10, AT), RefreshUse::Reused);
    }

    #[test]
    fn previous_token_repeats_within_the_reuse_grace() {
        for at in [AT - 10, AT, AT + 10] {
            assert_eq!(use_token(&state(), "r1", "r2", 10, at), RefreshUse::Repeated, "{at}");
        }
        for (from, to) in [("r1", "r3"), ("r0", "r1"), ("r0", "r2")] {
            assert_eq!(use_token(&state(), from, to, 10, AT + 5), RefreshUse::Reused, "{from} {to}");
        }
    }

    #[test]
    fn without_reuse_grace_every_second_use_is_reuse() {
        for at in [AT - 1, AT, AT + 1, AT + 3600] {
            assert_eq!(use_token(&state(), "r1", "r2", 0, at), RefreshUse::Reused, "{at}");
        }
    }

    #[test]
    fn clock_set_back_does_not_extend_the_grace() {
        for back in [11, 60, 3600, AT] {
            assert_eq!(use_token(&state(), "r1", "r2", 10, AT - back), RefreshUse::Reused, "{back}");
        }
    }

    #[test]
    fn unused_successor_is_returned_a_few_times_within_a_day_after_the_grace() {
        let mut state = state();
        for (times, at) in [(1, AT + 11), (2, AT + 11 + LATE_RETRY_WINDOW), (3, AT + 5000 + LATE_RETRY_WINDOW)] {
            let RefreshUse::RetriedLate(next) = use_token(&state, "r1", "r2", 10, at) else {
                panic!("{times} at {at}")
            };
            assert_eq!((next.current, next.previous, next.refreshed_at), (hash("r2"), Some(hash("r1")), Some(at)));
            assert_eq!(next.late_retries, LateRetries::Count(times));
            assert_eq!(use_token(&next, "r1", "r2", 10, at + 10), RefreshUse::Repeated, "ten at that moment are one");
            state = next;
        }
        assert_eq!(use_token(&state, "r1", "r2", 10, AT + 9000 + LATE_RETRY_WINDOW), RefreshUse::Reused, "too often");
        assert_eq!(
            use_token(&self::state(), "r1", "r2", 10, AT + LATE_RETRY_WINDOW + 1),
            RefreshUse::Reused,
            "too late"
        );
    }

    #[test]
    fn reuse_is_detected_after_a_late_retry() {
        let RefreshUse::RetriedLate(late) = use_token(&state(), "r1", "r2", 10, AT + 60) else { panic!("late") };
        let RefreshUse::Rotated(next) = use_token(&late, "r2", "r3", 10, AT + 70) else { panic!("the current one") };
        assert_eq!(next.late_retries, LateRetries::NotAllowed);
        assert_eq!(use_token(&next, "r2", "r3", 10, AT + 81), RefreshUse::Reused, "by the other");
        assert_eq!(use_token(&next, "r1", "r2", 10, AT + 81), RefreshUse::Reused, "or with what both have");
        let RefreshUse::Rotated(after) = use_token(&next, "r3", "r4", 10, AT + 90) else { panic!("the current one") };
        assert_eq!(use_token(&after, "r2", "r3", 10, AT + 99), RefreshUse::Reused);
        assert!(matches!(use_token(&after, "r3", "r4", 10, AT + 200), RefreshUse::RetriedLate(_)), "the next outage");
    }

    #[test]
    fn token_that_is_not_rotated_stays_usable_and_ends_its_predecessor() {
        let keep =
            |state: &RefreshState, from: &str, to: &str, at| state.use_without_rotation(hash(from), hash(to), 10, at);
        let RefreshUse::Kept(kept) = keep(&state(), "r2", "r3", AT + 1) else { panic!("the current one") };
        assert_eq!((kept.current, kept.previous, kept.refreshed_at), (hash("r2"), None, Some(AT + 1)));
        let again = RefreshState { refreshed_at: Some(AT + 5000), ..kept };
        assert_eq!(keep(&kept, "r2", "r3", AT + 5000), RefreshUse::Kept(again), "as often as it is used");
        for from in ["r1", "r0"] {
            assert_eq!(keep(&kept, from, "r2", AT + 2), RefreshUse::Reused, "{from}: the current one was used");
        }
        // A response was lost before the client's refresh tokens ceased to be rotated.
        assert_eq!(keep(&state(), "r1", "r2", AT + 5), RefreshUse::Repeated);
        assert!(matches!(keep(&state(), "r1", "r2", AT + 60), RefreshUse::RetriedLate(_)));
        // Rotated again later, a token that was returned late is still known to have two holders.
        let RefreshUse::RetriedLate(late) = use_token(&state(), "r1", "r2", 10, AT + 60) else { panic!("late") };
        let RefreshUse::Kept(kept) = keep(&late, "r2", "r3", AT + 70) else { panic!("the current one") };
        let RefreshUse::Rotated(next) = use_token(&kept, "r2", "r3", 10, AT + 80) else { panic!("the current one") };
        assert_eq!((next.previous, next.late_retries), (Some(hash("r2")), LateRetries::NotAllowed));
    }

    #[test]
    fn refresh_token_is_bound_to_its_client_and_key() {
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
    fn refresh_token_expires_with_its_grant_or_when_idle() {
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
