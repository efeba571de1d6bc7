//! Revoking a grant revokes its access tokens at the edges, so that a stolen code or refresh token
//! is of no use.

use anyhow::Result;
use serde_json::json;
use tollgate_tests::browser::Browser;
use tollgate_tests::client::{TestClient, Tokens};
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::users::register_user;

/// Runs `end`, which ends a grant of the public client `app`, and waits until an edge refuses the
/// grant's token; a token of another grant still passes.
async fn check_refused_after(end: impl AsyncFn(&TestOrigin, &TestClient, &Tokens) -> Result<()>) -> Result<()> {
    let origin = TestOrigin::start().await?;
    let upstream = Upstream::start()?;
    let public = json!({ "token_endpoint_auth_method": "none" });
    let app = TestClient::register_web_app(&origin, "app", &public).await?;
    let watcher = TestClient::register_with_cli(&origin, "watcher", &["--scope", "read"])?;
    let (_, alice) = register_user(&origin, "alice").await?;
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    let browser = Browser::new(&origin.server.url())?;
    let tokens = app.user_tokens(&browser, &alice, &[("scope", "openid read")]).await?;
    let other = watcher.token("read").await?;
    assert_eq!(watcher.status(&edge.url, &tokens.access).await?, 200, "the grant's token passes");
    end(&origin, &app, &tokens).await?;
    let took = watcher.wait_for_status(&edge.url, &tokens.access, 401).await?;
    println!("refused {took:?} after the grant ended");
    assert_eq!(watcher.status(&edge.url, &other).await?, 200, "a token of another grant passes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn code_replay_revokes_its_tokens_at_the_edge() -> Result<()> {
    check_refused_after(async |_, app, tokens| app.redeem(&tokens.code).await?.invalid_grant()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_reuse_revokes_the_family_at_the_edge() -> Result<()> {
    check_refused_after(async |_, app, tokens| {
        let second = app.refresh(&tokens.refresh).await?.text("refresh_token")?;
        app.refresh(&second).await?;
        app.refresh(&tokens.refresh).await?.invalid_grant()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_refresh_token_revokes_its_access_tokens_at_the_edge() -> Result<()> {
    check_refused_after(async |_, app, tokens| app.revoke(&tokens.refresh).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_user_revokes_their_tokens_at_the_edge() -> Result<()> {
    check_refused_after(async |origin, _, _| origin.cli(&["user", "disable", "alice"]).map(drop)).await
}
