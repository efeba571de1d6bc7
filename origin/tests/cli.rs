//! What the command line tells programs: with `--json`, every verb that changes something prints one JSON object of it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tollgate::domain::{AccessToken, TokenId};
use tollgate::store::Store;

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
    assert!(json(&["client", "disable", "reports"])["disabled_at"].is_u64());

    let route = json(&["route", "add", "--path", "/a/*", "--method", "GET", "--scope", "a"]);
    let expected = json!({ "path": "/a/*", "methods": ["GET"], "scope": "a", "public": false, "on_stale": "deny" });
    assert_eq!(route, expected);
    let removed = json(&["route", "remove", "--path", "/a/*", "--method", "GET"]);
    assert_eq!(removed, json!({ "path": "/a/*", "methods": ["GET"], "removed": true }));

    let edge = json(&["edge", "add", "near", "--url", "http://127.0.0.1:1/"]);
    assert_eq!(edge, json!({ "name": "near", "url": "http://127.0.0.1:1", "acknowledged_sequence": 0, "lag": 0 }));
    assert_eq!(json(&["edge", "remove", "near"]), json!({ "name": "near", "removed": true }));

    assert_eq!(json(&["key", "audience", "https://api.example"])["kty"], "oct");
    assert_eq!(json(&["key", "audience", "https://api.example", "--jwks"])["keys"][0]["alg"], "HS256");
    assert!(json(&["key", "snapshot"])["snapshot_key"].is_string());

    let jti = token(&store).await;
    assert_eq!(json(&["revoke", "token", &jti]), json!({ "jti": jti, "revoked": true, "already": false }));
    assert_eq!(json(&["revoke", "token", &jti]), json!({ "jti": jti, "revoked": true, "already": true }));
    let exported = json(&["snapshot", "export", "snapshot.bin"]);
    assert_eq!((&exported["sequence"], &exported["revoked"]), (&json!(1), &json!(1)));
    assert_eq!(exported, json(&["snapshot", "inspect", "snapshot.bin"]));
    assert_eq!(json(&["reinstate", "token", &jti]), json!({ "jti": jti, "reinstated": true }));
    assert_eq!(run(folder.path(), &["reinstate", "token", &jti, "--json"]), (String::new(), false));

    // Without it, a line for people.
    assert_eq!(run(folder.path(), &["revoke", "token", &jti]), (format!("revoked {jti}\n"), true));
    assert_eq!(run(folder.path(), &["client", "disable", "reports"]), ("disabled reports\n".to_owned(), true));
    store.close().await;
}

/// Puts a token on record.
async fn token(store: &Store) -> String {
    let token = AccessToken {
        id: TokenId::from_random(&[1; 16]),
        client: "reports".parse().expect("a client id"),
        subject: "reports".to_owned(),
        scope: Default::default(),
        audience: ISSUER.parse().expect("an audience"),
        issued_at: tollgate::ambient::now(),
        expires_at: tollgate::ambient::now() + 3600,
    };
    store.record_token(&token).await.expect("recorded");
    token.id.to_string()
}
