//! Refresh tokens: reuse, wrong clocks, and outages.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use serde_json::json;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{Answer, TestClient, Tokens};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::register_user;

cases! {
    both {
        O14 o14_without_reuse_grace_a_refresh_token_is_valid_once,
        F4 f4_clock_set_back_does_not_revive_a_used_refresh_token,
        F5 f5_outage_ends_no_session,
        F5 f5_unused_successor_is_returned_again,
    }
    once {}
}

/// Sessions during the outage, as in the fault that was found.
const SESSIONS: usize = 28;

/// An origin with the client `app`, its user alice, and her browser.
struct Fixture {
    origin: TestOrigin,
    app: TestClient,
    alice: Person,
    browser: Browser,
}

impl Fixture {
    async fn start(case: &RegressionCase, settings: &[(&'static str, &str)]) -> Result<Self> {
        let origin = case.origin(settings).await?;
        let app = TestClient::register_web_app(&origin, "app", &json!({ "first_party": true })).await?;
        let (_, alice) = register_user(&origin, "alice").await?;
        let browser = Browser::new(&origin.server.url())?;
        Ok(Self { origin, app, alice, browser })
    }

    async fn sign_in(&self) -> Result<Tokens> {
        self.app.user_tokens(&self.browser, &self.alice, &[("scope", "openid read")]).await
    }
}

/// The refresh token of a successful response.
fn refresh_token(answer: &Answer) -> Result<String> {
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    answer.text("refresh_token")
}

async fn o14_without_reuse_grace_a_refresh_token_is_valid_once(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case, &[("TOLLGATE_REFRESH_REUSE_GRACE", "0")]).await?;
    let tokens = fixture.sign_in().await?;
    let first = refresh_token(&fixture.app.refresh(&tokens.refresh).await?)?;
    let Answer { status, body } = fixture.app.refresh(&tokens.refresh).await?;
    let (next, access) = (fixture.app.refresh(&first).await?.status, fixture.app.is_active(&tokens.access).await?);
    case.report(format!(
        "twice: 200, {status} {}; then its successor {next}, access token active {access}",
        body["error"]
    ));
    assert_eq!((status, &body["error"], next, access), (400, &json!("invalid_grant"), 400, false));

    let tokens = fixture.sign_in().await?;
    let answers = join_all((0..10).map(|_| fixture.app.refresh(&tokens.refresh))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
    let good: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    let access = fixture.app.is_active(&tokens.access).await?;
    case.report(format!("ten in parallel: {} good; access token active {access}", good.len()));
    assert_eq!((good.len(), access), (1, false));
    assert_eq!(fixture.app.refresh(&refresh_token(good[0])?).await?.status, 400, "the grant is revoked");
    Ok(())
}

async fn f4_clock_set_back_does_not_revive_a_used_refresh_token(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case, &[]).await?;
    let tokens = fixture.sign_in().await?;
    let next = refresh_token(&fixture.app.refresh(&tokens.refresh).await?)?;
    // The row as a use by a clock an hour ahead would leave it.
    let ahead = format!("UPDATE grants SET refreshed_at = refreshed_at + 3600 WHERE id = '{}'", tokens.sid);
    case.execute(&fixture.origin, &ahead).await?;
    let Answer { status, body } = fixture.app.refresh(&tokens.refresh).await?;
    let after = fixture.app.refresh(&next).await?.status;
    case.report(format!("used, an hour later by that clock: {status} {}; its successor {after}", body["error"]));
    assert_eq!((status, &body["error"], after), (400, &json!("invalid_grant"), 400));
    Ok(())
}

async fn f5_outage_ends_no_session(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case, &[]).await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(fixture.sign_in().await?);
    }
    let outage = case.lock(&fixture.origin, "SELECT * FROM issuing FOR UPDATE").await?;
    let impatient = reqwest::Client::builder().timeout(Duration::from_millis(500)).build()?;
    let given_up = sessions.iter().map(|tokens| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
        fixture.app.request_by(&impatient, "/oauth/token", &form).send()
    });
    let answered = join_all(given_up).await.into_iter().filter(Result::is_ok).count();
    // Longer than a second: from then on the origin checks before a commit whether the client still
    // waits.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    outage.release().await?;
    // Requests queued before this one are processed first.
    fixture.sign_in().await?;
    let mut untouched = 0;
    for tokens in &sessions {
        untouched += usize::from(fixture.app.is_active(&tokens.refresh).await?);
    }
    let mut good = 0;
    for tokens in &sessions {
        good += usize::from(fixture.app.refresh(&tokens.refresh).await?.status == 200);
    }
    case.report(format!("of {SESSIONS} who gave up {answered} were answered; refresh tokens untouched {untouched}; good when asked again {good}"));
    assert_eq!((answered, untouched, good), (0, SESSIONS, SESSIONS));
    Ok(())
}

async fn f5_unused_successor_is_returned_again(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case, &[]).await?;
    let tokens = fixture.sign_in().await?;
    let next = refresh_token(&fixture.app.refresh(&tokens.refresh).await?)?;
    let passed = async |seconds: u64| {
        let sql = format!("UPDATE grants SET refreshed_at = refreshed_at - {seconds} WHERE id = '{}'", tokens.sid);
        case.execute(&fixture.origin, &sql).await
    };
    let mut again = Vec::new();
    for hours in [1, 5, 23] {
        passed(hours * 3600).await?;
        again.push(refresh_token(&fixture.app.refresh(&tokens.refresh).await?)? == next);
    }
    let after = refresh_token(&fixture.app.refresh(&next).await?)?;
    passed(60).await?;
    let reused = fixture.app.refresh(&next).await?.status;
    let ended = fixture.app.refresh(&after).await?.status;
    case.report(format!("after the grace the same successor {again:?}; once that was used, its reuse {reused}, and then the newest {ended}"));
    assert_eq!((again, reused, ended), (vec![true; 3], 400, 400));

    let tokens = fixture.sign_in().await?;
    refresh_token(&fixture.app.refresh(&tokens.refresh).await?)?;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let sql = format!("UPDATE grants SET refreshed_at = refreshed_at - 3600 WHERE id = '{}'", tokens.sid);
        case.execute(&fixture.origin, &sql).await?;
        answers.push(fixture.app.refresh(&tokens.refresh).await?.status);
    }
    case.report(format!("again and again: {answers:?}"));
    assert_eq!(
        answers,
        [200, 200, 200, 400, 400],
        "the same successor is returned a few times, then it counts as reuse"
    );
    Ok(())
}
