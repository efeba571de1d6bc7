//! Spring Boot 3 and 4, configured by their documented properties alone, and the Java verifiers of
//! docs/verify.md. The programs are in `tests/clients/java`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::documentation;
use tollgate_tests::environment::{free_port, required_env};
use tollgate_tests::origin::AUDIENCE;

use super::web_login::{WebLogin, report, with_other_signature};

/// The versions of Spring Boot, by the folders of their builds.
const SPRING_BOOT: [&str; 2] = ["spring_boot_3", "spring_boot_4"];

/// Starts the application with these properties.
async fn spring(version: &str, port: u16, properties: &[(&str, &str)]) -> Result<ClientProgram> {
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-Xmx256m", "-jar"]).arg(java_clients().join(version).join("app.jar"));
    java.arg(format!("--server.port={port}")).arg("--server.address=127.0.0.1");
    java.args(properties.iter().map(|(name, value)| format!("--spring.security.oauth2.{name}={value}")));
    ClientProgram::start(java, port).await
}

fn java_clients() -> PathBuf {
    PathBuf::from(required_env("TOLLGATE_TEST_JAVA_CLIENTS"))
}

/// Signs in at an application of Spring's default settings: `oauth2Login` with a nonce.
async fn signs_in(version: &str) -> Result<()> {
    let (login, port) = (WebLogin::start().await?, free_port()?);
    let redirect = format!("http://127.0.0.1:{port}/login/oauth2/code/tollgate");
    let scope = "openid profile email";
    let secret = login.confidential_client("spring", &["--redirect-uri", &redirect, "--scope", scope])?;
    let properties = [
        ("client.registration.tollgate.client-id", "spring"),
        ("client.registration.tollgate.client-secret", &*secret),
        ("client.registration.tollgate.scope", "openid,profile,email"),
        ("client.provider.tollgate.issuer-uri", login.issuer()),
    ];
    let app = spring(version, port, &properties).await?;
    let page = login.browser()?.visit(&format!("{}/", app.url)).await?;
    ensure!(page.status == 200, "{} says {}: {}\n{}", page.url, page.status, page.body, app.log_tail());
    let user: Value = serde_json::from_str(&page.body)?;
    assert_eq!(user["claims"]["email"], "alice@example.com", "{user}");
    assert_eq!(user["claims"]["preferred_username"], "alice", "{user}");
    assert!(user["authorities"].as_array().is_some_and(|all| all.contains(&"OIDC_USER".into())), "{user}");
    report(version, "oauth2 login", "alice <alice@example.com>");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_3_signs_users_in() -> Result<()> {
    signs_in(SPRING_BOOT[0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_4_signs_users_in() -> Result<()> {
    signs_in(SPRING_BOOT[1]).await
}

/// What the resource server answers to a token.
async fn call(app: &ClientProgram, token: &str) -> Result<(u16, String)> {
    let answer = reqwest::Client::new().get(format!("{}/", app.url)).bearer_auth(token).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Checks that a resource server for JWTs accepts a token of the preset `spring` and nothing else.
async fn verifies_jwts(version: &str) -> Result<()> {
    let login = WebLogin::start().await?;
    let token = login.token_for_verifier("spring").await?;
    let properties = [("resourceserver.jwt.issuer-uri", login.issuer()), ("resourceserver.jwt.audiences", AUDIENCE)];
    let app = spring(version, free_port()?, &properties).await?;
    let (status, body) = call(&app, &token).await?;
    ensure!(status == 200, "{status} {body}\n{}", app.log_tail());
    let caller: Value = serde_json::from_str(&body)?;
    assert!(caller["authorities"].as_array().is_some_and(|all| all.contains(&"SCOPE_read".into())), "{caller}");
    let (status, body) = call(&app, &with_other_signature(&token)?).await?;
    assert_eq!(status, 401, "another signature: {body}");
    report(version, "JWT resource server", "SCOPE_read; another signature refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_3_verifies_jwts() -> Result<()> {
    verifies_jwts(SPRING_BOOT[0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_4_verifies_jwts() -> Result<()> {
    verifies_jwts(SPRING_BOOT[1]).await
}

/// Checks that a resource server that introspects accepts a token until it is revoked.
async fn introspects(version: &str) -> Result<()> {
    let login = WebLogin::start().await?;
    let api = login.confidential_client("api", &["--grant", "client_credentials"])?;
    login.resource("generic", &["--token-format", "opaque", "--introspected-by", "api"])?;
    let secret = login.confidential_client("machine", &["--scope", "read"])?;
    let token = login.access_token("machine", &secret, &[("resource", AUDIENCE)]).await?;
    let uri = login.origin.url("/oauth/introspect");
    let properties = [
        ("resourceserver.opaquetoken.introspection-uri", &*uri),
        ("resourceserver.opaquetoken.client-id", "api"),
        ("resourceserver.opaquetoken.client-secret", &*api),
    ];
    let app = spring(version, free_port()?, &properties).await?;
    let (status, body) = call(&app, &token).await?;
    ensure!(status == 200, "{status} {body}\n{}", app.log_tail());
    let caller: Value = serde_json::from_str(&body)?;
    assert!(caller["authorities"].as_array().is_some_and(|all| all.contains(&"SCOPE_read".into())), "{caller}");
    let revoke = login.origin.http.post(login.origin.url("/oauth/revoke")).basic_auth("machine", Some(&secret));
    assert_eq!(revoke.form(&[("token", &token)]).send().await?.status(), 200);
    let (status, body) = call(&app, &token).await?;
    assert_eq!(status, 401, "revoked: {body}");
    report(version, "opaque-token resource server", "SCOPE_read; refused once revoked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_3_introspects_opaque_tokens() -> Result<()> {
    introspects(SPRING_BOOT[0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_4_introspects_opaque_tokens() -> Result<()> {
    introspects(SPRING_BOOT[1]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nimbus_jose_jwt_verifies_as_documented() -> Result<()> {
    let library = "nimbus-jose-jwt";
    let login = WebLogin::start().await?;
    let token = login.token_for_verifier("spring").await?;
    let folder = tempfile::tempdir()?;
    // Java runs a program of one file from its source.
    let source = folder.path().join("Verify.java");
    std::fs::write(&source, documentation::program("verify.md", library, "java")?)?;
    let libraries = java_clients().join("verifiers/lib/*");
    let accepted = decide(&source, &libraries, login.issuer(), AUDIENCE, &token).await?;
    ensure!(accepted.is_accepted, "{library} refuses a good token: {}", accepted.output);
    let refused = [(AUDIENCE, with_other_signature(&token)?), ("https://other.example", token)];
    for (audience, token) in &refused {
        let decision = decide(&source, &libraries, login.issuer(), audience, token).await?;
        assert!(!decision.is_accepted, "{library} accepts {token} for {audience}: {}", decision.output);
    }
    report(library, "docs/verify.md: access token", "accepted; another audience and another signature refused");
    Ok(())
}

async fn decide(
    source: &Path,
    libraries: &Path,
    issuer: &str,
    audience: &str,
    token: &str,
) -> Result<documentation::Decision> {
    let mut java = tokio::process::Command::new("java");
    java.arg("-cp").arg(libraries).arg(source);
    documentation::decide(&mut java, issuer, audience, token).await
}
