//! Users: the people who sign in and give clients what is theirs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::text::{self, is_invisible};
use super::{BrowserSessionId, ClientMetadata, Malformed, Scope, SecretHash, Sender, SubjectType, UserId};
use crate::encoding::base64url;

/// How long a browser's session lasts, in seconds: seven days.
pub const BROWSER_SESSION_LIFETIME: u64 = 7 * 24 * 60 * 60;
/// Characters of a password: RFC 9700 says nothing, NIST SP 800-63B asks for eight at least, and no upper limit below 64.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=MAX_PASSWORD_LENGTH;
/// Characters of a password at most.
pub const MAX_PASSWORD_LENGTH: usize = 256;
/// Bytes of a name as it is typed at most: half-width and decomposed forms are up to four times as long as what they are prepared to.
const MAX_TYPED_BYTES: usize = 4 * super::MAX_IDENTIFIER_BYTES;
/// Bytes of an external id at most: an issuer, a separator and a subject.
const MAX_EXTERNAL_ID_BYTES: usize = 1024;
/// Bytes of a user's claims at most: they travel in ID tokens.
const MAX_CLAIMS_BYTES: usize = 8 * 1024;

/// What a user signs in with: 1 to 255 bytes, the same for all ways of typing the same letters. After RFC 8265 §3.3: full-width and
/// half-width forms are mapped, capitals are made small, and what can be composed is (NFC); characters that nobody sees are refused, and
/// spaces but for the usual one. Beyond the RFC, spaces may stand inside, as they always could here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// A name as it was stored, perhaps before names were prepared as they are now.
    #[must_use]
    pub fn from_stored(name: String) -> UserName {
        UserName(name)
    }

    /// What was typed as names were stored before they were prepared as they are now.
    #[must_use]
    pub fn unprepared(typed: &str) -> String {
        typed.trim().to_lowercase()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<UserName, Malformed> {
        let wrong = Malformed::new("user name", "must be 1 to 255 bytes without characters that cannot be seen");
        if text.len() > MAX_TYPED_BYTES {
            return Err(wrong);
        }
        let name = prepared_name(text);
        let is_bad = |char: char| is_invisible(char) || char.is_whitespace() && char != ' ';
        // RFC 8264 §7: a name that is another once it is prepared again is none.
        if name.is_empty()
            || name.len() > super::MAX_IDENTIFIER_BYTES
            || name.chars().any(is_bad)
            || prepared_name(&name) != name
        {
            return Err(wrong);
        }
        Ok(UserName(name))
    }
}

/// The steps of RFC 8265 §3.3.2, without an end.
fn prepared_name(text: &str) -> String {
    if text.is_ascii() {
        return text.trim().to_ascii_lowercase();
    }
    let mut name = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{3000}' | '\u{ff01}'..='\u{ffef}' => name.extend(std::iter::once(char).nfkc()),
            char => name.push(char),
        }
    }
    name.trim().to_lowercase().nfc().collect()
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

json_as_text!(UserName);

/// A password as it is hashed, the same for all ways of typing the same characters (RFC 8265 §4.2): spaces are one, and what can be
/// composed is (NFC). The case of letters counts.
#[must_use]
pub fn prepared_password(password: &str) -> Zeroizing<String> {
    if password.is_ascii() {
        return Zeroizing::new(password.to_owned());
    }
    let is_space = |char: char| {
        matches!(char, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
    };
    Zeroizing::new(password.chars().map(|char| if is_space(char) { ' ' } else { char }).nfc().collect())
}

/// Checks a password that is to be set; as it is to be hashed.
///
/// # Errors
/// When it is too short to be one, or so long that hashing it would be an attack, or has control characters.
pub fn checked_password(password: &str) -> Result<Zeroizing<String>, Malformed> {
    let prepared = prepared_password(password);
    match PASSWORD_LENGTH.contains(&prepared.chars().count()) && !prepared.chars().any(char::is_control) {
        true => Ok(prepared),
        false => Err(Malformed::new("password", "must have 8 to 256 characters, and no control characters")),
    }
}

/// Checks who a user is to whoever provisioned them.
///
/// # Errors
/// When it is empty, longer than 1024 bytes, or has control characters.
pub fn checked_external_id(id: &str) -> Result<(), Malformed> {
    match (1..=MAX_EXTERNAL_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Malformed::new("external_id", "must be 1 to 1024 bytes without control characters")),
    }
}

