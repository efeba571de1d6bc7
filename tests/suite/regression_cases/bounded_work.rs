//! Work that requests cause is bounded, and leaves the server to others. It is counted, not timed.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tollgate_tests::client::TestClient;
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::recording_server::RecordingServer;
use tollgate_tests::regression_case::RegressionCase;

cases! {
    both {
        O5 o5_unknown_cors_origins_do_not_reload_clients,
        O34 o34_long_polls_leave_connections_for_other_requests,
    }
    once {
        O7 o7_jwks_uri_is_fetched_once_for_concurrent_requests,
        C11 c11_rsa_signatures_leave_the_runtime_to_other_requests,
    }
}

/// Value of a metric.
async fn metric(origin: &TestOrigin, name: &str) -> Result<u64> {
    let text = reqwest::get(format!("{}/metrics", origin.server.url())).await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.with_context(|| format!("no {name} in {text}"))
}

async fn o5_unknown_cors_origins_do_not_reload_clients(case: &RegressionCase) -> Result<()> {
    const READS: &str = "tollgate_allowed_origins_reads_total";
    let origin = case.origin(&[("TOLLGATE_METRICS_PUBLIC", "true")]).await?;
    let metadata = json!({ "redirect_uris": ["https://app.example/cb"], "grant_types": ["authorization_code"] });
    for number in 0..200 {
        TestClient::register(&origin, &format!("app-{number}"), metadata.clone()).await?;
    }
    let url = format!("{}/oauth/token", origin.server.url());
    let (http, until) = (reqwest::Client::new(), Instant::now() + Duration::from_secs(3));
    let attack = (0..50).map(|_| async {
        let mut count = 0_u32;
        while Instant::now() < until {
            let request = http.post(&url).header("origin", "https://nobody.example");
            let answer = request.form(&[("grant_type", "client_credentials")]).send().await?;
            ensure!(answer.status() == 401, "{}", answer.status());
            ensure!(!answer.headers().contains_key("access-control-allow-origin"), "no origin is allowed");
            count += 1;
        }
        Ok(count)
    });
    let answers = join_all(attack).await.into_iter().sum::<Result<u32>>()?;
    let reads = metric(&origin, READS).await?;
    assert_eq!(reads, 1, "clients are read once while nothing changes");
    case.report(format!("{answers} requests of an unknown origin, all clients read {reads} time"));

    // A change is found by one more read.
    let mut metadata = metadata;
    metadata["token_endpoint_auth_method"] = json!("none");
    TestClient::register(&origin, "new", metadata).await?;
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let asked = http.request(reqwest::Method::OPTIONS, &url).header("origin", "https://app.example");
        let answers = join_all((0..50).map(|_| {
            let asked = asked.try_clone().map(|asked| asked.header("access-control-request-method", "POST"));
            async { Ok::<_, anyhow::Error>(asked.context("a request")?.send().await?.status()) }
        }));
        if answers.await.into_iter().collect::<Result<Vec<_>>>()?.iter().all(|status| *status == 204) {
            break;
        }
        ensure!(Instant::now() < until, "the new client's origin is not allowed");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(metric(&origin, READS).await?, 2);
    Ok(())
}

async fn o7_jwks_uri_is_fetched_once_for_concurrent_requests(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let jws = format!("{}.{}.{}", part(json!({ "alg": "EdDSA" })), part(json!({})), URL_SAFE_NO_PAD.encode([1; 64]));
    let good =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    for (client, status, body) in [("failing", 500, String::new()), ("well", 200, good.to_string())] {
        let peer = RecordingServer::start(status, &body, Duration::from_millis(300)).await?;
        let metadata = json!({
            "redirect_uris": ["https://app.example/cb"], "grant_types": ["authorization_code"],
            "jwks_uri": format!("{}/keys", peer.url),
        });
        TestClient::register(&origin, client, metadata).await?;
        let url = format!("{}/oauth/authorize?client_id={client}&request={jws}", origin.server.url());
        // Requests that are cancelled do not start the fetch again.
        for _ in 0..20 {
            let _ = timeout(Duration::from_millis(5), http.get(&url).send()).await;
        }
        let begun = Instant::now();
        let asked = join_all((0..100).map(|_| async { Ok::<_, anyhow::Error>(http.get(&url).send().await?.status()) }));
        let answers = asked.await.into_iter().collect::<Result<Vec<_>>>()?;
        assert!(answers.iter().all(|status| *status == 303), "{answers:?}");
        let fetches = peer.requests().len();
        case.report(format!("120 requests with a signature, keys answer {status}: fetched {fetches} time(s)"));
        // After failures it is fetched again after 1, 2 and 4 seconds; a slow machine may take that
        // long.
        let seconds = usize::try_from(begun.elapsed().as_secs())?;
        assert!((1..=1 + seconds).contains(&fetches), "{fetches} in {seconds} seconds");
    }
    Ok(())
}

