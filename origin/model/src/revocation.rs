//! Revocations: which tokens are refused before they expire, who revoked them, and how long edges
//! must know it.

use std::fmt;
use std::str::FromStr;

use tollgate_core::{EpochTokenId, RevocationId, RevocationKind, RevokedBefore};

use super::ids::{ClientId, UserId};
use super::malformed::{MAX_IDENTIFIER_BYTES, Malformed};
use super::token::AccessToken;
use super::token_lifetime::MAX_TOKEN_LIFETIME;

/// Seconds for which a revocation is kept after the `exp` of its token.
///
/// Invariant: no edge forgets a revocation while any edge would accept the token. An edge accepts a
/// token until `exp` plus its leeway, at most 60 s, and its clock may be off by 60 s more, because
/// it refuses messages of an origin whose clock differs further. Raising one of these bounds
/// requires raising this one.
pub const REVOCATION_KEPT_AFTER_EXPIRY: u64 = 60 + 60;
/// Seconds for which a revocation of several tokens is kept longer: the clock of the origin that
/// creates it may be an hour behind the clock of the origin that issued the tokens.
const CLOCK_MARGIN: u64 = 2 * 60 * 60;

/// Never void. A stolen key can sign tokens with any dates, so its revocation is kept forever.
pub(super) const NEVER: u64 = i64::MAX as u64;

const MAX_REASON_BYTES: usize = 500;

/// What a revocation applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One token, by `jti`: issued by this origin, or by another signer for this issuer.
    Token(String),
    /// All tokens of a session or grant issued before, by `sid`.
    Session(String),
    /// All tokens of a subject issued before, by `sub`.
    Subject(String),
    /// All tokens of a client issued before, by `client_id`.
    Client(String),
    /// All tokens that a key signed or will sign, by `kid`.
    Key(String),
    /// All tokens issued before this Unix second, by `iat`.
    Before(u64),
}

impl Target {
    /// The target of this kind named `name`; for [`RevocationKind::Everything`] a Unix second.
    ///
    /// # Errors
    /// If no target of this kind can have the name.
    pub fn new(kind: RevocationKind, name: &str) -> Result<Target, Malformed> {
        let wrong = Malformed::new("name", "must be 1 to 255 bytes without control characters");
        if name.is_empty() || name.len() > MAX_IDENTIFIER_BYTES || name.chars().any(char::is_control) {
            return Err(wrong);
        }
        let name = name.to_owned();
        Ok(match kind {
            RevocationKind::Token => Target::Token(name),
            RevocationKind::Session => Target::Session(name),
            RevocationKind::Subject => Target::Subject(name),
            RevocationKind::Client => Target::Client(name),
            RevocationKind::Key => Target::Key(name),
            RevocationKind::Everything => {
                Target::Before(name.parse().map_err(|_| Malformed::new("time", "must be Unix seconds"))?)
            }
        })
    }

    #[must_use]
    pub fn kind(&self) -> RevocationKind {
        match self {
            Target::Token(_) => RevocationKind::Token,
            Target::Session(_) => RevocationKind::Session,
            Target::Subject(_) => RevocationKind::Subject,
            Target::Client(_) => RevocationKind::Client,
            Target::Key(_) => RevocationKind::Key,
            Target::Before(_) => RevocationKind::Everything,
        }
    }

    /// The name among targets of the kind; `*` for [`Target::Before`], whatever its time.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Target::Token(name)
            | Target::Session(name)
            | Target::Subject(name)
            | Target::Client(name)
            | Target::Key(name) => name,
            Target::Before(_) => "*",
        }
    }

    /// The identifier that edges look up.
    #[must_use]
    pub fn id(&self, issuer: &str) -> RevocationId {
        match self {
            Target::Token(name) => RevocationId::for_token(issuer, name),
            Target::Before(_) => RevocationId::EVERYTHING,
            _ => RevocationId::new(self.kind(), issuer, self.name()),
        }
    }

    /// The issuing epoch of a token with an id of this origin.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        match self {
            Target::Token(name) => EpochTokenId::parse(name).map(|id| id.epoch()),
            _ => None,
        }
    }

    /// Whether its revocation closes the issuing epoch, because it is expressed in epochs.
    #[must_use]
    pub fn closes_epoch(&self) -> bool {
        matches!(self, Target::Session(_) | Target::Subject(_) | Target::Client(_))
    }

    /// Which tokens of the target are revoked when the epoch `closed` is closed.
    #[must_use]
    pub fn revoked_before(&self, closed: u32) -> RevokedBefore {
        match self {
            Target::Token(_) => RevokedBefore::TOKEN,
            Target::Session(_) | Target::Subject(_) | Target::Client(_) => RevokedBefore::through_epoch(closed),
            Target::Key(_) => RevokedBefore::EVERY_EPOCH,
            Target::Before(time) => RevokedBefore::time(*time),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Before(time) => write!(f, "everything before {time}"),
            _ => write!(f, "{} {}", self.kind().name(), self.name()),
        }
    }
}

