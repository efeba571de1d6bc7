//! User flows in Chromium. `tests/browser` contains the flows; this test checks that all of them
//! ran.

use anyhow::Result;
use tollgate_tests::browser_flows::BrowserFlows;

/// Flows that run once with scripts enabled and once with scripts disabled.
const FLOWS: [&str; 20] = [
    "sign_in",
    "sign_in_throttled",
    "sign_in_by_keyboard",
    "expired_request",
    "sign_out",
    "other_browsers",
    "register",
    "change_password",
    "right_to_left",
    "web_client",
    "web_client_denied",
    "access_revoked",
    "consent_remembered",
    "device_example",
    "device_denied",
    "tollgate_login",
    "console_pages",
    "console_client",
    "console_user",
    "refused_at_the_console",
];
/// Flows of clients that need scripts themselves.
const SCRIPTED_FLOWS: [&str; 1] = ["single_page"];

#[tokio::test(flavor = "multi_thread")]
async fn every_flow_succeeds_with_and_without_scripts() -> Result<()> {
    let plain: Vec<String> = FLOWS.iter().map(|flow| format!("{flow}_plain")).collect();
    let people: Vec<String> = FLOWS.iter().chain(&SCRIPTED_FLOWS).map(ToString::to_string).chain(plain).collect();
    let flows = BrowserFlows::start(&people).await?;
    let mut done = tokio::task::block_in_place(|| flows.run())?;
    let mut wanted: Vec<String> = FLOWS.iter().chain(&SCRIPTED_FLOWS).map(ToString::to_string).collect();
    wanted.extend(FLOWS.iter().map(|flow| format!("{flow} without scripts")));
    done.sort();
    wanted.sort();
    assert_eq!(done, wanted, "every flow, with scripts and without");
    Ok(())
}