async fn o34_long_polls_leave_connections_for_other_requests(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_MAX_CONNECTIONS", "64"), ("TOLLGATE_METRICS_PUBLIC", "true")]).await?;
    let at = async |url: String| Ok::<_, anyhow::Error>(reqwest::Client::new().get(url).send().await?);
    let first = reqwest::get(format!("{}/edge/v1/snapshot", origin.server.url())).await?;
    assert_eq!(first.status(), 200);
    let url = format!("{}/edge/v1/deltas?after=0&wait=30", origin.server.url());
    let polls: Vec<_> = (0..64).map(|_| tokio::spawn(at(url.clone()))).collect();
    // Polls beyond the limit are answered immediately and free their connections.
    let until = Instant::now() + Duration::from_secs(20);
    while polls.iter().filter(|poll| poll.is_finished()).count() < 56 {
        ensure!(Instant::now() < until, "polls beyond the limit are waiting");
        sleep(Duration::from_millis(20)).await;
    }
    let waiting = metric(&origin, "tollgate_long_polls").await?;
    assert_eq!(waiting, 8, "one address may use an eighth of the connections");
    let form = [("grant_type", "client_credentials"), ("client_id", "nobody"), ("client_secret", "x")];
    let asked = reqwest::Client::new().post(format!("{}/oauth/token", origin.server.url())).form(&form).send();
    let answer = timeout(Duration::from_secs(20), asked).await.context("a token request is not answered")??;
    assert_eq!(answer.status(), 401);
    let (mut immediate, mut waits) = (0, Vec::new());
    for poll in polls {
        match poll.is_finished() {
            true => {
                let answer = poll.await??;
                assert_eq!((answer.status().as_u16(), answer.headers()["connection"].as_bytes()), (200, &b"close"[..]));
                immediate += 1;
            }
            false => waits.push(poll),
        }
    }
    case.report(format!(
        "64 polls of one address: {waiting} wait, {immediate} answered immediately; a token request is answered"
    ));
    waits.iter().for_each(tokio::task::JoinHandle::abort);
    // Cancelled polls free their place.
    let until = Instant::now() + Duration::from_secs(20);
    while metric(&origin, "tollgate_long_polls").await? > 0 {
        ensure!(Instant::now() < until, "cancelled polls still count");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn c11_rsa_signatures_leave_the_runtime_to_other_requests(case: &RegressionCase) -> Result<()> {
    const REQUESTS: usize = 64;
    let origin = case.origin(&[("TOLLGATE_LIMITS", "off")]).await?;
    let metadata = |alg: &str| json!({ "grant_types": ["client_credentials"], "scope": "read", "access_token_signed_response_alg": alg });
    let rs256 = TestClient::register(&origin, "rs256", metadata("RS256")).await?;
    let eddsa = TestClient::register(&origin, "eddsa", metadata("EdDSA")).await?;
    let form = [("grant_type", "client_credentials")];

    // Occupies every signing thread until `release` is dropped.
    let pool = origin.server.signing_pool();
    let workers = pool.load().workers;
    let (release, held): (Vec<mpsc::Sender<()>>, Vec<_>) = (0..workers).map(|_| mpsc::channel()).unzip();
    let holders = held.into_iter().map(|held| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.run(move || held.recv().is_err()).await })
    });
    let holders: Vec<_> = holders.collect();
    wait_until(|| pool.load().working == workers, "no signing thread is free").await?;
    let requests: Vec<_> = (0..REQUESTS).map(|_| tokio::spawn(rs256.request("/oauth/token", &form).send())).collect();
    wait_until(|| pool.load().queued == REQUESTS, "all RSA signatures are queued").await?;

    assert_eq!(reqwest::get(origin.url("/health/live")).await?.status(), 200);
    eddsa.request_tokens(&form).await?.success()?;
    assert_eq!(pool.load().queued, REQUESTS, "others are answered while no RSA signature is made");

    drop(release);
    for holder in holders {
        ensure!(holder.await??, "the thread was occupied until it was released");
    }
    let jwks: Value = reqwest::get(origin.url("/.well-known/jwks.json")).await?.json().await?;
    for request in requests {
        let answer = request.await??;
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await?;
        verify_rs256(answer["access_token"].as_str().context("access_token")?, &jwks, &origin)?;
    }
    assert_eq!(pool.load().refused, 0);
    case.report(format!("others answered while {REQUESTS} RSA signatures were queued"));
    Ok(())
}

/// Waits for a state that comes without further requests.
async fn wait_until(is_reached: impl Fn() -> bool, state: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_reached() {
        ensure!(Instant::now() < until, "not reached: {state}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Verifies a token with the RSA implementation of another library.
fn verify_rs256(token: &str, jwks: &Value, origin: &TestOrigin) -> Result<()> {
    let kid = jsonwebtoken::decode_header(token)?.kid.context("kid")?;
    let mut keys = jwks["keys"].as_array().context("keys")?.iter();
    let key = keys.find(|key| key["kid"] == kid.as_str()).context("the JWK set has the key")?;
    let member = |name: &str| key[name].as_str().context("a member of an RSA key");
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[origin.server.issuer()]);
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_rsa_components(member("n")?, member("e")?)?, &rules)?;
    Ok(())
}
