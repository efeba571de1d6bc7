//! Users of other systems.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_model::user::checked_external_id;
use tollgate_model::{User, UserClaims, UserId, UserName};
use tollgate_system::rng;

use super::{Parsed, RowMembers, note_of_rest, read_objects, take_bool, take_text};
use crate::password_hashing::{import_hash, import_pbkdf2};

/// The format of a file with users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserFormat {
    /// A JSON object on each line. Its members: `name`, `password_hash`, `full_name`, `email`,
    /// `email_verified`, `claims`, `external_id`, `disabled`, `created_at`.
    Lines,
    /// CSV (RFC 4180) with a heading of the same names.
    Csv,
    /// A realm export of Keycloak, or its users file.
    Keycloak,
    /// A user export of Auth0, or a file of its bulk import.
    Auth0,
}

/// A user in our own formats.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Record {
    /// The user name.
    name: String,
    /// bcrypt, Argon2, scrypt or PBKDF2; without it the user needs a new password.
    password_hash: Option<String>,
    full_name: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    /// Further claims.
    claims: Map<String, Value>,
    /// The id in the other system.
    external_id: Option<String>,
    disabled: bool,
    /// Unix seconds.
    created_at: Option<u64>,
}

/// The columns of the CSV format.
const COLUMNS: [&str; 9] = [
    "name",
    "password_hash",
    "full_name",
    "email",
    "email_verified",
    "claims",
    "external_id",
    "disabled",
    "created_at",
];

/// Reads a file; an error is one of the whole file.
pub(super) fn parse(file: &[u8], format: UserFormat, now: u64) -> Result<Vec<Parsed<User>>, String> {
    let records: Vec<Result<(Record, Vec<String>), String>> = match format {
        UserFormat::Lines => read_objects(file, "users")?.into_iter().map(|row| from_members(row?)).collect(),
        UserFormat::Csv => read_csv(file)?.into_iter().map(|row| from_members(row?)).collect(),
        UserFormat::Keycloak => read_objects(file, "users")?.into_iter().map(|row| from_keycloak(row?)).collect(),
        UserFormat::Auth0 => read_objects(file, "users")?.into_iter().map(|row| Ok(from_auth0(row?))).collect(),
    };
    let parsed = |(index, record): (usize, Result<(Record, Vec<String>), String>)| {
        let (name, external_id) = match &record {
            Ok((record, _)) => (Some(record.name.clone()), record.external_id.clone()),
            Err(_) => (None, None),
        };
        let user = record.and_then(|(record, notes)| to_user(record, notes, now));
        let mut parsed = Parsed::new(index + 1, name, user);
        parsed.report.id = parsed.object.as_ref().map(|user| user.id.to_string());
        parsed.report.external_id = external_id;
        parsed
    };
    Ok(records.into_iter().enumerate().map(parsed).collect())
}

fn to_user(record: Record, mut notes: Vec<String>, now: u64) -> Result<(User, Vec<String>), String> {
    let name = record.name.parse::<UserName>().map_err(|error| error.to_string())?;
    let mut claims = record.claims;
    for (claim, value) in [
        ("name", record.full_name.map(Value::String)),
        ("email", record.email.map(Value::String)),
        ("email_verified", record.email_verified.map(Value::Bool)),
    ] {
        if let Some(value) = value {
            claims.insert(claim.to_owned(), value);
        }
    }
    let claims = UserClaims::parse(&Value::Object(claims).to_string()).map_err(|error| error.to_string())?;
    if let Some(id) = &record.external_id {
        checked_external_id(id).map_err(|error| error.to_string())?;
    }
    let password_hash = match &record.password_hash {
        Some(hash) => Some(import_hash(hash).map_err(|error| error.to_string())?),
        None => None,
    };
    if password_hash.is_none() {
        notes.push("without a password: set one with `tollgate user password`".to_owned());
    }
    let id = UserId::from_random(&rng::random().map_err(|error| error.to_string())?);
    let user = User {
        password_hash,
        claims,
        external_id: record.external_id,
        created_at: record.created_at.unwrap_or(now),
        disabled_at: record.disabled.then_some(now),
        ..User::new(id, name, now)
    };
    Ok((user, notes))
}

fn from_members(members: Map<String, Value>) -> Result<(Record, Vec<String>), String> {
    let record: Record = serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())?;
    Ok((record, Vec::new()))
}

