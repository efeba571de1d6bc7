//! Keycloak's server distribution as a broker: users of its realm sign in at the origin. It runs in
//! development mode on its own database, and is set up by its admin API as its console does it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::environment::{free_port, required_env};

use super::web_login::{WebLogin, report};

/// Password of its first administrator.
const ADMIN: &str = "admin";
/// Where an application of the realm gets its codes.
const CALLBACK: &str = "https://app.example/cb";
/// Longest wait for a back-channel logout, on a busy machine. Keycloak's access tokens live longer.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(120);

/// A running Keycloak with a realm whose users come from the origin.
struct Keycloak {
    program: ClientProgram,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Keycloak {
    async fn start(port: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // It writes into its own folder: its configuration, and its database.
        let server = Path::new(&required_env("TOLLGATE_TEST_KEYCLOAK")).join("server");
        let copied = Command::new("cp").arg("-r").arg(server).arg(folder.path()).status()?;
        ensure!(copied.success(), "cannot copy Keycloak");
        let home: PathBuf = folder.path().join("server");
        let mut command = Command::new("bash");
        command.arg(home.join("bin/kc.sh")).arg("start-dev").arg("--http-host=127.0.0.1");
        command.arg(format!("--http-port={port}")).current_dir(&home);
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN).env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN);
        let (program, http) = (ClientProgram::start(command, port).await?, reqwest::Client::new());
        Ok(Self { program, http, _folder: folder })
    }

    async fn token(&self, realm: &str, form: &[(&str, &str)]) -> Result<Value> {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/token", self.program.url);
        Ok(self.http.post(url).form(form).send().await?.json().await?)
    }

    /// Creates the realm, the application in it, and the origin as its identity provider.
    async fn configure(&self, issuer: &str, secret: &str) -> Result<()> {
        let password = [("grant_type", "password"), ("client_id", "admin-cli")];
        let password = [&password[..], &[("username", ADMIN), ("password", ADMIN)]].concat();
        let token = self.token("master", &password).await?;
        let token = token["access_token"].as_str().with_context(|| token.to_string())?.to_owned();
        self.admin(&token, "", &json!({ "realm": "demo", "enabled": true })).await?;
        let app = json!({ "clientId": "app", "publicClient": true, "redirectUris": [CALLBACK] });
        self.admin(&token, "/demo/clients", &app).await?;
        // Its console reads the metadata in the same way.
        let from = json!({ "providerId": "oidc", "fromUrl": format!("{issuer}/.well-known/openid-configuration") });
        let imported = self.admin(&token, "/demo/identity-provider/import-config", &from).await?;
        let mut config: Value = serde_json::from_str(&imported)?;
        config["clientId"] = "keycloak".into();
        config["clientSecret"] = secret.into();
        config["defaultScope"] = "openid profile email".into();
        let provider = json!({ "alias": "tollgate", "providerId": "oidc", "enabled": true, "config": config });
        self.admin(&token, "/demo/identity-provider/instances", &provider).await.map(drop)
    }

    async fn admin(&self, token: &str, path: &str, body: &Value) -> Result<String> {
        let url = format!("{}/admin/realms{path}", self.program.url);
        let answer = self.http.post(&url).bearer_auth(token).json(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{url}: {status} {text}");
        Ok(text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_signs_users_in_as_a_broker_and_out_by_back_channel_logout() -> Result<()> {
    let (login, port) = (WebLogin::start().await?, free_port()?);
    let realm = format!("http://127.0.0.1:{port}/realms/demo");
    let secret = login.confidential_client(
        "keycloak",
        &[
            "--redirect-uri",
            &format!("{realm}/broker/tollgate/endpoint"),
            "--scope",
            "openid profile email",
            "--backchannel-logout-uri",
            &format!("{realm}/protocol/openid-connect/logout/backchannel-logout"),
        ],
    )?;
    let keycloak = Keycloak::start(port).await?;
    keycloak.configure(login.issuer(), &secret).await?;

    let browser = login.browser()?;
    let request = format!("client_id=app&response_type=code&scope=openid&redirect_uri={CALLBACK}&kc_idp_hint=tollgate");
    let page = browser.visit(&format!("{realm}/protocol/openid-connect/auth?{request}")).await?;
    let code = page.parameter("code");
    let code = code.with_context(|| {
        format!("{} says {}: {}\n{}", page.url, page.status, page.body, keycloak.program.log_tail())
    })?;
    let redeem =
        [("grant_type", "authorization_code"), ("client_id", "app"), ("code", &*code), ("redirect_uri", CALLBACK)];
    let tokens = keycloak.token("demo", &redeem).await?;
    let bearer = tokens["access_token"].as_str().with_context(|| tokens.to_string())?;
    let userinfo = format!("{realm}/protocol/openid-connect/userinfo");
    let user: Value = keycloak.http.get(&userinfo).bearer_auth(bearer).send().await?.json().await?;
    assert_eq!(user["email"], "alice@example.com", "{user}");
    assert_eq!(user["preferred_username"], "alice", "{user}");
    report("Keycloak", "broker: discovery, login, claims", "alice <alice@example.com>");

    browser.origin.submit_form(&login.origin.url("/logout"), &[]).await?;
    // Only reads: a refresh would write to the session that Keycloak is about to end.
    let started = Instant::now();
    while keycloak.http.get(&userinfo).bearer_auth(bearer).send().await?.status() != 401 {
        ensure!(started.elapsed() < LOGOUT_TIMEOUT, "Keycloak's session goes on:\n{}", keycloak.program.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refresh_token = tokens["refresh_token"].as_str().with_context(|| tokens.to_string())?;
    let refresh = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", refresh_token)];
    let refused = keycloak.token("demo", &refresh).await?;
    assert_eq!(refused["error"], "invalid_grant", "{refused}");
    report("Keycloak", "broker: back-channel logout", "its session ends");
    Ok(())
}
