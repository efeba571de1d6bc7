//! Verification of one access token: a straight line of checks that ends in a [`VerifiedToken`].
//!
//! Never: a [`VerifiedToken`] that skipped a check, or a claim decoded before its signature was
//! checked.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::bytes::is_equal;
use crate::claims::Claims;
use crate::json;
use crate::key::{Key, KeySet};
use crate::policy::{TokenFacts, TokenRules, UnknownStatusPolicy, claim};
use crate::possession::{self, Possession};
use crate::refusal::Refusal;
use crate::revocation::{RevocationChecker, RevocationStatus, TokenIdentifiers};
use crate::token::UnverifiedToken;

/// Upper bound of [`TokenRequirements::leeway`], in seconds. Clocks that are kept by NTP differ by
/// less.
pub const MAX_LEEWAY_SECONDS: u64 = 60;

/// What a route requires of a token.
#[derive(Debug, Clone, Copy)]
pub struct TokenRequirements<'a> {
    /// Required `iss`, compared byte for byte.
    pub issuer: &'a str,
    /// Required member of `aud`, compared byte for byte.
    pub audience: &'a str,
    /// Scope values that the token must have, all of them.
    pub scope: &'a [String],
    /// Further rules for the token, which few routes have.
    pub rules: Option<&'a TokenRules>,
    /// Seconds by which the issuer's clock and this one may differ, at most [`MAX_LEEWAY_SECONDS`];
    /// larger values are reduced to that.
    pub leeway: u64,
    /// Accept a `typ` of plain `JWT` or no `typ`, where RFC 9068 asks for `at+jwt`.
    pub allow_plain_jwt: bool,
    /// What to do when the token is not revoked in the replica, but the replica is older than the
    /// staleness bound.
    pub on_stale: UnknownStatusPolicy,
    /// What to do when the replica is older than the staleness bound and the token may be newer
    /// than the replica.
    pub on_not_covered: UnknownStatusPolicy,
}

/// Verifies `token` at the Unix time `now`, in seconds.
///
/// The order of the checks is the security argument. Nothing past the size limit is read, and no
/// claim is decoded before its signature is checked. `revoked`, `insufficient_scope` and the
/// answers of the route's rules are given only for a token that is good in every other respect, so
/// these answers reveal nothing about a forged or expired one.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    token: &[u8],
    keys: &KeySet,
    requirements: &TokenRequirements<'_>,
    revocations: &impl RevocationChecker,
    now: u64,
) -> Result<VerifiedToken, Refusal> {
    let AuthenticatedClaims { claims, key_index } = authenticate(token, keys, requirements.allow_plain_jwt)?;
    check_claims(&claims, keys.key_id(key_index), requirements, None, now, |token| revocations.status(token))?;
    Ok(VerifiedToken(claims))
}

/// Claims whose signature is good, and the index in the key set of the key that made it.
pub(crate) struct AuthenticatedClaims {
    pub(crate) claims: Claims,
    pub(crate) key_index: usize,
}

/// First half of the verification: its result holds for as long as the key set is the same. Not
/// inlined, because a component contains all of its callers.
#[inline(never)]
pub(crate) fn authenticate(token: &[u8], keys: &KeySet, allow_plain_jwt: bool) -> Result<AuthenticatedClaims, Refusal> {
    let (unverified, key_index, key) = select_key(token, keys, allow_plain_jwt)?;
    key.check_encoded_signature(unverified.signing_input, unverified.signature)?;
    Ok(AuthenticatedClaims { claims: Claims::read(unverified.payload)?, key_index })
}

/// Checks the signature of a token and nothing else, for
/// [`Verifier::cache_checked`](crate::Verifier::cache_checked).
///
/// # Errors
/// The first check that fails, as in [`verify`].
pub fn check_token_signature(token: &[u8], keys: &KeySet, allow_plain_jwt: bool) -> Result<(), Refusal> {
    let (unverified, _, key) = select_key(token, keys, allow_plain_jwt)?;
    key.check_encoded_signature(unverified.signing_input, unverified.signature)
}

/// Claims of a token whose signature was checked by [`check_token_signature`] with the same keys.
pub(crate) fn read_checked(token: &[u8], keys: &KeySet, allow_plain_jwt: bool) -> Result<AuthenticatedClaims, Refusal> {
    let (unverified, key_index, _) = select_key(token, keys, allow_plain_jwt)?;
    Ok(AuthenticatedClaims { claims: Claims::read(unverified.payload)?, key_index })
}

/// The parts of the token, and the key that its header names, with the key's index.
pub(crate) fn select_key<'t, 'k>(
    token: &'t [u8],
    keys: &'k KeySet,
    allow_plain_jwt: bool,
) -> Result<(UnverifiedToken<'t>, usize, &'k Key), Refusal> {
    let unverified = UnverifiedToken::split(token)?;
    let (key_index, key) = keys.select_for_header(unverified.header, allow_plain_jwt)?;
    Ok((unverified, key_index, key))
}

