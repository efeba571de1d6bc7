//! Users, their names, passwords and claims, and browser sessions.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::encoding::base64url;
use super::ids::{BrowserSessionId, UserId};
use super::malformed::Malformed;
use super::metadata::{ClientMetadata, SubjectType};
use super::reserved_claims::RESERVED_CLAIMS;
use super::scope::Scope;
use super::secret::SecretHash;
use super::sender::Sender;
use super::text::{self, is_invisible};

/// Authentication context class of a sign-in by password (OpenID Connect Core §2).
pub const PASSWORD_ACR: &str = "urn:tollgate:acr:password";
/// Seconds.
pub const BROWSER_SESSION_LIFETIME: u64 = 7 * 24 * 60 * 60;
/// NIST SP 800-63B requires at least eight characters, and to allow at least 64.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=MAX_PASSWORD_LENGTH;
/// Characters.
pub const MAX_PASSWORD_LENGTH: usize = 256;
/// Bytes of an unprepared name: half-width and decomposed forms are up to four times as long as the
/// prepared name.
const MAX_UNPREPARED_NAME_BYTES: usize = 4 * super::malformed::MAX_IDENTIFIER_BYTES;
/// An issuer, a separator and a subject.
const MAX_EXTERNAL_ID_BYTES: usize = 1024;
/// Claims are part of ID tokens.
const MAX_CLAIMS_BYTES: usize = 8 * 1024;

/// A user name: 1 to 255 bytes, prepared so that the same letters are equal however they are typed.
/// As in RFC 8265 §3.3, full-width and half-width forms are mapped, letters are lower-cased, and
/// the name is normalized (NFC). Invisible characters, and spaces other than U+0020, are refused.
/// Unlike in the RFC, U+0020 is allowed inside a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// A stored name, possibly prepared by older rules.
    #[must_use]
    pub fn from_stored(name: String) -> UserName {
        UserName(name)
    }

    /// Prepares a typed name by the rules before RFC 8265 was followed.
    #[must_use]
    pub fn unprepared(typed: &str) -> String {
        typed.trim().to_lowercase()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<UserName, Malformed> {
        let wrong = Malformed::new("user name", "must be 1 to 255 bytes without invisible characters");
        if text.len() > MAX_UNPREPARED_NAME_BYTES {
            return Err(wrong);
        }
        let name = prepared_name(text);
        let is_bad = |char: char| is_invisible(char) || char.is_whitespace() && char != ' ';
        // RFC 8264 §7: a name is invalid if preparing it again changes it.
        if name.is_empty()
            || name.len() > super::malformed::MAX_IDENTIFIER_BYTES
            || name.chars().any(is_bad)
            || prepared_name(&name) != name
        {
            return Err(wrong);
        }
        Ok(UserName(name))
    }
}

/// Applies the steps of RFC 8265 §3.3.2 once.
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

/// Prepares a password for hashing, so that the same characters are equal however they are typed
/// (RFC 8265 §4.2): all spaces become U+0020, and the text is normalized (NFC). Case is preserved.
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

/// Checks and prepares a new password.
///
/// # Errors
/// If it is too short, so long that hashing it would be an attack, or contains control characters.
pub fn checked_password(password: &str) -> Result<Zeroizing<String>, Malformed> {
    let prepared = prepared_password(password);
    match PASSWORD_LENGTH.contains(&prepared.chars().count()) && !prepared.chars().any(char::is_control) {
        true => Ok(prepared),
        false => Err(Malformed::new("password", "must be 8 to 256 characters without control characters")),
    }
}

/// Checks the identifier of a user in another system that provisioned them.
///
/// # Errors
/// If it is empty, longer than 1024 bytes, or contains control characters.
pub fn checked_external_id(id: &str) -> Result<(), Malformed> {
    match (1..=MAX_EXTERNAL_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Malformed::new("external_id", "must be 1 to 1024 bytes without control characters")),
    }
}

