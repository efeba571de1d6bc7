//! The key ring: all keys of an issuer in memory, in their states at one time.

use std::collections::BTreeSet;
use std::sync::Arc;

use hkdf::Hkdf;
use serde::Serialize;
use sha2::Sha256;
use tollgate_core::{KeySet, SnapshotSigner};
use tollgate_model::jwks::{self, PublicKeys};
use tollgate_model::key_schedule as schedule;
use tollgate_model::{EdgeName, RefreshKeys, TokenAlg};
use tollgate_model::{IMPORTED_PURPOSE, KeyState, StoredKey};
use zeroize::Zeroizing;

use super::audience_key::{AudienceKeyCache, DeriveKey};
use super::compact::{self, TOKEN_TYPE};
use super::jwk::Jwk;
use super::master::{MasterKey, SealError};
use super::private::PrivateKey;

/// The keys of an issuer: for each algorithm the signing key, its successors and predecessors, the
/// derive keys of audience keys, and the snapshot keys.
pub struct KeyRing {
    signing: Vec<SigningKey>,
    imported: Vec<VerifyingKey>,
    pub(super) derive: Vec<DeriveKey>,
    pub(super) audiences: AudienceKeyCache,
    secret: Zeroizing<[u8; 32]>,
    refresh: RefreshKeys,
    snapshot: SnapshotSigner,
    pins: Vec<[u8; 32]>,
    /// `kid`s of revoked keys.
    pub(super) revoked: BTreeSet<String>,
    verifying: PublicKeys,
    listing: Vec<PublicKey>,
    next_change: Option<u64>,
}

/// A public key of another system, whose tokens are still verified.
struct VerifyingKey {
    alg: String,
    jwk: Jwk,
}

struct SigningKey {
    kid: String,
    state: KeyState,
    published: bool,
    private: Arc<PrivateKey>,
    jwk: Jwk,
    /// JWS header of the access tokens that it signs.
    header: String,
}

/// Public information about a key. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PublicKey {
    /// Key identifier.
    pub kid: String,
    /// Registered name of the algorithm.
    pub alg: String,
    /// `token`, `derive`, `secret`, `snapshot` or `verify`.
    pub purpose: String,
    /// Current state.
    #[schema(value_type = String)]
    pub state: KeyState,
    /// When it was created.
    pub created_at: u64,
    /// When the first snapshot that contains it was published.
    pub published_at: Option<u64>,
    /// When it begins to sign.
    pub signs_from: Option<u64>,
    /// When the last token that it signed expires, once determined.
    pub retires_at: Option<u64>,
    /// When the private key was destroyed.
    pub gone_at: Option<u64>,
}

/// Error: the keys of a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    #[error("wrong master key: the keys in this database were encrypted with another one (key {kid})")]
    WrongMasterKey { kid: String },
    #[error("the key {kid} in the database cannot be used: {problem}")]
    Unusable { kid: String, problem: String },
    #[error("the database has no {0} key")]
    Missing(&'static str),
    #[error("key generation failed: {0}")]
    Generate(String),
}

/// Why a revocation of a key would have no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyNotRevocable {
    /// No key has or can have this name.
    #[error("no key has this name")]
    Unknown,
    /// Keys with this purpose sign no tokens.
    #[error("it is a {0} key, which signs no tokens")]
    SignsNoTokens(String),
}

impl KeyRing {
    /// Decrypts the stored keys and computes their states at the Unix second `now`. `revoked`
    /// contains the `kid`s of revoked keys.
    ///
    /// # Errors
    /// If the master key is wrong, a key is damaged, or a required key is missing.
    pub fn open(
        master: &MasterKey,
        stored: &[StoredKey],
        revoked: BTreeSet<String>,
        now: u64,
    ) -> Result<KeyRing, KeyRingError> {
        let mut signing = Vec::new();
        let mut imported = Vec::new();
        let mut derive = Vec::new();
        let mut secret = None;
        let mut snapshot = None;
        let mut pins = Vec::new();
        let states = schedule::states(stored, &revoked, now);
        for &(key, state) in states.iter().filter(|(_, state)| *state < KeyState::Gone) {
            let bytes = decrypt(master, key)?;
            match key.purpose.as_str() {
                "token" => signing.push(SigningKey::open(key, state, &bytes)?),
                IMPORTED_PURPOSE | "derive" if state == KeyState::Revoked => {}
                IMPORTED_PURPOSE => imported.push(VerifyingKey::open(key, &bytes)?),
                "derive" => derive.push(DeriveKey { kid: key.kid.clone(), state, seed: seed(key, &bytes)? }),
                "secret" => secret = Some(seed(key, &bytes)?),
                "snapshot" => {
                    let seed = seed(key, &bytes)?;
                    let signer = SnapshotSigner::from_seed(&seed);
                    match state {
                        KeyState::Active => {
                            pins.insert(0, signer.public_key());
                            snapshot = Some(signer);
                        }
                        KeyState::Upcoming => pins.push(signer.public_key()),
                        KeyState::Retiring | KeyState::Revoked | KeyState::Gone => {}
                    }
                }
                other => return Err(unusable(key, format!("unknown purpose {other}"))),
            }
        }
        let listing = states.iter().map(|&(key, state)| PublicKey::new(key, state)).collect();
        let secret = secret.ok_or(KeyRingError::Missing("secret"))?;
        Ok(KeyRing {
            verifying: verifying_keys(&signing)?,
            signing,
            imported,
            derive,
            audiences: AudienceKeyCache::default(),
            refresh: refresh_keys(&secret),
            secret,
            snapshot: snapshot.ok_or(KeyRingError::Missing("snapshot"))?,
            pins,
            revoked,
            listing,
            next_change: schedule::next_change(stored, now),
        })
    }

