//! What the command line tells programs: with `--json`, every verb that changes something prints one JSON object of it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tollgate_model::{TokenDetails, TokenDraft};
use tollgate_storage::Store;

const ISSUER: &str = "https://auth.example";

/// Runs the program in `folder`; what it prints, and whether it succeeded.
fn run(folder: &Path, arguments: &[&str]) -> (String, bool) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    // The settings of whoever runs the tests are not this program's.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
        program.env_remove(name);
    }
    let output = program.args(arguments).current_dir(folder).output().expect("it runs");
    (String::from_utf8(output.stdout).expect("text"), output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_tells_what_it_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        Store::open(&format!("sqlite://{}", folder.path().join("tollgate.db").display())).await.expect("opened");
    store.adopt_issuer(ISSUER).await.expect("nobody's yet");
    let json = |arguments: &[&str]| -> Value {
        let (printed, succeeded) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    };

    let created = json(&["client", "create", "--name", "Reports", "--id", "reports", "--scope", "a b"]);
    assert_eq!((&created["client_id"], &created["scope"]), (&json!("reports"), &json!("a b")));
    assert!(created["client_secret"].as_str().is_some_and(|secret| secret.starts_with("tgs_")));

    let route = json(&["route", "add", "--path", "/a/*", "--method", "GET", "--scope", "a"]);
    let expected = json!({ "path": "/a/*", "methods": ["GET"], "scope": "a", "public": false, "on_stale": "deny", "on_not_covered": "deny" });
    assert_eq!(route, expected);
    let removed = json(&["route", "remove", "--path", "/a/*", "--method", "GET"]);
    assert_eq!(removed, json!({ "path": "/a/*", "methods": ["GET"], "removed": true }));

    let mut edge = json(&["edge", "add", "near", "--url", "http://127.0.0.1:1/"]);
    let key = edge["key"].take();
    let expected =
        json!({ "name": "near", "url": "http://127.0.0.1:1", "acknowledged_sequence": 0, "lag": 0, "key": null });
    assert_eq!(edge, expected);
    assert!(key.as_str().is_some_and(|key| key.starts_with("near:")), "{key}");
    assert_eq!(json(&["edge", "key", "near"]), json!({ "name": "near", "key": key }));
    assert!(!run(folder.path(), &["edge", "key", "far"]).1, "a slip is told");
    assert_eq!(json(&["edge", "remove", "near"]), json!({ "name": "near", "removed": true }));

    assert_eq!(json(&["key", "audience", "https://api.example"])["kty"], "oct");
    assert_eq!(json(&["key", "audience", "https://api.example", "--jwks"])["keys"][0]["alg"], "HS256");
    assert!(json(&["key", "snapshot"])["snapshot_key"].is_string());

    let jti = token(&store).await;
    for already in [false, true] {
        let revoked = json(&["revoke", "token", &jti, "--reason", "stolen"]);
        assert_eq!((&revoked["name"], &revoked["kind"]), (&json!(jti), &json!("token")));
        assert_eq!((&revoked["already"], &revoked["reason"]), (&json!(already), &json!("stolen")));
    }
    let exported = json(&["snapshot", "export", "snapshot.bin"]);
    assert_eq!((&exported["sequence"], &exported["revoked"]), (&json!(1), &json!(1)));
    assert_eq!((&exported["epoch"], &exported["listed"], &exported["covered"]), (&json!(0), &json!(1), &json!(0)));
    assert_eq!(exported, json(&["snapshot", "inspect", "snapshot.bin"]));
    assert_eq!(json(&["reinstate", "token", &jti])["reinstated"][0]["name"], json!(jti));
    assert_eq!(run(folder.path(), &["reinstate", "token", &jti, "--json"]), (String::new(), false));

    // Disabling a client revokes its tokens, so the history moves on.
    assert!(json(&["client", "disable", "reports"])["disabled_at"].is_u64());
    assert!(json(&["client", "enable", "reports"]).get("disabled_at").is_none());
    assert!(!run(folder.path(), &["client", "enable", "nobody"]).1, "a slip is told");
    assert_eq!(run(folder.path(), &["client", "enable", "reports"]), ("enabled reports\n".to_owned(), true));

    // Without it, a line for people.
    assert_eq!(run(folder.path(), &["revoke", "token", &jti]), (format!("revoked token {jti}\n"), true));
    assert_eq!(run(folder.path(), &["client", "disable", "reports"]), ("disabled reports\n".to_owned(), true));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_revoked_listed_and_reinstated() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        Store::open(&format!("sqlite://{}", folder.path().join("tollgate.db").display())).await.expect("opened");
    store.adopt_issuer(ISSUER).await.expect("nobody's yet");
    let json = |arguments: &[&str]| -> Value {
        let (printed, succeeded) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    };
    json(&["client", "create", "--name", "Reports", "--id", "reports"]);
    let jti = token(&store).await;
    json(&["revoke", "token", &jti, "--reason", "stolen"]);
    json(&["reinstate", "token", &jti]);

    for (kind, name) in [("session", "s"), ("subject", "s"), ("client", "reports"), ("key", "k"), ("before", "now")] {
        let revoked = json(&["revoke", kind, name]);
        assert_eq!((&revoked["already"], &revoked["in_force"]), (&json!(false), &json!(true)), "{kind}");
    }
    assert!(!run(folder.path(), &["revoke", "client", "nobody"]).1, "a slip is told");
    assert!(!run(folder.path(), &["revoke", "before", "99999999999"]).1, "the future is not revoked");
    let listed = json(&["revocation", "list"]);
    let kinds: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["everything", "key", "client", "subject", "session"]);
    assert_eq!(json(&["revocation", "list", "--all", "--kind", "token"])[0]["in_force"], json!(false));
    let before = listed[0]["before"].to_string();
    assert_eq!(json(&["reinstate", "before", &before])["reinstated"][0]["before"], listed[0]["before"]);
    for (kind, name) in [("session", "s"), ("subject", "s"), ("client", "reports"), ("key", "k")] {
        assert_eq!(json(&["reinstate", kind, name])["reinstated"][0]["name"], json!(name), "{kind}");
    }
    assert_eq!(json(&["revocation", "list"]), json!([]));
    let (log, _) = run(folder.path(), &["audit", "export", "--json"]);
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(log.len(), 13);
    assert_eq!(
        (&log[0]["action"], &log[0]["kind"], &log[0]["name"]),
        (&json!("create"), &json!("client"), &json!("reports"))
    );
    assert!(log[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("cli")), "{}", log[0]);
    assert_eq!((&log[1]["action"], &log[1]["reason"]), (&json!("revoke"), &json!("stolen")));
    assert_eq!(json(&["audit", "list", "--kind", "client", "--limit", "1"])[0]["action"], json!("reinstate"));
    let (csv, _) = run(folder.path(), &["audit", "export", "--csv", "--target", "reports"]);
    let csv: Vec<&str> = csv.lines().collect();
    assert_eq!((csv.len(), csv[0]), (4, "id,at,actor,action,kind,name,before,reason"));
    assert!(csv[1].ends_with(",create,client,reports,,"), "{}", csv[1]);
    assert!(!run(folder.path(), &["audit", "export", "--csv", "--json"]).1);
    assert!(!run(folder.path(), &["audit", "list", "--kind", "nothing"]).1);
    let later = (log[12]["at"].as_u64().expect("a time") + 1).to_string();
    assert_eq!(run(folder.path(), &["audit", "export", "--since", &later]), (String::new(), true));

    let admin = ["client", "create", "--name", "Admin", "--scope", "tollgate:admin", "--audience", ISSUER];
    assert!(!run(folder.path(), &admin).1, "not by accident");
    assert_eq!(json(&[admin.as_slice(), &["--admin"]].concat())["scope"], "tollgate:admin");
    store.close().await;
}

