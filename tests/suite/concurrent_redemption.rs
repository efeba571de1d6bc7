//! One-time codes and refresh tokens used concurrently: one request succeeds, the others get an
//! OAuth error and never a server error.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use tollgate_tests::browser::Person;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::public_client::{DEVICE_CODE_GRANT, PublicClient, member_text};

/// Concurrent requests.
const CONCURRENT_REQUESTS: usize = 20;

/// Checks that exactly one request succeeded, and returns its response.
fn one_success(answers: Vec<Result<(u16, Value)>>) -> Result<Value> {
    let answers: Vec<(u16, Value)> = answers.into_iter().collect::<Result<_>>()?;
    let mut count: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, body) in &answers {
        *count.entry(*status).or_default() += 1;
        ensure!(*status == 200 || body["error"] == "invalid_grant", "{status} {body}");
    }
    assert_eq!(count, BTreeMap::from([(200, 1), (400, CONCURRENT_REQUESTS - 1)]));
    let success = answers.into_iter().find(|(status, _)| *status == 200).context("one success")?;
    Ok(success.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_code_redemption_succeeds_once_and_replay_revokes_the_grant() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let app = PublicClient::register(&origin)?;
    let code = app.code(&mut app.browser()?).await?;
    let tokens = one_success(join_all((0..CONCURRENT_REQUESTS).map(|_| app.redeem(&code))).await)?;
    let (status, body) = app.refresh(member_text(&tokens, "refresh_token")?).await?;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "the replays revoked the grant");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_device_code_redemption_succeeds_once() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let app = PublicClient::register(&origin)?;
    let (_, started) = app.post("/oauth/device/code", &[("scope", "read")]).await?;
    let person = Person { user_code: Some(member_text(&started, "user_code")?.to_owned()), ..app.alice.clone() };
    app.browser()?.visit(&app.url("/device"), &person).await?;
    let form = [("grant_type", DEVICE_CODE_GRANT), ("device_code", member_text(&started, "device_code")?)];
    let answers = join_all((0..CONCURRENT_REQUESTS).map(|_| app.post("/oauth/token", &form))).await;
    let mut successes = 0;
    for answer in answers {
        let (status, body) = answer?;
        successes += usize::from(status == 200);
        // Concurrent polls are also faster than the interval.
        let known = ["invalid_grant", "expired_token", "slow_down"].iter().any(|error| body["error"] == **error);
        ensure!(status == 200 || status == 400 && known, "{status} {body}");
    }
    assert_eq!(successes, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refresh_within_the_grace_period_returns_one_successor() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let app = PublicClient::register(&origin)?;
    let (_, tokens) = app.redeem(&app.code(&mut app.browser()?).await?).await?;
    let first = member_text(&tokens, "refresh_token")?;
    let mut successors = Vec::new();
    for answer in join_all((0..CONCURRENT_REQUESTS).map(|_| app.refresh(first))).await {
        let (status, body) = answer?;
        ensure!(status == 200, "{status} {body}");
        successors.push(member_text(&body, "refresh_token")?.to_owned());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "all requests get the same refresh token");
    assert_ne!(successors[0], first);
    let (status, body) = app.refresh(&successors[0]).await?;
    assert_eq!(status, 200, "{body}");
    Ok(())
}
