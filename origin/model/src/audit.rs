//! The audit log: who did what to which object, and when. Kinds and actions are closed lists, so
//! that programs can rely on their names.

use std::fmt;
use std::str::FromStr;

use tollgate_core::RevocationKind;

use super::malformed::{MAX_IDENTIFIER_BYTES, Malformed};
use super::revocation::Actor;

const MAX_DETAIL_BYTES: usize = 500;

/// Kind of the object of an audit entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// What can be revoked: a token, a session (a grant, by `sid`), a subject, a client, a key, or
    /// everything.
    Revocable(RevocationKind),
    BrowserSession,
    User,
    /// A resource server.
    Resource,
    /// A rule for requests at edges.
    Route,
    Edge,
    /// An issuer other than the default one.
    Issuer,
    /// A receiver of security events.
    Stream,
}

impl AuditKind {
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
    pub const TOKEN: AuditKind = AuditKind::Revocable(RevocationKind::Token);
    /// A grant.
    pub const SESSION: AuditKind = AuditKind::Revocable(RevocationKind::Session);
    pub const CLIENT: AuditKind = AuditKind::Revocable(RevocationKind::Client);
    pub const KEY: AuditKind = AuditKind::Revocable(RevocationKind::Key);

    /// The stored number. Those of [`AuditKind::Revocable`] are the numbers in the protocol with
    /// edges.
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

    /// The kind with this stored number.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<AuditKind> {
        AuditKind::ALL.into_iter().find(|kind| kind.to_byte() == byte)
    }

    /// The name, stable for programs.
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
        /// Action of an audit entry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)+
        }

        impl AuditAction {
            pub const ALL: &[AuditAction] = &[$(AuditAction::$name,)+];

            /// The name, stable for programs.
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
    /// Revoked.
    Revoke => "revoke",
    /// Revocations were lifted.
    Reinstate => "reinstate",
    /// Registered or added.
    Create => "create",
    /// Changed.
    Update => "update",
    /// Disabled.
    Disable => "disable",
    /// Enabled again.
    Enable => "enable",
    /// Removed.
    Remove => "remove",
    /// A client got a new secret.
    RotateSecret => "rotate_secret",
    /// A user got a password.
    SetPassword => "set_password",
    /// Keys were created that will replace others.
    Rotate => "rotate",
    /// A user signed in.
    SignIn => "sign_in",
    /// A user signed out.
    SignOut => "sign_out",
    /// A sign-in failed, for a registered user or an unknown name.
    RefuseSignIn => "refuse_sign_in",
    /// Client authentication failed, for a registered client or an unknown one.
    RefuseClient => "refuse_client",
    /// A user granted access to a client, possibly by an earlier consent.
    Grant => "grant",
    /// A user granted access to a device.
    ApproveDevice => "approve_device",
    /// A user denied access to a client or a device.
    Deny => "deny",
    /// A client redeemed a code.
    Redeem => "redeem",
    /// A token was issued in exchange for another.
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
        known.ok_or(Malformed::new("action", "is not an action of the audit log"))
    }
}

/// An audit entry to be created. It contains neither secrets nor text typed by unauthenticated
/// users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// Unix seconds.
    pub at: u64,
    pub by: Actor,
    pub action: AuditAction,
    pub kind: AuditKind,
    /// Name of the object among those of its kind.
    pub name: String,
    /// Reason or details.
    pub detail: Option<String>,
}

impl NewAuditEntry {
    /// An entry about `name`, truncated to the maximum length.
    #[must_use]
    pub fn new(at: u64, by: Actor, action: AuditAction, kind: AuditKind, name: &str) -> NewAuditEntry {
        NewAuditEntry { at, by, action, kind, name: truncated(name, MAX_IDENTIFIER_BYTES), detail: None }
    }

    /// Adds a reason or details.
    #[must_use]
    pub fn with_detail(self, detail: &str) -> NewAuditEntry {
        NewAuditEntry { detail: Some(truncated(detail, MAX_DETAIL_BYTES)).filter(|detail| !detail.is_empty()), ..self }
    }
}

/// Removes control characters, which could forge lines in listings, and truncates to `max_bytes`.
fn truncated(text: &str, max_bytes: usize) -> String {
    let mut truncated = String::with_capacity(text.len().min(max_bytes));
    for char in text.chars().filter(|char| !char.is_control()) {
        if truncated.len() + char.len_utf8() > max_bytes {
            break;
        }
        truncated.push(char);
    }
    truncated
}

/// A recorded audit entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Rises with time.
    pub number: u64,
    /// Unix seconds.
    pub at: u64,
    pub actor: String,
    /// Name of the action.
    pub action: String,
    pub kind: AuditKind,
    /// Name of the object; for everything, the Unix second before which tokens were issued.
    pub name: String,
    /// Reason or details.
    pub reason: Option<String>,
}

/// Selects audit entries.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub kind: Option<AuditKind>,
    pub action: Option<AuditAction>,
    /// For example `cli:alice`.
    pub actor: Option<String>,
    /// Name of the object.
    pub target: Option<String>,
    /// From this Unix second on.
    pub since: Option<u64>,
    /// Until this Unix second, inclusive.
    pub until: Option<u64>,
    /// With a higher number.
    pub after: Option<u64>,
    /// With a lower number.
    pub below: Option<u64>,
    /// Newest first; otherwise oldest first.
    pub newest_first: bool,
    /// Maximum number of entries; `None` for a page.
    pub limit: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_actions_have_unique_names_and_numbers() {
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
    fn control_characters_are_removed() {
        let note = NewAuditEntry::new(1, Actor::command_line(None), AuditAction::Create, AuditKind::Edge, "a\nb");
        assert_eq!(note.name, "ab");
        assert_eq!(note.clone().with_detail("\u{7}").detail, None);
        let long = note.with_detail(&"ü".repeat(400)).detail.expect("a detail");
        assert_eq!((long.len(), long.chars().count()), (500, 250));
    }
}
