//! What an edge remembers of a token with which a stream was opened: enough to ask again whether
//! the token is still good, and nothing that could open another stream.
//!
//! ```text
//! ticket    = version policies token epoch issued expires session subject client key
//! version   = %x01
//! policies  = OCTET     ; bit 0: allow when stale, bit 1: allow when not covered
//! token     = 16 OCTET  ; revocation id
//! epoch     = u32       ; issuing epoch; 0: none
//! issued    = u64       ; Unix seconds
//! expires   = u64       ; Unix seconds, leeway included
//! session, subject, client, key = 16 OCTET ; revocation ids; zeros: none
//! ```

use crate::policy::UnknownStatusPolicy;
use crate::refusal::Refusal;
use crate::replica::ReplicaView;
use crate::revocation::{EpochTokenId, RevocationId, RevocationKind, RevocationStatus, TokenIdentifiers};
use crate::wire::{Body, WireError};

const VERSION: u8 = 1;
const ALLOW_STALE: u8 = 1;
const ALLOW_NOT_COVERED: u8 = 2;

/// The identifiers of a token, hashed as the replica has them, with its expiry and the policies of
/// the route for an unknown revocation status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTicket {
    pub(crate) token: RevocationId,
    pub(crate) epoch: Option<u32>,
    pub(crate) issued_at: u64,
    expires_at: u64,
    /// In the order of [`RevocationKind::GROUPS`].
    groups: [Option<RevocationId>; RevocationKind::GROUPS.len()],
    on_stale: UnknownStatusPolicy,
    on_not_covered: UnknownStatusPolicy,
}

impl StreamTicket {
    /// Length of an encoded ticket.
    pub const LEN: usize = 2 + RevocationId::LEN + 4 + 8 + 8 + RevocationKind::GROUPS.len() * RevocationId::LEN;

    /// The ticket of a token that expires, leeway included, at the Unix second `expires_at`.
    pub(crate) fn new(token: &TokenIdentifiers<'_>, expires_at: u64) -> Self {
        Self {
            token: RevocationId::for_token(token.issuer, token.token_id),
            epoch: EpochTokenId::parse(token.token_id).map(|id| id.epoch()),
            issued_at: token.issued_at,
            expires_at,
            groups: RevocationKind::GROUPS.map(|kind| token.group_id(kind)),
            on_stale: UnknownStatusPolicy::Deny,
            on_not_covered: UnknownStatusPolicy::Deny,
        }
    }

    /// Sets the route's policies for the statuses stale and not covered. Only
    /// [`UnknownStatusPolicy::Allow`] keeps a stream open: nothing else is decided without the
    /// origin.
    #[must_use]
    pub fn with_policies(self, on_stale: UnknownStatusPolicy, on_not_covered: UnknownStatusPolicy) -> Self {
        Self { on_stale, on_not_covered, ..self }
    }

    /// Unix second from which on the token is expired, leeway included.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// Whether the token is still good at the Unix time `now`, in seconds: the checks of
    /// [`verify()`](crate::verify()) whose result changes while a stream is open.
    ///
    /// # Errors
    /// The first check that fails: [`Refusal::Expired`], [`Refusal::Revoked`],
    /// [`Refusal::NotCovered`] or [`Refusal::Stale`].
    pub fn check(&self, view: &ReplicaView<'_>, now: u64) -> Result<(), Refusal> {
        if self.expires_at <= now {
            return Err(Refusal::Expired { expires_at: self.expires_at, now });
        }
        match view.ticket_status(self) {
            RevocationStatus::NotRevoked => Ok(()),
            RevocationStatus::Revoked => Err(Refusal::Revoked),
            RevocationStatus::NotCovered if self.on_not_covered == UnknownStatusPolicy::Allow => Ok(()),
            RevocationStatus::Stale if self.on_stale == UnknownStatusPolicy::Allow => Ok(()),
            RevocationStatus::NotCovered => Err(Refusal::NotCovered),
            RevocationStatus::Stale => Err(Refusal::Stale),
        }
    }

