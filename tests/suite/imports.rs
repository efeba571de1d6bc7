//! Users, clients and keys of other systems: they sign in and authenticate with the passwords and
//! secrets that they have, their hashes are replaced by Argon2id, and living tokens stay good.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::TestClient;
use tollgate_tests::documentation::program;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{command_without_settings, now, programs_dir};
use tollgate_tests::jwt::ClientKey;
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

const PASSWORD: &str = "lètmein";
/// bcrypt, and PBKDF2 in the form of Django, of [`PASSWORD`].
const HASHES: [&str; 2] = [
    "$2b$05$abcdefghijklmnopqrstuu2c1e4vZoCxDVRU9N6VCSSmNg4cQa1Ve",
    "pbkdf2_sha256$10000$seasalt$CWWFdHOWwPnki7HvkcqN9iA2T3KLW1cf2uZ5kvArtVY=",
];
/// `secret-of-the-client`
const SECRET_HASH: &str = "$2b$05$abcdefghijklmnopqrstuuTyxJo9xDqNq/dTFddO7ZcTe9u8uBPa6";

fn count(origin: &TestOrigin, what: &str) -> Result<usize> {
    let listed: Value = serde_json::from_str(&origin.cli(&[what, "list", "--json"])?)?;
    Ok(listed.as_array().context("a list")?.len())
}