/// A person who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Never changes.
    pub id: UserId,
    pub name: UserName,
    /// Argon2id hash of the password (PHC string), or an imported one of another kind until the
    /// next sign-in; `None` if another system checks it.
    pub password_hash: Option<String>,
    /// Claims for clients (OpenID Connect Core §5.1).
    pub claims: UserClaims,
    /// Identifier of the user in the system that provisioned them.
    pub external_id: Option<String>,
    pub auth_source: AuthSource,
    /// Whether the user may use the administration console.
    pub is_admin: bool,
    /// Unix seconds.
    pub created_at: u64,
    /// When the user was disabled, Unix seconds.
    pub disabled_at: Option<u64>,
}

/// Who checks a user's password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthSource {
    /// This origin, by the stored hash.
    #[default]
    Local,
    /// The external user directory.
    HttpApi,
}

impl AuthSource {
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

/// A user's claims by their names: registered ones such as `email`, and the operator's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserClaims(Map<String, Value>);

/// The claims of each scope value (OpenID Connect Core §5.4; `groups`: RFC 9068 §2.2.3.1).
const CLAIMS_BY_SCOPE: [(&str, &[&str]); 5] = [
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
    ("groups", &["groups"]),
];

fn is_list_of_strings(value: &Value) -> bool {
    value.as_array().is_some_and(|values| values.iter().all(Value::is_string))
}

impl UserClaims {
    /// The names of all claims that are the same on every server.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CLAIMS_BY_SCOPE.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// Whether this is a claim that is the same on every server, with a value that it can have.
    #[must_use]
    pub fn is_standard(name: &str, value: &Value) -> bool {
        UserClaims::names().any(|standard| standard == name) && (name != "groups" || is_list_of_strings(value))
    }

    /// Whether the operator may define a claim of this name: no specification reserves it, and a
    /// scope value can have it.
    fn is_own(name: &str) -> bool {
        let is_scope_value = Scope::parse(name).is_ok_and(|scope| scope.values().count() == 1);
        is_scope_value
            && !RESERVED_CLAIMS.contains(&name)
            && !name.starts_with("tollgate:")
            && !UserClaims::names().any(|standard| standard == name)
    }

    /// Parses a JSON object.
    ///
    /// # Errors
    /// If it is no JSON object, contains a claim with a reserved name, or is too large.
    pub fn parse(json: &str) -> Result<UserClaims, Malformed> {
        let wrong = |problem| Malformed::new("claims", problem);
        if json.len() > MAX_CLAIMS_BYTES {
            return Err(wrong("are larger than 8 KiB"));
        }
        let claims: UserClaims = text::json(json.as_bytes()).map_err(|_| {
            wrong("must be a JSON object without control characters in its strings, except tabs and line breaks")
        })?;
        let is_allowed = |name: &String| UserClaims::names().any(|known| known == name) || UserClaims::is_own(name);
        if !claims.0.keys().all(is_allowed) {
            return Err(wrong("contain a name that a specification reserves, or that is not a scope value"));
        }
        match claims.get("groups").is_none_or(is_list_of_strings) {
            true => Ok(claims),
            false => Err(wrong("groups must be a list of strings")),
        }
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The scope value that gives access to a claim. The operator's own claims have a scope value
    /// of their name.
    #[must_use]
    pub fn scope_of(name: &str) -> Option<&str> {
        let standard = CLAIMS_BY_SCOPE.iter().find(|(_, names)| names.contains(&name)).map(|(value, _)| *value);
        standard.or_else(|| UserClaims::is_own(name).then_some(name))
    }

    /// The claims that a scope gives access to: the standard ones of its standard values, and the
    /// operator's own claims with the names of its other values.
    fn names_in_scope(scope: &Scope) -> impl Iterator<Item = &str> {
        let standard = CLAIMS_BY_SCOPE.iter().filter(|(value, _)| scope.has(value));
        let own = scope.values().filter(|value| UserClaims::is_own(value));
        standard.flat_map(|(_, names)| names.iter().copied()).chain(own)
    }
}

impl User {
    /// A new user without a password.
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

    /// A claim about the user. `preferred_username` is the user name unless it is set.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<Value> {
        let default = || (name == "preferred_username").then(|| Value::from(self.name.as_str()));
        self.claims.get(name).cloned().or_else(default)
    }