    /// The id of one of the token's groups.
    pub(crate) fn group_id(&self, kind: RevocationKind) -> Option<RevocationId> {
        let index = RevocationKind::GROUPS.into_iter().position(|known| known == kind)?;
        self.groups.get(index).copied().flatten()
    }

    /// Encodes the ticket.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let allows = |policy, bit| if policy == UnknownStatusPolicy::Allow { bit } else { 0 };
        let policies = allows(self.on_stale, ALLOW_STALE) | allows(self.on_not_covered, ALLOW_NOT_COVERED);
        let fields: [&[u8]; 9] = [
            &[VERSION, policies],
            self.token.as_bytes(),
            &self.epoch.unwrap_or_default().to_be_bytes(),
            &self.issued_at.to_be_bytes(),
            &self.expires_at.to_be_bytes(),
            group_bytes(&self.groups[0]),
            group_bytes(&self.groups[1]),
            group_bytes(&self.groups[2]),
            group_bytes(&self.groups[3]),
        ];
        let mut bytes = [0; Self::LEN];
        for (target, source) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *target = *source;
        }
        bytes
    }

    /// Decodes a ticket.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not exactly a ticket.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut body = Body::new(bytes);
        let version = body.u8()?;
        if version != VERSION {
            return Err(WireError::UnknownVersion { version });
        }
        let policies = body.u8()?;
        if policies & !(ALLOW_STALE | ALLOW_NOT_COVERED) != 0 {
            return Err(WireError::Malformed("unknown policy in a ticket"));
        }
        let policy = |bit| match policies & bit {
            0 => UnknownStatusPolicy::Deny,
            _ => UnknownStatusPolicy::Allow,
        };
        let token = RevocationId::from_bytes(body.array()?);
        let (epoch, issued_at, expires_at) = (body.u32()?, body.u64()?, body.u64()?);
        let mut groups = [None; RevocationKind::GROUPS.len()];
        for group in &mut groups {
            *group = Some(body.array()?).filter(|id| *id != [0; RevocationId::LEN]).map(RevocationId::from_bytes);
        }
        body.finish()?;
        Ok(Self {
            token,
            epoch: (epoch > 0).then_some(epoch),
            issued_at,
            expires_at,
            groups,
            on_stale: policy(ALLOW_STALE),
            on_not_covered: policy(ALLOW_NOT_COVERED),
        })
    }
}

fn group_bytes(id: &Option<RevocationId>) -> &[u8; RevocationId::LEN] {
    id.as_ref().map_or(&[0; RevocationId::LEN], RevocationId::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(session: Option<&str>) -> StreamTicket {
        let token = TokenIdentifiers {
            issuer: "https://auth.example",
            token_id: "t-1",
            session,
            subject: "alice",
            client_id: "app",
            key_id: Some("k1"),
            issued_at: 1_700_000_000,
        };
        StreamTicket::new(&token, 1_800_000_000)
    }

    #[test]
    fn an_encoded_ticket_is_decoded_to_the_same() {
        for ticket in [
            ticket(None),
            ticket(Some("s")),
            ticket(None).with_policies(UnknownStatusPolicy::Allow, UnknownStatusPolicy::Deny),
            ticket(None).with_policies(UnknownStatusPolicy::Deny, UnknownStatusPolicy::Allow),
        ] {
            assert_eq!(StreamTicket::from_bytes(&ticket.to_bytes()), Ok(ticket));
        }
    }

    #[test]
    fn bytes_that_are_not_exactly_a_ticket_are_refused() {
        let good = ticket(Some("s")).to_bytes();
        for length in 0..good.len() {
            assert_eq!(StreamTicket::from_bytes(&good[..length]), Err(WireError::Truncated), "{length} bytes");
        }
        let mut longer = good.to_vec();
        longer.push(0);
        assert!(matches!(StreamTicket::from_bytes(&longer), Err(WireError::Malformed(_))));
        for (at, byte) in [(0, 0), (0, 2), (1, 4), (1, 0x80)] {
            let mut changed = good;
            changed[at] = byte;
            assert!(StreamTicket::from_bytes(&changed).is_err(), "byte {at} is {byte}");
        }
    }
}