    /// The key that signs tokens with this algorithm, and its `kid`. `None` for HS256, whose keys
    /// belong to audiences, and while the key is revoked and not yet replaced.
    #[must_use]
    pub fn signing_key(&self, alg: TokenAlg) -> Option<(&str, &Arc<PrivateKey>)> {
        let mut active = self.signing.iter().filter(|key| key.state == KeyState::Active);
        active.find(|key| key.private.alg() == alg).map(|key| (key.kid.as_str(), &key.private))
    }

    /// The token key with this `kid`, if it is not revoked.
    pub(super) fn token_key(&self, kid: &str) -> Option<&PrivateKey> {
        self.signing.iter().find(|key| key.kid == kid && key.state != KeyState::Revoked).map(|key| &*key.private)
    }

    /// The token key with this `kid`, also if it was revoked since a token was recorded, after the
    /// header of its tokens.
    pub(super) fn recorded_key(&self, kid: &str) -> Option<(&str, &Arc<PrivateKey>)> {
        self.signing.iter().find(|key| key.kid == kid).map(|key| (key.header.as_str(), &key.private))
    }

    /// The public keys that verifiers of access tokens need: active, upcoming, and with unexpired
    /// tokens; in order of creation.
    #[must_use]
    pub fn public_jwks(&self) -> Vec<Jwk> {
        let is_for_tokens = |key: &&SigningKey| key.private.alg().is_for_access_tokens();
        let own = self.verifying_signing_keys().filter(is_for_tokens).map(|key| key.jwk.clone());
        own.chain(self.imported.iter().map(|key| key.jwk.clone())).collect()
    }

    /// The keys of [`KeyRing::public_jwks`] and those that sign no access tokens, in the order in
    /// which the JWK set lists them: RSA, EC, OKP. Some verifiers try the keys in order, or read
    /// all of them, and stop with an error at the first key type that they do not support; RSA is
    /// the one that all of them support.
    #[must_use]
    pub fn published_jwks(&self) -> Vec<Jwk> {
        let order = [TokenAlg::Rs256, TokenAlg::Ps256, TokenAlg::Es256, TokenAlg::EdDsa, TokenAlg::Ed25519];
        let of = |alg: TokenAlg| {
            let own = self.verifying_signing_keys().filter(move |key| key.private.alg() == alg).map(|key| &key.jwk);
            own.chain(self.imported.iter().filter(move |key| key.alg == alg.as_str()).map(|key| &key.jwk))
        };
        order.into_iter().flat_map(of).cloned().collect()
    }

    fn verifying_signing_keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.signing.iter().filter(|key| key.state != KeyState::Revoked)
    }

    /// The `kid`s of those keys in [`KeyRing::public_jwks`] that no snapshot contains yet.
    #[must_use]
    pub fn unpublished(&self) -> Vec<String> {
        self.signing
            .iter()
            .filter(|key| !key.published && key.state != KeyState::Revoked)
            .map(|key| key.kid.clone())
            .collect()
    }

    /// The public keys for verification. HS256 keys of audiences are not among them: edges hold
    /// them, and an edge must not be able to sign tokens for the issuer itself.
    #[must_use]
    pub fn verifying_keys(&self) -> &KeySet {
        &self.verifying.keys
    }

    /// The public keys for verification of all that this issuer signs, by algorithm.
    #[must_use]
    pub fn public_keys(&self) -> &PublicKeys {
        &self.verifying
    }

    /// Whether JWTs other than access tokens can be signed with this algorithm now.
    #[must_use]
    pub fn can_sign_statements(&self, alg: TokenAlg) -> bool {
        self.signing_key(alg).is_some()
    }

    /// A key for one purpose, which never leaves this origin and is never rotated: for data
    /// encrypted, hashed or derived at rest that must be found again after every rotation. Equal
    /// purposes have equal keys.
    #[must_use]
    pub fn derive_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive_key(&self.secret, purpose)
    }

    /// The secret of an edge's registration, with which the edge authenticates.
    #[must_use]
    pub fn edge_secret(&self, name: &EdgeName, number: u64) -> Zeroizing<[u8; 32]> {
        self.derive_key(&format!("tollgate edge key v1|{number}|{name}"))
    }

    #[must_use]
    pub fn refresh_keys(&self) -> &RefreshKeys {
        &self.refresh
    }

    /// Signs snapshots and deltas.
    #[must_use]
    pub fn snapshot_signer(&self) -> &SnapshotSigner {
        &self.snapshot
    }

    /// The public snapshot keys that edges must pin: the active one and, if it exists, the next.
    #[must_use]
    pub fn snapshot_pins(&self) -> &[[u8; 32]] {
        &self.pins
    }

    /// Checks that a revocation of `kid` would have an effect: a typo in the name of a stolen key
    /// must not go unnoticed.
    ///
    /// # Errors
    /// Why it would have none.
    pub fn check_revocable(&self, kid: &str) -> Result<(), KeyNotRevocable> {
        match self.listing.iter().find(|key| key.kid == kid) {
            Some(key) if matches!(key.purpose.as_str(), "token" | IMPORTED_PURPOSE) => Ok(()),
            Some(key) => Err(KeyNotRevocable::SignsNoTokens(key.purpose.clone())),
            None if self.is_derived_kid(kid) => Ok(()),
            None => Err(KeyNotRevocable::Unknown),
        }
    }

    /// Public information about every key, including destroyed ones.
    #[must_use]
    pub fn listing(&self) -> &[PublicKey] {
        &self.listing
    }

    /// The Unix second at which the next key begins to sign.
    #[must_use]
    pub fn next_change(&self) -> Option<u64> {
        self.next_change
    }
}

