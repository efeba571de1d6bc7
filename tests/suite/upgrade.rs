//! An origin of an older release and one of this one run on one database: what one does, the other
//! knows. `cargo xtask test upgrade` builds the older program.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{REDIRECT_URI, TestClient};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::{install_tls_provider, required_env};
use tollgate_tests::origin_process::OriginProcess;

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_origins_run_together_on_sqlite() -> Result<()> {
    run_together(TestDatabase::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_origins_run_together_on_postgres() -> Result<()> {
    run_together(TestDatabase::postgres("upgrade").await?).await
}

async fn run_together(database: TestDatabase) -> Result<()> {
    install_tls_provider();
    let (http, program) = (reqwest::Client::new(), PathBuf::from(required_env("TOLLGATE_TEST_PREVIOUS_PROGRAM")));
    let mut old = OriginProcess::new(database)?;
    old.use_program(&program);
    old.start(&http).await?;
    old.cli_with(&["user", "create", "alice", "--password-stdin"], "correct horse battery")?;
    let created = old.cli(&[
        "client",
        "create",
        "--json",
        "--name",
        "app",
        "--redirect-uri",
        REDIRECT_URI,
        "--scope",
        "openid a",
    ])?;
    let at_old = TestClient::from_cli_output(&old.url, &created)?;
    let alice = Person::new("alice", "correct horse battery");
    let tokens = at_old.user_tokens(&Browser::new(&old.url)?, &alice, &[("scope", "openid a")]).await?;

    // Exit code 4 would fail: this release would need a stop.
    let mut new = old.second_origin()?;
    let check = new.spawn(&["migrate", "--check"])?.wait_with_output()?;
    println!("{}", String::from_utf8_lossy(&check.stdout));
    ensure!(matches!(check.status.code(), Some(0 | 3)), "the old origin must be stopped: {check:?}");
    new.start(&http).await?;
    let at_new = TestClient::from_cli_output(&new.url, &created)?;

    // Each origin knows what the other issued, rotated and revoked.
    ensure!(at_new.is_active(&tokens.access).await?, "the new one knows a token of the old one");
    let second = at_new.refresh(&tokens.refresh).await?.success()?;
    ensure!(at_old.is_active(&second.text("access_token")?).await?, "the old one knows a token of the new one");
    let third = at_old.refresh(&second.text("refresh_token")?).await?.success()?;
    at_new.revoke(&third.text("access_token")?).await?;
    ensure!(!at_old.is_active(&third.text("access_token")?).await?, "the old one knows a revocation of the new one");
    let again = at_old.user_tokens(&Browser::new(&old.url)?, &alice, &[("scope", "openid a")]).await?;
    at_old.revoke(&again.refresh).await?;
    at_new.refresh(&again.refresh).await?.invalid_grant()?;
    let later = new.cli(&["client", "create", "--json", "--name", "later", "--scope", "a"])?;
    TestClient::from_cli_output(&old.url, &later)?.token("a").await?;

    // Programs from before `tollgate migrate` do not start on a schema that they do not know, nor
    // do their commands.
    let knows_migrations = Command::new(&program).args(["migrate", "--help"]).output()?.status.success();
    println!("the old program restarts on the new schema: {knows_migrations}");
    if knows_migrations {
        old.kill();
        old.start(&http).await?;
        ensure!(at_old.is_active(&second.text("access_token")?).await?, "restarted on the new schema");
    }
    new.kill();
    old.delete().await
}
