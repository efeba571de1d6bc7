//! Access tokens (RFC 9068): their claims, and their records.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_core::{EpochTokenId, RevocationId};

use super::access::{Access, Audiences, AuthorizationDetails};
use super::ids::ClientId;
use super::malformed::Malformed;
use super::scope::Scope;
use super::secret::SecretHash;
use super::status_list::StatusClaim;
use super::token_lifetime::MAX_TOKEN_LIFETIME;

/// The `jti` of a token issued by this origin: issuing epoch, time and 72 random bits, so that it
/// is unique and cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(EpochTokenId);

impl TokenId {
    /// Bytes of an identifier.
    pub const BYTES: usize = 4 + EpochTokenId::UNIQUE_BYTES;

    /// The identifier of a token issued in `epoch`.
    #[must_use]
    pub fn new(epoch: u32, unique: [u8; EpochTokenId::UNIQUE_BYTES]) -> TokenId {
        TokenId(EpochTokenId::new(epoch, unique))
    }

    /// The unique part of an identifier: 40 bits of the time in units of 4 ms, then random bytes.
    /// Tokens issued at the same time are neighbours in the database index, as with UUIDs of
    /// version 7 (RFC 9562 §5.7); otherwise each insert would write a different page of the index.
    #[must_use]
    pub fn unique(now_ms: u64, random: [u8; 9]) -> [u8; EpochTokenId::UNIQUE_BYTES] {
        let mut unique = [0; EpochTokenId::UNIQUE_BYTES];
        let (time, rest) = unique.split_at_mut(5);
        time.copy_from_slice(&(now_ms / 4).to_be_bytes()[3..]);
        rest.copy_from_slice(&random);
        unique
    }

    /// The epoch in big-endian order, then the unique part.
    #[must_use]
    pub fn from_bytes(bytes: [u8; TokenId::BYTES]) -> TokenId {
        let (mut epoch, mut unique) = ([0; 4], [0; EpochTokenId::UNIQUE_BYTES]);
        let (high, low) = bytes.split_at(epoch.len());
        epoch.copy_from_slice(high);
        unique.copy_from_slice(low);
        TokenId::new(u32::from_be_bytes(epoch), unique)
    }

    /// The bytes of the identifier; they sort by epoch.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        // The id of its revocation contains everything except the upper half of the epoch.
        let [high, low, ..] = self.epoch().to_be_bytes();
        [&[high, low], self.revocation_id().as_bytes().as_slice()].concat()
    }

    /// The issuing epoch.
    #[must_use]
    pub fn epoch(self) -> u32 {
        self.0.epoch()
    }

    /// The identifier of the token's revocation at edges.
    #[must_use]
    pub fn revocation_id(self) -> RevocationId {
        self.0.revocation_id()
    }
}

impl From<EpochTokenId> for TokenId {
    fn from(id: EpochTokenId) -> TokenId {
        TokenId(id)
    }
}

impl FromStr for TokenId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<TokenId, Malformed> {
        EpochTokenId::parse(text).map(TokenId).ok_or(Malformed::new("token id", "is not one of this origin's making"))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for TokenId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.write(&mut [0; EpochTokenId::TEXT_BYTES]))
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<TokenId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The key that a token is bound to (RFC 7800 §3.1); a request with the token must prove possession
/// of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confirmation {
    /// Thumbprint of a DPoP key (RFC 9449 §6).
    #[serde(rename = "jkt")]
    Key(String),
    /// SHA-256 of the client certificate of the TLS connection (RFC 8705 §3.1).
    #[serde(rename = "x5t#S256")]
    Certificate(String),
}

/// The `act` claim (RFC 8693 §4.1): the current actor, and the chain of prior actors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorClaim {
    /// The current actor.
    pub sub: String,
    /// Client ID of the actor, if it is a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The prior actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<ActorClaim>>,
}

/// Length of a chain of actors. A longer one is probably a loop.
const MAX_ACTORS: usize = 8;

impl ActorClaim {
    /// Makes `self` the current actor and `earlier` the prior one.
    ///
    /// # Errors
    /// If the chain is already at its maximum length.
    pub fn with_prior_actor(self, earlier: Option<ActorClaim>) -> Result<ActorClaim, Malformed> {
        let length = std::iter::successors(earlier.as_ref(), |acting| acting.act.as_deref()).count();
        if length >= MAX_ACTORS {
            return Err(Malformed::new("subject_token", "was handed on too often"));
        }
        Ok(ActorClaim { act: earlier.map(Box::new), ..self })
    }
}