/// The author of an action: `client:ID` at the API, `user:ID` on pages, `cli` or `cli:USER` on the
/// command line, `origin` for automatic actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// An authenticated client.
    #[must_use]
    pub fn client(id: &ClientId) -> Actor {
        Actor(format!("client:{id}"))
    }

    /// A signed-in user.
    #[must_use]
    pub fn user(id: &UserId) -> Actor {
        Actor(format!("user:{id}"))
    }

    /// A person at the command line, with their account name if known.
    #[must_use]
    pub fn command_line(user: Option<&str>) -> Actor {
        let plain: String = user.unwrap_or_default().chars().filter(|char| !char.is_control()).take(64).collect();
        Actor(if plain.is_empty() { "cli".to_owned() } else { format!("cli:{plain}") })
    }

    /// The origin itself, for example when it rotates a key.
    #[must_use]
    pub fn origin() -> Actor {
        Actor("origin".to_owned())
    }

    /// The user, if the actor is one.
    #[must_use]
    pub fn as_user(&self) -> Option<UserId> {
        self.0.strip_prefix("user:")?.parse().ok()
    }

    /// The stored form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_record(text: String) -> Actor {
        Actor(text)
    }
}

/// Reason of a revocation: 1 to 500 bytes without control characters, which could forge lines in
/// listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Reason, Malformed> {
        if text.is_empty() || text.len() > MAX_REASON_BYTES || text.chars().any(char::is_control) {
            return Err(Malformed::new("reason", "must be 1 to 500 bytes without control characters"));
        }
        Ok(Reason(text.to_owned()))
    }
}

/// A revocation to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevocation {
    pub target: Target,
    pub by: Actor,
    pub reason: Option<Reason>,
    /// Unix seconds.
    pub at: u64,
    /// The Unix second after which no edge accepts a token that the revocation applies to.
    pub void_after: u64,
}

impl NewRevocation {
    /// Revokes a recorded token. `None` if no edge accepts the token any more.
    #[must_use]
    pub fn token(token: &AccessToken, by: Actor, reason: Option<Reason>, at: u64) -> Option<NewRevocation> {
        let void_after = token.expires_at.saturating_add(REVOCATION_KEPT_AFTER_EXPIRY);
        (at <= void_after).then(|| NewRevocation {
            target: Target::Token(token.id.to_string()),
            by,
            reason,
            at,
            void_after,
        })
    }

    /// Revokes any target. The revocation is kept until the longest-lived token issued now has
    /// expired; that of a key forever.
    ///
    /// # Errors
    /// If the target is everything before a time in the future, which would revoke tokens not
    /// issued yet, or before the Unix second 0, which would revoke nothing.
    pub fn any(target: Target, by: Actor, reason: Option<Reason>, at: u64) -> Result<NewRevocation, Malformed> {
        if matches!(target, Target::Before(time) if time > at) {
            return Err(Malformed::new("time", "is in the future: tokens not issued yet would be revoked"));
        }
        if matches!(target, Target::Before(0)) {
            return Err(Malformed::new("time", "is 0: no token was issued before"));
        }
        let void_after = match target {
            Target::Key(_) => NEVER,
            _ => at.saturating_add(MAX_TOKEN_LIFETIME + REVOCATION_KEPT_AFTER_EXPIRY + CLOCK_MARGIN),
        };
        Ok(NewRevocation { target, by, reason, at, void_after })
    }
}

/// A recorded revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Rises with time; no number is used twice.
    pub number: u64,
    pub target: Target,
    /// Which tokens of the target are revoked.
    pub revoked_before: RevokedBefore,
    pub by: Actor,
    pub reason: Option<String>,
    /// Unix seconds.
    pub at: u64,
    /// The Unix second after which no edge accepts a token that the revocation applies to.
    pub void_after: u64,
    /// Set if the target was reinstated.
    pub reinstated: Option<Reinstatement>,
}

/// Who reinstated a target, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reinstatement {
    pub by: Actor,
    /// Unix seconds.
    pub at: u64,
}

/// Selects revocations to reinstate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationSelector {
    /// The revocation with this number.
    Number(u64),
    /// All revocations of this target; of those of everything, the ones with exactly this time.
    Target(Target),
}

/// A reinstatement to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReinstatement {
    pub selector: RevocationSelector,
    pub by: Actor,
    pub reason: Option<Reason>,
    /// Unix seconds.
    pub at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_checked() {
        for kind in RevocationKind::ALL {
            for name in ["", "a\nb", &"a".repeat(256)] {
                assert!(Target::new(kind, name).is_err(), "{kind:?} {name:?}");
            }
        }
        assert!(Target::new(RevocationKind::Everything, "yesterday").is_err());
        assert_eq!(Target::new(RevocationKind::Everything, "17"), Ok(Target::Before(17)));
        assert!("".parse::<Reason>().is_err() && "a\u{7}".parse::<Reason>().is_err());
    }

    #[test]
    fn revocation_of_the_future_is_refused() {
        let by = || Actor::command_line(None);
        assert!(NewRevocation::any(Target::Before(101), by(), None, 100).is_err());
        assert!(NewRevocation::any(Target::Before(0), by(), None, 100).is_err());
        let everything = NewRevocation::any(Target::Before(100), by(), None, 100).expect("the past");
        assert_eq!(everything.void_after, 100 + MAX_TOKEN_LIFETIME + REVOCATION_KEPT_AFTER_EXPIRY + CLOCK_MARGIN);
        let key = NewRevocation::any(Target::Key("k".to_owned()), by(), None, 100).expect("a key");
        assert_eq!(key.void_after, NEVER);
    }
}