/// A person who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The identifier, which never changes.
    pub id: UserId,
    /// What they sign in with.
    pub name: UserName,
    /// The hash of their password (Argon2id, PHC string); none for those who sign in elsewhere.
    pub password_hash: Option<String>,
    /// What clients may be told (OpenID Connect Core §5.1).
    pub claims: UserClaims,
    /// Who they are to whoever provisioned them.
    pub external_id: Option<String>,
    /// Who checks their password.
    pub auth_source: AuthSource,
    /// Whether they may use the console.
    pub is_admin: bool,
    /// When they were registered, Unix seconds.
    pub created_at: u64,
    /// Since when they may not sign in, if so.
    pub disabled_at: Option<u64>,
}

/// Who checks a user's password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthSource {
    /// This origin, by the hash it keeps.
    #[default]
    Local,
    /// An HTTP API of somebody else.
    HttpApi,
}

impl AuthSource {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthSource::Local => "local",
            AuthSource::HttpApi => "http_api",
        }
    }
}

impl FromStr for AuthSource {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<AuthSource, Malformed> {
        match text {
            "local" => Ok(AuthSource::Local),
            "http_api" => Ok(AuthSource::HttpApi),
            _ => Err(Malformed::new("auth_source", "must be local or http_api")),
        }
    }
}

/// A user's claims by their registered names, such as `email` and `given_name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserClaims(Map<String, Value>);

