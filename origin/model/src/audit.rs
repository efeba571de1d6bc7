//! The audit log: who did what to what, and when. What a line may be about and what may have happened is a closed list, so that
//! programs can rely on the words.

use std::fmt;
use std::str::FromStr;

use tollgate_core::RevocationKind;

use super::{Actor, MAX_IDENTIFIER_BYTES, Malformed};

/// Bytes of what more there is to know of a line, at most.
const MAX_DETAIL_BYTES: usize = 500;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// What can be revoked: a token, a session (which is a grant, by `sid`), a subject, a client, a key, or everything.
    Revocable(RevocationKind),
    /// A browser's session.
    BrowserSession,
    /// A user.
    User,
    /// A resource server.
    Resource,
    /// A rule that edges follow.
    Route,
    /// An edge.
    Edge,
    /// An issuer that is served beside the default one.
    Issuer,
    /// A receiver of security events.
    Stream,
}

impl AuditKind {
    /// All of them.
    pub const ALL: [AuditKind; 13] = [
        AuditKind::Revocable(RevocationKind::Token),
        AuditKind::Revocable(RevocationKind::Session),
        AuditKind::Revocable(RevocationKind::Subject),
        AuditKind::Revocable(RevocationKind::Client),
        AuditKind::Revocable(RevocationKind::Key),
        AuditKind::Revocable(RevocationKind::Everything),
        AuditKind::BrowserSession,
        AuditKind::User,
        AuditKind::Resource,
        AuditKind::Route,
        AuditKind::Edge,
        AuditKind::Issuer,
        AuditKind::Stream,
    ];
    /// A token.
    pub const TOKEN: AuditKind = AuditKind::Revocable(RevocationKind::Token);
    /// What a user gave a client.
    pub const SESSION: AuditKind = AuditKind::Revocable(RevocationKind::Session);
    /// A client.
    pub const CLIENT: AuditKind = AuditKind::Revocable(RevocationKind::Client);
    /// A key.
    pub const KEY: AuditKind = AuditKind::Revocable(RevocationKind::Key);

    /// The number that it is stored as; revocable ones have the number that edges know their kind by.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            AuditKind::Revocable(kind) => kind.to_byte(),
            AuditKind::BrowserSession => 16,
            AuditKind::User => 17,
            AuditKind::Resource => 18,
            AuditKind::Route => 19,
            AuditKind::Edge => 20,
            AuditKind::Issuer => 21,
            AuditKind::Stream => 22,
        }
    }

    /// The kind that a number stands for.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<AuditKind> {
        AuditKind::ALL.into_iter().find(|kind| kind.to_byte() == byte)
    }

    /// Its name, for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AuditKind::Revocable(kind) => kind.name(),
            AuditKind::BrowserSession => "login",
            AuditKind::User => "user",
            AuditKind::Resource => "resource",
            AuditKind::Route => "route",
            AuditKind::Edge => "edge",
            AuditKind::Issuer => "issuer",
            AuditKind::Stream => "stream",
        }
    }
}

impl FromStr for AuditKind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<AuditKind, Malformed> {
        let known = AuditKind::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or(Malformed::new(
            "kind",
            "must be token, session, subject, client, key, everything, login, user, resource, route, edge, issuer or stream",
        ))
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)+) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)+
        }

        impl AuditAction {
            /// All of them.
            pub const ALL: &[AuditAction] = &[$(AuditAction::$name,)+];

            /// Its name, for people and programs.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(AuditAction::$name => $text,)+
                }
            }
        }
    };
}

