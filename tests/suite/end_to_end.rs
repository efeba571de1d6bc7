//! End to end: a token is issued, accepted by three kinds of edges, revoked, refused, reinstated,
//! and accepted again.

use anyhow::Result;
use serde_json::json;
use tollgate_tests::client::{TestClient, member_text};
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::jwt::{claims, header};
use tollgate_tests::origin::TestOrigin;

#[tokio::test(flavor = "multi_thread")]
async fn revoked_token_is_refused_at_every_edge_until_reinstated() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    origin.cli(&["route", "add", "--path", "/reports/*", "--scope", "reports:read"])?;
    let client = TestClient::register_with_cli(&origin, "road", &["--scope", "reports:read"])?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let mut edges = Vec::new();
    for kind in EdgeKind::ALL {
        edges.push(TestEdge::start(kind, &settings).await?);
    }
    let (token, other) = (client.token("reports:read").await?, client.token("reports:read").await?);
    let url = |edge: &TestEdge| format!("{}/reports/1", edge.url);
    for edge in &edges {
        assert_eq!(client.status(&url(edge), &token).await?, 200, "a new token at the {:?}", edge.kind);
    }
    assert_eq!(client.introspect(&token).await?["active"], true);

    client.revoke(&token).await?;
    for edge in &edges {
        let took = client.wait_for_status(&url(edge), &token, 401).await?;
        println!("{:?}: refused {took:?} after the first request to this edge", edge.kind);
        assert_eq!(client.status(&url(edge), &other).await?, 200, "another token at the {:?}", edge.kind);
    }
    assert_eq!(client.introspect(&token).await?, serde_json::json!({ "active": false }));

    origin.cli(&["reinstate", "token", &token])?;
    for edge in &edges {
        client.wait_for_status(&url(edge), &token, 200).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_algorithm_are_accepted_and_revocable() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    for algorithm in ["EdDSA", "ES256", "RS256", "HS256"] {
        let client = TestClient::register_with_cli(&origin, algorithm, &["--alg", algorithm, "--scope", "a"])?;
        let token = client.token("a").await?;
        assert_eq!(client.status(&edge.url, &token).await?, 200, "{algorithm}");
        client.revoke(&token).await?;
        client.wait_for_status(&edge.url, &token, 401).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_type_jwt_are_accepted_where_the_resource_server_has_that_type() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "plain", &["--scope", "a"])?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let mut edges = Vec::new();
    for kind in EdgeKind::ALL {
        edges.push(TestEdge::start(kind, &settings).await?);
    }
    let before = client.token("a").await?;
    assert_eq!(header(&before)?["typ"], "at+jwt");
    let audience = member_text(&claims(&before)?, "aud")?.to_owned();
    origin.cli(&["resource", "create", &audience, "--name", "The API", "--verifier", "spring"])?;
    let token = client.token("a").await?;
    assert_eq!((&header(&token)?["typ"], &header(&token)?["alg"]), (&json!("JWT"), &json!("RS256")));
    for edge in &edges {
        let took = client.wait_for_status(&edge.url, &token, 200).await?;
        println!("{:?}: accepted {took:?} after the first request to this edge", edge.kind);
        assert_eq!(client.status(&edge.url, &before).await?, 200, "a token of before at the {:?}", edge.kind);
    }
    client.revoke(&token).await?;
    for edge in &edges {
        client.wait_for_status(&edge.url, &token, 401).await?;
    }
    Ok(())
}
