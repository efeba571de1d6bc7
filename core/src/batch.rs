//! Verification of many tokens in one call. Each gets the answer of [`verify()`](crate::verify());
//! the MACs of several HS256 tokens are computed interleaved.

use alloc::vec::Vec;

use crate::base64url;
use crate::claims::Claims;
use crate::key::KeySet;
use crate::mac::{MacKey, Tag};
use crate::refusal::Refusal;
use crate::revocation::RevocationChecker;
use crate::token::UnverifiedToken;
use crate::verify::{AuthenticatedClaims, TokenRequirements, VerifiedToken, authenticate, check_claims};

/// MACs computed interleaved. With more of them the hash states do not fit a processor's registers.
const LANES: usize = 3;

/// Verifies many tokens. The answers are in the order of the tokens, and each is what
/// [`verify()`](crate::verify()) answers for that token alone. HS256 tokens cost less in a batch,
/// the others cost the same.
///
/// # Errors
/// For each token, the first check that fails.
pub fn verify_all(
    tokens: &[&[u8]],
    keys: &KeySet,
    requirements: &TokenRequirements<'_>,
    revocations: &impl RevocationChecker,
    now: u64,
) -> Vec<Result<VerifiedToken, Refusal>> {
    let finish = |authenticated: Result<AuthenticatedClaims, Refusal>| {
        let AuthenticatedClaims { claims, key_index } = authenticated?;
        check_claims(&claims, keys.key_id(key_index), requirements, None, now, |token| revocations.status(token))?;
        Ok(VerifiedToken(claims))
    };
    let verify_one = |token: &&[u8]| finish(authenticate(token, keys, requirements.allow_plain_jwt));
    let mut verdicts = Vec::with_capacity(tokens.len());
    let (groups, rest) = tokens.as_chunks::<LANES>();
    for group in groups {
        match group.map(|token| Hs256Candidate::read(token, keys, requirements.allow_plain_jwt)) {
            [Some(a), Some(b), Some(c)] => {
                let lanes = [&a, &b, &c];
                let are_valid =
                    MacKey::are_valid_tags(lanes.map(|lane| lane.key), lanes.map(Hs256Candidate::message_and_tag));
                let authenticated = lanes.into_iter().zip(are_valid).map(|(lane, is_valid)| lane.finish(is_valid));
                verdicts.extend(authenticated.map(finish));
            }
            _ => verdicts.extend(group.iter().map(verify_one)),
        }
    }
    verdicts.extend(rest.iter().map(verify_one));
    verdicts
}

/// A token that selects an HS256 key and has a tag of the right length, before its tag is checked.
struct Hs256Candidate<'a> {
    unverified: UnverifiedToken<'a>,
    key_index: usize,
    key: &'a MacKey,
    tag: Tag,
}

impl<'a> Hs256Candidate<'a> {
    /// `None` where the token selects a key of another algorithm or fails a check before the MAC's:
    /// it is then verified alone.
    fn read(token: &'a [u8], keys: &'a KeySet, allow_plain_jwt: bool) -> Option<Self> {
        let unverified = UnverifiedToken::split(token).ok()?;
        let (key_index, key) = keys.select_for_header(unverified.header, allow_plain_jwt).ok()?;
        let tag = base64url::decode_array(unverified.signature)?;
        Some(Self { unverified, key_index, key: key.mac_key()?, tag })
    }

    fn message_and_tag(&self) -> (&[u8], &[u8]) {
        (self.unverified.signing_input, &self.tag)
    }

    fn finish(&self, is_valid_tag: bool) -> Result<AuthenticatedClaims, Refusal> {
        if !is_valid_tag {
            return Err(Refusal::BadSignature);
        }
        Ok(AuthenticatedClaims { claims: Claims::read(self.unverified.payload)?, key_index: self.key_index })
    }
}
