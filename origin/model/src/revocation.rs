//! Revocations: which tokens are bad before their time, who said so, and how long that must be remembered.

use std::fmt;
use std::str::FromStr;

use tollgate_core::{EpochTokenId, RevocationId, RevocationKind, RevokedBefore};

use super::{AccessToken, ClientId, MAX_IDENTIFIER_BYTES, MAX_TOKEN_LIFETIME, Malformed, UserId};

/// How long after a token's `exp` its revocation is kept, in seconds.
///
/// The invariant: no edge may forget a revocation while any edge would still accept the token. An edge accepts a token
/// until `exp` plus its leeway, and leeway is at most 60 s; its clock may be off by at most 60 s more, for it refuses
/// messages of an origin whose clock differs further. Hence both together. Raising either bound means raising this one.
pub const KEEP_AFTER_EXPIRY: u64 = 60 + 60;
/// How many seconds longer a revocation of more than one token is kept: the clock of who makes it may be an hour behind that of who
/// issued the tokens.
const CLOCK_MARGIN: u64 = 2 * 60 * 60;

/// An end that never comes. A revoked key's: whoever stole it goes on making tokens, with whatever dates they like.
pub(super) const NEVER: u64 = i64::MAX as u64;

/// Bytes of a reason at most.
const MAX_REASON_BYTES: usize = 500;

/// What a revocation strikes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One token, by `jti`: of our making or another's who may sign for this issuer.
    Token(String),
    /// The tokens of a session or grant so far, by `sid`.
    Session(String),
    /// The tokens of a subject so far, by `sub`.
    Subject(String),
    /// The tokens of a client so far, by `client_id`.
    Client(String),
    /// The tokens that a key signed and will sign, by `kid`.
    Key(String),
    /// Every token issued before this Unix second, by `iat`.
    Before(u64),
}

impl Target {
    /// What this kind means by `name`; [`RevocationKind::Everything`] is named by a Unix second.
    ///
    /// # Errors
    /// When nothing of that kind can have this name.
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

    /// Its kind.
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

    /// Its name among those of its kind. Everything is one thing, whatever the time, and has the name `*`.
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

    /// What edges know it by.
    #[must_use]
    pub fn id(&self, issuer: &str) -> RevocationId {
        match self {
            Target::Token(name) => RevocationId::for_token(issuer, name),
            Target::Before(_) => RevocationId::EVERYTHING,
            _ => RevocationId::new(self.kind(), issuer, self.name()),
        }
    }

    /// The epoch in which it was issued, if it is a token with an id of our making.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        match self {
            Target::Token(name) => EpochTokenId::parse(name).map(|id| id.epoch()),
            _ => None,
        }
    }

    /// Whether the issuing epoch must end with its revocation: the mark is one in epochs.
    #[must_use]
    pub fn closes_epoch(&self) -> bool {
        matches!(self, Target::Session(_) | Target::Subject(_) | Target::Client(_))
    }

    /// The mark of a revocation that ends the epoch `closed`.
    #[must_use]
    pub fn mark(&self, closed: u32) -> RevokedBefore {
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

/// Who does something: `client:ID` over the network, `user:ID` by the pages, `cli` or `cli:USER` on the command line, `origin` by
/// itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// A client that authenticated.
    #[must_use]
    pub fn client(id: &ClientId) -> Actor {
        Actor(format!("client:{id}"))
    }

    /// A user who is signed in.
    #[must_use]
    pub fn user(id: &UserId) -> Actor {
        Actor(format!("user:{id}"))
    }

    /// A person at the command line, by the name of their account, if that is known.
    #[must_use]
    pub fn command_line(user: Option<&str>) -> Actor {
        let plain: String = user.unwrap_or_default().chars().filter(|char| !char.is_control()).take(64).collect();
        Actor(if plain.is_empty() { "cli".to_owned() } else { format!("cli:{plain}") })
    }

    /// The origin by itself, as when it replaces a key in time.
    #[must_use]
    pub fn origin() -> Actor {
        Actor("origin".to_owned())
    }

    /// The user, if it is one who is signed in.
    #[must_use]
    pub fn as_user(&self) -> Option<UserId> {
        self.0.strip_prefix("user:")?.parse().ok()
    }

    /// As it is recorded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn from_record(text: String) -> Actor {
        Actor(text)
    }
}