/// The rows of a CSV file as objects with the members of [`Record`].
fn read_csv(file: &[u8]) -> Result<Vec<RowMembers>, String> {
    let mut reader = csv::Reader::from_reader(file);
    let heading = reader.headers().map_err(|error| error.to_string())?.clone();
    if let Some(unknown) = heading.iter().find(|column| !COLUMNS.contains(column)) {
        return Err(format!("the column {unknown:?} is unknown; columns are {}", COLUMNS.join(", ")));
    }
    let members = |row: Result<csv::StringRecord, csv::Error>| -> RowMembers {
        let row = row.map_err(|error| error.to_string())?;
        let filled = heading.iter().zip(row.iter()).filter(|(_, text)| !text.is_empty());
        filled.map(|(column, text)| Ok((column.to_owned(), csv_value(column, text)?))).collect()
    };
    Ok(reader.records().map(members).collect())
}

fn csv_value(column: &str, text: &str) -> Result<Value, String> {
    Ok(match column {
        "email_verified" | "disabled" => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Value::Bool(true),
            "false" | "f" | "0" => Value::Bool(false),
            _ => return Err(format!("{column} must be true or false")),
        },
        "created_at" => Value::from(text.parse::<u64>().map_err(|_| "created_at must be Unix seconds".to_owned())?),
        "claims" => serde_json::from_str(text).map_err(|error| format!("claims: {error}"))?,
        _ => Value::from(text),
    })
}

fn from_keycloak(mut members: Map<String, Value>) -> Result<(Record, Vec<String>), String> {
    let mut notes = Vec::new();
    let mut claims = Map::new();
    for (from, to) in [("firstName", "given_name"), ("lastName", "family_name")] {
        if let Some(text) = take_text(&mut members, from) {
            claims.insert(to.to_owned(), Value::String(text));
        }
    }
    let full_name = match (claims.get("given_name"), claims.get("family_name")) {
        (Some(Value::String(given)), Some(Value::String(family))) => Some(format!("{given} {family}")),
        _ => None,
    };
    let credentials = match members.remove("credentials") {
        Some(Value::Array(credentials)) => credentials,
        _ => Vec::new(),
    };
    let mut password_hash = None;
    for credential in credentials {
        match credential["type"].as_str() {
            Some("password") => password_hash = Some(keycloak_hash(&credential)?),
            Some(other) => notes.push(format!("the credential {other} has no counterpart here")),
            None => {}
        }
    }
    let created_at = members.remove("createdTimestamp").and_then(|value| value.as_u64()).map(|ms| ms / 1000);
    let record = Record {
        name: take_text(&mut members, "username").unwrap_or_default(),
        password_hash,
        full_name,
        email: take_text(&mut members, "email"),
        email_verified: take_bool(&mut members, "emailVerified"),
        claims,
        external_id: take_text(&mut members, "id"),
        disabled: take_bool(&mut members, "enabled") == Some(false),
        created_at,
    };
    for ignored in ["totp", "notBefore", "disableableCredentialTypes", "self", "access"] {
        members.remove(ignored);
    }
    notes.extend(note_of_rest(&members));
    Ok((record, notes))
}

/// A password of Keycloak in a known form: its parts are JSON in texts.
fn keycloak_hash(credential: &Value) -> Result<String, String> {
    let part = |name: &str| -> Result<Value, String> {
        let text = credential[name].as_str().ok_or_else(|| format!("the password has no {name}: export with users"))?;
        serde_json::from_str(text).map_err(|error| format!("{name}: {error}"))
    };
    let (secret, data) = (part("secretData")?, part("credentialData")?);
    let decode = |name: &str| -> Result<Vec<u8>, String> {
        let text = secret[name].as_str().unwrap_or_default();
        STANDARD.decode(text).map_err(|_| format!("the {name} of the password is not base64"))
    };
    let (salt, hash) = (decode("salt")?, decode("value")?);
    let iterations = data["hashIterations"].as_u64().and_then(|count| u32::try_from(count).ok());
    let iterations = iterations.ok_or("the password has no hashIterations")?;
    match data["algorithm"].as_str() {
        Some("argon2") => {
            let parameter = |name: &str| match &data["additionalParameters"][name] {
                Value::Array(values) => values.first().and_then(Value::as_str).map(str::to_owned),
                value => value.as_str().map(str::to_owned),
            };
            let number = |name: &str| parameter(name).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let kind = parameter("type").unwrap_or_else(|| "id".to_owned());
            let (Some(memory), Some(lanes)) = (number("memory"), number("parallelism")) else {
                return Err("the Argon2 password has no memory or parallelism".to_owned());
            };
            let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
            // Version 1.3 is 19, which Keycloak uses.
            Ok(format!("$argon2{kind}$v=19$m={memory},t={iterations},p={lanes}${salt}${hash}"))
        }
        Some(algorithm) => {
            import_pbkdf2(algorithm, iterations, salt, hash).map_err(|error| format!("{algorithm}: {error}"))
        }
        None => Err("the password has no algorithm".to_owned()),
    }
}

