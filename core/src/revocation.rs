//! Domain types of revocation: what can be revoked, how a revocation is identified, the log of
//! revocations, and the status of a token.

use alloc::string::String;

use sha2::{Digest as _, Sha256};

use crate::{base64url, hex};

/// Whether a token is revoked, as far as is known. Callers match all four values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationStatus {
    /// Not revoked, by a replica that is fresh.
    NotRevoked,
    /// Revoked. A stale replica answers this, too: a revocation does not become wrong with age.
    Revoked,
    /// The replica is older than the staleness bound, and the token may be newer than the replica.
    NotCovered,
    /// Not revoked in the replica, which is older than the staleness bound.
    Stale,
}

/// A source of revocation statuses.
pub trait RevocationChecker {
    /// The status of a token whose signature, dates, issuer and audience are valid.
    fn status(&self, token: &TokenIdentifiers<'_>) -> RevocationStatus;

    /// Version of the revocation log that a [`RevocationStatus::NotRevoked`] given now is based on.
    /// While the version stays the same, so does that answer, and callers may cache it. `None`, the
    /// default, forbids caching.
    fn version(&self) -> Option<HashChain> {
        None
    }
}

/// Answers [`RevocationStatus::NotRevoked`] for every token: for a caller that checks the
/// revocation itself after verification, as the origin does in its own database.
#[derive(Debug, Clone, Copy)]
pub struct CheckedByCaller;

impl RevocationChecker for CheckedByCaller {
    fn status(&self, _token: &TokenIdentifiers<'_>) -> RevocationStatus {
        RevocationStatus::NotRevoked
    }
}

/// The identifiers of a token by which it can be revoked.
#[derive(Debug, Clone, Copy)]
pub struct TokenIdentifiers<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `jti`.
    pub token_id: &'a str,
    /// `sid`: the session or grant that the token belongs to, if any.
    pub session: Option<&'a str>,
    /// `sub`.
    pub subject: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// `kid` of the key that signed the token, if the key has one.
    pub key_id: Option<&'a str>,
    /// `iat`, Unix seconds.
    pub issued_at: u64,
}

impl TokenIdentifiers<'_> {
    /// The id under which the token's group of this kind is revoked; none for other kinds, and if
    /// the token is in no such group.
    pub(crate) fn group_id(&self, kind: RevocationKind) -> Option<RevocationId> {
        let identifier = match kind {
            RevocationKind::Session => self.session,
            RevocationKind::Subject => Some(self.subject),
            RevocationKind::Client => Some(self.client_id),
            RevocationKind::Key => self.key_id,
            RevocationKind::Token | RevocationKind::Everything => None,
        };
        identifier.map(|identifier| RevocationId::new(kind, self.issuer, identifier))
    }
}

/// What a revocation applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocationKind {
    /// One token, by `jti`.
    Token,
    /// The tokens of a session or grant issued so far, by `sid`.
    Session,
    /// The tokens of a subject issued so far, by `sub`.
    Subject,
    /// The tokens of a client issued so far, by `client_id`.
    Client,
    /// All tokens that a key signed, by `kid`.
    Key,
    /// All tokens issued before a time.
    Everything,
}

impl RevocationKind {
    /// All kinds, in the order of [`to_byte`](Self::to_byte).
    pub const ALL: [Self; 6] = [Self::Token, Self::Session, Self::Subject, Self::Client, Self::Key, Self::Everything];
    /// The kinds that apply to a group of tokens with a common identifier.
    pub const GROUPS: [Self; 4] = [Self::Session, Self::Subject, Self::Client, Self::Key];

    /// The kind's byte in messages.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Token => 1,
            Self::Session => 2,
            Self::Subject => 3,
            Self::Client => 4,
            Self::Key => 5,
            Self::Everything => 6,
        }
    }

    /// The kind with this byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_byte() == byte)
    }

    /// The kind's name, for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Key => "key",
            Self::Everything => "everything",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which of a group's tokens are revoked: those of issuing epochs below this number. 0 revokes
/// none, and is the value of a reinstated id. Of several values for one id the highest applies.
///
/// Epochs are exact where a time in seconds would be ambiguous. For a single token every value
/// except 0 revokes it; for [`RevocationKind::Everything`] the number is a Unix time, and tokens
/// with a lower `iat` are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevokedBefore(pub u64);

impl RevokedBefore {
    /// Nothing is revoked, or no longer.
    pub const NOT_REVOKED: Self = Self(0);
    /// The value for a revoked token.
    pub const TOKEN: Self = Self(1);
    /// Revokes the tokens of every epoch, including those that are still to be issued.
    pub const EVERY_EPOCH: Self = Self(u64::MAX);

    /// Revokes the tokens of this epoch and of all earlier ones.
    pub fn through_epoch(epoch: u32) -> Self {
        Self(u64::from(epoch) + 1)
    }

    /// Revokes the tokens issued before this Unix second.
    pub fn time(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whether a token of this epoch (for [`RevocationKind::Everything`]: with this `iat`) is
    /// revoked.
    pub fn applies_to(self, epoch_or_time: u64) -> bool {
        epoch_or_time < self.0
    }
}

/// A `jti` generated by Tollgate's origin: `tg_`, then in base64url the issuing epoch, 40 bits of
/// the time and 72 random bits.
///
/// The epoch says whether a snapshot covers the token: the origin closes an epoch before it builds
/// a snapshot, and issues no more tokens in a closed epoch. Epochs count up from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochTokenId([u8; 18]);

impl EpochTokenId {
    /// Number of bytes that distinguish the ids of one epoch.
    pub const UNIQUE_BYTES: usize = 14;
    /// Distinguishes these ids from those of other issuers.
    const PREFIX: &str = "tg_";
    /// Length of the text in bytes.
    pub const TEXT_BYTES: usize = 27;

