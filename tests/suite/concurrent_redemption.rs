//! What may be used once is used once, however many ask at the same moment; and nobody is answered with our own trouble.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use tollgate_tests::browser::Person;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::public_client::{DEVICE_CODE_GRANT, PublicClient, member_text};

/// How many ask at once.
const CROWD: usize = 20;

/// The one success and the count of each status.
fn one_success(answers: Vec<Result<(u16, Value)>>) -> Result<Value> {
    let answers: Vec<(u16, Value)> = answers.into_iter().collect::<Result<_>>()?;
    let mut count: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, body) in &answers {
        *count.entry(*status).or_default() += 1;
        ensure!(*status == 200 || body["error"] == "invalid_grant", "{status} {body}");
    }
    assert_eq!(count, BTreeMap::from([(200, 1), (400, CROWD - 1)]));
    let success = answers.into_iter().find(|(status, _)| *status == 200).context("one success")?;
    Ok(success.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_redeemed_once_and_its_replay_ends_the_grant() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let app = PublicClient::register(&origin)?;
    let code = app.code(&mut app.browser()?).await?;
    let tokens = one_success(join_all((0..CROWD).map(|_| app.redeem(&code))).await)?;
    let (status, body) = app.refresh(member_text(&tokens, "refresh_token")?).await?;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "nineteen replays end what the code gave");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_is_redeemed_once() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let app = PublicClient::register(&origin)?;
    let (_, started) = app.post("/oauth/device/code", &[("scope", "read")]).await?;
    let person = Person { user_code: Some(member_text(&started, "user_code")?.to_owned()), ..app.alice.clone() };
    app.browser()?.visit(&app.url("/device"), &person).await?;
    let form = [("grant_type", DEVICE_CODE_GRANT), ("device_code", member_text(&started, "device_code")?)];
    let answers = join_all((0..CROWD).map(|_| app.post("/oauth/token", &form))).await;
    let mut successes = 0;
    for answer in answers {
        let (status, body) = answer?;
        successes += usize::from(status == 200);
        // Twenty at once are also faster than the interval.
        let known = ["invalid_grant", "expired_token", "slow_down"].iter().any(|error| body["error"] == **error);
        ensure!(status == 200 || status == 400 && known, "{status} {body}");
    }
    assert_eq!(successes, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_within_the_grace_gives_everybody_the_same_successor() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let app = PublicClient::register(&origin)?;
    let (_, tokens) = app.redeem(&app.code(&mut app.browser()?).await?).await?;
    let first = member_text(&tokens, "refresh_token")?;
    let mut successors = Vec::new();
    for answer in join_all((0..CROWD).map(|_| app.refresh(first))).await {
        let (status, body) = answer?;
        ensure!(status == 200, "{status} {body}");
        successors.push(member_text(&body, "refresh_token")?.to_owned());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "two tabs, or twenty, hold one and the same token");
    assert_ne!(successors[0], first);
    let (status, body) = app.refresh(&successors[0]).await?;
    assert_eq!(status, 200, "{body}");
    Ok(())
}
