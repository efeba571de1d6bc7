//! Many tokens at once. Each is judged as [`verify()`](crate::verify()) judges it; the MACs of several are computed side by side.

use alloc::vec::Vec;

use crate::base64url;
use crate::claims::Claims;
use crate::key::KeySet;
use crate::mac::{MacKey, Tag};
use crate::refusal::Refusal;
use crate::revocation::RevocationChecker;
use crate::token::Unverified;
use crate::verify::{Authentic, TokenRequirements, VerifiedToken, authenticate, judge};

/// MACs computed side by side. More of them would not fit a processor's registers and only wait for each other.
const LANES: usize = 3;

/// Judges many tokens; the answers are in the tokens' order, each what [`verify()`](crate::verify()) answers for that token alone.
/// HS256 tokens cost less in company; the others cost what they cost alone.
///
/// # Errors
/// For each token, the first check that fails.
pub fn verify_all(
    tokens: &[&[u8]],
    keys: &KeySet,
    expected: &TokenRequirements<'_>,
    revocations: &impl RevocationChecker,
    now: u64,
) -> Vec<Result<VerifiedToken, Refusal>> {
    let verdict = |authentic: Result<Authentic, Refusal>| {
        let Authentic { claims, key } = authentic?;
        judge(&claims, keys.id_of(key), expected, now, |token| revocations.status(token))?;
        Ok(VerifiedToken(claims))
    };
    let alone = |token: &&[u8]| verdict(authenticate(token, keys, expected.allow_plain_jwt));
    let mut verdicts = Vec::with_capacity(tokens.len());
    let (groups, rest) = tokens.as_chunks::<LANES>();
    for group in groups {
        match group.map(|token| Claimed::read(token, keys, expected.allow_plain_jwt)) {
            [Some(a), Some(b), Some(c)] => {
                let lanes = [&a, &b, &c];
                let fit = MacKey::all_fit(lanes.map(|lane| lane.key), lanes.map(Claimed::mac));
                verdicts.extend(lanes.into_iter().zip(fit).map(|(lane, fits)| verdict(lane.authentic(fits))));
            }
            _ => verdicts.extend(group.iter().map(alone)),
        }
    }
    verdicts.extend(rest.iter().map(alone));
    verdicts
}

/// A token that calls for an HS256 key and has a tag of the right form.
struct Claimed<'a> {
    unverified: Unverified<'a>,
    place: usize,
    key: &'a MacKey,
    tag: Tag,
}

impl<'a> Claimed<'a> {
    /// Nothing where the token calls for another key or is wrong before its MAC is: then it is checked by itself.
    fn read(token: &'a [u8], keys: &'a KeySet, allow_plain_jwt: bool) -> Option<Self> {
        let unverified = Unverified::split(token).ok()?;
        let (place, key) = keys.called_for_by(unverified.header, allow_plain_jwt).ok()?;
        let tag = base64url::decode_array(unverified.signature)?;
        Some(Self { unverified, place, key: key.mac()?, tag })
    }

    /// The message and its tag.
    fn mac(&self) -> (&[u8], &[u8]) {
        (self.unverified.signing_input, &self.tag)
    }

    fn authentic(&self, fits: bool) -> Result<Authentic, Refusal> {
        if !fits {
            return Err(Refusal::BadSignature);
        }
        Ok(Authentic { claims: Claims::read(self.unverified.payload)?, key: self.place })
    }
}