    /// The id with these bytes, issued in `epoch`.
    pub fn new(epoch: u32, unique: [u8; Self::UNIQUE_BYTES]) -> Self {
        let mut bytes = [0; 18];
        let (high, low) = bytes.split_at_mut(4);
        high.copy_from_slice(&epoch.to_be_bytes());
        low.copy_from_slice(&unique);
        Self(bytes)
    }

    /// Parses a `jti`. `None` if it has another form, or has epoch 0: the epoch of a snapshot that
    /// covers no token.
    pub fn parse(token_id: &str) -> Option<Self> {
        let text = token_id.strip_prefix(Self::PREFIX).filter(|text| text.len() == 24)?;
        base64url::decode_array(text.as_bytes()).map(Self).filter(|id| id.epoch() > 0)
    }

    /// Writes the `jti` into `text`.
    pub fn write<'t>(&self, text: &'t mut [u8; Self::TEXT_BYTES]) -> &'t str {
        let (prefix, rest) = text.split_at_mut(Self::PREFIX.len());
        prefix.copy_from_slice(Self::PREFIX.as_bytes());
        base64url::encode_slice(&self.0, rest);
        core::str::from_utf8(text).unwrap_or_default()
    }

    /// The epoch in which the token was issued.
    pub fn epoch(&self) -> u32 {
        u32::from_be_bytes(*self.0.first_chunk().unwrap_or(&[0; 4]))
    }

    /// The id under which the token is revoked.
    pub fn revocation_id(&self) -> RevocationId {
        RevocationId(*self.0.last_chunk().unwrap_or(&[0; 16]))
    }
}

impl core::fmt::Display for EpochTokenId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.write(&mut [0; Self::TEXT_BYTES]))
    }
}

/// 128 bits that identify what is revoked: a token, session, subject, client or key of an issuer.
///
/// For a token of Tollgate's origin they are the last 128 bits of its `jti`: 16 bits of the epoch,
/// 40 of the time and 72 random ones. For anything else they are a hash of kind, issuer and
/// identifier. Only the issuer chooses a `jti`, so an attacker cannot search for a collision, and
/// the origin's database refuses to record a second token with the same id. The id does not depend
/// on the token's encoding: a second encoding of the same token has the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId([u8; 16]);

impl RevocationId {
    /// Length in bytes.
    pub const LEN: usize = 16;
    /// The only id of [`RevocationKind::Everything`].
    pub const EVERYTHING: Self = Self([0; 16]);

    /// The id of a token.
    pub fn for_token(issuer: &str, token_id: &str) -> Self {
        EpochTokenId::parse(token_id)
            .map_or_else(|| Self::new(RevocationKind::Token, issuer, token_id), |id| id.revocation_id())
    }

    /// The hashed id for a kind and its identifier: a `jti` of another issuer, `sid`, `sub`,
    /// `client_id` or `kid`.
    pub fn new(kind: RevocationKind, issuer: &str, identifier: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate revocation v1\0");
        hash.update([kind.to_byte()]);
        hash.update((issuer.len() as u64).to_be_bytes()); // so that no two pairs give the same input
        hash.update(issuer);
        hash.update(identifier);
        Self(truncate(hash))
    }

    /// The id with these bytes of a message.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as bytes of a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The two halves as numbers. All bits of the lower half are random.
    pub(crate) fn halves(self) -> (u64, u64) {
        let number = u128::from_be_bytes(self.0);
        ((number >> 64) as u64, number as u64)
    }
}

/// One change of the revocation log: sets the [`RevokedBefore`] of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// Position in the log. The first is 1, and no number is skipped.
    pub sequence: u64,
    /// Kind of `id`.
    pub kind: RevocationKind,
    /// What is revoked or reinstated.
    pub id: RevocationId,
    /// The id's value from now on.
    pub revoked_before: RevokedBefore,
    /// Unix seconds after which every revoked token has expired, so that the entry can be deleted.
    pub expires_at: u64,
}

/// Hash chain over an issuer's whole revocation log up to a sequence number. Logs that differ in
/// any entry have different chains. By this an edge detects a fork: an origin that was restored
/// from an old backup and continued with other entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashChain([u8; 32]);

impl HashChain {
    /// The chain of an empty log.
    pub fn genesis(issuer: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate chain v1 genesis\0");
        hash.update(issuer);
        Self(hash.finalize().into())
    }

    /// The chain after one more delta.
    #[must_use]
    pub fn next(&self, delta: &Delta) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate chain v1 next\0");
        hash.update(self.0);
        hash.update(delta.sequence.to_be_bytes());
        hash.update([delta.kind.to_byte()]);
        hash.update(delta.id.as_bytes());
        hash.update(delta.revoked_before.0.to_be_bytes());
        hash.update(delta.expires_at.to_be_bytes());
        Self(hash.finalize().into())
    }

    /// The chain with these bytes of a message.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The chain as bytes of a message.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Hash of a configuration document. An edge whose document has another digest needs a new
/// snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDigest([u8; 16]);

impl ConfigDigest {
    /// The digest of a configuration document.
    pub fn of(config: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate config v1\0");
        hash.update(config);
        Self(truncate(hash))
    }

    /// The digest with these bytes of a message.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The digest as bytes of a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses the form that [`Display`](core::fmt::Display) writes: 32 lower-case hexadecimal
    /// digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::parse(text).map(Self)
    }
}

impl core::fmt::Display for ConfigDigest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = String::with_capacity(2 * self.0.len());
        hex::push(&mut text, &self.0);
        f.write_str(&text)
    }
}

fn truncate(hash: Sha256) -> [u8; 16] {
    let digest: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(digest.split_at(16).0);
    short
}
