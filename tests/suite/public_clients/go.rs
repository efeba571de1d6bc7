//! Clients and verifiers in Go, unmodified and with the settings of their own documentation. The
//! programs are in `tests/clients/go` and docs/verify.md.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::documentation::{self, Decision};
use tollgate_tests::environment::{free_port, required_env};
use tollgate_tests::origin::AUDIENCE;

use super::web_login::{WebLogin, report, with_other_signature};

/// Registers a client, starts the program as this client, and returns the page that its user ends
/// at after the sign-in.
async fn sign_in_at(program: &str, options: &[&str], variables: &[(&str, &str)]) -> Result<String> {
    let login = WebLogin::start().await?;
    login.resource("generic", &[])?;
    let port = free_port()?;
    let redirect = format!("http://127.0.0.1:{port}/auth/callback");
    let client = ["--redirect-uri", &redirect, "--scope", "openid profile email read"];
    let secret = login.client("app", &[&client[..], options].concat())?;
    let mut command = Command::new(Path::new(&required_env("TOLLGATE_TEST_GO_CLIENTS")).join(program));
    command.envs([("ISSUER", login.issuer()), ("AUDIENCE", AUDIENCE), ("CLIENT_ID", "app")]);
    command.env("CLIENT_SECRET", secret.unwrap_or_default()).env("PORT", port.to_string());
    command.envs(variables.iter().copied());
    let app = ClientProgram::start(command, port).await?;
    let page = login.browser()?.visit(&app.url).await?;
    ensure!(page.status == 200, "{} says {}: {}\n{}", page.url, page.status, page.body, app.log_tail());
    let line = page.body.trim().to_owned();
    println!("{line}");
    assert!(app.log()?.contains(&line), "the program prints what its page shows");
    Ok(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn go_oidc_signs_in_and_verifies_with_a_nonce_and_no_pkce() -> Result<()> {
    let line = sign_in_at("go_oidc", &[], &[]).await?;
    let what = "login, ID token, userinfo, access token, refresh";
    assert_eq!(line, format!("go-oidc × {what} × alice <alice@example.com>"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn zitadel_signs_in_without_nonce_and_pkce_where_the_client_is_registered_so() -> Result<()> {
    let line = sign_in_at("zitadel", &["--require-pkce", "never"], &[]).await?;
    assert_eq!(line, zitadel("client secret, no PKCE"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn zitadel_signs_in_with_pkce() -> Result<()> {
    assert_eq!(sign_in_at("zitadel", &[], &[("PKCE", "true")]).await?, zitadel("client secret and PKCE"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn zitadel_signs_in_as_a_public_client() -> Result<()> {
    assert_eq!(sign_in_at("zitadel", &["--public"], &[]).await?, zitadel("public client, PKCE"));
    Ok(())
}

fn zitadel(how: &str) -> String {
    format!("zitadel/oidc × login, ID token, userinfo, refresh ({how}) × alice <alice@example.com>")
}

/// Runs the program of docs/verify.md for this library: it must accept a token and refuse one for
/// another audience and one with another signature.
async fn verifies(library: &str) -> Result<()> {
    let login = WebLogin::start().await?;
    let token = login.token_for_verifier("generic").await?;
    let verifier = Verifier::build(library)?;
    let accepted = verifier.decide(login.issuer(), AUDIENCE, &token).await?;
    ensure!(accepted.is_accepted, "{library} refuses a good token: {}", accepted.output);
    let refused = [(AUDIENCE, with_other_signature(&token)?), ("https://other.example", token)];
    for (audience, token) in &refused {
        let decision = verifier.decide(login.issuer(), audience, token).await?;
        assert!(!decision.is_accepted, "{library} accepts {token} for {audience}: {}", decision.output);
    }
    report(library, "docs/verify.md: access token", "accepted; another audience and another signature refused");
    Ok(())
}

/// A verifier of docs/verify.md, compiled with the module of `tests/clients/go`.
struct Verifier {
    folder: tempfile::TempDir,
}

impl Verifier {
    fn build(library: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let module = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/go");
        for file in ["go.mod", "go.sum"] {
            std::fs::copy(module.join(file), folder.path().join(file))?;
        }
        std::fs::write(folder.path().join("main.go"), documentation::program("verify.md", library, "go")?)?;
        let mut build = Command::new(required_env("TOLLGATE_TEST_GO"));
        build.args(["build", "-o", "verifier", "."]).env("GOPROXY", "off").current_dir(folder.path());
        let output = build.output()?;
        ensure!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { folder })
    }

    async fn decide(&self, issuer: &str, audience: &str, token: &str) -> Result<Decision> {
        let mut command = tokio::process::Command::new(self.folder.path().join("verifier"));
        documentation::decide(&mut command, issuer, audience, token).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn golang_jwt_with_keyfunc_verifies_as_documented() -> Result<()> {
    verifies("golang-jwt").await
}

#[tokio::test(flavor = "multi_thread")]
async fn go_oidc_verifies_access_tokens_as_documented() -> Result<()> {
    verifies("go-oidc").await
}
