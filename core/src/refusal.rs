//! Reasons for refusing a token: one variant for each, with its evidence and the RFC that requires
//! it.

use alloc::string::String;
use core::fmt;

use crate::dpop::ProofError;
use crate::json::JsonError;

/// Longest token that is read, in bytes. Servers commonly limit a header field to 8 to 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A part of a token in compact serialization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPart {
    /// The JOSE header.
    Header,
    /// The claims set.
    Claims,
    /// The signature or MAC.
    Signature,
}

impl fmt::Display for TokenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims set",
            Self::Signature => "signature",
        })
    }
}

/// Why a token is refused. The order of the variants is the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than [`MAX_TOKEN_BYTES`].
    TooLarge {
        /// The token's length in bytes.
        size: usize,
    },
    /// Not three non-empty parts separated by dots (RFC 7515 section 7.1).
    NotCompact,
    /// A part is not canonical, unpadded base64url (RFC 7515 section 2).
    NotBase64Url {
        /// The part.
        part: TokenPart,
    },
    /// A part is not the JSON object it must be (RFC 7519 section 7.2).
    BadJson {
        /// The part.
        part: TokenPart,
        /// What is wrong with it.
        error: JsonError,
    },
    /// The header has a member that must not influence verification: `crit`, `b64`, `zip`, `jku`,
    /// `x5u`, `jwk`, `x5c` (RFC 7515 section 4.1.11, RFC 8725 sections 3.1 and 3.10).
    ForbiddenHeader {
        /// The member's name.
        name: &'static str,
    },
    /// A required header member is missing.
    MissingHeader {
        /// The member's name.
        name: &'static str,
    },
    /// `kid` is longer than 128 bytes or empty.
    BadKeyId,
    /// `typ` is not `at+jwt` (RFC 9068 section 4, RFC 8725 section 3.11).
    WrongType,
    /// `alg` is `none` or an algorithm that this verifier does not support (RFC 8725 section 3.1).
    UnknownAlgorithm,
    /// No key has this `kid`, or the token has no `kid` and not exactly one key has its algorithm
    /// (RFC 7515 section 6).
    UnknownKey,
    /// The key with this `kid` is for another algorithm (RFC 8725 section 3.1).
    WrongAlgorithm,
    /// The signature is not valid for the key and the content (RFC 7515 section 5.2). No further
    /// reason is given, so that a forger learns nothing from it.
    BadSignature,
    /// A required claim is missing (RFC 9068 section 2.2).
    MissingClaim {
        /// The claim's name.
        name: &'static str,
    },
    /// A claim has the wrong type or range (RFC 7519 section 4.1).
    BadClaim {
        /// The claim's name.
        name: &'static str,
    },
    /// `exp` has passed (RFC 7519 section 4.1.4).
    Expired {
        /// `exp`, Unix seconds.
        expires_at: u64,
        /// The time of the check, Unix seconds.
        now: u64,
    },
    /// `nbf` or `iat` is in the future (RFC 7519 sections 4.1.5 and 4.1.6).
    NotYetValid {
        /// The claim's value, Unix seconds.
        valid_from: u64,
        /// The time of the check, Unix seconds.
        now: u64,
    },
    /// `iss` is another issuer (RFC 9068 section 4).
    WrongIssuer,
    /// `aud` does not name this resource (RFC 9068 section 4).
    WrongAudience,
    /// The token is bound to a key (`cnf`) and came without the proof of possession that its
    /// binding asks for, so it may be a stolen one (RFC 9449 section 7.2, RFC 8705 section 3).
    BoundToKey,
    /// The token is not bound to a key, as the scheme `DPoP` or the route requires (RFC 9449
    /// section 7.1).
    NotBound,
    /// The DPoP proof is not accepted (RFC 9449 section 4.3).
    InvalidProof(ProofError),
    /// The token is bound to a client certificate, and the request came without one (RFC 8705
    /// section 3).
    MissingCertificate,
    /// The token is bound to another client certificate (RFC 8705 section 3).
    WrongCertificate,
    /// The origin says that the token is not active: unknown, expired or revoked (RFC 7662 section
    /// 2.2).
    Inactive,
    /// The token is revoked (RFC 7009).
    Revoked,
    /// The replica is older than the staleness bound, and the token may be newer than the replica.
    NotCovered,
    /// The replica is older than the staleness bound, so the token may have been revoked meanwhile.
    Stale,
    /// The route is for other clients (RFC 6750 section 3.1).
    WrongClient,
    /// A claim does not meet the route's condition (RFC 6750 section 3.1).
    WrongClaim {
        /// The claim's name.
        name: String,
    },
    /// The user's authentication was too weak or too long ago for the route (RFC 9470 section 3).
    InsufficientAuthentication {
        /// Authentication context classes of which the route requires one, space separated; empty
        /// if it requires none.
        acr_values: String,
        /// Seconds since the authentication that the route allows.
        max_age: Option<u64>,
    },
    /// The token lacks scope values that the route requires (RFC 6750 section 3.1).
    InsufficientScope {
        /// The scope that the route requires, space separated.
        required: String,
    },
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        Self::InvalidProof(error)
    }
}