impl VerifyingKey {
    fn open(key: &StoredKey, bytes: &[u8]) -> Result<VerifyingKey, KeyRingError> {
        let jwk = Jwk::parse(bytes).ok_or_else(|| unusable(key, "not a JWK".to_owned()))?;
        Ok(VerifyingKey { alg: key.alg.clone(), jwk: jwk.describe(&key.kid, &key.alg) })
    }
}

impl SigningKey {
    fn open(key: &StoredKey, state: KeyState, bytes: &[u8]) -> Result<SigningKey, KeyRingError> {
        let alg: TokenAlg = key.alg.parse().map_err(|_| unusable(key, format!("unknown algorithm {}", key.alg)))?;
        let private = PrivateKey::from_bytes(alg, bytes).map_err(|error| unusable(key, error.to_string()))?;
        let jwk = private.to_jwk().describe(&key.kid, alg.as_str());
        let published = key.published_at.is_some();
        let header = compact::header(alg, &key.kid, TOKEN_TYPE);
        Ok(SigningKey { kid: key.kid.clone(), state, published, private: Arc::new(private), jwk, header })
    }
}

impl PublicKey {
    fn new(key: &StoredKey, state: KeyState) -> PublicKey {
        PublicKey {
            kid: key.kid.clone(),
            alg: key.alg.clone(),
            purpose: key.purpose.clone(),
            state,
            created_at: key.created_at,
            published_at: key.published_at,
            signs_from: key.signs_from,
            retires_at: key.retires_at,
            gone_at: key.gone_at,
        }
    }
}

fn derive_key(secret: &[u8; 32], purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut okm = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(None, secret).expand(purpose.as_bytes(), okm.as_mut());
    assert!(expanded.is_ok(), "HKDF gives 32 bytes");
    okm
}

/// Two different keys, so that no text is both a MAC and a successor.
fn refresh_keys(secret: &[u8; 32]) -> RefreshKeys {
    let derived = |purpose| derive_key(secret, purpose);
    RefreshKeys::new(&derived("tollgate refresh token marks v1"), &derived("tollgate refresh tokens v1"))
}

fn decrypt(master: &MasterKey, key: &StoredKey) -> Result<Zeroizing<Vec<u8>>, KeyRingError> {
    master.open(&key.sealed, &key.context()).map_err(|error| match error {
        SealError::WrongKey => KeyRingError::WrongMasterKey { kid: key.kid.clone() },
        SealError::Refused => unusable(key, error.to_string()),
    })
}

fn seed(key: &StoredKey, bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyRingError> {
    <[u8; 32]>::try_from(bytes).map(Zeroizing::new).map_err(|_| unusable(key, "wrong length".to_owned()))
}

fn unusable(key: &StoredKey, problem: String) -> KeyRingError {
    KeyRingError::Unusable { kid: key.kid.clone(), problem }
}

fn verifying_keys(signing: &[SigningKey]) -> Result<PublicKeys, KeyRingError> {
    let known: Vec<&SigningKey> = signing.iter().filter(|key| key.state != KeyState::Revoked).collect();
    let keys = jwks::public_keys(&serde_json::json!({ "keys": known.iter().map(|key| &key.jwk).collect::<Vec<_>>() }));
    if keys.keys.len() + keys.pss.len() == known.len() {
        return Ok(keys);
    }
    Err(KeyRingError::Unusable {
        kid: signing.first().map(|key| key.kid.clone()).unwrap_or_default(),
        problem: "the keys cannot be combined into a JWK set".to_owned(),
    })
}
