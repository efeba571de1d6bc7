//! Ending sessions, grants and users revokes their tokens and notifies clients.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tollgate_system::ambient;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::parties::{LogoutListener, Partner, RelyingParty, Tokens, admin_token, register_user};
use tollgate_tests::regression_case::RegressionCase;

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

/// An origin with the client `app`, which receives logout tokens, and its user alice.
struct Fixture {
    origin: TestOrigin,
    heard: LogoutListener,
    app: RelyingParty,
    alice: Person,
}

impl Fixture {
    async fn start(case: &RegressionCase) -> Result<Self> {
        let (origin, heard) = (case.origin(&[]).await?, LogoutListener::start().await?);
        let more = json!({
            "backchannel_logout_uri": heard.url,
            "first_party": true,
            "post_logout_redirect_uris": ["https://app.example/bye"],
        });
        let app = RelyingParty::register(&origin, "app", &more).await?;
        let (_, alice) = register_user(&origin, "alice", false).await?;
        Ok(Self { origin, heard, app, alice })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin.server.url())
    }

    fn browser(&self) -> Result<Browser> {
        Browser::new(&self.origin.server.url())
    }

    /// Tokens granted in a browser after signing in again.
    async fn sign_in_again(&self, browser: &mut Browser, person: &Person) -> Result<Tokens> {
        self.app.tokens(browser, person, "openid read", &[("prompt", "login")]).await
    }

    async fn refreshes(&self, tokens: &Tokens) -> Result<u16> {
        Ok(self.app.refresh(&tokens.refresh).await?.0)
    }
}

async fn o3_sign_out_revokes_grants_from_before_signing_in_again(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let (_, bob) = register_user(&fixture.origin, "bob", false).await?;
    let mut browser = fixture.browser()?;
    let first = fixture.app.tokens(&mut browser, &fixture.alice, "openid read", &[]).await?;
    let second = fixture.sign_in_again(&mut browser, &fixture.alice).await?;
    browser.submit_form(&fixture.url("/logout"), &[]).await?;
    let notified = fixture.heard.heard(&fixture.origin).await?;
    let answers = (fixture.refreshes(&first).await?, fixture.refreshes(&second).await?);
    let are_notified = (notified.contains(&first.sid), notified.contains(&second.sid));
    case.report(format!(
        "same user: R1 {}, R2 {}, notified of R1 {}, of R2 {}",
        answers.0, answers.1, are_notified.0, are_notified.1
    ));
    assert_eq!((answers, are_notified), ((400, 400), (true, true)));

    let alices = fixture.app.tokens(&mut browser, &fixture.alice, "openid read", &[]).await?;
    let bobs = fixture.sign_in_again(&mut browser, &bob).await?;
    let notified = fixture.heard.heard(&fixture.origin).await?;
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
    let admin = admin_token(&fixture.origin).await?;
    let partner = Partner::register(&fixture.origin, "partner", &json!({})).await?;
    let (carol, person) = register_user(&fixture.origin, "carol", false).await?;
    let tokens = fixture.app.tokens(&mut fixture.browser()?, &person, "openid read", &[]).await?;
    let vouched = Tokens::read(&partner.vouch("carol").await?.1)?;
    let disable = || {
        let url = fixture.url(&format!("/admin/api/users/{carol}"));
        reqwest::Client::new().request(Method::DELETE, url).bearer_auth(&admin)
    };

    let lock = case.lock(&fixture.origin, "SELECT * FROM feed FOR UPDATE").await?;
    let gone = disable().timeout(Duration::from_millis(500)).send().await;
    ensure!(gone.is_err(), "the request should have been cancelled");
    tokio::time::sleep(Duration::from_millis(300)).await;
    lock.release().await?;
    let store = fixture.origin.server.store();
    let is_active = store.user(&carol).await?.context("carol")?.is_active();
    let (status, body) = fixture.app.refresh(&tokens.refresh).await?;
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
        partner.vouch("carol").await?.0,
    );
    case.report(format!("disabled: refresh {}, vouched token active {}, another {}", answers.0, answers.1, answers.2));
    assert_eq!(answers, (400, false, 400));

    let (dave, person) = register_user(&fixture.origin, "dave", false).await?;
    let tokens = fixture.app.tokens(&mut fixture.browser()?, &person, "openid read", &[]).await?;
    let left_behind = format!("UPDATE users SET disabled_at = {} WHERE id = '{dave}'", ambient::now());
    case.execute(&fixture.origin, &left_behind).await?;
    let status = fixture.refreshes(&tokens).await?;
    case.report(format!("disabled, with a grant that an older version left: refresh {status}"));
    assert_eq!(status, 400);
    Ok(())
}

async fn o11_cross_site_logout_form_needs_an_id_token_hint(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let mut browser = fixture.browser()?;
    let tokens = fixture.app.tokens(&mut browser, &fixture.alice, "openid read", &[]).await?;
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

    let tokens = fixture.app.tokens(&mut browser, &fixture.alice, "openid read", &[]).await?;
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
    let is_notified = fixture.heard.heard(&fixture.origin).await?.contains(&tokens.sid);
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
    let mut browser = fixture.browser()?;
    let first = fixture.app.tokens(&mut browser, &fixture.alice, "openid read", &[]).await?;
    for _ in 0..200 {
        let page = fixture.app.authorize(&mut browser, &fixture.alice, "openid read", &[("prompt", "none")]).await?;
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
    let (status, notified) = (fixture.refreshes(&first).await?, fixture.heard.heard(&fixture.origin).await?.len());
    let left = browser.open(&fixture.url("/account/sessions")).await?.body.contains("Revoke all");
    case.report(format!("R1 listed {is_listed}, on page {pages}; after \"revoke all\": refresh {status}, notified of {notified}, more to revoke {left}"));
    assert_eq!((is_listed, status, notified, left), (true, 400, 201, false));
    Ok(())
}

async fn o33_password_reset_revokes_grants(case: &RegressionCase) -> Result<()> {
    let fixture = Fixture::start(case).await?;
    let admin = admin_token(&fixture.origin).await?;
    let (carol, person) = register_user(&fixture.origin, "carol", false).await?;
    let mut browser = fixture.browser()?;
    let tokens = fixture.app.tokens(&mut browser, &person, "openid read", &[]).await?;
    let request = reqwest::Client::new().put(fixture.url(&format!("/admin/api/users/{carol}/password")));
    let answer = request.bearer_auth(&admin).json(&json!({ "password": "another battery" })).send().await?;
    ensure!(answer.status() == 204, "{}", answer.status());
    let is_out = browser.open(&fixture.url("/account/sessions")).await?.body.contains("type=\"password\"");
    let (refresh, access) = (fixture.refreshes(&tokens).await?, fixture.app.is_active(&tokens.access).await?);
    let is_notified = fixture.heard.heard(&fixture.origin).await?.contains(&tokens.sid);
    case.report(format!(
        "signed out {is_out}, refresh {refresh}, access token active {access}, notified {is_notified}"
    ));
    assert_eq!((is_out, refresh, access, is_notified), (true, 400, false, true));
    Ok(())
}