impl Refusal {
    /// Code of the reason in snake_case, stable for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotCompact => "not_compact",
            Self::NotBase64Url { .. } => "not_base64url",
            Self::BadJson { .. } => "bad_json",
            Self::ForbiddenHeader { .. } => "forbidden_header",
            Self::MissingHeader { .. } => "missing_header",
            Self::BadKeyId => "bad_key_id",
            Self::WrongType => "wrong_type",
            Self::UnknownAlgorithm => "unknown_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim { .. } => "missing_claim",
            Self::BadClaim { .. } => "bad_claim",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::BoundToKey => "bound_to_key",
            Self::NotBound => "not_bound",
            Self::InvalidProof(ProofError::NonceRequired) => "use_dpop_nonce",
            Self::InvalidProof(_) => "invalid_dpop_proof",
            Self::MissingCertificate => "missing_certificate",
            Self::WrongCertificate => "wrong_certificate",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
            Self::NotCovered => "not_covered",
            Self::Stale => "stale",
            Self::WrongClient => "wrong_client",
            Self::WrongClaim { .. } => "wrong_claim",
            Self::InsufficientAuthentication { .. } => "insufficient_authentication",
            Self::InsufficientScope { .. } => "insufficient_scope",
        }
    }

    /// The standard that requires the refusal.
    pub fn rfc(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::NotCompact => "RFC 7515 section 7.1",
            Self::NotBase64Url { .. } => "RFC 7515 section 2",
            Self::BadJson { .. } => "RFC 7519 section 7.2",
            Self::ForbiddenHeader { .. } => "RFC 7515 section 4.1.11",
            Self::MissingHeader { .. } | Self::BadKeyId => "RFC 7515 section 4.1",
            Self::WrongType | Self::WrongIssuer | Self::WrongAudience => "RFC 9068 section 4",
            Self::UnknownAlgorithm | Self::WrongAlgorithm => "RFC 8725 section 3.1",
            Self::UnknownKey => "RFC 7515 section 6",
            Self::BadSignature => "RFC 7515 section 5.2",
            Self::MissingClaim { .. } => "RFC 9068 section 2.2",
            Self::BadClaim { .. } => "RFC 7519 section 4.1",
            Self::Expired { .. } => "RFC 7519 section 4.1.4",
            Self::NotYetValid { .. } => "RFC 7519 section 4.1.5",
            Self::BoundToKey => "RFC 9449 section 7.2",
            Self::NotBound => "RFC 9449 section 7.1",
            Self::InvalidProof(_) => "RFC 9449 section 4.3",
            Self::MissingCertificate | Self::WrongCertificate => "RFC 8705 section 3",
            Self::Inactive => "RFC 7662 section 2.2",
            Self::Revoked | Self::NotCovered | Self::Stale => "RFC 7009",
            Self::InsufficientAuthentication { .. } => "RFC 9470 section 3",
            Self::WrongClient | Self::WrongClaim { .. } | Self::InsufficientScope { .. } => "RFC 6750 section 3.1",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size } => {
                write!(f, "the token has {size} bytes; the limit is {MAX_TOKEN_BYTES}")
            }
            Self::NotCompact => f.write_str("the token is not three parts separated by dots"),
            Self::NotBase64Url { part } => write!(f, "the token's {part} is not base64url"),
            Self::BadJson { part, error } => write!(f, "the token's {part} {error}"),
            Self::ForbiddenHeader { name } => write!(f, "the header member {name} is not accepted"),
            Self::MissingHeader { name } => write!(f, "the header member {name} is missing"),
            Self::BadKeyId => f.write_str("the key id is empty or too long"),
            Self::WrongType => f.write_str("the token is not an access token"),
            Self::UnknownAlgorithm => f.write_str("the algorithm is not accepted"),
            Self::UnknownKey => f.write_str("no key matches the token"),
            Self::WrongAlgorithm => f.write_str("the key is for another algorithm"),
            Self::BadSignature => f.write_str("the signature is not valid"),
            Self::MissingClaim { name } => write!(f, "the claim {name} is missing"),
            Self::BadClaim { name } => write!(f, "the claim {name} is malformed"),
            Self::Expired { .. } => f.write_str("the token has expired"),
            Self::NotYetValid { .. } => f.write_str("the token is not valid yet"),
            Self::WrongIssuer => f.write_str("the token is from another issuer"),
            Self::WrongAudience => f.write_str("the token is for another audience"),
            Self::BoundToKey => f.write_str("the token is bound to a key and came without proof of possession"),
            Self::NotBound => f.write_str("the token is not bound to a key"),
            Self::InvalidProof(error) => error.fmt(f),
            Self::MissingCertificate => {
                f.write_str("the token is bound to a client certificate, and the request has none")
            }
            Self::WrongCertificate => f.write_str("the token is bound to another client certificate"),
            Self::Inactive => f.write_str("the token is unknown, expired or revoked"),
            Self::Revoked => f.write_str("the token was revoked"),
            Self::NotCovered | Self::Stale => f.write_str("the token's revocation status is unknown"),
            Self::WrongClient => f.write_str("the route is for other clients"),
            Self::WrongClaim { .. } => f.write_str("a claim of the token does not meet the condition of the route"),
            Self::InsufficientAuthentication { .. } => {
                f.write_str("the route needs a more recent or a stronger authentication of the user")
            }
            Self::InsufficientScope { required } => write!(f, "the scope {required} is needed"),
        }
    }
}

impl core::error::Error for Refusal {}
