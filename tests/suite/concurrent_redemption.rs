//! One-time codes and refresh tokens used concurrently: one request succeeds, the others get an
//! OAuth error and never a server error.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::json;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{Answer, DEVICE_CODE_GRANT, TestClient};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::users::register_user;

/// Concurrent requests.
const CONCURRENT_REQUESTS: usize = 20;

/// An origin with the public client `app`, and alice in her browser.
struct Fixture {
    origin: TestOrigin,
    app: TestClient,
    alice: Person,
    browser: Browser,
}

impl Fixture {
    async fn start() -> Result<Self> {
        let origin = TestOrigin::start().await?;
        let public = json!({ "token_endpoint_auth_method": "none" });
        let app = TestClient::register_web_app(&origin, "app", &public).await?;
        let (_, alice) = register_user(&origin, "alice").await?;
        let browser = Browser::new(&origin.server.url())?;
        Ok(Self { origin, app, alice, browser })
    }

    async fn code(&self) -> Result<String> {
        self.app.code(&self.browser, &self.alice, &[("scope", "openid read")]).await
    }
}

/// Checks that exactly one request succeeded, and returns its response.
fn one_success(answers: Vec<Result<Answer>>) -> Result<Answer> {
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
    let mut count: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in &answers {
        *count.entry(answer.status).or_default() += 1;
        if answer.status != 200 {
            answer.invalid_grant()?;
        }
    }
    assert_eq!(count, BTreeMap::from([(200, 1), (400, CONCURRENT_REQUESTS - 1)]));
    answers.into_iter().find(|answer| answer.status == 200).context("one success")
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_code_redemption_succeeds_once_and_replay_revokes_the_grant() -> Result<()> {
    let fixture = Fixture::start().await?;
    let code = fixture.code().await?;
    let tokens = one_success(join_all((0..CONCURRENT_REQUESTS).map(|_| fixture.app.redeem(&code))).await)?;
    let refreshed = fixture.app.refresh(&tokens.text("refresh_token")?).await?;
    refreshed.invalid_grant().context("the replays should have revoked the grant")
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_device_code_redemption_succeeds_once() -> Result<()> {
    let fixture = Fixture::start().await?;
    let started = fixture.app.post("/oauth/device/code", &[("scope", "read")]).await?;
    let alice = Person { user_code: Some(started.text("user_code")?), ..fixture.alice.clone() };
    fixture.browser.visit(&fixture.origin.url("/device"), &alice).await?;
    let device_code = started.text("device_code")?;
    let form = [("grant_type", DEVICE_CODE_GRANT), ("device_code", device_code.as_str())];
    let answers = join_all((0..CONCURRENT_REQUESTS).map(|_| fixture.app.request_tokens(&form))).await;
    let mut successes = 0;
    for answer in answers {
        let Answer { status, body } = answer?;
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
    let fixture = Fixture::start().await?;
    let first = fixture.app.redeem(&fixture.code().await?).await?.text("refresh_token")?;
    let mut successors = Vec::new();
    for answer in join_all((0..CONCURRENT_REQUESTS).map(|_| fixture.app.refresh(&first))).await {
        successors.push(answer?.success()?.text("refresh_token")?);
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "all requests get the same refresh token");
    assert_ne!(successors[0], first);
    fixture.app.refresh(&successors[0]).await?.success()?;
    Ok(())
}
