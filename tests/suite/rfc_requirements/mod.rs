//! RFC requirements on an authorization server, and on an edge as the resource server, as a table:
//! each row has the section, the requirement, the requests that test it, and the expected response.

mod client_registration;
mod discovery;
mod fapi2;
mod openid_connect_core;
mod requests;
mod response_modes;
mod rfc6749_authorization;
mod rfc6749_input_validation;
mod rfc6749_token;
mod rfc7009;
mod rfc7636;
mod rfc7662;
mod rfc8628;
mod rfc8693;
mod rfc8705;
mod rfc8707;
mod rfc9068;
mod rfc9126;
mod rfc9396;
mod rfc9449;
mod rfc9700;
mod rfc9864;

use anyhow::Result;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::rfc_requirements::{Requirement, failures, table};

fn requirements() -> Vec<Requirement> {
    [
        table("RFC 6749", rfc6749_authorization::rows()),
        table("RFC 6749", rfc6749_token::rows()),
        table("RFC 6749", rfc6749_input_validation::rows()),
        table("RFC 7523", rfc8693::rfc7523()),
        table("RFC 7591", client_registration::rfc7591()),
        table("RFC 7592", client_registration::rfc7592()),
        table("RFC 7636", rfc7636::rows()),
        table("RFC 7009", rfc7009::rows()),
        table("RFC 7662", rfc7662::rows()),
        table("RFC 8414", discovery::rfc8414()),
        table("RFC 8628", rfc8628::rows()),
        table("RFC 8693", rfc8693::rows()),
        table("RFC 8705", rfc8705::rows()),
        table("RFC 8707", rfc8707::rows()),
        table("RFC 9068", rfc9068::rows()),
        table("RFC 9126", rfc9126::rows()),
        table("RFC 9207", discovery::rfc9207()),
        table("RFC 9396", rfc9396::rows()),
        table("RFC 9449", rfc9449::rows()),
        table("RFC 9700", rfc9700::rows()),
        table("RFC 9864", rfc9864::rows()),
        table("FAPI 2.0 Security Profile", fapi2::rows()),
        table("OAuth 2.0 Form Post Response Mode", response_modes::form_post()),
        table("JWT Secured Authorization Response Mode", response_modes::jarm()),
        table("OpenID Connect Core", openid_connect_core::rows()),
        table("OpenID Connect Core", openid_connect_core::claims_parameter()),
        table("OpenID Connect Discovery", discovery::openid()),
        table("OpenID Connect RP-Initiated Logout", discovery::logout()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn check_every_requirement(database: &TestDatabase) -> Result<()> {
    let requirements = requirements();
    let folder = tempfile::tempdir()?;
    let fixture = requests::start_origin(&database.url(folder.path())?).await?;
    let failures = failures(&fixture, &requirements).await;
    println!(
        "{} requirements, {} hold, {} do not",
        requirements.len(),
        requirements.len() - failures.len(),
        failures.len()
    );
    for failure in &failures {
        println!("  {failure}");
    }
    assert!(requirements.len() >= 150, "only {} requirements are in the table", requirements.len());
    assert!(failures.is_empty(), "{} of {} requirements do not hold, see above", failures.len(), requirements.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_requirement_holds_on_sqlite() -> Result<()> {
    check_every_requirement(&TestDatabase::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_requirement_holds_on_postgres() -> Result<()> {
    let database = TestDatabase::postgres("rfc_requirements").await?;
    check_every_requirement(&database).await?;
    database.delete().await
}
