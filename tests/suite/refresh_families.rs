//! Revoking a grant revokes its access tokens at the edges, so that a stolen code or refresh token
//! is of no use.

use anyhow::{Result, ensure};
use serde_json::Value;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::public_client::{PublicClient, member_text};
use tollgate_tests::service_client::ServiceClient;

/// Runs `end`, which ends a grant, and waits until an edge refuses the grant's token; a token of
/// another grant still passes.
async fn check_refused_after(end: impl AsyncFn(&PublicClient<'_>, &str, &Value) -> Result<()>) -> Result<()> {
    let origin = TestOrigin::start().await?;
    let upstream = Upstream::start()?;
    let (app, watcher) =
        (PublicClient::register(&origin)?, ServiceClient::register(&origin, "watcher", &["--scope", "read"])?);
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    let code = app.code(&mut app.browser()?).await?;
    let (status, tokens) = app.redeem(&code).await?;
    ensure!(status == 200, "{status} {tokens}");
    let token = member_text(&tokens, "access_token")?;
    let other = watcher.token("read").await?;
    assert_eq!(watcher.status(&edge.url, token).await?, 200, "the grant's token passes");
    end(&app, &code, &tokens).await?;
    let took = watcher.wait_for_status(&edge.url, token, 401).await?;
    println!("refused {took:?} after the grant ended");
    assert_eq!(watcher.status(&edge.url, &other).await?, 200, "a token of another grant passes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn code_replay_revokes_its_tokens_at_the_edge() -> Result<()> {
    check_refused_after(async |app, code, _| {
        let (status, body) = app.redeem(code).await?;
        ensure!(status == 400 && body["error"] == "invalid_grant", "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_reuse_revokes_the_family_at_the_edge() -> Result<()> {
    check_refused_after(async |app, _, tokens| {
        let first = member_text(tokens, "refresh_token")?;
        let (_, second) = app.refresh(first).await?;
        app.refresh(member_text(&second, "refresh_token")?).await?;
        let (status, body) = app.refresh(first).await?;
        ensure!(status == 400 && body["error"] == "invalid_grant", "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_refresh_token_revokes_its_access_tokens_at_the_edge() -> Result<()> {
    check_refused_after(async |app, _, tokens| {
        let (status, body) = app.post("/oauth/revoke", &[("token", member_text(tokens, "refresh_token")?)]).await?;
        ensure!(status == 200, "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_user_revokes_their_tokens_at_the_edge() -> Result<()> {
    check_refused_after(async |app, _, _| app.origin.cli(&["user", "disable", "alice"]).map(drop)).await
}
