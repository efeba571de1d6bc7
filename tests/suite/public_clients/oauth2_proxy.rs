//! oauth2-proxy, built from its module, with the flags of its own documentation for `oidc`.

use std::process::Command;

use anyhow::{Result, ensure};
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::environment::{free_port, required_env};
use tollgate_tests::users::PASSWORD;

use super::web_login::{WebLogin, report};

/// A cookie secret of 32 bytes, as oauth2-proxy wants it.
const COOKIE_SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn oauth2_proxy_protects_an_upstream() -> Result<()> {
    let login = WebLogin::start().await?;
    let port = free_port()?;
    let redirect = format!("http://127.0.0.1:{port}/oauth2/callback");
    let options = ["--redirect-uri", &redirect, "--scope", "openid email profile"];
    // Its default is neither a nonce nor PKCE.
    let never = ["--require-pkce", "never"];
    let secret = login.confidential_client("proxy", &[&options[..], &never].concat())?;
    let mut proxy = Command::new(required_env("TOLLGATE_TEST_OAUTH2_PROXY"));
    proxy.args([
        "--provider=oidc",
        "--client-id=proxy",
        "--email-domain=*",
        "--cookie-secure=false",
        "--upstream=static://202",
    ]);
    proxy.arg(format!("--oidc-issuer-url={}", login.issuer())).arg(format!("--client-secret={secret}"));
    proxy.arg(format!("--redirect-url={redirect}")).arg(format!("--cookie-secret={COOKIE_SECRET}"));
    proxy.arg(format!("--http-address=127.0.0.1:{port}"));
    let app = ClientProgram::start(proxy, port).await?;
    let browser = login.browser()?;
    let before = browser.visit(&app.url).await?;
    assert_eq!(before.status, 403, "the upstream is protected: {}", before.body);
    // What the button of its sign-in page leads to.
    let after = browser.visit(&format!("{}/oauth2/start?rd=/", app.url)).await?;
    ensure!(after.status == 202, "{} says {}: {}\n{}", after.url, after.status, after.body, app.log_tail());
    let user = browser.visit(&format!("{}/oauth2/userinfo", app.url)).await?;
    let user: serde_json::Value = serde_json::from_str(&user.body)?;
    assert_eq!(user["email"], "alice@example.com", "{user}");
    assert_eq!(user["preferredUsername"], "alice", "{user}");
    assert!(!app.log()?.contains(PASSWORD), "the proxy never sees the password");
    report("oauth2-proxy", "login, upstream, its userinfo", "alice <alice@example.com>");
    Ok(())
}
