//! A flood of sign-ins: ten times as many as can be hashed. Those who cannot be served are told so at once, services go on, the
//! hashes take the memory that they always take, and when it is over it is over.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::sign_in_flood::{self, SignInForm, time_sign_in};

const PASSWORD: &str = "correct horse battery staple";
/// How long something that must come may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ins_is_refused_at_once_and_services_go_on() -> Result<()> {
    let seconds: u64 = env::var("TOLLGATE_TEST_FLOOD_SECONDS").map_or(Ok(20), |seconds| seconds.parse())?;
    let flood = sign_in_flood::run(Duration::from_secs(seconds)).await?;
    println!("{flood}");
    assert!(!flood.refused.is_empty() && flood.hashed > 0, "there was a flood, and some were served");
    assert!(!flood.services.is_empty());
    let grown = flood.memory - flood.memory_before;
    assert!(grown < flood.memory_bound(), "{grown} bytes more than before");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_is_not_hashed() -> Result<()> {
    let settings = [("TOLLGATE_HASH_WORKERS", "1"), ("TOLLGATE_HASH_QUEUE", "64"), ("TOLLGATE_LIMITS", "off")];
    let origin = TestOrigin::start_with(&settings).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let (form, forge) = (SignInForm::of(&origin.server.url()).await?, origin.server.forge());
    let mut leaving = JoinSet::new();
    for _ in 0..40 {
        leaving.spawn(form.request("alice", "wrong password").send());
    }
    let began = Instant::now();
    while forge.load().queued < 10 {
        ensure!(began.elapsed() < PATIENCE, "they do not queue: {:?}", forge.load());
        sleep(Duration::from_millis(1)).await;
    }
    // Their connections close.
    leaving.shutdown().await;
    drop(form);
    let stays = SignInForm::of(&origin.server.url()).await?;
    time_sign_in(&stays, PASSWORD, 303).await?;
    let load = forge.load();
    println!("{load:?}");
    assert!(load.abandoned >= 5, "most left before their turn: {load:?}");
    Ok(())
}
