//! All keys of the origin in memory: issuing tokens, recognising its own, and publishing the public parts.

use hkdf::Hkdf;
use jwt_compact::{AlgorithmExt as _, Claims as JwtClaims, Header, UntrustedToken};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tollgate_core::SnapshotSigner;
use zeroize::Zeroizing;

use super::{Jwk, MasterKey, PrivateKey, PrivateKeyError, Purpose, SealError, StoredKey};
use crate::ambient;
use crate::domain::{AccessToken, Audience, Audiences, Claims, TokenAlg, TokenId};
use crate::status_list::Claim as StatusClaim;

/// The header type of access tokens (RFC 9068 §2.1), so that no other kind of JWT passes for one.
const TOKEN_TYPE: &str = "at+jwt";

/// The keys in use: one signing key an algorithm, the master of the audience keys, and the snapshot key.
pub struct KeyRing {
    signing: Vec<SigningKey>,
    derive: Zeroizing<[u8; 32]>,
    snapshot: SnapshotSigner,
    listing: Vec<PublicKey>,
}

struct SigningKey {
    kid: String,
    private: PrivateKey,
    jwk: Jwk,
}

/// What may be told of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    /// Its identifier.
    pub kid: String,
    /// The algorithm's registered name.
    pub alg: String,
    /// `token`, `derive` or `snapshot`.
    pub purpose: String,
    /// When it was made, Unix seconds.
    pub created_at: u64,
}

/// The HS256 key of one audience. It signs for that audience only, so whoever holds it forges nothing for another.
pub struct AudienceKey {
    kid: String,
    key: PrivateKey,
}

