//! `tollgate login` and `logout`, with the user in a browser.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tollgate_model::{AuthMethod, ClientMetadata, GrantType};
use tollgate_test_kit::environment::command_without_settings;

use crate::fixture::{Origin, UserBrowser, answer, text};

fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut program = command_without_settings(env!("CARGO_BIN_EXE_tollgate"));
    program.args(arguments).current_dir(home).env("XDG_CONFIG_HOME", home).stdin(Stdio::null());
    program
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| program(home, arguments).output().expect("it runs"))
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

async fn start() -> (Origin, tempfile::TempDir) {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let metadata = ClientMetadata {
        name: "Tollgate CLI".to_owned(),
        auth_method: AuthMethod::None,
        grant_types: vec![GrantType::DeviceCode, GrantType::RefreshToken],
        redirect_uris: Vec::new(),
        ..Origin::web()
    };
    origin.client("tollgate-cli", metadata).await;
    (origin, tempfile::tempdir().expect("a folder"))
}

/// Runs `tollgate login` while ada decides in her browser. Returns whether it succeeded, its output
/// and its errors.
async fn login(origin: &Origin, home: &Path, decision: &str) -> (bool, Vec<Value>, String) {
    let url = origin.server.url();
    let mut program = program(home, &["login", &url, "--scope", "openid orders", "--json"]);
    let mut waiting = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(waiting.stdout.take().expect("its output")).lines();
    let first = tokio::task::block_in_place(|| lines.next()).expect("the codes").expect("text");
    let first: Value = serde_json::from_str(&first).expect("JSON");
    let browser = UserBrowser::new(origin, "ada");
    browser.sign_in().await;
    let page = browser.get(text(&first, "verification_uri_complete")).await;
    assert!(
        page.body.contains("Tollgate CLI") && page.body.contains("127.0.0.1"),
        "the page names the client and its address: {}",
        page.body
    );
    let csrf = page.field("csrf").expect("a form");
    let code = text(&first, "user_code");
    browser.post("/device", &[("csrf", &csrf), ("user_code", code), ("decision", decision)]).await;
    let rest: Vec<Value> = tokio::task::block_in_place(|| {
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect()
    });
    let done = tokio::task::block_in_place(|| waiting.wait_with_output()).expect("it ends");
    (done.status.success(), [vec![first], rest].concat(), utf8(&done.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn login_command_stores_refreshes_and_revokes_tokens() {
    let (origin, home) = start().await;
    let before = run(home.path(), &["login", "--print-token"]);
    assert!(!before.status.success() && before.stdout.is_empty());
    let (succeeded, printed, errors) = login(&origin, home.path(), "allow").await;
    assert!(succeeded, "{errors}");
    assert_eq!((&printed[1]["origin"], &printed[1]["scope"]), (&origin.server.url().into(), &"openid orders".into()));
    let all = format!("{printed:?}{errors}");
    assert!(!all.contains("tgr_") && !all.contains("eyJ"), "a token is shown: {all}");

    let printed = run(home.path(), &["login", "--print-token"]);
    let token = utf8(&printed.stdout).trim().to_owned();
    let info = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(&token)).await;
    assert_eq!(info.0, 200, "{token}: {}", info.1);

    // Lets the token expire.
    let file = home.path().join("tollgate").join("login.json");
    let mut stored: Value = serde_json::from_slice(&std::fs::read(&file).expect("a stored login")).expect("JSON");
    stored["logins"][0]["expires_at"] = 1.into();
    std::fs::write(&file, stored.to_string()).expect("written");
    let refreshed = utf8(&run(home.path(), &["login", "--print-token"]).stdout).trim().to_owned();
    assert_ne!(refreshed, token);
    let good = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(&refreshed)).await;
    assert_eq!(good.0, 200);

    let out = run(home.path(), &["logout", "--json"]);
    assert!(out.status.success(), "{}", utf8(&out.stderr));
    for token in [&token, &refreshed] {
        let bad = answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(token)).await;
        assert_eq!(bad.0, 401, "logout revokes the tokens");
    }
    assert!(!run(home.path(), &["login", "--print-token"]).status.success(), "logout forgets the login");
    assert!(!run(home.path(), &["logout"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn login_command_reports_denial_and_wrong_addresses() {
    let (origin, home) = start().await;
    let (succeeded, printed, errors) = login(&origin, home.path(), "deny").await;
    assert!(!succeeded && printed.len() == 1 && errors.contains("denied"), "{errors}");
    let url = origin.server.url();
    for (arguments, expected) in [
        (vec!["login", &url, "--client-id", "nobody"], "tollgate client create --id nobody"),
        (vec!["login", &url, "--scope", "admin"], "invalid_scope"),
        (vec!["login", "http://127.0.0.1:1"], "does not answer"),
        (vec!["login", "http://auth.example"], "is not the URL of an origin"),
        (vec!["logout"], "there is no such login"),
    ] {
        let output = run(home.path(), &arguments);
        let errors = utf8(&output.stderr);
        assert!(!output.status.success() && errors.contains(expected), "{arguments:?}: {errors}");
    }
    assert!(!home.path().join("tollgate").join("login.json").exists(), "a denied login stores nothing");
}
