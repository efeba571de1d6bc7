//! Rate limits as clients see them: each address, client and account has its own; several origins
//! share limits in Redis, and use local limits while Redis is down.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tollgate_tests::browser::Browser;
use tollgate_tests::client::TestClient;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::redis_server::RedisServer;
use tollgate_tests::users::PASSWORD;

/// Longest wait for a log line, on a busy machine.
const LOG_TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP client that sends from the address 127.0.0.`last`.
fn client_at(last: u8) -> Result<reqwest::Client> {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    Ok(reqwest::Client::builder().local_address(address).redirect(reqwest::redirect::Policy::none()).build()?)
}

fn header(answer: &Response, name: &str) -> Result<String> {
    let value = answer.headers().get(name).with_context(|| format!("no {name} in {:?}", answer.headers()))?;
    Ok(value.to_str()?.to_owned())
}

/// Repeats a request until it is refused with 429. Returns how many passed, and the refusal.
async fn until_refused(ask: impl AsyncFn() -> Result<Response>) -> Result<(u32, Response)> {
    for passed in 0..1000 {
        let answer = ask().await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Ok((passed, answer));
        }
    }
    anyhow::bail!("no 429 in a thousand requests")
}

#[tokio::test(flavor = "multi_thread")]
async fn address_limit_is_reported_in_ratelimit_headers() -> Result<()> {
    let settings = [("TOLLGATE_LIMIT_REQUESTS", "20/1h"), ("TOLLGATE_METRICS_PUBLIC", "true")];
    let origin = TestOrigin::start_with(&settings).await?;
    let (one, other, url) = (client_at(2)?, client_at(3)?, origin.server.url());
    let ask = async |http: &reqwest::Client, path: &str| -> Result<Response> {
        Ok(http.post(format!("{url}{path}")).form(&[("client_id", "nobody")]).send().await?)
    };

    let first = ask(&one, "/oauth/token").await?;
    assert_eq!(first.status(), 401);
    assert_eq!(header(&first, "ratelimit-policy")?, r#""requests";q=20;w=3600"#);
    assert_eq!(header(&first, "ratelimit")?, r#""requests";r=19;t=180"#);
    let (passed, refused) = until_refused(async || ask(&one, "/oauth/introspect").await).await?;
    assert_eq!(passed, 19);
    let wait: u64 = header(&refused, "retry-after")?.parse()?;
    assert!((1..=180).contains(&wait), "{wait}");
    assert!(header(&refused, "ratelimit")?.starts_with(r#""requests";r=0;t="#));
    let body: Value = refused.json().await?;
    assert_eq!(body["error"], "temporarily_unavailable");

    // The refusal has the endpoint's format, public documents stay available, and a forged
    // X-Forwarded-For is ignored.
    let problem = one.get(format!("{url}/admin/api/clients")).send().await?;
    assert_eq!(
        (problem.status().as_u16(), header(&problem, "content-type")?.as_str()),
        (429, "application/problem+json")
    );
    let page = one.get(format!("{url}/login")).send().await?;
    assert_eq!((page.status().as_u16(), header(&page, "content-type")?.as_str()), (429, "text/html; charset=utf-8"));
    assert!(page.headers().contains_key("retry-after") && page.headers().contains_key("content-security-policy"));
    for path in ["/health/live", "/.well-known/jwks.json", "/edge/v1/snapshot", "/metrics"] {
        assert_eq!(one.get(format!("{url}{path}")).send().await?.status(), 200, "{path}");
    }
    let pretending = one.post(format!("{url}/oauth/token")).header("x-forwarded-for", "192.0.2.1").send().await?;
    assert_eq!(pretending.status(), 429);
    assert_eq!(ask(&other, "/oauth/token").await?.status(), 401, "another address");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_forwarded_address_is_limited() -> Result<()> {
    let settings = [("TOLLGATE_LIMIT_REQUESTS", "3/1h"), ("TOLLGATE_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")];
    let origin = TestOrigin::start_with(&settings).await?;
    let (http, url) = (reqwest::Client::new(), format!("{}/oauth/token", origin.server.url()));
    let passes = async |forwarded: &str| -> Result<u32> {
        let ask = async || Ok(http.post(&url).header("x-forwarded-for", forwarded).send().await?);
        Ok(until_refused(ask).await?.0)
    };
    assert_eq!(passes("198.51.100.1").await?, 3);
    assert_eq!(passes("203.0.113.5, 198.51.100.2, 10.1.2.3").await?, 3, "the last address that is not a proxy");
    assert_eq!(
        passes("203.0.113.6, 198.51.100.2").await?,
        0,
        "entries to its left were set by the client and are not trusted"
    );
    assert_eq!(passes("2001:db8:1:2::1").await?, 3);
    assert_eq!(passes("2001:db8:1:2:ffff::2").await?, 0, "the same /64");
    assert_eq!(passes("2001:db8:1:3::1").await?, 3, "of another");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_limit_does_not_lock_out_the_right_secret() -> Result<()> {
    let settings = [("TOLLGATE_LIMIT_CLIENT", "5/1h"), ("TOLLGATE_LIMIT_CLIENT_SECRETS", "4/1h")];
    let origin = TestOrigin::start_with(&settings).await?;
    let (one, other) =
        (TestClient::register_with_cli(&origin, "one", &[])?, TestClient::register_with_cli(&origin, "other", &[])?);
    let form = [("grant_type", "client_credentials")];
    let (passed, refused) = until_refused(async || Ok(one.request("/oauth/token", &form).send().await?)).await?;
    assert_eq!((passed, header(&refused, "ratelimit-policy")?.as_str()), (5, r#""client";q=5;w=3600"#));
    assert!(refused.headers().contains_key("retry-after"));

    // Wrong secrets get 401, then 429; the right secret is still accepted.
    let url = format!("{}/oauth/token", origin.server.url());
    let wrong = async || Ok(other.http.post(&url).basic_auth(&other.id, Some("wrong")).form(&form).send().await?);
    let (passed, refused) = until_refused(wrong).await?;
    assert_eq!((passed, header(&refused, "ratelimit-policy")?.as_str()), (4, r#""client-secrets";q=4;w=3600"#));
    assert_eq!(other.request_tokens(&form).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_a_chosen_secret_are_limited_before_hashing() -> Result<()> {
    const CHOSEN: &str = "chosen by a person, and long";
    let origin = TestOrigin::start_with(&[("TOLLGATE_LIMIT_CLIENT_SECRETS", "3/1h")]).await?;
    let created =
        origin.cli_with(&["client", "create", "--json", "--name", "old", "--id", "old", "--secret-stdin"], CHOSEN)?;
    let created: Value = serde_json::from_str(&created)?;
    assert!(created.get("client_secret").is_none(), "a chosen secret is not returned: {created}");
    let (url, here, there) = (format!("{}/oauth/token", origin.server.url()), client_at(2)?, client_at(3)?);
    let token = async |http: &reqwest::Client, secret: &str| -> Result<u16> {
        let request = http.post(&url).basic_auth("old", Some(secret)).form(&[("grant_type", "client_credentials")]);
        Ok(request.send().await?.status().as_u16())
    };
    let before = origin.server.password_hasher().load().done;
    for _ in 0..20 {
        assert_eq!(token(&here, CHOSEN).await?, 200);
    }
    assert_eq!(origin.server.password_hasher().load().done, before + 1, "the secret is hashed once");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(token(&here, "chosen by another one").await?);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    let hashed = origin.server.password_hasher().load().done;
    assert_eq!(token(&here, "chosen by yet another").await?, 429);
    assert_eq!(origin.server.password_hasher().load().done, hashed, "a refused guess is not hashed");
    assert_eq!(token(&here, CHOSEN).await?, 200, "this origin has the secret in its cache");
    assert_eq!(token(&there, CHOSEN).await?, 200);
    // After a rotation the previous secret stays valid for a while.
    origin.cli_with(&["client", "rotate-secret", "old", "--secret-stdin"], "chosen a second time")?;
    assert_eq!((token(&there, "chosen a second time").await?, token(&there, CHOSEN).await?), (200, 200));
    origin.cli_with(&["client", "rotate-secret", "old", "--overlap", "0", "--secret-stdin"], "chosen a third time")?;
    assert_eq!((token(&there, "chosen a third time").await?, token(&there, CHOSEN).await?), (200, 401));
    Ok(())
}

/// A browser without cookies that sends from the address 127.0.0.`last`.
fn browser_at(origin: &TestOrigin, last: u8) -> Result<Browser> {
    Ok(Browser::with_client(&origin.server.url(), client_at(last)?))
}

/// Signs in without a session, but with the cookie of a known device if there is one. Returns
/// status and `Retry-After`.
async fn sign_in(origin: &TestOrigin, browser: &Browser, name: &str, password: &str) -> Result<(u16, Option<String>)> {
    browser.delete_cookie("tollgate");
    let url = origin.url("/login");
    let csrf = browser.send(browser.request(Method::GET, &url)).await?.field("csrf").context("a form")?;
    let form = [("csrf", csrf.as_str()), ("username", name), ("password", password)];
    let page = browser.send(browser.request(Method::POST, &url).form(&form)).await?;
    let wait = page.headers.get("retry-after").and_then(|wait| wait.to_str().ok()).map(str::to_owned);
    Ok((page.status, wait))
}

/// Tries wrong passwords until refused with 429. Returns the number of tries, and the seconds to
/// wait.
async fn guess_passwords(origin: &TestOrigin, browser: &Browser, name: &str) -> Result<(u32, u64)> {
    for tries in 0..20 {
        match sign_in(origin, browser, name, "wrong password").await? {
            (403, None) => {}
            (429, Some(wait)) => return Ok((tries, wait.parse()?)),
            other => anyhow::bail!("{name}: {other:?}"),
        }
    }
    anyhow::bail!("20 wrong passwords for {name} were not throttled")
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_throttled_and_the_user_can_still_sign_in() -> Result<()> {
    let origin = TestOrigin::start_with(&[("TOLLGATE_LIMIT_ACCOUNT", "12/1h")]).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let sign_in_as_alice =
        async |browser: &Browser| -> Result<u16> { Ok(sign_in(&origin, browser, "alice", PASSWORD).await?.0) };
    let alice = browser_at(&origin, 2)?;
    assert_eq!(sign_in_as_alice(&alice).await?, 303);
    assert_eq!(sign_in_as_alice(&browser_at(&origin, 3)?).await?, 303);

    // An attacker at the user's own address: five tries, then delays. The user's device is known.
    let neighbour = browser_at(&origin, 2)?;
    for name in ["alice", "nobody"] {
        let (tries, wait) = guess_passwords(&origin, &neighbour, name).await?;
        assert!(tries >= 5 && wait >= 1, "{name}: {tries} tries, then {wait} s");
    }
    assert_eq!(sign_in_as_alice(&alice).await?, 303);

    // Attackers at many addresses: unknown devices are refused, known ones are not.
    let mut refused = 0;
    for last in 10..20 {
        let attacker = browser_at(&origin, last)?;
        for _ in 0..3 {
            refused += u32::from(sign_in(&origin, &attacker, "alice", "wrong password").await?.0 == 429);
        }
    }
    assert!(refused >= 10, "{refused} of 30");
    assert_eq!(sign_in_as_alice(&browser_at(&origin, 21)?).await?, 429, "a new device at a new address");
    assert_eq!(sign_in_as_alice(&browser_at(&origin, 3)?).await?, 303, "a new device at a known address");
    let travelling = alice.with_other_client(client_at(22)?);
    assert_eq!(sign_in_as_alice(&travelling).await?, 303, "a known device at a new address");
    Ok(())
}

/// Number of requests that pass at these origins in turn, until one is refused.
async fn passed(http: &reqwest::Client, urls: &[&str]) -> Result<u32> {
    for nth in 0..200_usize {
        let url = urls[nth % urls.len()];
        if http.post(format!("{url}/oauth/token")).send().await?.status() == 429 {
            return Ok(u32::try_from(nth)?);
        }
    }
    anyhow::bail!("no 429 in 200 requests")
}

async fn until(what: &str, so: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !so()? {
        ensure!(began.elapsed() < LOG_TIMEOUT, "timed out waiting: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_share_limits_in_redis_and_use_local_limits_while_it_is_down() -> Result<()> {
    let (mut redis, mut one) = (RedisServer::start()?, OriginProcess::new(TestDatabase::postgres("limits").await?)?);
    let http = reqwest::Client::new();
    one.set("TOLLGATE_REDIS_URL", &redis.url());
    one.set("TOLLGATE_LIMIT_REQUESTS", "20/1h");
    one.start(&http).await?;
    let mut other = one.second_origin()?;
    other.start(&http).await?;
    let says = |served: &OriginProcess, words: &str| -> Result<usize> { Ok(served.log()?.matches(words).count()) };
    for served in [&one, &other] {
        until("shared", || Ok(says(served, "limits are shared in Redis")? == 1)).await?;
    }
    let urls = [one.url.clone(), other.url.clone()];
    let [first, second] = urls.each_ref().map(String::as_str);

    assert_eq!(passed(&client_at(2)?, &[first, second]).await?, 20, "one limit for both origins");
    assert_eq!(passed(&client_at(2)?, &[second]).await?, 0);

    redis.stop();
    // The first request finds that Redis is down; each origin then uses local limits, and logs that
    // once.
    assert_eq!(passed(&client_at(3)?, &[first]).await?, 20);
    assert_eq!(passed(&client_at(3)?, &[second]).await?, 20);
    assert_eq!(passed(&client_at(4)?, &[first, second]).await?, 40);
    for served in [&one, &other] {
        assert_eq!(says(served, "this origin uses local limits")?, 1, "{}", served.log()?);
    }

    redis.restart()?;
    for served in [&one, &other] {
        until("shared again", || Ok(says(served, "limits are shared in Redis")? == 2)).await?;
    }
    assert_eq!(passed(&client_at(5)?, &[first, second]).await?, 20);
    other.delete().await?;
    one.delete().await
}
