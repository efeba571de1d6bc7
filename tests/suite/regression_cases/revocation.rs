//! Ending sessions, grants and users revokes their tokens and notifies clients.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tollgate_system::Clock;
use tollgate_tests::admin_client::AdminClient;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{Answer, TestClient, Tokens};
use tollgate_tests::logout_listener::LogoutListener;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::partner::Partner;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::register_user;

cases! {
    both {
        O3 o3_sign_out_revokes_grants_from_before_signing_in_again,
        O4 o4_disabling_a_user_is_atomic,
        O11 o11_cross_site_logout_form_needs_an_id_token_hint,
        O12 o12_revoke_all_includes_grants_on_later_pages,
        O33 o33_password_reset_revokes_grants,
    }
    once {}
}

const SCOPE: [(&str, &str); 1] = [("scope", "openid read")];

/// An origin with the client `app`, which receives logout tokens, and its user alice.
struct Fixture {
    origin: TestOrigin,
    listener: LogoutListener,
    app: TestClient,
    alice: Person,
}

impl Fixture {
    async fn start(case: &RegressionCase) -> Result<Self> {
        let (origin, listener) = (case.origin(&[]).await?, LogoutListener::start().await?);
        let changes = json!({
            "backchannel_logout_uri": listener.url,
            "first_party": true,
            "post_logout_redirect_uris": ["https://app.example/bye"],
        });
        let app = TestClient::register_web_app(&origin, "app", &changes).await?;
        let (_, alice) = register_user(&origin, "alice").await?;
        Ok(Self { origin, listener, app, alice })
    }

    fn url(&self, path: &str) -> String {
        self.origin.url(path)
    }

    fn browser(&self) -> Result<Browser> {
        Browser::new(&self.origin.server.url())
    }

    /// Tokens granted in a browser after signing in again.
    async fn sign_in_again(&self, browser: &Browser, person: &Person) -> Result<Tokens> {
        self.app.user_tokens(browser, person, &[SCOPE[0], ("prompt", "login")]).await
    }

    async fn refreshes(&self, tokens: &Tokens) -> Result<u16> {
        Ok(self.app.refresh(&tokens.refresh).await?.status)
    }
}

async fn o3_sign_out_revokes_grants_from_before_signing_in_again(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let (_, bob) = register_user(&fixture.origin, "bob").await?;
    let browser = fixture.browser()?;
    let first = fixture.app.user_tokens(&browser, &fixture.alice, &SCOPE).await?;
    let second = fixture.sign_in_again(&browser, &fixture.alice).await?;
    browser.submit_form(&fixture.url("/logout"), &[]).await?;
    let notified = fixture.listener.notified_grants(&fixture.origin).await?;
    let answers = (fixture.refreshes(&first).await?, fixture.refreshes(&second).await?);
    let are_notified = (notified.contains(&first.sid), notified.contains(&second.sid));
    case.report(format!(
        "same user: R1 {}, R2 {}, notified of R1 {}, of R2 {}",
        answers.0, answers.1, are_notified.0, are_notified.1
    ));
    assert_eq!((answers, are_notified), ((400, 400), (true, true)));

    let alices = fixture.app.user_tokens(&browser, &fixture.alice, &SCOPE).await?;
    let bobs = fixture.sign_in_again(&browser, &bob).await?;
    let notified = fixture.listener.notified_grants(&fixture.origin).await?;
    let answers = (fixture.refreshes(&alices).await?, fixture.refreshes(&bobs).await?);
    let are_notified = (notified.contains(&alices.sid), notified.contains(&bobs.sid));
    case.report(format!(
        "another user: R1 {}, R2 {}, notified of R1 {}, of R2 {}",
        answers.0, answers.1, are_notified.0, are_notified.1
    ));
    assert_eq!((answers, are_notified), ((400, 200), (true, false)));
    Ok(())
}

async fn o4_disabling_a_user_is_atomic(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let admin = AdminClient::register(&fixture.origin, "operator").await?;
    let partner = Partner::register(&fixture.origin, "partner", &json!({})).await?;
    let (carol, person) = register_user(&fixture.origin, "carol").await?;
    let tokens = fixture.app.user_tokens(&fixture.browser()?, &person, &SCOPE).await?;
    let vouched = Tokens::read(&partner.vouch("carol").await?.body)?;
    let disable = || admin.request(Method::DELETE, &format!("/users/{carol}"));

    let lock = case.lock(&fixture.origin, "SELECT * FROM feed FOR UPDATE").await?;
    let gone = disable().timeout(Duration::from_millis(500)).send().await;
    ensure!(gone.is_err(), "the request should have been cancelled");
    tokio::time::sleep(Duration::from_millis(300)).await;
    lock.release().await?;
    let store = fixture.origin.server.store();
    let is_active = store.find_user(&carol).await?.context("carol")?.is_active();
    let Answer { status, body } = fixture.app.refresh(&tokens.refresh).await?;
    let vouched_is_active = partner.client.is_active(&vouched.access).await?;
    case.report(format!(
        "request cancelled: user active {is_active}, refresh {status}, vouched token active {vouched_is_active}"
    ));
    ensure!((status == 200) == is_active && vouched_is_active == is_active, "disabling was not atomic");
    ensure!(is_active, "a cancelled request must not disable the user");

    let tokens = Tokens::read(&body)?;
    let answer = disable().send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let answers = (
        fixture.refreshes(&tokens).await?,
        partner.client.is_active(&vouched.access).await?,
        partner.vouch("carol").await?.status,
    );
    case.report(format!("disabled: refresh {}, vouched token active {}, another {}", answers.0, answers.1, answers.2));
    assert_eq!(answers, (400, false, 400));

    let (dave, person) = register_user(&fixture.origin, "dave").await?;
    let tokens = fixture.app.user_tokens(&fixture.browser()?, &person, &SCOPE).await?;
    let left_behind = format!("UPDATE users SET disabled_at = {} WHERE id = '{dave}'", Clock::system().now());
    case.execute(&fixture.origin, &left_behind).await?;
    let status = fixture.refreshes(&tokens).await?;
    case.report(format!("disabled, with a grant that an older version left: refresh {status}"));
    assert_eq!(status, 400);
    Ok(())
}

