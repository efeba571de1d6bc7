//! What the specifications demand of an authorization server, as a table: each row says the section, the requirement, the
//! requests that would show it broken, and the answer that shows it kept.

mod discovery;
mod hostile;
mod oidc_core;
mod oidc_core_pages;
mod registration;
mod rfc6749;
mod rfc6749_token;
mod rfc7009;
mod rfc7636;
mod rfc7662;
mod rfc8628;
mod rfc8693;
mod rfc8707;
mod rfc9068;
mod rfc9126;
mod rfc9396;
mod rfc9449;
mod rfc9449_use;
mod rfc9700;
mod steps;

use anyhow::Result;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::rfc_requirements::{Requirement, failures, table};

fn musts() -> Vec<Requirement> {
    [
        table("RFC 6749", rfc6749::rows()),
        table("RFC 6749", rfc6749_token::rows()),
        table("RFC 6749", hostile::rows()),
        table("RFC 7523", rfc8693::rfc7523()),
        table("RFC 7591", registration::rfc7591()),
        table("RFC 7592", registration::rfc7592()),
        table("RFC 7636", rfc7636::rows()),
        table("RFC 7009", rfc7009::rows()),
        table("RFC 7662", rfc7662::rows()),
        table("RFC 8414", discovery::rfc8414()),
        table("RFC 8628", rfc8628::rows()),
        table("RFC 8693", rfc8693::rows()),
        table("RFC 8707", rfc8707::rows()),
        table("RFC 9068", rfc9068::rows()),
        table("RFC 9126", rfc9126::rows()),
        table("RFC 9207", discovery::rfc9207()),
        table("RFC 9396", rfc9396::rows()),
        table("RFC 9449", rfc9449::rows()),
        table("RFC 9449", rfc9449_use::rows()),
        table("RFC 9700", rfc9700::rows()),
        table("OpenID Connect Core", oidc_core::rows()),
        table("OpenID Connect Core", oidc_core_pages::rows()),
        table("OpenID Connect Discovery", discovery::openid()),
        table("OpenID Connect RP-Initiated Logout", discovery::logout()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn every_must_holds(database: &TestDatabase) -> Result<()> {
    let musts = musts();
    let folder = tempfile::tempdir()?;
    let world = steps::world(&database.url(folder.path())?).await?;
    let failures = failures(&world, &musts).await;
    println!("{} requirements, {} hold, {} do not", musts.len(), musts.len() - failures.len(), failures.len());
    for failure in &failures {
        println!("  {failure}");
    }
    assert!(musts.len() >= 150, "only {} requirements are in the table", musts.len());
    assert!(failures.is_empty(), "{} of {} requirements do not hold, see above", failures.len(), musts.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_must_of_the_table_holds_on_sqlite() -> Result<()> {
    every_must_holds(&TestDatabase::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_must_of_the_table_holds_on_postgresql() -> Result<()> {
    let database = TestDatabase::postgres("musts").await?;
    every_must_holds(&database).await?;
    database.delete().await
}
