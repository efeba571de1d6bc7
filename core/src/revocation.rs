//! What is revoked: the names of revocations, their history, and the question asked of them.

use sha2::{Digest as _, Sha256};

use crate::base64url;

/// What is known of a token's revocation. Every caller matches all four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationStatus {
    /// Not revoked, on word that is fresh enough.
    NotRevoked,
    /// Revoked. Old word of a revocation is as good as new.
    Revoked,
    /// The newest word is older than promised, and the token was issued after it: nothing at all is known of it.
    NotCovered,
    /// The newest word is older than promised; as of then the token was not revoked.
    Stale,
}

/// Whoever can tell whether a token was revoked.
pub trait RevocationChecker {
    /// The standing of a token whose signature, dates, issuer and audience are good.
    fn status(&self, token: &TokenIdentifiers<'_>) -> RevocationStatus;

    /// The history that a [`RevocationStatus::NotRevoked`] given now rests on. As long as this is the same, so is the answer for that token,
    /// and whoever has it need not ask again. `None`, the default, promises nothing.
    fn version(&self) -> Option<HashChain> {
        None
    }
}

/// For a caller that asks the system of record itself, once the token is verified: the origin's introspection.
#[derive(Debug, Clone, Copy)]
pub struct CheckedByCaller;

impl RevocationChecker for CheckedByCaller {
    fn status(&self, _token: &TokenIdentifiers<'_>) -> RevocationStatus {
        RevocationStatus::NotRevoked
    }
}

/// All of a token by which it can be revoked.
#[derive(Debug, Clone, Copy)]
pub struct TokenIdentifiers<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `jti`.
    pub token_id: &'a str,
    /// `sid`: the session or grant it came from, if any.
    pub session: Option<&'a str>,
    /// `sub`.
    pub subject: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// The `kid` of the key that signed it, if the key has one.
    pub key_id: Option<&'a str>,
    /// `iat`, Unix seconds.
    pub issued_at: u64,
}

/// What a revocation strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocationKind {
    /// One token, by `jti`.
    Token,
    /// The tokens of a session or grant so far, by `sid`.
    Session,
    /// The tokens of a subject so far, by `sub`.
    Subject,
    /// The tokens of a client so far, by `client_id`.
    Client,
    /// The tokens that a key signed, by `kid`.
    Key,
    /// Every token issued before a time.
    Everything,
}

impl RevocationKind {
    /// All kinds, in the order of their bytes.
    pub const ALL: [Self; 6] = [Self::Token, Self::Session, Self::Subject, Self::Client, Self::Key, Self::Everything];
    /// The kinds that strike a group of tokens by an identifier they share.
    pub const GROUPS: [Self; 4] = [Self::Session, Self::Subject, Self::Client, Self::Key];

    /// The kind as one byte of a message.
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

    /// The kind that a byte stands for.
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

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How much of what it strikes a revocation strikes; 0 when it is lifted. Marks of one name combine by maximum.
///
/// For a token anything but 0 revokes it. For a group the tokens of issuing epochs *below* the mark are revoked, which is exact
/// where a time in seconds would be ambiguous. For everything, the tokens with `iat` below the mark are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevokedBefore(pub u64);

impl RevokedBefore {
    /// No longer revoked.
    pub const NOT_REVOKED: Self = Self(0);
    /// A token is revoked.
    pub const TOKEN: Self = Self(1);
    /// Of a group, the tokens of every epoch are revoked, those still to be issued among them.
    pub const EVERY_EPOCH: Self = Self(u64::MAX);

    /// Of a group, the tokens of this epoch and the ones before it are revoked.
    pub fn through_epoch(epoch: u32) -> Self {
        Self(u64::from(epoch) + 1)
    }

    /// Of everything, the tokens issued before this Unix second are revoked.
    pub fn time(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whether a token with this epoch (or `iat`) is struck.
    pub fn applies_to(self, epoch_or_time: u64) -> bool {
        epoch_or_time < self.0
    }
}

/// A `jti` as Tollgate's origin makes it: `tg_`, then the issuing epoch, 40 bits of the time and 72 random ones, in base64url.
///
/// The epoch tells whether a snapshot covers the token: the origin closes an epoch before it builds a snapshot, and no token
/// of a closed epoch can appear any more. It counts up from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochTokenId([u8; 18]);

impl EpochTokenId {
    /// Bytes that tell the ids of one epoch apart.
    pub const UNIQUE_BYTES: usize = 14;
    /// What tells it from the ids that other issuers make.
    const PREFIX: &str = "tg_";
    /// Bytes of the text.
    pub const TEXT_BYTES: usize = 27;