actions! {
    /// It was revoked.
    Revoke => "revoke",
    /// Its revocations were lifted.
    Reinstate => "reinstate",
    /// It was registered or added.
    Create => "create",
    /// What is registered of it was changed.
    Update => "update",
    /// It was disabled.
    Disable => "disable",
    /// It was enabled again.
    Enable => "enable",
    /// It was removed.
    Remove => "remove",
    /// A client was given another secret.
    RotateSecret => "rotate_secret",
    /// A user was given a password.
    SetPassword => "set_password",
    /// Keys were made that will sign in the place of others.
    Rotate => "rotate",
    /// A user signed in.
    SignIn => "sign_in",
    /// A user signed out.
    SignOut => "sign_out",
    /// Somebody could not sign in as this user, or as nobody who is registered.
    RefuseSignIn => "refuse_sign_in",
    /// Somebody could not authenticate as this client, or as none that is registered.
    RefuseClient => "refuse_client",
    /// A user gave a client something, or gave again what they had agreed to before.
    Grant => "grant",
    /// A user gave a device something.
    ApproveDevice => "approve_device",
    /// A user refused a client or a device.
    Deny => "deny",
    /// A client took what it was given, by a code.
    Redeem => "redeem",
    /// A token was exchanged for this one.
    Exchange => "exchange",
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AuditAction {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<AuditAction, Malformed> {
        let known = AuditAction::ALL.iter().copied().find(|action| action.name() == text);
        known.ok_or(Malformed::new("action", "is none that the audit log knows"))
    }
}

/// A line to be added to the audit log. None of its texts is ever a secret, nor anything that a stranger typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// When, Unix seconds.
    pub at: u64,
    /// Who.
    pub by: Actor,
    /// What happened.
    pub action: AuditAction,
    /// To what.
    pub kind: AuditKind,
    /// Its name among those of its kind.
    pub name: String,
    /// Why, or what more there is to know.
    pub detail: Option<String>,
}

impl NewAuditEntry {
    /// A line about `name`, cut to what a line may hold.
    #[must_use]
    pub fn new(at: u64, by: Actor, action: AuditAction, kind: AuditKind, name: &str) -> NewAuditEntry {
        NewAuditEntry { at, by, action, kind, name: plain(name, MAX_IDENTIFIER_BYTES), detail: None }
    }

    /// The line, with what more there is to know.
    #[must_use]
    pub fn with(self, detail: &str) -> NewAuditEntry {
        NewAuditEntry { detail: Some(plain(detail, MAX_DETAIL_BYTES)).filter(|detail| !detail.is_empty()), ..self }
    }
}

/// Without control characters, which would forge lines in listings, and at most `most` bytes.
fn plain(text: &str, most: usize) -> String {
    let mut plain = String::with_capacity(text.len().min(most));
    for char in text.chars().filter(|char| !char.is_control()) {
        if plain.len() + char.len_utf8() > most {
            break;
        }
        plain.push(char);
    }
    plain
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number; later lines have higher ones.
    pub number: u64,
    /// When, Unix seconds.
    pub at: u64,
    /// Who.
    pub actor: String,
    /// What happened, by its name.
    pub action: String,
    /// What it happened to.
    pub kind: AuditKind,
    /// Its name; of everything, the Unix second before which tokens were issued.
    pub name: String,
    /// Why, or what more there is to know.
    pub reason: Option<String>,
}

/// Which lines of the audit log to read.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Those about this kind alone.
    pub kind: Option<AuditKind>,
    /// Those of this action alone.
    pub action: Option<AuditAction>,
    /// Those of this actor alone, e.g. `cli:alice`.
    pub actor: Option<String>,
    /// Those about what has this name alone.
    pub target: Option<String>,
    /// Those of this Unix second or later.
    pub since: Option<u64>,
    /// Those of this Unix second or earlier.
    pub until: Option<u64>,
    /// Those with a higher number than this alone.
    pub after: Option<u64>,
    /// Those with a lower number than this alone.
    pub below: Option<u64>,
    /// The newest first; else the oldest first.
    pub newest_first: bool,
    /// As many at most, none for a page.
    pub limit: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_actions_are_told_apart() {
        for kind in AuditKind::ALL {
            assert_eq!(AuditKind::from_byte(kind.to_byte()), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for action in AuditAction::ALL {
            assert_eq!(action.name().parse(), Ok(*action));
        }
        assert!("".parse::<AuditKind>().is_err() && "".parse::<AuditAction>().is_err());
    }

    #[test]
    fn no_text_forges_a_line() {
        let note = NewAuditEntry::new(1, Actor::command_line(None), AuditAction::Create, AuditKind::Edge, "a\nb");
        assert_eq!(note.name, "ab");
        assert_eq!(note.clone().with("\u{7}").detail, None);
        let long = note.with(&"ü".repeat(400)).detail.expect("a detail");
        assert_eq!((long.len(), long.chars().count()), (500, 250));
    }
}