fn from_auth0(mut members: Map<String, Value>) -> (Record, Vec<String>) {
    let mut notes = Vec::new();
    let mut claims = Map::new();
    for name in ["given_name", "family_name", "nickname", "picture"] {
        if let Some(text) = take_text(&mut members, name) {
            claims.insert(name.to_owned(), Value::String(text));
        }
    }
    let email = take_text(&mut members, "email");
    let external_id = take_text(&mut members, "user_id").or_else(|| {
        let id = members.remove("_id")?;
        id.as_str().or_else(|| id["$oid"].as_str()).map(|id| format!("auth0|{id}"))
    });
    let custom = members.remove("custom_password_hash");
    let custom = custom.and_then(|hash| match hash["hash"]["value"].as_str() {
        // Other encodings, and salts apart from the hash, have no modular form.
        Some(text) if text.starts_with('$') => Some(text.to_owned()),
        _ => {
            notes.push("the custom_password_hash is not in PHC or modular form".to_owned());
            None
        }
    });
    let password_hash = take_text(&mut members, "password_hash").or_else(|| take_text(&mut members, "passwordHash"));
    let record = Record {
        name: take_text(&mut members, "username").or_else(|| email.clone()).unwrap_or_default(),
        password_hash: password_hash.or(custom),
        full_name: take_text(&mut members, "name"),
        email,
        email_verified: take_bool(&mut members, "email_verified"),
        claims,
        external_id,
        disabled: take_bool(&mut members, "blocked") == Some(true),
        created_at: None,
    };
    for ignored in ["created_at", "updated_at", "identities", "connection", "tenant", "_tmp_is_unique", "version"] {
        members.remove(ignored);
    }
    notes.extend(note_of_rest(&members));
    (record, notes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BCRYPT: &str = "$2b$05$abcdefghijklmnopqrstuu2c1e4vZoCxDVRU9N6VCSSmNg4cQa1Ve";

    fn read(text: &str, format: UserFormat) -> Vec<Parsed<User>> {
        parse(text.as_bytes(), format, 1000).expect("a file of this format")
    }

    fn user(parsed: &Parsed<User>) -> &User {
        parsed.object.as_ref().unwrap_or_else(|| panic!("{:?}", parsed.report.problem))
    }

    #[test]
    fn lines_and_csv_say_the_same() {
        let lines = format!(
            "{}\n\n{}\n",
            json!({ "name": "Ada", "password_hash": BCRYPT, "full_name": "Ada L", "email": "ada@example.org",
                    "email_verified": true, "claims": { "locale": "en" }, "external_id": "7", "created_at": 5 }),
            json!({ "name": "bob", "disabled": true }),
        );
        let csv = format!(
            "name,password_hash,full_name,email,email_verified,claims,external_id,disabled,created_at\r\n\
             Ada,{BCRYPT},Ada L,ada@example.org,true,\"{{\"\"locale\"\":\"\"en\"\"}}\",7,,5\r\n\
             bob,,,,,,,1,\r\n"
        );
        for rows in [read(&lines, UserFormat::Lines), read(&csv, UserFormat::Csv)] {
            let [ada, bob] = rows.as_slice() else { panic!("{} rows", rows.len()) };
            let ada = user(ada);
            assert_eq!((ada.name.as_str(), ada.password_hash.as_deref()), ("ada", Some(BCRYPT)));
            assert_eq!((ada.external_id.as_deref(), ada.created_at, ada.disabled_at), (Some("7"), 5, None));
            let expected =
                json!({ "name": "Ada L", "email": "ada@example.org", "email_verified": true, "locale": "en" });
            assert_eq!(serde_json::to_value(&ada.claims).expect("JSON"), expected);
            assert_eq!(user(bob).disabled_at, Some(1000));
            assert!(bob.report.notes[0].contains("without a password"));
        }
        assert!(parse(b"name,shoe_size\nada,38\n", UserFormat::Csv, 0).is_err());
    }

    #[test]
    fn rows_with_problems_are_named() {
        let lines = format!(
            "{}\n{}\n{}\nnot JSON\n{}\n",
            json!({ "name": "" }),
            json!({ "name": "ada", "password_hash": "plain text" }),
            json!({ "name": "ada", "shoe_size": 38 }),
            json!({ "name": "ada", "password_hash": BCRYPT.replace("$05$", "$31$") }),
        );
        let problems: Vec<_> = read(&lines, UserFormat::Lines).into_iter().map(|row| row.report.problem).collect();
        assert_eq!(problems.len(), 5);
        for (problem, expected) in
            problems.iter().zip(["user name", "unknown form", "shoe_size", "expected", "costs more"])
        {
            assert!(problem.as_ref().is_some_and(|problem| problem.contains(expected)), "{problem:?} {expected}");
        }
    }

    #[test]
    fn users_of_keycloak_are_read_with_their_passwords() {
        let export = json!({ "realm": "r", "users": [{
            "id": "f1", "username": "ada", "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org",
            "emailVerified": true, "enabled": true, "createdTimestamp": 5000, "totp": false, "realmRoles": ["admin"],
            "credentials": [{
                "type": "password",
                "secretData": r#"{"value":"Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo=","salt":"0ZrzXitFSGltTQnBWOsdeQ=="}"#,
                "credentialData": r#"{"hashIterations":6400,"algorithm":"pbkdf2-sha256"}"#,
            }, { "type": "otp" }],
        }, {
            "username": "bob",
            "credentials": [{
                "type": "password",
                "secretData": r#"{"value":"xu60xG+6vNTTqNKUoIjnxkSgsAuqsXXk7+3z8e5MkxE=","salt":"c29tZXNhbHRzYWx0c2FsdA=="}"#,
                "credentialData": r#"{"hashIterations":5,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["7168"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}"#,
            }],
        }] });
        let rows = read(&export.to_string(), UserFormat::Keycloak);
        let ada = user(&rows[0]);
        let hash = "$pbkdf2-sha256$i=6400$0ZrzXitFSGltTQnBWOsdeQ$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo";
        assert_eq!(ada.password_hash.as_deref(), Some(hash));
        assert_eq!((ada.external_id.as_deref(), ada.created_at), (Some("f1"), 5));
        assert_eq!(ada.claims.get("name"), Some(&json!("Ada Lovelace")));
        let notes = rows[0].report.notes.join("; ");
        assert!(notes.contains("otp") && notes.contains("realmRoles"), "{notes}");
        let hash = user(&rows[1]).password_hash.clone().expect("a password");
        assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
    }

    #[test]
    fn users_of_auth0_are_read_from_exports_and_imports() {
        let export = json!({ "_id": { "$oid": "60425d" }, "email": "ada@example.org", "email_verified": true,
            "passwordHash": BCRYPT, "tenant": "dev", "connection": "db", "name": "Ada", "app_metadata": { "plan": 1 } });
        let import = json!([{ "user_id": "auth0|1", "email": "bob@example.org", "username": "bob", "blocked": true,
            "custom_password_hash": { "algorithm": "argon2", "hash": { "value": "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$xu60xG+6vNTTqNKUoIjnxkSgsAuqsXXk7+3z8e5MkxE" } } }]);
        let ada = read(&export.to_string(), UserFormat::Auth0);
        assert_eq!(
            (user(&ada[0]).name.as_str(), user(&ada[0]).password_hash.as_deref()),
            ("ada@example.org", Some(BCRYPT))
        );
        assert_eq!(user(&ada[0]).external_id.as_deref(), Some("auth0|60425d"));
        assert!(ada[0].report.notes[0].contains("app_metadata"));
        let bob = read(&import.to_string(), UserFormat::Auth0);
        assert!(user(&bob[0]).password_hash.is_some() && user(&bob[0]).disabled_at.is_some());
    }
}