    /// The id of these bytes, issued in `epoch`.
    pub fn new(epoch: u32, unique: [u8; Self::UNIQUE_BYTES]) -> Self {
        let mut bytes = [0; 18];
        let (high, low) = bytes.split_at_mut(4);
        high.copy_from_slice(&epoch.to_be_bytes());
        low.copy_from_slice(&unique);
        Self(bytes)
    }

    /// Reads a `jti`; nothing if the origin did not make it. There is no epoch 0: a snapshot that covers none says so by it.
    pub fn parse(token_id: &str) -> Option<Self> {
        let text = token_id.strip_prefix(Self::PREFIX).filter(|text| text.len() == 24)?;
        base64url::decode_array(text.as_bytes()).map(Self).filter(|id| id.epoch() > 0)
    }

    /// The `jti`, written into `text`.
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

    /// The name under which the token is revoked.
    pub fn revocation_id(&self) -> RevocationId {
        RevocationId(*self.0.last_chunk().unwrap_or(&[0; 16]))
    }
}

impl core::fmt::Display for EpochTokenId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.write(&mut [0; Self::TEXT_BYTES]))
    }
}

/// The name under which a revocation is kept: 128 bits.
///
/// For a token of our origin they are bits of its `jti`: 16 of the epoch, 40 of the time, 72 random ones; for anything else, of a hash
/// over kind, issuer and identifier. Nobody but the issuer chooses a `jti`, so nobody can look for two with the same name, and of two
/// honest ones that met, the origin's record would refuse the second. A name never depends on a token's text: a second encoding of the same
/// token has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId([u8; 16]);

impl RevocationId {
    /// Bytes of a name.
    pub const LEN: usize = 16;
    /// The name of [`RevocationKind::Everything`], of which there is one.
    pub const EVERYTHING: Self = Self([0; 16]);

    /// The name of a revoked token.
    pub fn for_token(issuer: &str, token_id: &str) -> Self {
        EpochTokenId::parse(token_id)
            .map_or_else(|| Self::new(RevocationKind::Token, issuer, token_id), |id| id.revocation_id())
    }

    /// The name of what `identifier` means to revocations of this kind.
    pub fn new(kind: RevocationKind, issuer: &str, identifier: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tollgate revocation v1\0");
        hash.update([kind.to_byte()]);
        hash.update((issuer.len() as u64).to_be_bytes()); // so that no two pairs give one text
        hash.update(issuer);
        hash.update(identifier);
        Self(truncate(hash))
    }

    /// A name as it stands in a message.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The name as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The two halves as numbers; the lower one is random throughout.
    pub(crate) fn halves(self) -> (u64, u64) {
        let number = u128::from_be_bytes(self.0);
        ((number >> 64) as u64, number as u64)
    }
}

/// One entry of the origin's history: from now on this name has this mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// Its number; the first is 1, none is left out.
    pub sequence: u64,
    /// What kind of thing it is about.
    pub kind: RevocationKind,
    /// What it is about.
    pub id: RevocationId,
    /// What became of it: the name's mark from now on.
    pub revoked_before: RevokedBefore,
    /// Unix seconds after which every token that is struck has expired anyway and the entry may be forgotten.
    pub expires_at: u64,
}

/// A fingerprint of an issuer's whole history up to a sequence. Two histories that differ anywhere have different chains, so
/// that an edge notices an origin that was restored from an old backup and went on differently (a fork).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashChain([u8; 32]);

impl HashChain {
    /// The chain of an issuer that revoked nothing yet.
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

    /// A chain as it stands in a message.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The chain as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A fingerprint of a configuration document: an edge that holds another asks for the snapshot.
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

    /// A digest as it stands in a message.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The digest as it stands in a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn truncate(hash: Sha256) -> [u8; 16] {
    let digest: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(digest.split_at(16).0);
    short
}
