//! The verdict: one token, one straight line of checks, one way to a [`VerifiedToken`] token.

use alloc::string::String;

use crate::bytes::is_same;
use crate::claims::Claims;
use crate::key::KeySet;
use crate::policy::UnknownStatusPolicy;
use crate::refusal::Refusal;
use crate::revocation::{RevocationChecker, RevocationStatus, TokenIdentifiers};
use crate::token::Unverified;

/// Seconds of leeway at most: what clocks that are kept by NTP may be apart, generously.
pub const MAX_LEEWAY: u64 = 60;

/// What a token must be for.
#[derive(Debug, Clone, Copy)]
pub struct TokenRequirements<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// A member of `aud`, byte for byte.
    pub audience: &'a str,
    /// Scope values that the token must have, all of them.
    pub scope: &'a [String],
    /// Seconds that the issuer's clock and ours may be apart; more than [`MAX_LEEWAY`] counts as [`MAX_LEEWAY`].
    pub leeway: u64,
    /// Whether `typ` may be plain `JWT` or missing (RFC 9068 asks for `at+jwt`).
    pub allow_plain_jwt: bool,
    /// What becomes of a token that was not revoked as of the newest word, which is older than promised.
    pub on_stale: UnknownStatusPolicy,
    /// What becomes of a token that was issued after the newest word, which is older than promised.
    pub on_not_covered: UnknownStatusPolicy,
}

/// Judges `token` at the Unix time `now`, in seconds.
///
/// The order of the checks is the security argument. Nothing past the size limit is looked at; no claim is decoded before the
/// signature over it is checked; no token is called revoked, or short of scope, that is not otherwise good, so these two
/// answers tell a stranger nothing.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    token: &[u8],
    keys: &KeySet,
    expected: &TokenRequirements<'_>,
    revocations: &impl RevocationChecker,
    now: u64,
) -> Result<VerifiedToken, Refusal> {
    let Authentic { claims, key } = authenticate(token, keys, expected.allow_plain_jwt)?;
    judge(&claims, keys.id_of(key), expected, now, |token| revocations.status(token))?;
    Ok(VerifiedToken(claims))
}

/// A token's claims, and the place in the set of the key that its signature is good under.
pub(crate) struct Authentic {
    pub(crate) claims: Claims,
    pub(crate) key: usize,
}

/// The first half: what stays true of a token as long as the keys are the same. Not copied into each of its callers: a component
/// has all of them.
#[inline(never)]
pub(crate) fn authenticate(token: &[u8], keys: &KeySet, allow_plain_jwt: bool) -> Result<Authentic, Refusal> {
    let unverified = Unverified::split(token)?;
    let (place, key) = keys.called_for_by(unverified.header, allow_plain_jwt)?;
    key.check_encoded(unverified.signing_input, unverified.signature)?;
    Ok(Authentic { claims: Claims::read(unverified.payload)?, key: place })
}

/// The second half: what must be asked each time.
pub(crate) fn judge(
    claims: &Claims,
    key_id: Option<&str>,
    expected: &TokenRequirements<'_>,
    now: u64,
    standing: impl FnOnce(&TokenIdentifiers<'_>) -> RevocationStatus,
) -> Result<(), Refusal> {
    check_dates(claims, expected.leeway.min(MAX_LEEWAY), now)?;
    if !is_same(claims.issuer().as_bytes(), expected.issuer.as_bytes()) {
        return Err(Refusal::WrongIssuer);
    }
    if !claims.audience().any(|audience| is_same(audience.as_bytes(), expected.audience.as_bytes())) {
        return Err(Refusal::WrongAudience);
    }
    if claims.is_bound() {
        return Err(Refusal::BoundToKey);
    }
    match standing(&particulars(claims, key_id)) {
        RevocationStatus::NotRevoked => {}
        RevocationStatus::Revoked => return Err(Refusal::Revoked),
        RevocationStatus::NotCovered if expected.on_not_covered == UnknownStatusPolicy::Allow => {}
        RevocationStatus::Stale if expected.on_stale == UnknownStatusPolicy::Allow => {}
        RevocationStatus::NotCovered => return Err(Refusal::NotCovered),
        RevocationStatus::Stale => return Err(Refusal::Stale),
    }
    if !covers(claims.scope(), expected.scope) {
        return Err(Refusal::InsufficientScope { required: expected.scope.join(" ") });
    }
    Ok(())
}

fn particulars<'a>(claims: &'a Claims, key_id: Option<&'a str>) -> TokenIdentifiers<'a> {
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

fn covers(granted: &str, required: &[String]) -> bool {
    required.iter().all(|wanted| granted.split(' ').any(|value| value == wanted))
}

/// A token that passed every check of [`verify`]. Nobody outside this crate can make one, and nothing in it hands one out but
/// behind these checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken(pub(crate) Claims);

impl VerifiedToken {
    /// `iss`: who issued the token.
    pub fn issuer(&self) -> &str {
        self.0.issuer()
    }

    /// `sub`: whom the token speaks for.
    pub fn subject(&self) -> &str {
        self.0.subject()
    }

    /// `client_id`: the client that holds the token (RFC 8693 section 4.3).
    pub fn client_id(&self) -> &str {
        self.0.client_id()
    }

    /// `jti`: the token's name at its issuer.
    pub fn token_id(&self) -> &str {
        self.0.token_id()
    }

    /// `sid`: the session or grant that the token came from, if it says so.
    pub fn session(&self) -> Option<&str> {
        self.0.session()
    }

    /// `aud`: the resources the token is for, at least one.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.0.audience()
    }

    /// `scope`: values with a space between, or empty.
    pub fn scope(&self) -> &str {
        self.0.scope()
    }

    /// `iat`, Unix seconds.
    pub fn issued_at(&self) -> u64 {
        self.0.issued_at()
    }

    /// `nbf`, Unix seconds, if the issuer set one.
    pub fn not_before(&self) -> Option<u64> {
        self.0.not_before()
    }

    /// `exp`, Unix seconds.
    pub fn expires_at(&self) -> u64 {
        self.0.expires_at()
    }
}
