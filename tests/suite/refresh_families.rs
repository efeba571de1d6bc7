//! What ends a grant ends its access tokens at the edges: whoever took a code or a refresh token gains nothing by it.

use anyhow::{Result, ensure};
use serde_json::Value;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::public_client::{PublicClient, member_text};
use tollgate_tests::service_client::ServiceClient;

/// Runs a way to end a grant, and waits until an edge refuses the token that the grant gave; another grant's still passes.
async fn refused_after(end: impl AsyncFn(&PublicClient<'_>, &str, &Value) -> Result<()>) -> Result<()> {
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
    println!("refused {took:?} after the grant's end");
    assert_eq!(watcher.status(&edge.url, &other).await?, 200, "another's token passes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_code_ends_what_it_gave_at_the_edge() -> Result<()> {
    refused_after(async |app, code, _| {
        let (status, body) = app.redeem(code).await?;
        ensure!(status == 400 && body["error"] == "invalid_grant", "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_refresh_token_ends_its_family_at_the_edge() -> Result<()> {
    refused_after(async |app, _, tokens| {
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
async fn a_revoked_refresh_token_ends_its_access_tokens_at_the_edge() -> Result<()> {
    refused_after(async |app, _, tokens| {
        let (status, body) = app.post("/oauth/revoke", &[("token", member_text(tokens, "refresh_token")?)]).await?;
        ensure!(status == 200, "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_ends_at_the_edge() -> Result<()> {
    refused_after(async |app, _, _| app.origin.cli(&["user", "disable", "alice"]).map(drop)).await
}