/// Puts a token on record.
async fn token(store: &Store) -> String {
    let now = tollgate_system::ambient::now();
    let draft = TokenDraft {
        unique: [1; 14],
        client: "reports".parse().expect("a client id"),
        subject: "reports".to_owned(),
        session: None,
        key_id: "a-key".to_owned(),
        scope: Default::default(),
        audience: ISSUER.parse().expect("an audience"),
        details: TokenDetails::default(),
        opaque: None,
        issued_at: now,
        expires_at: now + 3600,
    };
    store.issue(draft).await.expect("issued").id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        Store::open(&format!("sqlite://{}", folder.path().join("tollgate.db").display())).await.expect("opened");
    store.adopt_issuer(ISSUER).await.expect("nobody's yet");
    store.close().await;
    let json = |arguments: &[&str]| -> Value {
        let (printed, succeeded) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    };
    let kid_of = |listed: &Value, alg: &str, state: &str| {
        let is = |key: &&Value| key["alg"] == alg && key["state"] == state && key["purpose"] == "token";
        listed.as_array().expect("a list").iter().find(is).map(|key| key["kid"].as_str().expect("a kid").to_owned())
    };
    let first = json(&["key", "list"]);
    let old = kid_of(&first, "EdDSA", "active").expect("it signs");
    for already in [false, true] {
        let rotated = json(&["key", "rotate", "--alg", "EdDSA"]);
        assert_eq!((&rotated[0]["already"], &rotated[0]["ahead"]), (&json!(already), &json!(3600)));
        assert_eq!(rotated[0]["kid"].as_str().map(str::to_owned), kid_of(&json(&["key", "list"]), "EdDSA", "upcoming"));
    }
    assert_eq!(json(&["key", "rotate"]).as_array().map(Vec::len), Some(3));
    let revoked = json(&["key", "revoke", &old, "--reason", "stolen"]);
    assert_eq!((&revoked["already"], revoked["replaced_by"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert_eq!(kid_of(&json(&["key", "list"]), "EdDSA", "revoked"), Some(old.clone()));
    assert!(!run(folder.path(), &["key", "revoke", "no-such-key"]).1, "a slip is told");

    // HS256: a revoked key of an audience is replaced at once; others are not touched.
    let kid = || json(&["key", "audience", "a"])["kid"].as_str().expect("a kid").to_owned();
    let audience = kid();
    json(&["key", "revoke", &audience]);
    assert_ne!(kid(), audience);
    json(&["key", "rotate", "--alg", "HS256"]);
    assert_eq!(json(&["key", "audience", "a", "--jwks"])["keys"].as_array().map(Vec::len), Some(2));

    let pins = || json(&["key", "snapshot"])["snapshot_key"].as_str().expect("text").split(',').count();
    assert!(!run(folder.path(), &["key", "rotate", "--snapshot", "--now"]).1, "nobody pins it yet");
    json(&["key", "rotate", "--snapshot"]);
    assert_eq!(pins(), 2);
    json(&["key", "rotate", "--snapshot", "--now"]);
    // Both were made in this second: the new one signs from the next one on.
    while pins() != 1 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_are_kept_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        Store::open(&format!("sqlite://{}", folder.path().join("tollgate.db").display())).await.expect("opened");
    store.adopt_issuer(ISSUER).await.expect("nobody's yet");
    store.close().await;
    let json = |arguments: &[&str]| -> Value {
        let (printed, succeeded) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    };
    let added = json(&["issuer", "add", "one"]);
    assert_eq!(
        (&added["issuer"], &added["database"]),
        (&json!("https://auth.example/one"), &json!("sqlite://tollgate.one.db"))
    );
    assert!(
        !run(folder.path(), &["issuer", "add", "two", "--url", "https://auth.example/one"]).1,
        "one URL, one issuer"
    );
    assert!(
        !run(folder.path(), &["issuer", "add", "two", "--database", "sqlite://tollgate.db"]).1,
        "one issuer, one database"
    );
    json(&["client", "create", "--name", "Reports", "--id", "reports", "--issuer", "one"]);
    assert_eq!(json(&["client", "list"]), json!([]), "the other issuer's");
    assert_eq!(json(&["client", "list", "--issuer", "one"])[0]["client_id"], "reports");
    assert_ne!(json(&["key", "snapshot", "--issuer", "one"]), json(&["key", "snapshot"]));
    for name in ["two", "No Name"] {
        assert!(!run(folder.path(), &["client", "list", "--issuer", name]).1, "{name}");
    }
    // Where an issuer is what a token must name, it is that.
    let verify = ["token", "verify", "x.y.z", "--issuer", ISSUER, "--audience", "a", "--jwks", "none.json"];
    std::fs::write(folder.path().join("none.json"), r#"{"keys":[]}"#).expect("written");
    let (verdict, _) = run(folder.path(), &verify);
    assert!(verdict.contains("\"deny\""), "{verdict:?}");
    let listed = json(&["issuer", "list"]);
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&Value::Null, &json!("one")));
    json(&["issuer", "remove", "one"]);
    assert_eq!(json(&["issuer", "list"]).as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_users_and_resources_are_kept_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        Store::open(&format!("sqlite://{}", folder.path().join("tollgate.db").display())).await.expect("opened");
    store.adopt_issuer(ISSUER).await.expect("nobody's yet");
    let json = |arguments: &[&str]| -> Value {
        let (printed, succeeded) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    };
    let redirect = ["--redirect-uri", "https://shop.example/cb"];
    let shop =
        json(&[&["client", "create", "--name", "Shop", "--id", "shop", "--scope", "openid"], &redirect[..]].concat());
    assert_eq!(shop["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(json(&["client", "show", "shop"])["redirect_uris"], json!(["https://shop.example/cb"]));
    let rotated = json(&["client", "rotate-secret", "shop", "--overlap", "60"]);
    assert_ne!(rotated["client_secret"], shop["client_secret"]);
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2));
    let ending = rotated["secrets"].as_array().expect("a list").iter().filter(|one| one["expires_at"].is_u64());
    assert_eq!(ending.count(), 1, "the old one ends");
    let public = ["client", "create", "--name", "TV", "--public", "--grant", "device_code", "--grant", "refresh_token"];
    let tv = json(&public);
    assert!(tv.get("client_secret").is_none());
    assert_eq!(tv["grant_types"][0], "urn:ietf:params:oauth:grant-type:device_code");
    let said = r#"{"access_token_signed_response_alg":"ES256","access_token_format":"opaque"}"#;
    let as_said = |flags: &[&str]| json(&[&["client", "create", "--name", "x", "--metadata", said], flags].concat());
    let (asked, changed) = (as_said(&[]), as_said(&["--alg", "HS256"]));
    assert_eq!((&asked["alg"], &asked["access_token_format"]), (&json!("ES256"), &json!("opaque")));
    assert_eq!((&changed["alg"], &changed["access_token_format"]), (&json!("HS256"), &json!("opaque")), "flags win");
    for wrong in [
        ["client", "create", "--name", "x", "--grant", "password"],
        ["client", "create", "--name", "x", "--redirect-uri", "http://shop.example/cb"],
        ["client", "create", "--name", "x", "--metadata", "{\"jwks\":{}}"],
    ] {
        assert!(!run(folder.path(), &wrong).1, "{wrong:?}");
    }
    let ada = json(&["user", "create", "Ada", "--email", "ada@example.org", "--full-name", "Ada Lovelace"]);
    assert_eq!((&ada["name"], &ada["claims"]["email"]), (&json!("ada"), &json!("ada@example.org")));
    assert!(ada["password"].as_str().is_some_and(|password| password.len() == 20));
    assert_ne!(json(&["user", "password", "ada"])["password"], ada["password"]);
    assert!(!run(folder.path(), &["user", "create", "ADA"]).1, "the name is taken, however it is typed");
    assert!(json(&["user", "disable", "ada"])["disabled_at"].is_u64());
    assert!(json(&["user", "list"])[0]["disabled_at"].is_u64());

    let resource =
        ["resource", "create", "https://api.example", "--name", "Reports", "--scope", "read=Read your reports"];
    let made = json(&[&resource[..], &["--introspected-by", "shop"]].concat());
    assert_eq!(made["scopes"], json!({ "read": "Read your reports" }));
    assert_eq!(json(&["resource", "list"]), json!([made]));
    assert!(!run(folder.path(), &[&resource[..], &["--introspected-by", "nobody"]].concat()).1);
    assert_eq!(json(&["resource", "remove", "https://api.example"])["removed"], true);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scope_values_are_kept_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = |arguments: &[&str]| -> Value {
        let (printed, succeeded) = run(folder.path(), &[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    };
    let api = ["--audience", "https://api.example"];
    let set = |value: &str, words: &str| json(&[&["scope", "set", value, "--words", words], &api[..]].concat());
    assert_eq!(json(&["scope", "list"]), json!([]));
    let whole = ["resource", "create", "https://api.example", "--name", "Reports", "--scope", "read=Read your reports"];
    json(&whole);
    json(&["resource", "create", "https://other.example", "--name", "Other", "--scope", "all=Everything"]);
    let write = json!({ "value": "write", "audience": "https://api.example", "words": "Change your reports" });
    assert_eq!(set("write", "Change your reports"), write);
    set("read", "See your reports");
    let read = json!({ "value": "read", "audience": "https://api.example", "words": "See your reports" });
    assert_eq!(json(&[&["scope", "list"], &api[..]].concat()), json!([read, write]));
    assert_eq!(json(&["scope", "list"]).as_array().map(Vec::len), Some(3));
    let table = "VALUE  AUDIENCE             MEANING\n\
                 read   https://api.example  See your reports\n\
                 write  https://api.example  Change your reports\n";
    assert_eq!(run(folder.path(), &[&["scope", "list"], &api[..]].concat()), (table.to_owned(), true));
    let removed = json!({ "value": "read", "audience": "https://api.example", "removed": true });
    assert_eq!(json(&[&["scope", "remove", "read"], &api[..]].concat()), removed);
    assert_eq!(json(&["resource", "list"])[0]["scopes"], json!({ "write": "Change your reports" }));

    let nowhere = ["--audience", "https://nowhere.example"];
    for wrong in [
        [&["scope", "remove", "read"], &api[..]].concat(),
        [&["scope", "remove", "write"], &nowhere[..]].concat(),
        [&["scope", "set", "write", "--words", "x"], &nowhere[..]].concat(),
        [&["scope", "list"], &nowhere[..]].concat(),
        [&["scope", "set", "two values", "--words", "x"], &api[..]].concat(),
        [&["scope", "set", "write", "--words", "two\nlines"], &api[..]].concat(),
    ] {
        assert!(!run(folder.path(), &wrong).1, "{wrong:?}");
    }
    let lines = json(&["audit", "list", "--kind", "resource", "--action", "update"]);
    let reasons: Vec<&str> =
        lines.as_array().expect("a list").iter().filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons, ["scope value read removed", "scope value read set", "scope value write set"]);
}

/// Runs `tollgate serve` in `folder` until it serves and has told of a first user, if it had none; what it wrote to standard error.
fn serve(folder: &Path, had_users: bool) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
        program.env_remove(name);
    }
    program.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder).stderr(Stdio::piped());
    let mut serving = program.spawn().expect("it runs");
    let mut lines = BufReader::new(serving.stderr.take().expect("standard error")).lines();
    let mut written = String::new();
    for line in lines.by_ref() {
        let line = line.expect("text");
        written.push_str(&line);
        written.push('\n');
        // What comes last.
        if line.contains("Sign in at") || (line.contains(" serving ") && had_users) {
            break;
        }
    }
    serving.kill().expect("it runs");
    serving.wait().expect("it ended");
    written
}

#[test]
fn the_first_start_makes_an_administrator_and_no_other_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = serve(folder.path(), false);
    let password = first.lines().find_map(|line| line.trim().strip_prefix("password  ")).expect("it is shown");
    assert_eq!(password.len(), 20, "{first}");
    assert!(
        first.lines().all(|line| !line.contains(password) || line.trim().starts_with("password  ")),
        "never logged"
    );
    let users: Value = serde_json::from_str(&run(folder.path(), &["user", "list", "--json"]).0).expect("JSON");
    assert_eq!((&users[0]["name"], &users[0]["is_admin"], &users[1]), (&json!("admin"), &json!(true), &Value::Null));
    assert!(!serve(folder.path(), true).contains("password  "));
    let again: Value = serde_json::from_str(&run(folder.path(), &["user", "list", "--json"]).0).expect("JSON");
    assert_eq!(users, again);
}