/// The keys of this database cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum KeyRingError {
    #[error(
        "the master key does not open the keys in this database: it is not the one they were made with (key {kid})"
    )]
    WrongMasterKey { kid: String },
    #[error("the key {kid} in the database cannot be used: {problem}")]
    Unusable { kid: String, problem: String },
    #[error("the database has no {0} key")]
    Missing(&'static str),
    #[error("keys could not be made: {0}")]
    Making(String),
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum IssueError {
    #[error("there is no {0} key to sign with")]
    NoKey(TokenAlg),
    #[error("an HS256 token has one audience: its key is that audience's")]
    SeveralAudiences,
    #[error("the token could not be written: {0}")]
    Write(#[from] jwt_compact::CreationError),
    #[error("the signature could not be made")]
    Sign,
}

impl KeyRing {
    /// Makes a full set of new keys, sealed for the database. Takes seconds for RSA: not for an async thread.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate(master: &MasterKey, now: u64) -> Result<Vec<StoredKey>, KeyRingError> {
        let wanted = [
            (Purpose::Token, TokenAlg::EdDsa),
            (Purpose::Token, TokenAlg::Es256),
            (Purpose::Token, TokenAlg::Rs256),
            (Purpose::Derive, TokenAlg::Hs256),
            (Purpose::Snapshot, TokenAlg::EdDsa),
        ];
        wanted.into_iter().map(|(purpose, alg)| make(master, purpose, alg, now)).collect()
    }

    /// Opens the stored keys.
    ///
    /// # Errors
    /// When the master key is not theirs, one is damaged, or one is missing.
    pub fn open(master: &MasterKey, stored: &[StoredKey]) -> Result<KeyRing, KeyRingError> {
        let mut signing = Vec::new();
        let mut derive = None;
        let mut snapshot = None;
        for key in stored {
            let unusable = |problem: String| KeyRingError::Unusable { kid: key.kid.clone(), problem };
            let bytes = master.open(&key.sealed, &key.context()).map_err(|error| match error {
                SealError::WrongKey => KeyRingError::WrongMasterKey { kid: key.kid.clone() },
                SealError::Refused => unusable(error.to_string()),
            })?;
            let seed = || <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| unusable("wrong length".to_owned()));
            match key.purpose.as_str() {
                "token" => {
                    let alg: TokenAlg =
                        key.alg.parse().map_err(|_| unusable(format!("unknown algorithm {}", key.alg)))?;
                    let private = PrivateKey::from_bytes(alg, &bytes).map_err(|error| unusable(error.to_string()))?;
                    let jwk = private.to_jwk().describe(&key.kid, alg.as_str());
                    signing.push(SigningKey { kid: key.kid.clone(), private, jwk });
                }
                "derive" => derive = Some(Zeroizing::new(seed()?)),
                "snapshot" => snapshot = Some(SnapshotSigner::from_seed(&Zeroizing::new(seed()?))),
                other => return Err(unusable(format!("unknown purpose {other}"))),
            }
        }
        Ok(KeyRing {
            signing,
            derive: derive.ok_or(KeyRingError::Missing("derive"))?,
            snapshot: snapshot.ok_or(KeyRingError::Missing("snapshot"))?,
            listing: stored.iter().map(PublicKey::from).collect(),
        })
    }

    /// Signs `token`, giving the compact form (RFC 7515 §7.1).
    ///
    /// # Errors
    /// When there is no key for `alg` or signing fails.
    pub fn issue(&self, token: &AccessToken, issuer: &str, alg: TokenAlg) -> Result<String, IssueError> {
        self.sign_claims(token, token.claims(issuer), alg)
    }

    /// As [`KeyRing::issue`], with a claim that says where the token's status stands.
    ///
    /// # Errors
    /// As [`KeyRing::issue`].
    pub fn issue_with_status(&self, token: &AccessToken, issuer: &str, alg: TokenAlg) -> Result<String, IssueError> {
        let status = Some(StatusClaim::of(issuer, token.number));
        self.sign_claims(token, Claims { status, ..token.claims(issuer) }, alg)
    }

    fn sign_claims(&self, token: &AccessToken, claims: Claims, alg: TokenAlg) -> Result<String, IssueError> {
        if alg == TokenAlg::Hs256 {
            let audience = self.audience_key(token.audience.single().ok_or(IssueError::SeveralAudiences)?);
            return sign(&audience.kid, &audience.key, claims);
        }
        let (kid, key) = self.signing_key(alg).ok_or(IssueError::NoKey(alg))?;
        sign(kid, key, claims)
    }

    /// The identifier of the key that signs tokens of this algorithm for an audience.
    ///
    /// # Errors
    /// When there is no key for `alg`.
    pub fn key_id(&self, alg: TokenAlg, audience: &Audiences) -> Result<String, IssueError> {
        if alg == TokenAlg::Hs256 {
            return Ok(self.audience_key(audience.single().ok_or(IssueError::SeveralAudiences)?).kid);
        }
        self.signing_key(alg).map(|(kid, _)| kid.to_owned()).ok_or(IssueError::NoKey(alg))
    }

    /// The identifier of a token that this origin signed as `issuer`. Says nothing about expiry or revocation: the caller
    /// looks into the record.
    #[must_use]
    pub fn recognise(&self, token: &str, issuer: &str) -> Option<TokenId> {
        let unverified_token = UntrustedToken::new(token).ok()?;
        let header = unverified_token.header();
        if header.token_type.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let kid = header.key_id.as_deref()?;
        if let Some(key) = self.signing.iter().find(|key| key.kid == kid) {
            return validated(&key.private, &unverified_token, issuer);
        }
        let unverified_claims: JwtClaims<OwnClaims> = unverified_token.deserialize_claims_unchecked().ok()?;
        let audience = self.audience_key(unverified_claims.custom.aud.single()?);
        if audience.kid != kid {
            return None;
        }
        validated(&audience.key, &unverified_token, issuer)
    }

    /// The key that signs tokens of this algorithm, with its identifier. HS256 has none: its keys are its audiences'.
    #[must_use]
    pub fn signing_key(&self, alg: TokenAlg) -> Option<(&str, &PrivateKey)> {
        self.signing.iter().find(|key| key.private.alg() == alg).map(|key| (key.kid.as_str(), &key.private))
    }

    /// The public signing keys, in the order they were made.
    #[must_use]
    pub fn public_jwks(&self) -> Vec<Jwk> {
        self.signing.iter().map(|key| key.jwk.clone()).collect()
    }

    /// The HS256 key of `audience`: HKDF-SHA256 over the derive key, with the audience as the only input that differs.
    #[must_use]
    pub fn audience_key(&self, audience: &Audience) -> AudienceKey {
        let mut okm = Zeroizing::new([0; 48]);
        let info = [b"tollgate audience key v1|", audience.as_str().as_bytes()].concat();
        // 48 bytes are far below HKDF's limit of 255 hashes; were it ever refused, the zeroes must not become a key.
        let expanded = Hkdf::<Sha256>::new(None, self.derive.as_slice()).expand(&info, okm.as_mut());
        assert!(expanded.is_ok(), "HKDF gives 48 bytes");
        let (secret, kid) = okm.split_at(32);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(secret);
        AudienceKey { kid: crate::encoding::base64url(kid), key: PrivateKey::Hs256(key) }
    }

    /// Encrypts secrets of others in the database: HKDF-SHA256 over the derive key.
    pub(super) fn secrets_key(&self) -> MasterKey {
        MasterKey::from_random(*self.derived("tollgate secrets key v1"))
    }

    /// A key for one purpose that never leaves this origin: HKDF-SHA256 over the derive key. Equal purposes have equal keys.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut okm = Zeroizing::new([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, self.derive.as_slice()).expand(purpose.as_bytes(), okm.as_mut());
        assert!(expanded.is_ok(), "HKDF gives 32 bytes");
        okm
    }

    /// Signs snapshots and deltas.
    #[must_use]
    pub fn snapshot_signer(&self) -> &SnapshotSigner {
        &self.snapshot
    }

    /// What may be told of every key.
    #[must_use]
    pub fn listing(&self) -> &[PublicKey] {
        &self.listing
    }
}

