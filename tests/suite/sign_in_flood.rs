//! A flood of sign-ins, ten times as many as can be hashed: sign-ins over capacity get 503
//! immediately, other requests are served, memory stays bounded, and the origin recovers.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::sign_in_flood::{self, SignInForm, time_sign_in};
use tollgate_tests::users::PASSWORD;

/// Longest wait for the sign-ins to queue, on a busy machine.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_flood_gets_503_and_other_requests_are_served() -> Result<()> {
    let seconds: u64 = env::var("TOLLGATE_TEST_FLOOD_SECONDS").map_or(Ok(20), |seconds| seconds.parse())?;
    let flood = sign_in_flood::run(Duration::from_secs(seconds)).await?;
    println!("{flood}");
    assert!(!flood.refused.is_empty() && flood.hashed > 0, "some sign-ins were refused and some hashed");
    assert!(!flood.services.is_empty());
    let grown = flood.memory - flood.memory_before;
    assert!(grown < flood.memory_bound(), "{grown} bytes more than before");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_sign_ins_are_not_hashed() -> Result<()> {
    let settings = [("TOLLGATE_HASH_WORKERS", "1"), ("TOLLGATE_HASH_QUEUE", "64"), ("TOLLGATE_LIMITS", "off")];
    let origin = TestOrigin::start_with(&settings).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let (form, hasher) = (SignInForm::of(&origin.server.url()).await?, origin.server.password_hasher());
    let mut sign_ins = JoinSet::new();
    for _ in 0..40 {
        sign_ins.spawn(form.request("alice", "wrong password").send());
    }
    let began = Instant::now();
    while hasher.load().queued < 10 {
        ensure!(began.elapsed() < QUEUE_TIMEOUT, "the sign-ins do not queue: {:?}", hasher.load());
        sleep(Duration::from_millis(1)).await;
    }
    // Closes their connections.
    sign_ins.shutdown().await;
    drop(form);
    let stays = SignInForm::of(&origin.server.url()).await?;
    time_sign_in(&stays, PASSWORD, 303).await?;
    let load = hasher.load();
    println!("{load:?}");
    assert!(load.abandoned >= 5, "most were abandoned before hashing: {load:?}");
    Ok(())
}
