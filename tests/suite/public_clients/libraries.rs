//! Each client library and the steps that it must complete. The clients are in `tests/clients`.

use anyhow::Result;
use tollgate_tests::client_script;

use super::fixture::ClientsFixture;

async fn all_steps(client: &str, steps: &[&str]) -> Result<()> {
    let fixture = ClientsFixture::start().await?;
    let done = client_script::run(client, &fixture.clients, &fixture.browser()?, &fixture.alice).await?;
    println!("{client} × {} × works", done.join(", "));
    assert_eq!(done, steps, "{client} completes every step in order");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client() -> Result<()> {
    let steps = [
        "discovery",
        "discovery_oauth2",
        "client_credentials_basic",
        "client_credentials_post",
        "client_credentials_private_key_jwt",
        "code",
        "code_replayed",
        "max_age",
        "userinfo",
        "introspection",
        "refresh",
        "token_exchange",
        "revocation",
        "par",
        "jar",
        "dpop_code",
        "dpop_userinfo",
        "dpop_refresh",
        "device",
        "registration",
        "logout",
    ];
    all_steps("openid_client.mjs", &steps).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi() -> Result<()> {
    let steps = [
        "discovery_oauth2",
        "discovery",
        "client_credentials_basic",
        "client_credentials_post",
        "client_credentials_private_key_jwt",
        "code",
        "code_replayed",
        "userinfo",
        "introspection",
        "refresh",
        "token_exchange",
        "revocation",
        "par",
        "jar",
        "dpop_code",
        "dpop_userinfo",
        "device_pending",
        "device",
        "registration",
        "logout",
    ];
    all_steps("oauth4webapi.mjs", &steps).await
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib() -> Result<()> {
    let steps = [
        "discovery_oauth2",
        "discovery",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "code",
        "code_replayed",
        "userinfo",
        "introspection",
        "refresh",
        "token_exchange",
        "revocation",
        "public",
        "device_pending",
        "device",
        "logout",
    ];
    all_steps("authlib_client.py", &steps).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_oauthlib() -> Result<()> {
    let steps = [
        "client_credentials_basic",
        "client_credentials_post",
        "code",
        "code_replayed",
        "userinfo",
        "refresh",
        "revocation",
        "public",
        "device_pending",
        "device",
    ];
    all_steps("requests_oauthlib_client.py", &steps).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth2_crate() -> Result<()> {
    let steps = [
        "client_credentials_basic",
        "client_credentials_post",
        "code",
        "introspection",
        "refresh",
        "revocation",
        "device",
    ];
    all_steps("oauth2", &steps).await
}

#[tokio::test(flavor = "multi_thread")]
async fn openidconnect_crate() -> Result<()> {
    let steps = ["discovery", "code", "id_token", "userinfo", "refresh", "logout", "registration"];
    all_steps("openidconnect", &steps).await
}