impl AudienceKey {
    /// The key's identifier.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The key as a JWK of type `oct`. It holds the secret: for the eyes of the audience's edges only.
    #[must_use]
    pub fn to_secret_jwk(&self) -> Jwk {
        self.key.to_jwk().describe(&self.kid, TokenAlg::Hs256.as_str())
    }
}

impl From<&StoredKey> for PublicKey {
    fn from(key: &StoredKey) -> PublicKey {
        PublicKey {
            kid: key.kid.clone(),
            alg: key.alg.clone(),
            purpose: key.purpose.clone(),
            created_at: key.created_at,
        }
    }
}

fn make(master: &MasterKey, purpose: Purpose, alg: TokenAlg, now: u64) -> Result<StoredKey, KeyRingError> {
    let making = |error: &dyn std::fmt::Display| KeyRingError::Making(error.to_string());
    let private = PrivateKey::generate(alg).map_err(|error: PrivateKeyError| making(&error))?;
    let kid = match purpose {
        // The thumbprint of a secret would be a hash of the secret: the derive key gets a random name.
        Purpose::Derive => crate::encoding::base64url(&ambient::random::<16>().map_err(|error| making(&error))?),
        Purpose::Token | Purpose::Snapshot => private.to_jwk().thumbprint().map_err(|error| making(&error))?,
    };
    let mut key = StoredKey {
        kid,
        purpose: purpose.as_str().to_owned(),
        alg: alg.as_str().to_owned(),
        sealed: Vec::new(),
        created_at: now,
    };
    let bytes = private.to_bytes().map_err(|error| making(&error))?;
    let nonce = ambient::random().map_err(|error| making(&error))?;
    key.sealed = master.seal(&bytes, &key.context(), nonce).map_err(|error| making(&error))?;
    Ok(key)
}

fn sign(kid: &str, key: &PrivateKey, claims: Claims) -> Result<String, IssueError> {
    let header = Header::empty().with_token_type(TOKEN_TYPE).with_key_id(kid);
    let token = key.alg().token(&header, &JwtClaims::new(claims), key)?;
    if token.ends_with('.') {
        return Err(IssueError::Sign);
    }
    Ok(token)
}

/// What is read back of a token of our own; everything else stands in the record.
#[derive(Deserialize)]
struct OwnClaims {
    iss: String,
    aud: Audiences,
    jti: String,
}

fn validated(key: &PrivateKey, unverified_token: &UntrustedToken<'_>, issuer: &str) -> Option<TokenId> {
    let token = key.alg().validator::<OwnClaims>(key).validate(unverified_token).ok()?;
    let claims = &token.claims().custom;
    (claims.iss == issuer).then(|| claims.jti.parse().ok()).flatten()
}