/// Why something was revoked: 1 to 500 bytes without control characters, which would forge lines in listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The reason as text.
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

/// A revocation to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevocation {
    /// What it strikes.
    pub target: Target,
    /// Who makes it.
    pub by: Actor,
    /// Why.
    pub reason: Option<Reason>,
    /// When, Unix seconds.
    pub at: u64,
    /// The Unix second after which nobody needs to know any more.
    pub void_after: u64,
}

impl NewRevocation {
    /// The revocation of a token on record, or nothing when no edge would accept the token any more: then there is nothing
    /// to tell.
    #[must_use]
    pub fn token(token: &AccessToken, by: Actor, reason: Option<Reason>, at: u64) -> Option<NewRevocation> {
        let void_after = token.expires_at.saturating_add(KEEP_AFTER_EXPIRY);
        (at <= void_after).then(|| NewRevocation {
            target: Target::Token(token.id.to_string()),
            by,
            reason,
            at,
            void_after,
        })
    }

    /// The revocation of anything, kept for as long as the longest-lived token of now can be accepted, and a key's for ever.
    ///
    /// # Errors
    /// When it would strike tokens that are yet to be issued without end, everything before a time in the future, or nothing at
    /// all, everything before the Unix second 0.
    pub fn any(target: Target, by: Actor, reason: Option<Reason>, at: u64) -> Result<NewRevocation, Malformed> {
        if matches!(target, Target::Before(time) if time > at) {
            return Err(Malformed::new("time", "is in the future: tokens yet to be issued would be revoked"));
        }
        if matches!(target, Target::Before(0)) {
            return Err(Malformed::new("time", "is 0: nothing was issued before"));
        }
        let void_after = match target {
            Target::Key(_) => NEVER,
            _ => at.saturating_add(MAX_TOKEN_LIFETIME + KEEP_AFTER_EXPIRY + CLOCK_MARGIN),
        };
        Ok(NewRevocation { target, by, reason, at, void_after })
    }
}

/// A revocation on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its number; higher ones are newer, none is used twice.
    pub number: u64,
    /// What it strikes.
    pub target: Target,
    /// How much of it.
    pub mark: RevokedBefore,
    /// Who made it.
    pub by: Actor,
    /// Why.
    pub reason: Option<String>,
    /// When, Unix seconds.
    pub at: u64,
    /// The Unix second after which nobody needs to know any more.
    pub void_after: u64,
    /// Who lifted it and when, if it was lifted.
    pub reinstated: Option<Reinstatement>,
}

/// That a revocation was lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reinstatement {
    /// By whom.
    pub by: Actor,
    /// When, Unix seconds.
    pub at: u64,
}

/// Which revocations to lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationSelector {
    /// The one with this number.
    Number(u64),
    /// All that strike this; of those of everything, the ones before exactly this time.
    Target(Target),
}

/// A reinstatement to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReinstatement {
    /// What is lifted.
    pub selector: RevocationSelector,
    /// Who lifts it.
    pub by: Actor,
    /// Why.
    pub reason: Option<Reason>,
    /// When, Unix seconds.
    pub at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_bounded() {
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
    fn the_future_is_not_revoked() {
        let by = || Actor::command_line(None);
        assert!(NewRevocation::any(Target::Before(101), by(), None, 100).is_err());
        assert!(NewRevocation::any(Target::Before(0), by(), None, 100).is_err());
        let everything = NewRevocation::any(Target::Before(100), by(), None, 100).expect("the past");
        assert_eq!(everything.void_after, 100 + MAX_TOKEN_LIFETIME + KEEP_AFTER_EXPIRY + CLOCK_MARGIN);
        let key = NewRevocation::any(Target::Key("k".to_owned()), by(), None, 100).expect("a key");
        assert_eq!(key.void_after, NEVER);
    }
}