/// Optional claims of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenDetails {
    /// `cnf`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// `act`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<ActorClaim>,
    /// `authorization_details`
    #[serde(skip_serializing_if = "AuthorizationDetails::is_empty")]
    pub authorization_details: AuthorizationDetails,
    /// `auth_time`: when the user signed in, Unix seconds (RFC 9068 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// `acr`: authentication context class of the sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The tokens that it was exchanged from, directly or indirectly (RFC 8693), each once. The
    /// token is invalid when one of them is revoked. Recorded, but not a claim.
    #[serde(skip_serializing)]
    pub exchanged_from: Vec<TokenId>,
}

/// A token to be issued, without the epoch and the number that the store assigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDraft {
    /// See [`TokenId::unique`].
    pub unique: [u8; EpochTokenId::UNIQUE_BYTES],
    /// `client_id`
    pub client: ClientId,
    /// `sub`; the client itself for the client credentials grant (RFC 9068 §2.2).
    pub subject: String,
    /// `sid`: the session or grant, if any.
    pub session: Option<String>,
    /// `kid` of the signing key.
    pub key_id: String,
    /// `scope`
    pub scope: Scope,
    /// `aud`
    pub audience: Audiences,
    pub details: TokenDetails,
    /// Hash of the token, if it is opaque.
    pub opaque: Option<SecretHash>,
    /// `iat`, Unix seconds.
    pub issued_at: u64,
    /// `exp`, Unix seconds; the token is invalid from this second on.
    pub expires_at: u64,
}

impl TokenDraft {
    /// A token for `client` itself.
    #[must_use]
    pub fn for_client(
        unique: [u8; EpochTokenId::UNIQUE_BYTES],
        client: &ClientId,
        access: Access,
        key_id: String,
        now: u64,
        lifetime: u64,
    ) -> TokenDraft {
        let details = TokenDetails { authorization_details: access.details, ..TokenDetails::default() };
        TokenDraft {
            unique,
            client: client.clone(),
            subject: client.as_str().to_owned(),
            session: None,
            key_id,
            scope: access.scope,
            audience: access.audience,
            details,
            opaque: None,
            issued_at: now,
            expires_at: now.saturating_add(lifetime.min(MAX_TOKEN_LIFETIME)),
        }
    }

    /// The token as issued in `epoch` with this number.
    #[must_use]
    pub fn issued(self, epoch: u32, number: u64) -> AccessToken {
        let id = TokenId::new(epoch, self.unique);
        let TokenDraft { unique: _, client, subject, session, key_id, scope, audience, .. } = self;
        let TokenDraft { details, opaque, issued_at, expires_at, .. } = self;
        AccessToken {
            id,
            number,
            client,
            subject,
            session,
            key_id,
            scope,
            audience,
            details,
            opaque,
            issued_at,
            expires_at,
        }
    }
}

/// A recorded token: everything except its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// `jti`
    pub id: TokenId,
    /// Rises with the order of issuance, with gaps; no number is used twice.
    pub number: u64,
    /// `client_id`
    pub client: ClientId,
    /// `sub`
    pub subject: String,
    /// `sid`
    pub session: Option<String>,
    /// `kid` of the signing key.
    pub key_id: String,
    /// `scope`
    pub scope: Scope,
    /// `aud`
    pub audience: Audiences,
    pub details: TokenDetails,
    /// Hash of the token, if it is opaque.
    pub opaque: Option<SecretHash>,
    /// `iat`, Unix seconds.
    pub issued_at: u64,
    /// `exp`, Unix seconds; the token is invalid from this second on.
    pub expires_at: u64,
}

impl AccessToken {
    /// The claims to sign.
    #[must_use]
    pub fn claims<'a>(&'a self, issuer: &'a str) -> Claims<'a> {
        Claims {
            iss: issuer,
            sub: &self.subject,
            aud: &self.audience,
            exp: self.expires_at,
            iat: self.issued_at,
            jti: self.id,
            client_id: self.client.as_str(),
            sid: self.session.as_deref(),
            scope: (!self.scope.is_empty()).then(|| self.scope.as_str()),
            details: &self.details,
            user: None,
            status: None,
        }
    }
}

/// The claims of an access token (RFC 9068 §2.2), in the order in which they are serialized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims<'a> {
    pub iss: &'a str,
    pub sub: &'a str,
    pub aud: &'a Audiences,
    pub exp: u64,
    pub iat: u64,
    pub jti: TokenId,
    pub client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'a str>,
    #[serde(flatten)]
    pub details: &'a TokenDetails,
    /// Claims of the user that the resource servers receive.
    #[serde(flatten)]
    pub user: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusClaim>,
}
