//! People with a real Chromium. What they do stands in tests/browser; that they did all of it, here.

use anyhow::Result;
use tollgate_tests::browser_flows::BrowserFlows;

/// Each works in a window whose pages may run scripts, and in one whose pages may not.
const FLOWS: [&str; 19] = [
    "sign_in",
    "limited",
    "by_keyboard",
    "lost",
    "sign_out",
    "other_browsers",
    "register",
    "change_password",
    "web_client",
    "web_client_denied",
    "revoked",
    "remembered",
    "device_example",
    "device_denied",
    "tollgate_login",
    "console_pages",
    "console_client",
    "console_user",
    "refused_at_the_console",
];
/// Clients that are themselves scripts.
const SCRIPTS: [&str; 1] = ["single_page"];

#[tokio::test(flavor = "multi_thread")]
async fn people_do_in_a_browser_what_they_came_for() -> Result<()> {
    let plain: Vec<String> = FLOWS.iter().map(|flow| format!("{flow}_plain")).collect();
    let people: Vec<String> = FLOWS.iter().chain(&SCRIPTS).map(ToString::to_string).chain(plain).collect();
    let flows = BrowserFlows::start(&people).await?;
    let mut done = tokio::task::block_in_place(|| flows.run())?;
    let mut wanted: Vec<String> = FLOWS.iter().chain(&SCRIPTS).map(ToString::to_string).collect();
    wanted.extend(FLOWS.iter().map(|flow| format!("{flow} without scripts")));
    done.sort();
    wanted.sort();
    assert_eq!(done, wanted, "every flow, with scripts and without");
    Ok(())
}
