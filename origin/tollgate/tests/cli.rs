//! The command line for programs: with `--json`, every verb that changes something prints one JSON
//! object.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_model::{Secret, SecretKind, TokenDetails, TokenDraft};
use tollgate_storage::Store;
use tollgate_test_kit::environment::command_without_settings;
use tollgate_test_kit::wait::wait_until;

const ISSUER: &str = "https://auth.example";

/// The CLI in a folder of its own, and the database there.
struct Cli {
    folder: TempDir,
}

impl Cli {
    fn new() -> Cli {
        Cli { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Creates the database with the issuer [`ISSUER`].
    async fn create_store(&self) -> Store {
        let url = format!("sqlite://{}", self.folder.path().join("tollgate.db").display());
        let store = Store::open(&url).await.expect("opened");
        store.adopt_issuer(ISSUER).await.expect("a new database");
        store
    }

    fn command(&self) -> Command {
        let mut command = command_without_settings(env!("CARGO_BIN_EXE_tollgate"));
        command.current_dir(self.folder.path());
        command
    }

    /// Runs a command. Returns its output, and whether it succeeded.
    fn run(&self, arguments: &[&str]) -> (String, bool) {
        let output = self.command().args(arguments).output().expect("it runs");
        (String::from_utf8(output.stdout).expect("text"), output.status.success())
    }

    /// Runs a command with `--json`, which must succeed.
    fn json(&self, arguments: &[&str]) -> Value {
        let (printed, succeeded) = self.run(&[arguments, &["--json"]].concat());
        assert!(succeeded, "{arguments:?}");
        serde_json::from_str(&printed).expect("JSON")
    }

    /// Runs `tollgate serve` until it serves and, without users so far, has created the first one.
    /// Returns what it wrote to standard error.
    fn serve(&self, has_users: bool) -> String {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut serving = command.spawn().expect("it runs");
        let mut lines = BufReader::new(serving.stderr.take().expect("standard error")).lines();
        let mut written = String::new();
        for line in lines.by_ref() {
            let line = line.expect("text");
            written.push_str(&line);
            written.push('\n');
            // The last line of a start.
            if line.contains("Sign in at") || (line.contains(" serving ") && has_users) {
                break;
            }
        }
        serving.kill().expect("it runs");
        serving.wait().expect("it ended");
        written
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_reports_what_it_did_as_json() {
    let cli = Cli::new();
    let store = cli.create_store().await;

    let created = cli.json(&["client", "create", "--name", "Reports", "--id", "reports", "--scope", "a b"]);
    assert_eq!((&created["client_id"], &created["scope"]), (&json!("reports"), &json!("a b")));
    assert!(created["client_secret"].as_str().is_some_and(|secret| secret.starts_with("tgs_")));

    let route = cli.json(&["route", "add", "--path", "/a/*", "--method", "GET", "--scope", "a"]);
    let expected = json!({ "path": "/a/*", "methods": ["GET"], "scope": "a", "public": false, "on_stale": "deny", "on_not_covered": "deny" });
    assert_eq!(route, expected);
    let removed = cli.json(&["route", "remove", "--path", "/a/*", "--method", "GET"]);
    assert_eq!(removed, json!({ "path": "/a/*", "methods": ["GET"], "removed": true }));

    let mut edge = cli.json(&["edge", "add", "near", "--url", "http://127.0.0.1:1/"]);
    let key = edge["key"].take();
    let expected =
        json!({ "name": "near", "url": "http://127.0.0.1:1", "acknowledged_sequence": 0, "lag": 0, "key": null });
    assert_eq!(edge, expected);
    assert!(key.as_str().is_some_and(|key| key.starts_with("near:")), "{key}");
    assert_eq!(cli.json(&["edge", "key", "near"]), json!({ "name": "near", "key": key }));
    assert!(!cli.run(&["edge", "key", "far"]).1, "an unknown name fails");
    assert_eq!(cli.json(&["edge", "remove", "near"]), json!({ "name": "near", "removed": true }));

    assert_eq!(cli.json(&["key", "audience", "https://api.example"])["kty"], "oct");
    assert_eq!(cli.json(&["key", "audience", "https://api.example", "--jwks"])["keys"][0]["alg"], "HS256");
    assert!(cli.json(&["key", "snapshot"])["snapshot_key"].is_string());

    let jti = issue_token(&store).await;
    for already in [false, true] {
        let revoked = cli.json(&["revoke", "token", &jti, "--reason", "stolen"]);
        assert_eq!((&revoked["name"], &revoked["kind"]), (&json!(jti), &json!("token")));
        assert_eq!((&revoked["already"], &revoked["reason"]), (&json!(already), &json!("stolen")));
    }
    let exported = cli.json(&["snapshot", "export", "snapshot.bin"]);
    assert_eq!((&exported["sequence"], &exported["revoked"]), (&json!(1), &json!(1)));
    assert_eq!((&exported["epoch"], &exported["listed"], &exported["covered"]), (&json!(0), &json!(1), &json!(0)));
    assert_eq!(exported, cli.json(&["snapshot", "inspect", "snapshot.bin"]));
    assert_eq!(cli.json(&["reinstate", "token", &jti])["reinstated"][0]["name"], json!(jti));
    assert_eq!(cli.run(&["reinstate", "token", &jti, "--json"]), (String::new(), false));

    // Disabling a client revokes its tokens.
    assert!(cli.json(&["client", "disable", "reports"])["disabled_at"].is_u64());
    assert!(cli.json(&["client", "enable", "reports"]).get("disabled_at").is_none());
    assert!(!cli.run(&["client", "enable", "nobody"]).1, "an unknown name fails");
    assert_eq!(cli.run(&["client", "enable", "reports"]), ("enabled reports\n".to_owned(), true));

    // Without `--json`, a line for people.
    assert_eq!(cli.run(&["revoke", "token", &jti]), (format!("revoked token {jti}\n"), true));
    assert_eq!(cli.run(&["client", "disable", "reports"]), ("disabled reports\n".to_owned(), true));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revocation_kind_is_revoked_listed_and_reinstated() {
    let cli = Cli::new();
    let store = cli.create_store().await;
    cli.json(&["client", "create", "--name", "Reports", "--id", "reports"]);
    let jti = issue_token(&store).await;
    cli.json(&["revoke", "token", &jti, "--reason", "stolen"]);
    cli.json(&["reinstate", "token", &jti]);

    for (kind, name) in [("session", "s"), ("subject", "s"), ("client", "reports"), ("key", "k"), ("before", "now")] {
        let revoked = cli.json(&["revoke", kind, name]);
        assert_eq!((&revoked["already"], &revoked["in_force"]), (&json!(false), &json!(true)), "{kind}");
    }
    assert!(!cli.run(&["revoke", "client", "nobody"]).1, "an unknown name fails");
    assert!(!cli.run(&["revoke", "before", "99999999999"]).1, "a time in the future");
    let listed = cli.json(&["revocation", "list"]);
    let kinds: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["everything", "key", "client", "subject", "session"]);
    assert_eq!(cli.json(&["revocation", "list", "--all", "--kind", "token"])[0]["in_force"], json!(false));
    let before = listed[0]["before"].to_string();
    assert_eq!(cli.json(&["reinstate", "before", &before])["reinstated"][0]["before"], listed[0]["before"]);
    for (kind, name) in [("session", "s"), ("subject", "s"), ("client", "reports"), ("key", "k")] {
        assert_eq!(cli.json(&["reinstate", kind, name])["reinstated"][0]["name"], json!(name), "{kind}");
    }
    assert_eq!(cli.json(&["revocation", "list"]), json!([]));
    let (log, _) = cli.run(&["audit", "export", "--json"]);
    let log: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a JSON object on each line")).collect();
    assert_eq!(log.len(), 13);
    assert_eq!(
        (&log[0]["action"], &log[0]["kind"], &log[0]["name"]),
        (&json!("create"), &json!("client"), &json!("reports"))
    );
    assert!(log[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("cli")), "{}", log[0]);
    assert_eq!((&log[1]["action"], &log[1]["reason"]), (&json!("revoke"), &json!("stolen")));
    assert_eq!(cli.json(&["audit", "list", "--kind", "client", "--limit", "1"])[0]["action"], json!("reinstate"));
    let (csv, _) = cli.run(&["audit", "export", "--csv", "--target", "reports"]);
    let csv: Vec<&str> = csv.lines().collect();
    assert_eq!((csv.len(), csv[0]), (4, "id,at,actor,action,kind,name,before,reason"));
    assert!(csv[1].ends_with(",create,client,reports,,"), "{}", csv[1]);
    assert!(!cli.run(&["audit", "export", "--csv", "--json"]).1);
    assert!(!cli.run(&["audit", "list", "--kind", "nothing"]).1);
    let later = (log[12]["at"].as_u64().expect("a time") + 1).to_string();
    assert_eq!(cli.run(&["audit", "export", "--since", &later]), (String::new(), true));

    let admin = ["client", "create", "--name", "Admin", "--scope", "tollgate:admin", "--audience", ISSUER];
    assert!(!cli.run(&admin).1, "the admin scope needs --admin");
    assert_eq!(cli.json(&[admin.as_slice(), &["--admin"]].concat())["scope"], "tollgate:admin");
    store.close().await;
}

/// Issues a token.
async fn issue_token(store: &Store) -> String {
    issue_token_with(store, |draft| draft).await
}

async fn issue_token_with(store: &Store, change: impl FnOnce(TokenDraft) -> TokenDraft) -> String {
    let now = tollgate_system::Clock::system().now();
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
    store.issue(change(draft)).await.expect("issued").id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn route_commands_add_refuse_list_and_test_rules() {
    let cli = Cli::new();
    let store = cli.create_store().await;
    let rule = ["route", "add", "--path", "/orders/{id}", "--host", "*.example", "--scope", "orders"];
    let conditions =
        ["--client", "reports", "--claim-one-of", "acr=gold,silver", "--claim", "admin=true", "--max-age", "300"];
    let added = cli.json(&[&rule[..], &conditions[..]].concat());
    assert_eq!(
        added["claims"],
        json!([{ "name": "admin", "equals": true }, { "name": "acr", "one_of": ["gold", "silver"] }])
    );
    assert_eq!(
        (&added["hosts"], &added["clients"], &added["max_age"]),
        (&json!(["*.example"]), &json!(["reports"]), &json!(300))
    );
    cli.json(&["route", "add", "--path", "/*", "--public"]);
    cli.json(&[
        "route",
        "add",
        "--path",
        "/slow",
        "--rate-limit",
        "10/60/client",
        "--header",
        "X-User=sub",
        "--timeout-ms",
        "100",
    ]);
    let listed = cli.json(&["route", "list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    assert_eq!(listed[2]["rate_limit"], json!({ "requests": 10, "seconds": 60, "by": "client" }));

    for (arguments, named) in [
        (&["--path", "/orders/{key}", "--host", "*.example"][..], "*.example/orders/{id}"),
        (&["--path", "/Slow"], "* /slow"),
        (&["--path", "/_tollgate/x"], "_tollgate"),
        (&["--path", "/a/{id"], "parameter"),
        (&["--path", "/a", "--host", "a.example:80"], "route hosts"),
        (&["--path", "/a", "--public", "--acr", "gold"], "cannot be both"),
        (&["--path", "/a", "--rate-limit", "10/0/client"], "route rate_limit"),
    ] {
        let output = cli.command().args(["route", "add"]).args(arguments).output().expect("it runs");
        let problem = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && problem.contains(named), "{arguments:?}: {problem}");
    }

    cli.json(&["client", "create", "--name", "Reports", "--id", "reports", "--scope", "orders"]);
    let tested = |arguments: &[&str]| cli.json(&[&["route", "test"], arguments].concat());
    let passed = |tested: &Value| -> Vec<Value> {
        tested["checks"].as_array().expect("checks").iter().map(|check| check["passed"].clone()).collect()
    };
    let without_token = tested(&["GET", "https://api.example:8443/orders/7?x=1"]);
    assert_eq!(
        (&without_token["rule"]["path"], &without_token["host"]),
        (&json!("/orders/{id}"), &json!("api.example:8443"))
    );
    assert_eq!((&without_token["decision"], &without_token["status"]), (&json!("refuse"), &json!(401)));
    assert_eq!(passed(&without_token), vec![Value::Null; 7], "{without_token}");
    assert_eq!(tested(&["GET", "https://api.test/orders/7"])["decision"], "forward", "another rule applies");
    assert_eq!(tested(&["GET", "/orders/7"])["status"], 400, "the rule depends on the host");
    assert_eq!(tested(&["GET", "/a/../b"])["status"], 400);
    let unknown = tested(&["GET", "https://api.example/orders/7", "not-a-token"]);
    assert_eq!((&unknown["error"], passed(&unknown)[0].clone()), (&json!("invalid_token"), json!(false)));

    let secret = Secret::new(SecretKind::Access, &[7; 32]);
    let now = tollgate_system::Clock::system().now();
    let details = TokenDetails { acr: Some("gold".to_owned()), auth_time: Some(now - 1000), ..TokenDetails::default() };
    issue_token_with(&store, |draft| TokenDraft { details, opaque: Some(secret.hash()), ..draft }).await;
    let failed = tested(&["GET", "https://api.example/orders/7", secret.reveal()]);
    let expected = [true, true, false, true, false, true, false].map(Value::Bool);
    assert_eq!(passed(&failed), expected, "{failed}");
    assert_eq!((&failed["status"], &failed["error"]), (&json!(403), &json!("insufficient_scope")));
    let (text, _) = cli.run(&["route", "test", "GET", "https://api.example/orders/7", secret.reveal()]);
    assert!(text.contains("FAILED") && text.contains("->"), "{text}");

    assert_eq!(
        cli.json(&["route", "remove", "--path", "/orders/{id}", "--host", "*.example"])["hosts"],
        json!(["*.example"])
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_commands_rotate_and_revoke_keys() {
    let cli = Cli::new();
    cli.create_store().await.close().await;
    let kid_of = |listed: &Value, alg: &str, state: &str| {
        let is = |key: &&Value| key["alg"] == alg && key["state"] == state && key["purpose"] == "token";
        listed.as_array().expect("a list").iter().find(is).map(|key| key["kid"].as_str().expect("a kid").to_owned())
    };
    let first = cli.json(&["key", "list"]);
    let old = kid_of(&first, "EdDSA", "active").expect("an active key");
    for already in [false, true] {
        let rotated = cli.json(&["key", "rotate", "--alg", "EdDSA"]);
        assert_eq!((&rotated[0]["already"], &rotated[0]["ahead"]), (&json!(already), &json!(3600)));
        assert_eq!(
            rotated[0]["kid"].as_str().map(str::to_owned),
            kid_of(&cli.json(&["key", "list"]), "EdDSA", "upcoming")
        );
    }
    assert_eq!(cli.json(&["key", "rotate"]).as_array().map(Vec::len), Some(3));
    let revoked = cli.json(&["key", "revoke", &old, "--reason", "stolen"]);
    assert_eq!((&revoked["already"], revoked["replaced_by"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert_eq!(kid_of(&cli.json(&["key", "list"]), "EdDSA", "revoked"), Some(old.clone()));
    assert!(!cli.run(&["key", "revoke", "no-such-key"]).1, "an unknown name fails");

    // HS256: a revoked audience key is replaced at once; other keys stay.
    let kid = || cli.json(&["key", "audience", "a"])["kid"].as_str().expect("a kid").to_owned();
    let audience = kid();
    cli.json(&["key", "revoke", &audience]);
    assert_ne!(kid(), audience);
    cli.json(&["key", "rotate", "--alg", "HS256"]);
    assert_eq!(cli.json(&["key", "audience", "a", "--jwks"])["keys"].as_array().map(Vec::len), Some(2));

    let pins = || cli.json(&["key", "snapshot"])["snapshot_key"].as_str().expect("text").split(',').count();
    assert!(!cli.run(&["key", "rotate", "--snapshot", "--now"]).1, "no edge pins the new key yet");
    cli.json(&["key", "rotate", "--snapshot"]);
    assert_eq!(pins(), 2);
    cli.json(&["key", "rotate", "--snapshot", "--now"]);
    // Both keys were created in this second; the new one signs from the next second on.
    wait_until("the new snapshot key signs", async || pins() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_commands_add_list_and_remove_issuers() {
    let cli = Cli::new();
    cli.create_store().await.close().await;
    let added = cli.json(&["issuer", "add", "one"]);
    assert_eq!(
        (&added["issuer"], &added["database"]),
        (&json!("https://auth.example/one"), &json!("sqlite://tollgate.one.db"))
    );
    assert!(!cli.run(&["issuer", "add", "two", "--url", "https://auth.example/one"]).1, "two issuers with one URL");
    assert!(!cli.run(&["issuer", "add", "two", "--database", "sqlite://tollgate.db"]).1, "two issuers on one database");
    cli.json(&["client", "create", "--name", "Reports", "--id", "reports", "--issuer", "one"]);
    assert_eq!(cli.json(&["client", "list"]), json!([]), "the client belongs to the other issuer");
    assert_eq!(cli.json(&["client", "list", "--issuer", "one"])[0]["client_id"], "reports");
    assert_ne!(cli.json(&["key", "snapshot", "--issuer", "one"]), cli.json(&["key", "snapshot"]));
    for name in ["two", "No Name"] {
        assert!(!cli.run(&["client", "list", "--issuer", name]).1, "{name}");
    }
    // For `token verify`, `--issuer` is the expected `iss`.
    let verify = ["token", "verify", "x.y.z", "--issuer", ISSUER, "--audience", "a", "--jwks", "none.json"];
    std::fs::write(cli.folder.path().join("none.json"), r#"{"keys":[]}"#).expect("written");
    let (verdict, _) = cli.run(&verify);
    assert!(verdict.contains("\"deny\""), "{verdict:?}");
    let listed = cli.json(&["issuer", "list"]);
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&Value::Null, &json!("one")));
    cli.json(&["issuer", "remove", "one"]);
    assert_eq!(cli.json(&["issuer", "list"]).as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_manage_clients_users_and_resources() {
    let cli = Cli::new();
    let store = cli.create_store().await;
    let redirect = ["--redirect-uri", "https://shop.example/cb"];
    let shop = cli
        .json(&[&["client", "create", "--name", "Shop", "--id", "shop", "--scope", "openid"], &redirect[..]].concat());
    assert_eq!(shop["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(cli.json(&["client", "show", "shop"])["redirect_uris"], json!(["https://shop.example/cb"]));
    let rotated = cli.json(&["client", "rotate-secret", "shop", "--overlap", "60"]);
    assert_ne!(rotated["client_secret"], shop["client_secret"]);
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2));
    let ending = rotated["secrets"].as_array().expect("a list").iter().filter(|one| one["expires_at"].is_u64());
    assert_eq!(ending.count(), 1, "the old secret expires");
    let public = ["client", "create", "--name", "TV", "--public", "--grant", "device_code", "--grant", "refresh_token"];
    let tv = cli.json(&public);
    assert!(tv.get("client_secret").is_none());
    assert_eq!(tv["grant_types"][0], "urn:ietf:params:oauth:grant-type:device_code");
    let metadata = r#"{"access_token_signed_response_alg":"ES256","access_token_format":"opaque"}"#;
    let create_with =
        |flags: &[&str]| cli.json(&[&["client", "create", "--name", "x", "--metadata", metadata], flags].concat());
    let (registered, changed) = (create_with(&[]), create_with(&["--alg", "HS256"]));
    assert_eq!((&registered["alg"], &registered["access_token_format"]), (&json!("ES256"), &json!("opaque")));
    assert_eq!(
        (&changed["alg"], &changed["access_token_format"]),
        (&json!("HS256"), &json!("opaque")),
        "options take precedence over --metadata"
    );
    for wrong in [
        ["client", "create", "--name", "x", "--grant", "magic"],
        ["client", "create", "--name", "x", "--redirect-uri", "http://shop.example/cb"],
        ["client", "create", "--name", "x", "--metadata", "{\"jwks\":{}}"],
    ] {
        assert!(!cli.run(&wrong).1, "{wrong:?}");
    }
    let ada = cli.json(&["user", "create", "Ada", "--email", "ada@example.org", "--full-name", "Ada Lovelace"]);
    assert_eq!((&ada["name"], &ada["claims"]["email"]), (&json!("ada"), &json!("ada@example.org")));
    assert!(ada["password"].as_str().is_some_and(|password| password.len() == 20));
    assert_ne!(cli.json(&["user", "password", "ada"])["password"], ada["password"]);
    assert!(!cli.run(&["user", "create", "ADA"]).1, "names are compared without case");
    assert!(cli.json(&["user", "disable", "ada"])["disabled_at"].is_u64());
    assert!(cli.json(&["user", "list"])[0]["disabled_at"].is_u64());

    let resource =
        ["resource", "create", "https://api.example", "--name", "Reports", "--scope", "read=Read your reports"];
    let made = cli.json(&[&resource[..], &["--introspected-by", "shop"]].concat());
    assert_eq!(made["scopes"], json!({ "read": "Read your reports" }));
    assert_eq!(cli.json(&["resource", "list"]), json!([made]));
    let profile = |flags: &[&str]| {
        let made = cli.json(&[&resource[..], flags].concat());
        ["signed_response_alg", "type", "format", "lifetime"].map(|name| made[format!("access_token_{name}")].clone())
    };
    assert_eq!(profile(&[]), [Value::Null, Value::Null, Value::Null, Value::Null], "the client decides");
    for (verifier, alg, typ) in [
        ("edge", "EdDSA", "at+jwt"),
        ("generic", "RS256", "JWT"),
        ("spring", "RS256", "JWT"),
        ("node", "RS256", "at+jwt"),
        ("python", "RS256", "at+jwt"),
        ("dotnet", "RS256", "at+jwt"),
    ] {
        assert_eq!(
            profile(&["--verifier", verifier]),
            [json!(alg), json!(typ), json!("jwt"), Value::Null],
            "{verifier}"
        );
    }
    let single = ["--verifier", "generic", "--alg", "ES256", "--token-lifetime", "300", "--token-claim", "email"];
    assert_eq!(profile(&single), [json!("ES256"), json!("JWT"), json!("jwt"), json!(300)]);
    assert!(!cli.run(&[&resource[..], &["--token-claim", "sub"]].concat()).1, "a reserved claim");
    assert!(!cli.run(&[&resource[..], &["--introspected-by", "nobody"]].concat()).1);
    assert_eq!(cli.json(&["resource", "remove", "https://api.example"])["removed"], true);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scope_commands_set_list_and_remove_values() {
    let cli = Cli::new();
    let api = ["--audience", "https://api.example"];
    let set = |value: &str, words: &str| cli.json(&[&["scope", "set", value, "--words", words], &api[..]].concat());
    assert_eq!(cli.json(&["scope", "list"]), json!([]));
    let whole = ["resource", "create", "https://api.example", "--name", "Reports", "--scope", "read=Read your reports"];
    cli.json(&whole);
    cli.json(&["resource", "create", "https://other.example", "--name", "Other", "--scope", "all=Everything"]);
    let write = json!({ "value": "write", "audience": "https://api.example", "words": "Change your reports" });
    assert_eq!(set("write", "Change your reports"), write);
    set("read", "See your reports");
    let read = json!({ "value": "read", "audience": "https://api.example", "words": "See your reports" });
    assert_eq!(cli.json(&[&["scope", "list"], &api[..]].concat()), json!([read, write]));
    assert_eq!(cli.json(&["scope", "list"]).as_array().map(Vec::len), Some(3));
    let table = "VALUE  AUDIENCE             MEANING\n\
                 read   https://api.example  See your reports\n\
                 write  https://api.example  Change your reports\n";
    assert_eq!(cli.run(&[&["scope", "list"], &api[..]].concat()), (table.to_owned(), true));
    let removed = json!({ "value": "read", "audience": "https://api.example", "removed": true });
    assert_eq!(cli.json(&[&["scope", "remove", "read"], &api[..]].concat()), removed);
    assert_eq!(cli.json(&["resource", "list"])[0]["scopes"], json!({ "write": "Change your reports" }));

    let nowhere = ["--audience", "https://nowhere.example"];
    for wrong in [
        [&["scope", "remove", "read"], &api[..]].concat(),
        [&["scope", "remove", "write"], &nowhere[..]].concat(),
        [&["scope", "set", "write", "--words", "x"], &nowhere[..]].concat(),
        [&["scope", "list"], &nowhere[..]].concat(),
        [&["scope", "set", "two values", "--words", "x"], &api[..]].concat(),
        [&["scope", "set", "write", "--words", "two\nlines"], &api[..]].concat(),
    ] {
        assert!(!cli.run(&wrong).1, "{wrong:?}");
    }
    let lines = cli.json(&["audit", "list", "--kind", "resource", "--action", "update"]);
    let reasons: Vec<&str> =
        lines.as_array().expect("a list").iter().filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons, ["scope value read removed", "scope value read set", "scope value write set"]);
}

#[test]
fn only_the_first_start_creates_an_administrator() {
    let cli = Cli::new();
    let first = cli.serve(false);
    let password =
        first.lines().find_map(|line| line.trim().strip_prefix("password  ")).expect("the password is shown");
    assert_eq!(password.len(), 20, "{first}");
    assert!(
        first.lines().all(|line| !line.contains(password) || line.trim().starts_with("password  ")),
        "the password is logged"
    );
    let users: Value = serde_json::from_str(&cli.run(&["user", "list", "--json"]).0).expect("JSON");
    assert_eq!((&users[0]["name"], &users[0]["is_admin"], &users[1]), (&json!("admin"), &json!(true), &Value::Null));
    assert!(!cli.serve(true).contains("password  "));
    let again: Value = serde_json::from_str(&cli.run(&["user", "list", "--json"]).0).expect("JSON");
    assert_eq!(users, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn update_changes_only_what_its_flags_name() {
    let cli = Cli::new();
    cli.create_store().await.close().await;
    let uri = "https://shop.example/cb";
    let create = [
        "client",
        "create",
        "--name",
        "Shop",
        "--id",
        "shop",
        "--owner",
        "Team",
        "--scope",
        "a b",
        "--redirect-uri",
        uri,
    ];
    cli.json(&create);
    let update = ["client", "update", "shop", "--redirect-uri", "https://shop.example/new", "--clear", "owner"];
    let update = [&update[..], &["--remove", "scope=b", "--grant", "device_code", "--alg", "ES256"]].concat();

    let preview = cli.json(&[&update[..], &["--dry-run"]].concat());
    assert_eq!(preview["dry_run"], json!(true));
    assert_eq!(preview["changes"]["scope"], json!({ "before": "a b", "after": "a" }));
    assert_eq!(preview["changes"]["owner"], json!({ "before": "Team", "after": null }));
    assert!(preview["changes"].get("client_name").is_none(), "{preview}");
    assert_eq!(cli.json(&["client", "show", "shop"])["owner"], json!("Team"), "a preview changes nothing");

    let updated = cli.json(&update);
    assert_eq!(updated["redirect_uris"], json!([uri, "https://shop.example/new"]));
    assert_eq!((&updated["name"], &updated["scope"], &updated["alg"]), (&json!("Shop"), &json!("a"), &json!("ES256")));
    assert!(updated.get("owner").is_none(), "{updated}");
    let patched = cli.json(&["client", "update", "shop", "--metadata", r#"{"default_max_age":60,"owner":"Others"}"#]);
    assert_eq!((&patched["default_max_age"], &patched["owner"]), (&json!(60), &json!("Others")));
    let flags = ["--auth-method", "client_secret_post", "--require-pkce", "always", "--response-type", "code"];
    let flags = [
        &["client", "update", "shop", "--access-token-lifetime", "300", "--contact", "ops@shop.example"][..],
        &flags,
        &["--backchannel-logout-uri", "https://shop.example/out", "--tos-uri", "https://shop.example/terms"],
    ];
    let updated = cli.json(&flags.concat());
    assert_eq!(updated["token_endpoint_auth_method"], json!("client_secret_post"));
    assert_eq!(updated["require_pkce"], json!("always"));
    let kept = cli.json(&["client", "update", "shop", "--rotate-refresh-tokens", "false"]);
    assert_eq!(kept["rotate_refresh_tokens"], json!(false));
    assert_eq!((&updated["access_token_lifetime"], &updated["contacts"]), (&json!(300), &json!(["ops@shop.example"])));
    assert_eq!(updated["tos_uri"], json!("https://shop.example/terms"));
    assert_eq!(updated["backchannel_logout_uri"], json!("https://shop.example/out"));
    for refused in [
        &["client", "update", "nobody", "--owner", "x"][..],
        &["client", "update", "shop", "--clear", "ownr"],
        &["client", "update", "shop", "--metadata", r#"{"ownr":"x"}"#],
        &["client", "update", "shop", "--remove", "redirect_uris=https://other.example/"],
        &["client", "update", "shop", "--clear", "redirect_uris"],
        &["client", "update", "shop", "--scope", "tollgate:admin"],
        &["client", "update", "shop", "--public"],
    ] {
        assert!(!cli.run(refused).1, "{refused:?}");
    }

    cli.json(&["user", "create", "ada", "--email", "ada@example.org", "--admin"]);
    let user = cli.json(&["user", "update", "ada", "--name", "Ada2", "--full-name", "Ada", "--remove", "claims=email"]);
    assert_eq!(
        (&user["name"], &user["claims"], &user["is_admin"]),
        (&json!("ada2"), &json!({ "name": "Ada" }), &json!(true))
    );
    assert_eq!(cli.json(&["user", "update", "ada2", "--clear", "is_admin"])["is_admin"], json!(false));
    cli.json(&["user", "create", "grace"]);
    assert!(!cli.run(&["user", "update", "ada2", "--name", "grace"]).1, "the name is taken");

    let api = "https://api.example";
    cli.json(&["resource", "create", api, "--name", "API", "--scope", "read=Read", "--scope", "write=Write"]);
    let resource = cli.json(&["resource", "update", api, "--name", "The API", "--remove", "scopes=write"]);
    assert_eq!((&resource["name"], &resource["scopes"]), (&json!("The API"), &json!({ "read": "Read" })));
    let refused = cli.command().args(["resource", "update", "https://none.example", "--name", "x"]).output();
    let said = String::from_utf8(refused.expect("it runs").stderr).expect("text");
    assert!(said.contains("resource server https://none.example does not exist"), "{said}");
    let log = cli.json(&["audit", "list", "--action", "update"]);
    assert!(log.as_array().is_some_and(|entries| entries.len() >= 5), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_explains_settings_and_authorization_urls() {
    let cli = Cli::new();
    cli.create_store().await.close().await;
    let uri = "https://shop.example/cb";
    cli.json(&[
        "client",
        "create",
        "--name",
        "Shop",
        "--id",
        "shop",
        "--public",
        "--redirect-uri",
        uri,
        "--scope",
        "openid",
    ]);
    let found = cli.json(&["client", "check", "shop"]);
    assert!(found["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "{found}");

    let challenge = "code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let url = format!("{ISSUER}/oauth/authorize?client_id=shop&response_type=code&scope=openid&{challenge}");
    assert!(cli.run(&["client", "check", "shop", &format!("{url}&redirect_uri={uri}")]).1);
    let (text, succeeded) = cli.run(&["client", "check", "shop", &format!("{url}&redirect_uri={uri}/")]);
    let line = text.lines().find(|line| line.starts_with("error") && line.contains("redirect_uri"));
    assert!(!succeeded && line.is_some_and(|line| line.contains(&format!("registered: {uri}"))), "{text}");
    assert!(!cli.run(&["client", "check", "nobody"]).1, "an unknown name fails");
}

/// Exit codes are an interface: deployments decide by them.
#[tokio::test(flavor = "multi_thread")]
async fn migrate_check_says_what_is_pending_and_changes_nothing() {
    let cli = Cli::new();
    let code = |arguments: &[&str]| {
        let output = cli.command().args(arguments).output().expect("it runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), serde_json::from_str::<Value>(&printed).expect("JSON"))
    };
    let check = ["migrate", "--check", "--json"];
    let (status, new) = code(&check);
    assert_eq!((status, &new[0]["schema"], &new[0]["must_stop_programs"]), (Some(3), &Value::Null, &json!(false)));
    assert!(!cli.folder.path().join("tollgate.db").exists());
    let (status, applied) = code(&["migrate", "--json"]);
    assert_eq!((status, &applied[0]["is_applied"], &applied[0]["issuer"]), (Some(0), &json!(true), &Value::Null));
    let (status, done) = code(&check);
    assert_eq!((status, &done[0]["pending"]), (Some(0), &json!([])));

    let url = format!("sqlite://{}", cli.folder.path().join("tollgate.db").display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.expect("opened");
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 19").execute(&mut connection).await.expect("deleted");
    let (status, old) = code(&check);
    assert_eq!((status, &old[0]["pending"][0]["phase"]), (Some(4), &json!("contract")));
    assert_eq!(old[0]["must_stop_programs"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_of_the_issuer_refuses_and_explains_clients_that_contradict_it() {
    let cli = Cli::new();
    cli.json(&["client", "create", "--id", "shop", "--name", "Shop", "--scope", "a"]);
    let run = |arguments: &[&str]| {
        let output = cli.command().args(arguments).env("TOLLGATE_PROFILE", "fapi2").output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("text"))
    };
    let (is_done, text) = run(&["client", "create", "--name", "Other", "--scope", "a"]);
    assert!(!is_done && text.contains("profile fapi2: token_endpoint_auth_method"), "{text}");
    let (is_good, text) = run(&["client", "check", "shop"]);
    assert!(!is_good && text.contains("every request is refused by the profile of this issuer"), "{text}");
    let (is_done, text) = run(&["client", "update", "shop", "--owner", "Team"]);
    assert!(!is_done && text.contains("profile fapi2"), "{text}");
    assert!(cli.json(&["client", "show", "shop"]).get("profile").is_none(), "the registration stays as it is");
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let metadata = format!(r#"{{"jwks":{key}}}"#);
    let good = ["client", "update", "shop", "--auth-method", "private_key_jwt", "--metadata", &metadata];
    let (is_done, text) = run(&good);
    assert!(is_done, "{text}");
    let (is_good, text) = run(&["client", "check", "shop"]);
    assert!(is_good, "{text}");
}
