//! Clients: the applications that ask for tokens.

use std::fmt;
use std::str::FromStr;

use super::text::is_legible;
use super::{AuthMethod, ClientMetadata, Malformed, Secret, SecretHash, identifier};
use crate::encoding::base64url;

/// A client's public identifier (RFC 6749 §2.2): 1 to 255 characters of `A-Z a-z 0-9 . _ ~ -`, which need no escaping in
/// headers, forms or URLs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(String);

impl ClientId {
    /// An identifier of these random bytes, with the prefix `tgc_`.
    #[must_use]
    pub fn from_random(random: &[u8; 12]) -> ClientId {
        ClientId(format!("tgc_{}", base64url(random)))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<ClientId, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        identifier("client id", text, allowed, "must be 1 to 255 characters of A-Z a-z 0-9 . _ ~ -").map(ClientId)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

json_as_text!(ClientId);

/// A registered client.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its public identifier; also the `sub` of tokens it gets for itself.
    pub id: ClientId,
    /// What was registered of it.
    pub metadata: ClientMetadata,
    /// The secrets that authenticate it; several while it changes from one to the next, none for clients without.
    pub secrets: Vec<StoredSecret>,
    /// The hash of the token that manages its registration (RFC 7592), if it registered itself.
    pub registration: Option<SecretHash>,
    /// Of a client that registered itself: its metadata as the operator changed it last, if the operator ever did. By itself it can
    /// then have no more than that.
    pub operator_metadata: Option<ClientMetadata>,
    /// Whether it may authenticate.
    pub status: ClientStatus,
    /// When it was registered, Unix seconds.
    pub created_at: u64,
}

/// Who registered a client, and so whose word its URLs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Registrant {
    /// The operator.
    Operator,
    /// The client itself (RFC 7591), which may be a stranger.
    Client,
}

/// A client's secret, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its hash; of one that a person chose, a random name.
    pub hash: SecretHash,
    /// The slow hash (Argon2id, PHC string) of one that a person chose; none for one of our making.
    pub argon2_hash: Option<String>,
    /// When it was made, Unix seconds.
    pub created_at: u64,
    /// The Unix second from which it opens nothing any more; none means never.
    pub expires_at: Option<u64>,
}

impl StoredSecret {
    /// A secret of our making.
    #[must_use]
    pub fn generated(secret: &Secret, now: u64) -> StoredSecret {
        StoredSecret { hash: secret.hash(), argon2_hash: None, created_at: now, expires_at: None }
    }

    /// A secret that a person chose, with its PHC string. `name`: random bytes, of which nothing is the hash.
    #[must_use]
    pub fn chosen(phc: String, name: [u8; 32], now: u64) -> StoredSecret {
        StoredSecret { hash: SecretHash::from_bytes(name), argon2_hash: Some(phc), created_at: now, expires_at: None }
    }

    /// Whether it opens anything at the Unix second `now`.
    #[must_use]
    pub fn is_valid(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// Secrets of one client that may be valid at once: the one in use and the one that replaces it.
pub const MAX_SECRETS: usize = 2;

/// Whether a client may authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientStatus {
    /// It may.
    Active,
    /// It may not, since this Unix second. Its tokens were revoked and its grants ended then.
    Disabled {
        /// When it was disabled.
        at: u64,
    },
}

impl Client {
    /// A new client with what `metadata` says of it, and no secret yet.
    #[must_use]
    pub fn new(id: ClientId, metadata: ClientMetadata, now: u64) -> Client {
        let (secrets, status) = (Vec::new(), ClientStatus::Active);
        Client { id, metadata, secrets, registration: None, operator_metadata: None, status, created_at: now }
    }

    /// Who registered it.
    #[must_use]
    pub fn registrant(&self) -> Registrant {
        match self.registration {
            Some(_) => Registrant::Client,
            None => Registrant::Operator,
        }
    }

    /// The client with a secret more.
    #[must_use]
    pub fn with_secret(mut self, secret: &Secret, now: u64) -> Client {
        self.secrets.push(StoredSecret::generated(secret, now));
        self
    }

    /// The PHC strings of the secrets that people chose for it and that are valid at the Unix second `now`.
    pub fn chosen_secrets(&self, now: u64) -> impl Iterator<Item = &str> {
        self.secrets
            .iter()
            .filter(move |secret| secret.is_valid(now))
            .filter_map(|secret| secret.argon2_hash.as_deref())
    }

    /// Whether `presented` is the hash of a secret of our making that is valid at the Unix second `now`. Every secret is compared,
    /// so that the time taken tells nothing.
    #[must_use]
    pub fn has_secret(&self, presented: &SecretHash, now: u64) -> bool {
        let fits = |secret: &StoredSecret| secret.hash.matches(presented) & secret.is_valid(now);
        self.secrets.iter().fold(false, |found, secret| found | fits(secret))
    }

    /// Whether it may authenticate.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == ClientStatus::Active
    }

    /// Whether it has no way to keep a secret (RFC 6749 §2.1).
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.metadata.auth_method == AuthMethod::None
    }
}

/// Characters of a secret that a person chooses. Nobody types it, so it need not be short; nobody but a limit stands between it
/// and a guesser, so it must not be.
const CHOSEN_SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=256;

/// Checks a secret that a person chose for a client.
///
/// # Errors
/// When it has fewer than 16 characters or more than 256, or one that is not printable ASCII (RFC 6749 appendix A.2).
pub fn checked_secret(secret: &str) -> Result<&str, Malformed> {
    match CHOSEN_SECRET_LENGTH.contains(&secret.len()) && secret.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        true => Ok(secret),
        false => Err(Malformed::new("client secret", "must be 16 to 256 printable ASCII characters")),
    }
}

/// The longest name of a client, in bytes.
const MAX_NAME_LENGTH: usize = 128;

/// Checks a client's display name.
///
/// # Errors
/// When it is empty, longer than 128 bytes, or has control characters (they would forge lines in listings and logs), marks of direction
/// or characters without width (a user would be asked about another name than the registered one).
pub fn checked_name(name: &str) -> Result<String, Malformed> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || !is_legible(name) {
        return Err(Malformed::new("client name", "must be 1 to 128 bytes without characters that cannot be seen"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKind;

    #[test]
    fn two_secrets_are_good_until_one_expires() {
        let (old, new) = (Secret::new(SecretKind::Client, &[1; 32]), Secret::new(SecretKind::Client, &[2; 32]));
        let id = "reports".parse().expect("an id");
        let mut client = Client::new(id, ClientMetadata::default(), 0).with_secret(&old, 0).with_secret(&new, 5);
        assert!(client.has_secret(&old.hash(), 10) && client.has_secret(&new.hash(), 10));
        client.secrets[0].expires_at = Some(10);
        assert!(client.has_secret(&old.hash(), 9) && !client.has_secret(&old.hash(), 10));
        assert!(client.has_secret(&new.hash(), 10));
        assert!(!client.has_secret(&SecretHash::of("tgs_x"), 0));
        client.secrets.push(StoredSecret::chosen("$argon2id$…".to_owned(), [7; 32], 0));
        client.secrets[2].expires_at = Some(10);
        assert_eq!(client.chosen_secrets(9).collect::<Vec<_>>(), ["$argon2id$…"]);
        assert_eq!(client.chosen_secrets(10).count(), 0);
        assert!(!client.has_secret(&SecretHash::of("$argon2id$…"), 9), "what is stored opens nothing");
    }
}
