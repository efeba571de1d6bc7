//! Refresh tokens: what a used one gives, by whatever clock, and what an outage does to them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::parties::{RelyingParty, Tokens, register_user};
use tollgate_tests::regression_case::RegressionCase;

cases! {
    both {
        O14 o14_without_a_grace_a_refresh_token_is_good_once,
        F4 f4_a_clock_that_was_set_back_makes_no_used_refresh_token_good,
        F5 f5_an_outage_ends_no_session,
        F5 f5_a_successor_that_nobody_used_is_given_again,
    }
    once {}
}

/// Sessions under an outage, as in the trial.
const SESSIONS: usize = 28;

/// An origin with the client `app` and its user alice, in whose browser she is signed in.
struct Stage {
    origin: TestOrigin,
    app: RelyingParty,
    alice: Person,
    browser: Browser,
}

impl Stage {
    async fn start(case: &RegressionCase, settings: &[(&'static str, &str)]) -> Result<Self> {
        let origin = case.origin(settings).await?;
        let app = RelyingParty::register(&origin, "app", &json!({ "first_party": true })).await?;
        let (_, alice) = register_user(&origin, "alice", false).await?;
        let browser = Browser::new(&origin.server.url())?;
        Ok(Self { origin, app, alice, browser })
    }

    async fn given(&mut self) -> Result<Tokens> {
        self.app.tokens(&mut self.browser, &self.alice, "openid read", &[]).await
    }
}

fn refresh_token((status, body): &(u16, Value)) -> Result<String> {
    ensure!(*status == 200, "{status} {body}");
    Ok(body["refresh_token"].as_str().context("a refresh token")?.to_owned())
}

async fn o14_without_a_grace_a_refresh_token_is_good_once(case: &RegressionCase) -> Result<()> {
    let mut stage = Stage::start(case, &[("TOLLGATE_REFRESH_GRACE", "0")]).await?;
    let tokens = stage.given().await?;
    let first = refresh_token(&stage.app.refresh(&tokens.refresh).await?)?;
    let (status, body) = stage.app.refresh(&tokens.refresh).await?;
    let (next, access) = (stage.app.refresh(&first).await?.0, stage.app.is_active(&tokens.access).await?);
    case.report(format!(
        "twice: 200, {status} {}; then its successor {next}, access token active {access}",
        body["error"]
    ));
    assert_eq!((status, &body["error"], next, access), (400, &json!("invalid_grant"), 400, false));

    let tokens = stage.given().await?;
    let answers = join_all((0..10).map(|_| stage.app.refresh(&tokens.refresh))).await;
    let answers: Vec<(u16, Value)> = answers.into_iter().collect::<Result<_>>()?;
    let good: Vec<&(u16, Value)> = answers.iter().filter(|(status, _)| *status == 200).collect();
    let access = stage.app.is_active(&tokens.access).await?;
    case.report(format!("ten in parallel: {} good; access token active {access}", good.len()));
    assert_eq!((good.len(), access), (1, false));
    assert_eq!(stage.app.refresh(&refresh_token(good[0])?).await?.0, 400, "the grant is revoked");
    Ok(())
}

async fn f4_a_clock_that_was_set_back_makes_no_used_refresh_token_good(case: &RegressionCase) -> Result<()> {
    let mut stage = Stage::start(case, &[]).await?;
    let tokens = stage.given().await?;
    let next = refresh_token(&stage.app.refresh(&tokens.refresh).await?)?;
    // The same row as after a use by a clock that was an hour ahead.
    let ahead = format!("UPDATE grants SET refreshed_at = refreshed_at + 3600 WHERE id = '{}'", tokens.sid);
    case.execute(&stage.origin, &ahead).await?;
    let (status, body) = stage.app.refresh(&tokens.refresh).await?;
    let after = stage.app.refresh(&next).await?.0;
    case.report(format!("used, an hour later by that clock: {status} {}; its successor {after}", body["error"]));
    assert_eq!((status, &body["error"], after), (400, &json!("invalid_grant"), 400));
    Ok(())
}

async fn f5_an_outage_ends_no_session(case: &RegressionCase) -> Result<()> {
    let mut stage = Stage::start(case, &[]).await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(stage.given().await?);
    }
    let outage = case.lock(&stage.origin, "SELECT * FROM issuing FOR UPDATE").await?;
    let impatient = reqwest::Client::builder().timeout(Duration::from_millis(500)).build()?;
    let given_up = sessions.iter().map(|tokens| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
        stage.app.request_with(&impatient, "/oauth/token", &form).send()
    });
    let answered = join_all(given_up).await.into_iter().filter(Result::is_ok).count();
    // Longer than a second: then the origin asks before it commits who waits still.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    outage.release().await?;
    // What was queued has its turn before this has.
    stage.given().await?;
    let mut untouched = 0;
    for tokens in &sessions {
        untouched += usize::from(stage.app.is_active(&tokens.refresh).await?);
    }
    let mut good = 0;
    for tokens in &sessions {
        good += usize::from(stage.app.refresh(&tokens.refresh).await?.0 == 200);
    }
    case.report(format!("of {SESSIONS} who gave up {answered} were answered; refresh tokens untouched {untouched}; good when asked again {good}"));
    assert_eq!((answered, untouched, good), (0, SESSIONS, SESSIONS));
    Ok(())
}

async fn f5_a_successor_that_nobody_used_is_given_again(case: &RegressionCase) -> Result<()> {
    let mut stage = Stage::start(case, &[]).await?;
    let tokens = stage.given().await?;
    let next = refresh_token(&stage.app.refresh(&tokens.refresh).await?)?;
    let passed = async |seconds: u64| {
        let sql = format!("UPDATE grants SET refreshed_at = refreshed_at - {seconds} WHERE id = '{}'", tokens.sid);
        case.execute(&stage.origin, &sql).await
    };
    let mut again = Vec::new();
    for hours in [1, 5, 23] {
        passed(hours * 3600).await?;
        again.push(refresh_token(&stage.app.refresh(&tokens.refresh).await?)? == next);
    }
    let after = refresh_token(&stage.app.refresh(&next).await?)?;
    passed(60).await?;
    let reused = stage.app.refresh(&next).await?.0;
    let ended = stage.app.refresh(&after).await?.0;
    case.report(format!("after the grace the same successor {again:?}; once that was used, its reuse {reused}, and then the newest {ended}"));
    assert_eq!((again, reused, ended), (vec![true; 3], 400, 400));

    let tokens = stage.given().await?;
    refresh_token(&stage.app.refresh(&tokens.refresh).await?)?;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let sql = format!("UPDATE grants SET refreshed_at = refreshed_at - 3600 WHERE id = '{}'", tokens.sid);
        case.execute(&stage.origin, &sql).await?;
        answers.push(stage.app.refresh(&tokens.refresh).await?.0);
    }
    case.report(format!("again and again: {answers:?}"));
    assert_eq!(answers, [200, 200, 200, 400, 400], "a few times, then it is reuse");
    Ok(())
}
