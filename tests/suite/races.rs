//! What may be used once is used once, however many ask at the same moment; and nobody is answered with our own trouble.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::stack::Origin;

/// How many ask at once.
const CROWD: usize = 20;
const PASSWORD: &str = "correct horse battery staple";
/// RFC 7636 appendix B
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

struct Crowd {
    origin: Origin,
    http: reqwest::Client,
}

impl Crowd {
    async fn start() -> Result<Self> {
        let origin = Origin::start().await?;
        origin.user("alice", PASSWORD, &json!({}))?;
        let app = json!({
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token", DEVICE],
            "redirect_uris": ["https://app.example/cb"],
            "scope": "read",
        });
        origin.client("app", &app)?;
        Ok(Self { origin, http: reqwest::Client::new() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin.server.url())
    }

    async fn code(&self) -> Result<String> {
        let mut url = reqwest::Url::parse(&self.url("/oauth/authorize"))?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", "https://app.example/cb"),
            ("scope", "read"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let mut browser = Browser::new(&self.origin.server.url())?;
        let page = browser.visit(url.as_str(), &Person::new("alice", PASSWORD)).await?;
        page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))
    }

    async fn ask(&self, form: &[(&str, &str)]) -> Result<(u16, Value)> {
        let answer = self.http.post(self.url("/oauth/token")).form(form).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    async fn redeem(&self, code: &str) -> Result<(u16, Value)> {
        let redirect = ("redirect_uri", "https://app.example/cb");
        let form = [("grant_type", "authorization_code"), ("client_id", "app"), ("code", code), redirect];
        self.ask(&[&form[..], &[("code_verifier", VERIFIER)]].concat()).await
    }

    async fn refresh(&self, token: &str) -> Result<(u16, Value)> {
        self.ask(&[("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", token)]).await
    }
}

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
    let crowd = Crowd::start().await?;
    let code = crowd.code().await?;
    let tokens = one_success(join_all((0..CROWD).map(|_| crowd.redeem(&code))).await)?;
    let (status, body) = crowd.refresh(tokens["refresh_token"].as_str().context("a refresh token")?).await?;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "nineteen replays end what the code gave");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_is_redeemed_once() -> Result<()> {
    let crowd = Crowd::start().await?;
    let form = [("client_id", "app"), ("scope", "read")];
    let started: Value = crowd.http.post(crowd.url("/oauth/device/code")).form(&form).send().await?.json().await?;
    let text = |name: &str| started[name].as_str().map(str::to_owned).context("a text");
    let person = Person { user_code: Some(text("user_code")?), ..Person::new("alice", PASSWORD) };
    Browser::new(&crowd.origin.server.url())?.visit(&crowd.url("/device"), &person).await?;
    let device_code = text("device_code")?;
    let form = [("grant_type", DEVICE), ("client_id", "app"), ("device_code", device_code.as_str())];
    let answers = join_all((0..CROWD).map(|_| crowd.ask(&form))).await;
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
    let crowd = Crowd::start().await?;
    let (_, tokens) = crowd.redeem(&crowd.code().await?).await?;
    let first = tokens["refresh_token"].as_str().context("a refresh token")?;
    let mut successors = Vec::new();
    for answer in join_all((0..CROWD).map(|_| crowd.refresh(first))).await {
        let (status, body) = answer?;
        ensure!(status == 200, "{status} {body}");
        successors.push(body["refresh_token"].as_str().context("a refresh token")?.to_owned());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "two tabs, or twenty, hold one and the same token");
    assert_ne!(successors[0], first);
    let (status, body) = crowd.refresh(&successors[0]).await?;
    assert_eq!(status, 200, "{body}");
    Ok(())
}