/// The claims of each scope value (OpenID Connect Core §5.4).
const CLAIMS_OF_SCOPE: [(&str, &[&str]); 4] = [
    (
        "profile",
        &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

impl UserClaims {
    /// The names of all claims that clients can be told.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CLAIMS_OF_SCOPE.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// When it is none, has a claim that is no user's, or is too large.
    pub fn parse(json: &str) -> Result<UserClaims, Malformed> {
        let wrong = |problem| Malformed::new("claims", problem);
        if json.len() > MAX_CLAIMS_BYTES {
            return Err(wrong("are larger than 8 KiB"));
        }
        let claims: UserClaims = text::json(json.as_bytes()).map_err(|_| {
            wrong("must be a JSON object, with no control characters in its texts but tabs and line ends")
        })?;
        match claims.0.keys().all(|name| UserClaims::names().any(|known| known == name)) {
            true => Ok(claims),
            false => Err(wrong("have a name that OpenID Connect Core section 5.1 does not")),
        }
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Those that a scope opens.
    #[must_use]
    pub fn in_scope(&self, scope: &Scope) -> Map<String, Value> {
        let opened = CLAIMS_OF_SCOPE.iter().filter(|(value, _)| scope.has(value)).flat_map(|(_, names)| names.iter());
        opened.filter_map(|name| Some(((*name).to_owned(), self.0.get(*name)?.clone()))).collect()
    }
}

impl User {
    /// A new user of this name, without a password yet.
    #[must_use]
    pub fn new(id: UserId, name: UserName, now: u64) -> User {
        User {
            id,
            name,
            password_hash: None,
            claims: UserClaims::default(),
            external_id: None,
            auth_source: AuthSource::Local,
            is_admin: false,
            created_at: now,
            disabled_at: None,
        }
    }

    /// Whether they may sign in.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// As whom a client knows them (OpenID Connect Core §8): by their identifier, or by one that only the client's sector has.
    /// The key keeps it from being computed by others: without it, whoever knows all user ids could tell who is who.
    #[must_use]
    pub fn subject_for(&self, metadata: &ClientMetadata, pairwise_key: &[u8; 32]) -> String {
        match (metadata.subject_type, metadata.sector()) {
            (SubjectType::Pairwise, Some(sector)) => {
                let salted = super::secret::keyed(pairwise_key, &format!("{sector}|{}", self.id));
                base64url(&Sha256::digest(salted))
            }
            (SubjectType::Public | SubjectType::Pairwise, _) => self.id.to_string(),
        }
    }
}

/// A browser's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// Its public identifier.
    pub id: BrowserSessionId,
    /// The hash of the cookie.
    pub hash: SecretHash,
    /// Who signed in.
    pub user: UserId,
    /// When, Unix seconds.
    pub auth_time: u64,
    /// When the browser was last heard of, Unix seconds, within minutes.
    pub seen_at: u64,
    /// Where they signed in.
    pub sender: Sender,
    /// The Unix second from which it is over.
    pub expires_at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        let claims = UserClaims::parse(r#"{"email":"ada@example.org","name":"Ada"}"#).expect("claims");
        let name = " Ada@Example.org ".parse().expect("a name");
        User { claims, ..User::new(UserId::from_random(&[1; 12]), name, 0) }
    }

    #[test]
    fn names_are_the_same_however_they_are_typed() {
        assert_eq!(user().name.as_str(), "ada@example.org");
        assert!("a\nb".parse::<UserName>().is_err() && " ".parse::<UserName>().is_err());
        let name = |typed: &str| typed.parse::<UserName>().map(|name| name.0);
        for typed in ["Zoë", "Zoe\u{308}", "ZOË", " zoe\u{308} ", "\u{ff3a}\u{ff4f}ë"] {
            assert_eq!(name(typed).as_deref(), Ok("zoë"), "{typed:?}");
        }
        assert_eq!(name("\u{ff76}\u{ff9e}"), name("ガ"), "half-width forms");
        assert_eq!(name("Ada Lovelace").as_deref(), Ok("ada lovelace"));
        assert_eq!(name("İ"), name("i\u{307}"));
        for bad in [
            "ad\u{200b}a",
            "\u{202e}ada",
            "ada\u{feff}x",
            "a\u{a0}b",
            "\u{ad}",
            "a\u{0}",
            &"ä".repeat(128),
            &"a".repeat(5000),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(UserName::unprepared(" Zoe\u{308}"), "zoe\u{308}");
    }

    #[test]
    fn passwords_are_the_same_however_they_are_typed() {
        assert_eq!(*prepared_password("Zoe\u{308}\u{a0}x"), "Zoë x");
        assert_eq!(*prepared_password("Plain \u{7f}"), "Plain \u{7f}");
        assert!(checked_password("1234567").is_err() && checked_password("12345678").is_ok());
        assert!(checked_password("e\u{308}e\u{308}e\u{308}e\u{308}").is_err(), "four characters");
        assert!(checked_password("12345678\u{0}").is_err() && checked_password(&"x".repeat(257)).is_err());
    }

    #[test]
    fn a_scope_opens_its_claims_alone() {
        let opened = |scope: &str| user().claims.in_scope(&Scope::parse(scope).expect("a scope"));
        assert!(opened("openid").is_empty());
        assert_eq!(opened("openid email").keys().collect::<Vec<_>>(), ["email"]);
        assert_eq!(opened("profile email").len(), 2);
        for text in ["[]", r#"{"sub":"x"}"#, r#"{"iss":"x"}"#] {
            assert!(UserClaims::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sectors_do_not_know_each_others_users() {
        let of = |host: &str, subject_type| {
            let redirect_uris = vec![format!("https://{host}/cb").parse().expect("a URI")];
            let metadata = ClientMetadata { subject_type, redirect_uris, ..ClientMetadata::default() };
            user().subject_for(&metadata, &[7; 32])
        };
        assert_eq!(of("a.example", SubjectType::Public), user().id.to_string());
        assert_ne!(of("a.example", SubjectType::Pairwise), of("b.example", SubjectType::Pairwise));
        assert_eq!(of("a.example", SubjectType::Pairwise), of("a.example", SubjectType::Pairwise));
    }
}