async fn password_hash(origin: &TestOrigin, name: &str) -> Result<String> {
    let user = origin.server.store().find_user_by_typed_name(name).await?.context("a user")?;
    user.password_hash.context("a password")
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_users_sign_in_and_their_hashes_are_replaced() -> Result<()> {
    let (origin, folder) = (TestOrigin::start().await?, tempfile::tempdir()?);
    let app = TestClient::register_web_app(&origin, "app", &json!({})).await?;
    let file = folder.path().join("users.csv");
    fs::write(&file, format!("name,password_hash,email\nada,{},ada@example.org\nbob,{},\n", HASHES[0], HASHES[1]))?;
    let file = file.display().to_string();
    let before = count(&origin, "user")?;
    let dry: Value = serde_json::from_str(&origin.cli(&["user", "import", &file, "--dry-run", "--json"])?)?;
    assert_eq!((&dry["is_applied"], &dry["imported"], count(&origin, "user")?), (&json!(false), &json!(2), before));
    let report: Value = serde_json::from_str(&origin.cli(&["user", "import", &file, "--json"])?)?;
    assert_eq!((&report["is_applied"], &report["failed"]), (&json!(true), &json!(0)));
    for name in ["ada", "bob"] {
        ensure!(!password_hash(&origin, name).await?.starts_with("$argon2id$"));
        let wrong = [("username", name), ("password", "letmein!")];
        let refused = Browser::new(&origin.server.url())?.submit_form(&origin.url("/login"), &wrong).await;
        ensure!(refused.is_err(), "{name}: a wrong password");
        let (browser, person) = (Browser::new(&origin.server.url())?, Person::new(name, PASSWORD));
        app.user_tokens(&browser, &person, &[("scope", "openid")]).await.context(name)?;
        let hash = password_hash(&origin, name).await?;
        ensure!(hash.starts_with("$argon2id$"), "{name}: {hash}");
        app.user_tokens(&Browser::new(&origin.server.url())?, &Person::new(name, PASSWORD), &[("scope", "openid")])
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn import_is_all_or_nothing_unless_errors_are_skipped() -> Result<()> {
    let (origin, folder) = (TestOrigin::start().await?, tempfile::tempdir()?);
    origin.user("ada", "correct horse battery", &json!({}))?;
    let before = count(&origin, "user")?;
    let file = folder.path().join("users.jsonl");
    let rows = [
        json!({ "name": "bob", "password_hash": HASHES[0] }),
        json!({ "name": "Ada" }),
        json!({ "name": "eve", "password_hash": "$2b$31$abcdefghijklmnopqrstuu2c1e4vZoCxDVRU9N6VCSSmNg4cQa1Ve" }),
        json!({ "name": "BOB" }),
    ];
    fs::write(&file, rows.map(|row| row.to_string()).join("\n"))?;
    let file = file.display().to_string();
    let refused = origin.cli(&["user", "import", &file]).map_err(|error| error.to_string());
    ensure!(refused.as_ref().is_err_and(|error| error.contains("3 of 4 rows")), "{refused:?}");
    assert_eq!(count(&origin, "user")?, before);
    let report: Value = serde_json::from_str(&origin.cli(&["user", "import", &file, "--skip-errors", "--json"])?)?;
    assert_eq!((&report["imported"], &report["failed"]), (&json!(1), &json!(3)));
    let problem = |row: usize| report["rows"][row]["problem"].as_str().unwrap_or_default().to_owned();
    ensure!(
        problem(1).contains("exists") && problem(2).contains("costs more") && problem(3).contains("exists"),
        "{report}"
    );
    assert_eq!(count(&origin, "user")?, before + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_clients_authenticate_with_their_secrets() -> Result<()> {
    let (origin, folder) = (TestOrigin::start().await?, tempfile::tempdir()?);
    let (file, keycloak) = (folder.path().join("clients.json"), folder.path().join("realm.json"));
    let hydra = json!({ "items": [
        { "client_id": "hashed", "grant_types": ["client_credentials"], "client_secret_hash": SECRET_HASH, "scope": "a" },
        { "client_id": "without", "grant_types": ["client_credentials"], "scope": "a" },
    ] });
    fs::write(&file, hydra.to_string())?;
    let realm = json!({ "realm": "r", "clients": [
        { "clientId": "plain", "secret": "secret-of-the-client", "serviceAccountsEnabled": true, "optionalClientScopes": ["a"] },
        { "clientId": "admin-cli", "publicClient": true },
    ] });
    fs::write(&keycloak, realm.to_string())?;
    let import = |arguments: &[&str]| -> Result<Value> {
        Ok(serde_json::from_str(&origin.cli(&[&["client", "import", "--json"], arguments].concat())?)?)
    };
    let (file, keycloak) = (file.display().to_string(), keycloak.display().to_string());
    let report = import(&[&file, "--format", "hydra"])?;
    let new_secret = report["rows"][1]["client_secret"].as_str().context("a new secret")?.to_owned();
    let report = import(&[&keycloak, "--format", "keycloak", "--skip-errors"])?;
    assert_eq!((&report["imported"], &report["failed"]), (&json!(1), &json!(1)));
    ensure!(!report.to_string().contains("secret-of-the-client"), "a secret is not repeated");
    for (id, secret) in
        [("hashed", "secret-of-the-client"), ("without", &new_secret), ("plain", "secret-of-the-client")]
    {
        let created = json!({ "client_id": id, "client_secret": secret }).to_string();
        let client = TestClient::from_cli_output(&origin.server.url(), &created)?;
        client.token("a").await.context(id)?;
        let created = json!({ "client_id": id, "client_secret": "secret-of-another-client" }).to_string();
        ensure!(TestClient::from_cli_output(&origin.server.url(), &created)?.token("a").await.is_err(), "{id}");
        let stored = origin.server.store().find_client(&id.parse()?).await?.context("a client")?;
        let hash = stored.secrets.first().and_then(|secret| secret.argon2_hash.clone());
        ensure!(hash.as_ref().is_none_or(|hash| hash.starts_with("$argon2id$")), "{id}: {hash:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_imported_key_are_accepted_at_edges_until_it_is_revoked() -> Result<()> {
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "new", &["--scope", "a"])?;
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    let key = ClientKey::generate();
    let claims = json!({
        "iss": origin.server.issuer(), "aud": AUDIENCE, "sub": "someone", "client_id": "old", "jti": "of-the-other-system",
        "iat": now(), "exp": now() + 3600, "scope": "a",
    });
    let token = key.sign(&json!({ "typ": "at+jwt", "kid": "old-key" }), &claims);
    assert_eq!(client.status(&edge.url, &token).await?, 401, "its key is unknown");

    let import = ["key", "import", "-", "--kid", "old-key", "--valid-for", "3600", "--json"];
    let imported: Value = serde_json::from_str(&origin.cli_with(&import, &key.jwk().to_string())?)?;
    assert_eq!((&imported[0]["kid"], &imported[0]["purpose"]), (&json!("old-key"), &json!("verify")));
    ensure!(origin.cli_with(&import, &key.jwk().to_string()).is_err(), "a kid is used once");
    let twins = [ClientKey::generate(), ClientKey::generate()].map(|twin| {
        let mut jwk = twin.jwk();
        jwk["kid"] = json!("twin");
        jwk
    });
    let refused = origin.cli_with(&["key", "import", "-"], &json!({ "keys": twins }).to_string());
    ensure!(refused.is_err_and(|error| error.to_string().contains("two of the keys have the kid twin")));
    client.wait_for_status(&edge.url, &token, 200).await?;
    let own = client.token("a").await?;
    client.wait_for_status(&edge.url, &own, 200).await?;
    let jwks: Value = reqwest::get(origin.url("/.well-known/jwks.json")).await?.json().await?;
    ensure!(jwks["keys"].as_array().is_some_and(|keys| keys.iter().any(|key| key["kid"] == "old-key")), "{jwks}");

    origin.cli(&["key", "revoke", "old-key", "--reason", "the other system is gone"])?;
    client.wait_for_status(&edge.url, &token, 401).await?;
    assert_eq!(client.status(&edge.url, &own).await?, 200);
    Ok(())
}

/// Tables of AuthGate, as far as the queries of the document read them.
const AUTHGATE: &str = "
    CREATE TABLE users (id TEXT, username TEXT, email TEXT, password_hash TEXT, role TEXT, full_name TEXT,
        is_active NUMERIC, email_verified NUMERIC, auth_source TEXT);
    INSERT INTO users VALUES ('u1', 'root', 'root@example.org', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW',
        'admin', '', 1, 0, 'local'), ('u2', 'grace', 'grace@example.org', '', 'user', 'Grace H', 0, 1, 'local');
    CREATE TABLE oauth_applications (client_id TEXT, client_secret TEXT, client_name TEXT, scopes TEXT, redirect_uris TEXT,
        client_type TEXT, enable_device_flow NUMERIC, enable_auth_code_flow NUMERIC,
        enable_client_credentials_flow NUMERIC, status TEXT);
    INSERT INTO oauth_applications VALUES
        ('cli', '', 'CLI', 'read write', '[]', 'public', 1, 0, 0, 'active'),
        ('web', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'Web', 'read', '[\"https://web.example/cb\"]',
        'confidential', 0, 1, 1, 'inactive');";

/// Runs a section's commands in a folder as a reader pastes them.
fn run_documented(origin: &TestOrigin, folder: &Path, heading: &str) -> Result<()> {
    let programs = [programs_dir()].into_iter();
    let path =
        std::env::join_paths(programs.chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())))?;
    let mut shell = command_without_settings("sh");
    shell.args(["-eu", "-c", &program("migrate.md", heading, "sh")?]).current_dir(folder);
    let output = shell.envs(origin.settings.clone()).env("PATH", path).output()?;
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.success(), "{heading}: {}", texts.concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_commands_import_from_other_systems() -> Result<()> {
    let (origin, folder) = (TestOrigin::start().await?, tempfile::tempdir()?);
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    let (users, clients) = (count(&origin, "user")?, count(&origin, "client")?);
    for heading in ["Import of users", "Import of clients"] {
        run_documented(&origin, folder.path(), heading)?;
    }
    write("jwks.json", &json!({ "keys": [named(&ClientKey::generate(), "first")] }).to_string())?;
    run_documented(&origin, folder.path(), "Import of keys")?;

    write("authgate.sql", AUTHGATE)?;
    for (heading, file) in [("AuthGate's users", "users.sql"), ("AuthGate's clients", "clients.sql")] {
        write(file, &program("migrate.md", heading, "sql")?)?;
        if file == "users.sql" {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", "sqlite3 authgate.db < authgate.sql"]).current_dir(folder.path());
            ensure!(shell.status()?.success(), "sqlite3 is missing: apt-get install sqlite3");
        }
        run_documented(&origin, folder.path(), heading)?;
    }
    let root = origin.server.store().find_user_by_typed_name("root").await?.context("a user of AuthGate")?;
    ensure!(root.password_hash.is_some_and(|hash| hash.starts_with("$2a$")));
    let web = origin.server.store().find_client(&"web".parse()?).await?.context("a client of AuthGate")?;
    assert_eq!((web.metadata.grant_types.len(), web.secrets.len()), (3, 1));

    let hydra = json!({ "items": [{ "client_id": "hydra-app", "grant_types": ["client_credentials"], "scope": "a" }] });
    write("hydra.json", &hydra.to_string())?;
    write("secrets.json", &json!({ "hydra-app": SECRET_HASH }).to_string())?;
    write("jwks.json", &json!({ "keys": [named(&ClientKey::generate(), "hydra")] }).to_string())?;
    run_documented(&origin, folder.path(), "From Hydra")?;
    let created = json!({ "client_id": "hydra-app", "client_secret": "secret-of-the-client" }).to_string();
    TestClient::from_cli_output(&origin.server.url(), &created)?.token("a").await?;

    let realm = json!({ "realm": "shop", "users": [{ "username": "keycloak-user", "enabled": true }],
        "clients": [{ "clientId": "account" }, { "clientId": "keycloak-app", "publicClient": true,
            "standardFlowEnabled": true, "redirectUris": ["https://app.example/cb"] }] });
    fs::create_dir(folder.path().join("export"))?;
    write("export/shop-realm.json", &realm.to_string())?;
    let file = folder.path().join("export/shop-realm.json").display().to_string();
    let arguments = ["client", "import", &file, "--format", "keycloak", "--skip-errors", "--dry-run", "--json"];
    let report: Value = serde_json::from_str(&origin.cli(&arguments)?)?;
    assert_eq!(report["rows"][0]["name"], "account", "a row that is left out is named");
    write("jwks.json", &json!({ "keys": [named(&ClientKey::generate(), "keycloak")] }).to_string())?;
    run_documented(&origin, folder.path(), "From Keycloak")?;

    let app = json!([{ "client_id": "auth0-app", "name": "App", "app_type": "spa", "callbacks": ["https://app.example/cb"],
        "grant_types": ["authorization_code"] }, { "client_id": "all", "global": true }]);
    write("auth0.json", &app.to_string())?;
    let user = json!({ "_id": { "$oid": "1" }, "email": "auth0@example.org", "passwordHash": HASHES[0] });
    write("auth0-users.jsonl", &user.to_string())?;
    write("jwks.json", &json!({ "keys": [named(&ClientKey::generate(), "auth0")] }).to_string())?;
    run_documented(&origin, folder.path(), "From Auth0")?;
    assert_eq!((count(&origin, "user")?, count(&origin, "client")?), (users + 6, clients + 6));
    Ok(())
}

/// The public key as a JWK with this `kid`.
fn named(key: &ClientKey, kid: &str) -> Value {
    let mut jwk = key.jwk();
    jwk["kid"] = json!(kid);
    jwk
}
