//! Web applications and verifiers in JavaScript and Python, unmodified and with the settings of
//! their own documentation. The programs are in `tests/clients` and docs/verify.md.

use anyhow::{Result, ensure};
use tokio::process::Command;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::environment::free_port;
use tollgate_tests::origin::AUDIENCE;
use tollgate_tests::{client_script, documentation};

use super::web_login::{WebLogin, report, with_other_signature};

/// For clients that send neither a nonce nor PKCE.
const WITHOUT_PKCE: [&str; 2] = ["--require-pkce", "never"];
/// Callback path of Flask-Dance's blueprint.
const FLASK_DANCE_PATH: &str = "/login/tollgate/authorized";
/// What the application with Flask-Dance shows.
const FLASK_DANCE_RESULT: &str = "Flask-Dance × login, userinfo × Alice Example <alice@example.com>";

/// Registers a client whose redirect URI has this path, starts the application as this client, and
/// returns what it shows its user after the sign-in.
async fn sign_in_at(script: &str, path: &str, options: &[&str], variables: &[(&str, &str)]) -> Result<String> {
    let login = WebLogin::start().await?;
    let port = free_port()?;
    let redirect = format!("http://127.0.0.1:{port}{path}");
    let client = ["--redirect-uri", &redirect, "--scope", "openid profile email"];
    let secret = login.confidential_client("app", &[&client[..], options].concat())?;
    let (mut command, _folder) = client_script::command(script)?;
    command.envs([("ISSUER", login.issuer()), ("CLIENT_ID", "app"), ("CLIENT_SECRET", &secret)]);
    command.env("PORT", port.to_string()).envs(variables.iter().copied());
    let app = ClientProgram::start(command.into_std(), port).await?;
    let page = login.browser()?.visit(&app.url).await?;
    ensure!(page.status == 200, "{} says {}: {}\n{}", page.url, page.status, page.body, app.log_tail());
    println!("{}", page.body);
    Ok(page.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_js_signs_in() -> Result<()> {
    let line = sign_in_at("auth_js.mjs", "/auth/callback/tollgate", &[], &[]).await?;
    assert_eq!(line, "Auth.js × login, ID token × Alice Example <alice@example.com>");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn passport_openidconnect_signs_in_where_the_client_is_registered_without_pkce() -> Result<()> {
    let line = sign_in_at("passport_openidconnect.mjs", "/oauth2/redirect", &WITHOUT_PKCE, &[]).await?;
    assert_eq!(line, "passport-openidconnect × login, ID token × Alice Example");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mozilla_django_oidc_signs_in_with_a_nonce_and_no_pkce() -> Result<()> {
    let line = sign_in_at("django_app.py", "/oidc/callback/", &[], &[]).await?;
    assert_eq!(line, "mozilla-django-oidc × login, ID token, userinfo × alice@example.com");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn flask_dance_signs_in_where_the_client_is_registered_without_pkce() -> Result<()> {
    let line = sign_in_at("flask_dance_app.py", FLASK_DANCE_PATH, &WITHOUT_PKCE, &[]).await?;
    assert_eq!(line, FLASK_DANCE_RESULT);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn flask_dance_signs_in_with_pkce() -> Result<()> {
    let line = sign_in_at("flask_dance_app.py", FLASK_DANCE_PATH, &[], &[("USE_PKCE", "true")]).await?;
    assert_eq!(line, FLASK_DANCE_RESULT);
    Ok(())
}

/// Checks that the verifier accepts an access token for the preset, and refuses one for another
/// audience and one with another signature.
async fn verifies(
    library: &str,
    preset: &str,
    verifier: impl Fn() -> Result<(Command, tempfile::TempDir)>,
) -> Result<()> {
    let login = WebLogin::start().await?;
    let token = login.token_for_verifier(preset).await?;
    let other_signature = with_other_signature(&token)?;
    let tokens =
        [(AUDIENCE, &token, true), ("https://other.example", &token, false), (AUDIENCE, &other_signature, false)];
    for (audience, token, is_good) in tokens {
        let (mut command, _folder) = verifier()?;
        let decision = documentation::decide(&mut command, login.issuer(), audience, token).await?;
        assert_eq!(decision.is_accepted, is_good, "{library}, {token} for {audience}: {}", decision.output);
    }
    report(
        library,
        &format!("access token for --verifier {preset}"),
        "accepted; another audience and another signature refused",
    );
    Ok(())
}

/// Runs the program of docs/verify.md for this library.
async fn verifies_as_documented(library: &str, language: &str, preset: &str) -> Result<()> {
    let program = documentation::program("verify.md", library, language)?;
    verifies(library, preset, || client_script::command_of_text(&program, language)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jose_verifies_as_documented() -> Result<()> {
    verifies_as_documented("jose", "js", "edge").await
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonwebtoken_with_jwks_rsa_verifies_as_documented() -> Result<()> {
    verifies_as_documented("jsonwebtoken with jwks-rsa", "js", "node").await
}

#[tokio::test(flavor = "multi_thread")]
async fn express_oauth2_jwt_bearer_verifies_as_documented() -> Result<()> {
    verifies_as_documented("express-oauth2-jwt-bearer", "js", "node").await
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_jwt_with_get_jwks_verifies_as_documented() -> Result<()> {
    verifies_as_documented("fast-jwt with get-jwks", "js", "node").await
}

#[tokio::test(flavor = "multi_thread")]
async fn passport_jwt_verifies() -> Result<()> {
    verifies("passport-jwt", "node", || client_script::command("passport_jwt.mjs")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pyjwt_verifies_as_documented() -> Result<()> {
    verifies_as_documented("PyJWT", "python", "edge").await
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_verifies_as_documented() -> Result<()> {
    verifies_as_documented("Authlib", "python", "python").await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_jose_verifies_as_documented() -> Result<()> {
    verifies_as_documented("python-jose", "python", "python").await
}
