//! oidc-client-ts in Chromium. Origin and page are served by HTTPS: a public client on plain HTTP
//! needs the user's consent each time, so nothing could be renewed in a hidden frame.

use anyhow::Result;
use serde_json::json;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::certificates::CertificateAuthority;
use tollgate_tests::client_script;
use tollgate_tests::environment::free_port;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::users::PASSWORD;

use super::web_login::report;

#[tokio::test(flavor = "multi_thread")]
async fn oidc_client_ts_signs_in_renews_silently_and_signs_out_in_chromium() -> Result<()> {
    let folder = tempfile::tempdir()?;
    CertificateAuthority::new("authority").issue("localhost", &["127.0.0.1"]).write(folder.path());
    let [certificate, key] = ["tls.crt", "tls.key"].map(|file| folder.path().join(file).display().to_string());
    let origin =
        TestOrigin::start_with(&[("TOLLGATE_TLS_CERTIFICATE", &certificate), ("TOLLGATE_TLS_KEY", &key)]).await?;
    origin.user("alice", PASSWORD, &json!({ "name": "Alice Example", "email": "alice@example.com" }))?;
    let home = format!("https://127.0.0.1:{}/", free_port()?);
    let silent = format!("{home}silent");
    let redirects = ["--redirect-uri", &home, "--redirect-uri", &silent, "--post-logout-redirect-uri", &home];
    let create = ["client", "create", "--id", "page", "--name", "Page", "--public", "--scope", "openid profile email"];
    origin.cli(&[&create[..], &redirects].concat())?;
    let settings = json!({
        "issuer": origin.server.issuer(),
        "client_id": "page",
        "home": home,
        "certificate": certificate,
        "key": key,
        "username": "alice",
        "password": PASSWORD,
    });
    let (browser, alice) = (Browser::new(&origin.server.url())?, Person::new("alice", PASSWORD));
    let done = client_script::run("oidc_client_ts.mjs", &settings, &browser, &alice).await?;
    assert_eq!(done, ["sign-in", "renewal with a refresh token", "renewal in a hidden frame", "sign-out"]);
    report("oidc-client-ts", &done.join(", "), "works");
    Ok(())
}