    /// The claims that a scope gives access to.
    #[must_use]
    pub fn claims_in_scope(&self, scope: &Scope) -> Map<String, Value> {
        UserClaims::names_in_scope(scope).filter_map(|name| Some((name.to_owned(), self.claim(name)?))).collect()
    }

    /// The claims that a client requested by name, as far as its scope gives access to them.
    #[must_use]
    pub fn requested_claims(&self, names: &BTreeSet<String>, scope: &Scope) -> Map<String, Value> {
        let mut claims = self.claims_in_scope(scope);
        claims.retain(|name, _| names.contains(name));
        claims
    }

    /// Whether the user may sign in.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// The user's identifier for a client (OpenID Connect Core §8): public, or pairwise for the
    /// client's sector. Only the holder of the key can compute pairwise identifiers; otherwise
    /// anyone with a list of user ids could link them.
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

/// A browser session: a user signed in with a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    pub id: BrowserSessionId,
    /// Hash of the cookie.
    pub hash: SecretHash,
    pub user: UserId,
    /// When the user signed in, Unix seconds.
    pub auth_time: u64,
    /// When the browser last sent a request, Unix seconds; updated every few minutes.
    pub seen_at: u64,
    /// The browser and its address at sign-in.
    pub sender: Sender,
    /// The Unix second at which the session expires.
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
    fn user_names_are_equal_however_they_are_typed() {
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
    fn passwords_are_equal_however_they_are_typed() {
        assert_eq!(*prepared_password("Zoe\u{308}\u{a0}x"), "Zoë x");
        assert_eq!(*prepared_password("Plain \u{7f}"), "Plain \u{7f}");
        assert!(checked_password("1234567").is_err() && checked_password("12345678").is_ok());
        assert!(checked_password("e\u{308}e\u{308}e\u{308}e\u{308}").is_err(), "four characters");
        assert!(checked_password("12345678\u{0}").is_err() && checked_password(&"x".repeat(257)).is_err());
    }

    #[test]
    fn scope_gives_access_to_its_claims_only() {
        let opened = |scope: &str| user().claims_in_scope(&Scope::parse(scope).expect("a scope"));
        assert!(opened("openid").is_empty());
        assert_eq!(opened("openid email").keys().collect::<Vec<_>>(), ["email"]);
        assert_eq!(opened("profile email").len(), 3, "email, name and preferred_username");
    }

    #[test]
    fn preferred_username_is_the_user_name_unless_it_is_set() {
        let profile = Scope::parse("profile").expect("a scope");
        assert_eq!(user().claims_in_scope(&profile)["preferred_username"], "ada@example.org");
        let mut named = user();
        named.claims.set("preferred_username", Value::from("ada"));
        assert_eq!(named.claims_in_scope(&profile)["preferred_username"], "ada");
    }

    #[test]
    fn own_claims_are_opened_by_the_scope_value_of_their_name() {
        let claims = r#"{"groups":["staff"],"department":"R&D","https://example.org/level":3,"email":"a@example.org"}"#;
        let ada = User { claims: UserClaims::parse(claims).expect("claims"), ..user() };
        let opened = |scope: &str| {
            let claims = ada.claims_in_scope(&Scope::parse(scope).expect("a scope"));
            claims.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(opened("openid groups"), ["groups"]);
        assert_eq!(opened("department https://example.org/level"), ["department", "https://example.org/level"]);
        assert!(opened("openid level read").is_empty());
    }

    #[test]
    fn claims_with_reserved_names_are_refused() {
        for text in [
            "[]",
            r#"{"sub":"x"}"#,
            r#"{"iss":"x"}"#,
            r#"{"cnf":{}}"#,
            r#"{"openid":1}"#,
            r#"{"tollgate:admin":1}"#,
            r#"{"two words":1}"#,
            r#"{"":1}"#,
            r#"{"groups":"staff"}"#,
            r#"{"groups":[1]}"#,
        ] {
            assert!(UserClaims::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairwise_subjects_differ_between_sectors() {
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