async fn o11_cross_site_logout_form_needs_an_id_token_hint(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let browser = fixture.browser()?;
    let tokens = fixture.app.user_tokens(&browser, &fixture.alice, &SCOPE).await?;
    let (http, url) =
        (reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?, fixture.url("/oauth/logout"));

    // Browsers send no cookie with a form of another site.
    let answer = http.post(&url).form(&[("client_id", "app"), ("state", "s")]).send().await?;
    let (status, cookies) = (answer.status().as_u16(), answer.headers().get_all("set-cookie").iter().count());
    let location = answer.headers().get("location").context("a redirect")?.to_str()?.to_owned();
    let page = browser.open(&location).await?;
    let asks = page.body.contains("name=\"csrf\"") && page.body.contains("alice");
    let lives = fixture.refreshes(&tokens).await?;
    case.report(format!(
        "without a hint: {status} to {location}, {cookies} cookies set, which asks {asks}; refresh {lives}"
    ));
    assert_eq!((status, cookies, asks, lives), (303, 0, true, 200));

    let tokens = fixture.app.user_tokens(&browser, &fixture.alice, &SCOPE).await?;
    let form = [
        ("id_token_hint", tokens.id.as_str()),
        ("post_logout_redirect_uri", "https://app.example/bye"),
        ("state", "s"),
    ];
    let answer = http.post(&url).form(&form).send().await?;
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").context("a redirect")?.to_str()?.to_owned();
    let is_out = browser.open(&fixture.url("/account/sessions")).await?.body.contains("type=\"password\"");
    let refresh = fixture.refreshes(&tokens).await?;
    let is_notified = fixture.listener.notified_grants(&fixture.origin).await?.contains(&tokens.sid);
    case.report(format!(
        "with a hint: {status} to {location}; signed out {is_out}, refresh {refresh}, notified {is_notified}"
    ));
    assert_eq!(
        (status, location.as_str(), is_out, refresh, is_notified),
        (303, "https://app.example/bye?state=s", true, 400, true)
    );
    Ok(())
}

async fn o12_revoke_all_includes_grants_on_later_pages(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let browser = fixture.browser()?;
    let first = fixture.app.user_tokens(&browser, &fixture.alice, &SCOPE).await?;
    for _ in 0..200 {
        let page = fixture.app.authorize(&browser, &fixture.alice, &[SCOPE[0], ("prompt", "none")]).await?;
        ensure!(page.parameter("code").is_some(), "{} {}", page.status, page.body);
    }
    let (mut pages, mut next) = (0, fixture.url("/account/sessions"));
    let is_listed = loop {
        let page = browser.open(&next).await?;
        pages += 1;
        if page.body.contains(&first.sid) {
            break true;
        }
        let Some(link) = page.body.split("/account/sessions?after=").nth(1) else { break false };
        let after = link.split('"').next().context("a link")?;
        next = fixture.url(&format!("/account/sessions?after={after}"));
    };
    browser.submit_form(&fixture.url("/account/sessions"), &[("end", "all")]).await?;
    let (status, notified) =
        (fixture.refreshes(&first).await?, fixture.listener.notified_grants(&fixture.origin).await?.len());
    let left = browser.open(&fixture.url("/account/sessions")).await?.body.contains("Revoke all");
    case.report(format!("R1 listed {is_listed}, on page {pages}; after \"revoke all\": refresh {status}, notified of {notified}, more to revoke {left}"));
    assert_eq!((is_listed, status, notified, left), (true, 400, 201, false));
    Ok(())
}

async fn o33_password_reset_revokes_grants(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let admin = AdminClient::register(&fixture.origin, "operator").await?;
    let (carol, person) = register_user(&fixture.origin, "carol").await?;
    let browser = fixture.browser()?;
    let tokens = fixture.app.user_tokens(&browser, &person, &SCOPE).await?;
    let password = json!({ "password": "another battery" });
    let answer = admin.send(Method::PUT, &format!("/users/{carol}/password"), &password).await?;
    ensure!(answer.status == 204, "{}", answer.status);
    let is_out = browser.open(&fixture.url("/account/sessions")).await?.body.contains("type=\"password\"");
    let (refresh, access) = (fixture.refreshes(&tokens).await?, fixture.app.is_active(&tokens.access).await?);
    let is_notified = fixture.listener.notified_grants(&fixture.origin).await?.contains(&tokens.sid);
    case.report(format!(
        "signed out {is_out}, refresh {refresh}, access token active {access}, notified {is_notified}"
    ));
    assert_eq!((is_out, refresh, access, is_notified), (true, 400, false, true));
    Ok(())
}