/// Second half of the verification: checks that depend on the time, the request, the route or the
/// replica and are repeated on each request.
pub(crate) fn check_claims(
    claims: &Claims,
    key_id: Option<&str>,
    requirements: &TokenRequirements<'_>,
    possession: Option<&Possession<'_>>,
    now: u64,
    revocation_status: impl FnOnce(&TokenIdentifiers<'_>) -> RevocationStatus,
) -> Result<(), Refusal> {
    check_dates(claims, requirements.leeway.min(MAX_LEEWAY_SECONDS), now)?;
    if !is_equal(claims.issuer().as_bytes(), requirements.issuer.as_bytes()) {
        return Err(Refusal::WrongIssuer);
    }
    if !claims.audience().any(|audience| is_equal(audience.as_bytes(), requirements.audience.as_bytes())) {
        return Err(Refusal::WrongAudience);
    }
    possession::check(claims.confirmation(), possession)?;
    match revocation_status(&token_identifiers(claims, key_id)) {
        RevocationStatus::NotRevoked => {}
        RevocationStatus::Revoked => return Err(Refusal::Revoked),
        RevocationStatus::NotCovered if requirements.on_not_covered == UnknownStatusPolicy::Allow => {}
        RevocationStatus::Stale if requirements.on_stale == UnknownStatusPolicy::Allow => {}
        RevocationStatus::NotCovered => return Err(Refusal::NotCovered),
        RevocationStatus::Stale => return Err(Refusal::Stale),
    }
    if !covers_scope(claims.scope(), requirements.scope) {
        return Err(Refusal::InsufficientScope { required: requirements.scope.join(" ") });
    }
    match requirements.rules {
        None => Ok(()),
        Some(rules) => {
            let (scope, client_id, claims) = (claims.scope(), claims.client_id(), claims.payload());
            rules.check(&TokenFacts { scope, client_id, claims }, requirements.leeway.min(MAX_LEEWAY_SECONDS), now)
        }
    }
}

pub(crate) fn token_identifiers<'a>(claims: &'a Claims, key_id: Option<&'a str>) -> TokenIdentifiers<'a> {
    TokenIdentifiers {
        issuer: claims.issuer(),
        token_id: claims.token_id(),
        session: claims.session(),
        subject: claims.subject(),
        client_id: claims.client_id(),
        key_id,
        issued_at: claims.issued_at(),
    }
}

fn check_dates(claims: &Claims, leeway: u64, now: u64) -> Result<(), Refusal> {
    let expires_at = claims.expires_at();
    if expires_at.saturating_add(leeway) <= now {
        return Err(Refusal::Expired { expires_at, now });
    }
    let valid_from = claims.issued_at().max(claims.not_before().unwrap_or_default());
    if valid_from > now.saturating_add(leeway) {
        return Err(Refusal::NotYetValid { valid_from, now });
    }
    Ok(())
}

fn covers_scope(granted: &str, required: &[String]) -> bool {
    required.iter().all(|wanted| granted.split(' ').any(|value| value == wanted))
}

/// A token that passed every check of [`verify`]. Only this crate can construct one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken(pub(crate) Claims);

impl VerifiedToken {
    /// `iss`: the issuer.
    pub fn issuer(&self) -> &str {
        self.0.issuer()
    }

    /// `sub`: the subject.
    pub fn subject(&self) -> &str {
        self.0.subject()
    }

    /// `client_id`: the client that the token was issued to (RFC 8693 section 4.3).
    pub fn client_id(&self) -> &str {
        self.0.client_id()
    }

    /// `jti`: the token's identifier.
    pub fn token_id(&self) -> &str {
        self.0.token_id()
    }

    /// `sid`: the session or grant that the token belongs to, if the token names one.
    pub fn session(&self) -> Option<&str> {
        self.0.session()
    }

    /// `aud`: the resources that the token is for, at least one.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.0.audience()
    }

    /// `scope`: values separated by spaces, or empty.
    pub fn scope(&self) -> &str {
        self.0.scope()
    }

    /// `iat`, Unix seconds.
    pub fn issued_at(&self) -> u64 {
        self.0.issued_at()
    }

    /// `nbf`, Unix seconds, if the token has one.
    pub fn not_before(&self) -> Option<u64> {
        self.0.not_before()
    }

    /// `exp`, Unix seconds.
    pub fn expires_at(&self) -> u64 {
        self.0.expires_at()
    }

    /// Any claim, as JSON. A name that begins with `/` is a JSON pointer to a member of nested
    /// objects. It reads all claims again.
    pub fn claim(&self, name: &str) -> Option<&str> {
        claim(self.0.payload(), name)
    }

    /// The text of a claim: of a string its content, of any other value its JSON. `null` counts as
    /// missing.
    pub fn claim_text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.claim(name)? {
            "null" => None,
            text if text.starts_with('"') => json::value(text, |reader| reader.string()).ok(),
            other => Some(other.into()),
        }
    }
}
