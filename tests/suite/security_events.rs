//! What external verifiers and receivers get: status lists, and security event tokens by push and
//! poll.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use tollgate_model::status_list::StatusClaim;
use tollgate_model::{AccessToken, Actor, NewReinstatement, NewRevocation, RevocationSelector, Target, TokenDraft};
use tollgate_services::status_lists::StatusListToken;
use tollgate_tests::client::TestClient;
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const TOKEN_CLAIMS_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/token-claims-change";
/// Longest wait for events, on a busy machine.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

async fn revoke(origin: &TestOrigin, target: Target) -> Result<()> {
    let revoke = NewRevocation::any(target, Actor::command_line(None), None, now() + 1)?;
    ensure!(origin.server.store().revoke(revoke).await?.is_new_to_edges);
    Ok(())
}

async fn reinstate(origin: &TestOrigin, target: Target) -> Result<()> {
    let (selector, by) = (RevocationSelector::Target(target), Actor::command_line(None));
    let reinstated =
        origin.server.store().reinstate(NewReinstatement { selector, by, reason: None, at: now() + 1 }).await?;
    ensure!(reinstated.is_new_to_edges);
    Ok(())
}

/// Records an access token that every kind of revocation applies to.
async fn issue_token(origin: &TestOrigin, client: &TestClient, random: u8) -> Result<AccessToken> {
    let draft = TokenDraft {
        unique: [random; 14],
        client: client.id.parse()?,
        subject: "ann".to_owned(),
        session: Some("s1".to_owned()),
        details: tollgate_model::TokenDetails::default(),
        opaque: None,
        key_id: "k1".to_owned(),
        scope: tollgate_model::Scope::parse("")?,
        audience: AUDIENCE.parse()?,
        issued_at: now(),
        expires_at: now() + 3600,
    };
    Ok(origin.server.store().issue(draft).await?)
}

async fn jwks(origin: &TestOrigin) -> Result<Vec<u8>> {
    Ok(reqwest::get(format!("{}/.well-known/jwks.json", origin.server.url())).await?.bytes().await?.to_vec())
}

/// Fetches a status list, verifies it as a verifier does, and returns the token's status.
async fn status(origin: &TestOrigin, status_claim: &StatusClaim) -> Result<u8> {
    let answer = reqwest::get(&status_claim.status_list.uri).await?;
    ensure!(answer.status() == 200, "the list answered {}", answer.status());
    ensure!(answer.headers()["content-type"] == "application/statuslist+jwt");
    let list = StatusListToken::signed_by(&jwks(origin).await?, &answer.bytes().await?)?;
    ensure!(list.subject == status_claim.status_list.uri && list.issuer.as_deref() == Some(origin.server.issuer()));
    ensure!(list.issued_at <= now() && list.expires_at.is_some_and(|at| at > now()) && list.ttl.is_some());
    list.list.status(status_claim.status_list.idx).context("the index is in the list")
}

fn part(token: &str, number: usize) -> Result<Value> {
    let part = token.split('.').nth(number).context("a part")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_list_follows_every_kind_of_revocation_and_reinstatement() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let client = TestClient::register_with_cli(&origin, "status", &[])?;
    let token = issue_token(&origin, &client, 1).await?;
    let status_claim = StatusClaim::of_token(origin.server.issuer(), token.number);
    assert_eq!(status(&origin, &status_claim).await?, 0);
    let jti = token.id.to_string();
    for target in [
        Target::Token(jti),
        Target::Session("s1".to_owned()),
        Target::Subject("ann".to_owned()),
        Target::Client(client.id.clone()),
        Target::Key("k1".to_owned()),
        Target::Before(token.issued_at + 1),
    ] {
        revoke(&origin, target.clone()).await.with_context(|| target.to_string())?;
        assert_eq!(status(&origin, &status_claim).await?, 1, "{target}");
        reinstate(&origin, target.clone()).await.with_context(|| target.to_string())?;
        assert_eq!(status(&origin, &status_claim).await?, 0, "{target}");
    }
    // A group's revocation does not apply to tokens issued later.
    revoke(&origin, Target::Client(client.id.clone())).await?;
    let later = issue_token(&origin, &client, 2).await?;
    assert_eq!(status(&origin, &status_claim).await?, 1);
    assert_eq!(status(&origin, &StatusClaim::of_token(origin.server.issuer(), later.number)).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn access_token_contains_its_status_claim() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let client = TestClient::register_with_cli(&origin, "status", &[])?;
    let token = client.token("").await?;
    let status_claim: StatusClaim = serde_json::from_value(part(&token, 1)?["status"].clone())?;
    assert_eq!(status(&origin, &status_claim).await?, 0);
    let said = |command_line: String| serde_json::from_str::<Value>(&command_line);
    assert_eq!(said(origin.cli(&["token", "status", &token, "--json"])?)?["status"], "valid");
    client.revoke(&token).await?;
    assert_eq!(status(&origin, &status_claim).await?, 1);
    assert_eq!(said(origin.cli(&["token", "status", &token, "--json"])?)?["status"], "revoked");
    // The introspection response has no status claim: its reader needs no status list.
    let other = client.token("").await?;
    assert!(client.introspect(&other).await?.get("status").is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_list_is_served_as_the_draft_requires() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let url = |path: &str| format!("{}{path}", origin.server.url());
    let http = reqwest::Client::builder().gzip(false).build()?;
    assert_eq!(reqwest::get(url("/oauth/status/0")).await?.status(), 404, "no token has an index in it");
    let none: Value = reqwest::get(url("/oauth/status")).await?.json().await?;
    assert_eq!(none, json!({ "status_lists": [] }));

    let client = TestClient::register_with_cli(&origin, "status", &[])?;
    client.token("").await?;
    let all: Value = reqwest::get(url("/oauth/status")).await?.json().await?;
    assert_eq!(all, json!({ "status_lists": [format!("{}/oauth/status/0", origin.server.issuer())] }));
    let metadata: Value = reqwest::get(url("/.well-known/oauth-authorization-server")).await?.json().await?;
    assert_eq!(metadata["status_list_aggregation_endpoint"], url("/oauth/status"));

    let first = http.get(url("/oauth/status/0")).send().await?;
    assert_eq!((first.status().as_u16(), &first.headers()["cache-control"]), (200, &"public, max-age=30".parse()?));
    assert_eq!(first.headers()["access-control-allow-origin"], "*");
    let etag = first.headers()["etag"].clone();
    let token = first.text().await?;
    let (header, claims) = (part(&token, 0)?, part(&token, 1)?);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("statuslist+jwt"), &json!("EdDSA")));
    assert_eq!((&claims["status_list"]["bits"], &claims["ttl"]), (&json!(1), &json!(30)));
    let again = http.get(url("/oauth/status/0")).header("if-none-match", etag).send().await?;
    assert_eq!((again.status().as_u16(), again.bytes().await?.len()), (304, 0));

    let status = async |path: &str, accept: &str| -> Result<u16> {
        Ok(http.get(url(path)).header("accept", accept).send().await?.status().as_u16())
    };
    assert_eq!(status("/oauth/status/0", "application/statuslist+jwt").await?, 200);
    assert_eq!(status("/oauth/status/0", "application/statuslist+cwt").await?, 406);
    assert_eq!(status("/oauth/status/0?time=1", "*/*").await?, 501);
    for path in ["/oauth/status/1", "/oauth/status/00", "/oauth/status/x", "/oauth/status/-1"] {
        assert_eq!(status(path, "*/*").await?, 404, "{path}");
    }
    Ok(())
}

/// Verifies a security event token against the JWK set, and returns its claims.
fn verified_event(token: &str, jwks: &[u8]) -> Result<Value> {
    let header = part(token, 0)?;
    ensure!(header["typ"] == "secevent+jwt" && header["alg"] == "EdDSA", "{header}");
    let jwks: Value = serde_json::from_slice(jwks)?;
    let keys = jwks["keys"].as_array().context("keys")?;
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).context("the key")?;
    let x = URL_SAFE_NO_PAD.decode(key["x"].as_str().context("x")?)?;
    let key = VerifyingKey::from_bytes(&x.try_into().ok().context("32 bytes")?)?;
    let (signed, signature) = token.rsplit_once('.').context("a signature")?;
    key.verify_strict(signed.as_bytes(), &Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature)?)?)?;
    let claims = part(token, 1)?;
    ensure!(claims.get("sub").is_none() && claims.get("exp").is_none(), "SSF forbids both");
    Ok(claims)
}

/// The token's only event type.
fn event_type(claims: &Value) -> Result<&str> {
    let events = claims["events"].as_object().context("events")?;
    ensure!(events.len() == 1);
    Ok(events.keys().next().context("an event")?)
}

#[derive(Default)]
struct Received {
    /// Token and `Authorization` of every request.
    requests: Vec<(String, String)>,
    /// Tokens that were answered with 202.
    accepted: Vec<String>,
    /// Responses to the next requests, the last one first.
    answers: Vec<(u16, Value)>,
}

/// A receiver of pushed events: an HTTP server.
struct PushReceiver {
    url: String,
    received: Arc<Mutex<Received>>,
}

impl PushReceiver {
    /// Starts a receiver that gives these responses to the first requests and 202 to all others.
    async fn start(answers: &[(u16, Value)]) -> Result<Self> {
        let answers = answers.iter().rev().cloned().collect();
        let received = Arc::new(Mutex::new(Received { answers, ..Received::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/events", listener.local_addr()?);
        let app = Router::new().route("/events", post(receive)).with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, received })
    }

    /// Waits until this many events were accepted.
    async fn accepted(&self, count: usize) -> Result<Vec<String>> {
        let started = Instant::now();
        loop {
            let accepted = self.received.lock().expect("no panic").accepted.clone();
            if accepted.len() >= count {
                return Ok(accepted);
            }
            ensure!(started.elapsed() < DELIVERY_TIMEOUT, "only {} of {count} events came", accepted.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    token: String,
) -> (StatusCode, Json<Value>) {
    let mut received = received.lock().expect("no panic");
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let right = text("content-type") == "application/secevent+jwt" && text("accept") == "application/json";
    received.requests.push((token.clone(), text("authorization")));
    let (status, body) = received.answers.pop().unwrap_or((202, Value::Null));
    if status == 202 && right {
        received.accepted.push(token);
    }
    (StatusCode::from_u16(status).expect("a status"), Json(body))
}

#[tokio::test(flavor = "multi_thread")]
async fn push_delivers_each_event_once_and_in_order() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let client = TestClient::register_with_cli(&origin, "push", &[])?;
    let early = client.token("").await?;
    client.revoke(&early).await?;
    let receiver = PushReceiver::start(&[(500, Value::Null), (503, Value::Null), (401, Value::Null)]).await?;
    let add = ["stream", "add", "siem", "--push", &receiver.url, "--authorization", "Bearer s3cret"];
    origin.cli(&[&add[..], &["--audience", "https://siem.example"]].concat())?;

    let token = client.token("").await?;
    client.revoke(&token).await?;
    revoke(&origin, Target::Session("s1".to_owned())).await?;
    revoke(&origin, Target::Subject("ann".to_owned())).await?;
    reinstate(&origin, Target::Session("s1".to_owned())).await?;
    revoke(&origin, Target::Before(now())).await?;
    let accepted = receiver.accepted(5).await?;
    let jwks = jwks(&origin).await?;
    let events = accepted.iter().map(|token| verified_event(token, &jwks)).collect::<Result<Vec<_>>>()?;
    let types = events.iter().map(event_type).collect::<Result<Vec<_>>>()?;
    assert_eq!(
        types,
        [TOKEN_CLAIMS_CHANGE, SESSION_REVOKED, SESSION_REVOKED, TOKEN_CLAIMS_CHANGE, SESSION_REVOKED],
        "events from before the stream are not sent"
    );
    let jti = part(&token, 1)?["jti"].clone();
    assert_eq!(events[0]["sub_id"], json!({ "format": "jwt_id", "iss": origin.server.issuer(), "jti": jti }));
    assert_eq!(events[0]["events"][TOKEN_CLAIMS_CHANGE]["claims"], json!({ "active": false }));
    assert_eq!(events[2]["sub_id"], json!({ "format": "iss_sub", "iss": origin.server.issuer(), "sub": "ann" }));
    assert_eq!(events[3]["events"][TOKEN_CLAIMS_CHANGE]["claims"], json!({ "active": true }));
    for event in &events {
        assert_eq!((&event["aud"], &event["iss"]), (&json!("https://siem.example"), &json!(origin.server.issuer())));
    }
    let jtis: BTreeSet<&str> = events.iter().filter_map(|event| event["jti"].as_str()).collect();
    assert_eq!(jtis.len(), 5);

    tokio::time::sleep(Duration::from_millis(300)).await;
    {
        let received = receiver.received.lock().expect("no panic");
        assert_eq!(received.requests.len(), 5 + 3, "acknowledged events are not sent again");
        assert!(received.requests.iter().all(|(_, authorization)| authorization == "Bearer s3cret"));
        let again: BTreeSet<&str> = received.requests[..4].iter().map(|(token, _)| token.as_str()).collect();
        assert_eq!(again.len(), 1, "retries are byte-identical");
    }
    let listed: Value = serde_json::from_str(&origin.cli(&["stream", "list", "--json"])?)?;
    assert_eq!((&listed[0]["acknowledged_sequence"], &listed[0]["refused"]), (&json!(6), &json!(0)), "{listed}");
    assert!(!listed.to_string().contains("s3cret"));
    origin.cli(&["stream", "remove", "siem"])?;
    reinstate(&origin, Target::Subject("ann".to_owned())).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.received.lock().expect("no panic").requests.len(), 8, "a removed stream gets no events");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_event_does_not_block_the_next() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let refusals = [
        (400, json!({ "err": "invalid_key", "description": "fetching keys" })),
        (400, json!({ "err": "invalid_request", "description": "no such event here" })),
    ];
    let receiver = PushReceiver::start(&refusals).await?;
    let add = ["stream", "add", "siem", "--push", &receiver.url, "--audience", "a", "--events", "session-revoked"];
    origin.cli(&add)?;
    revoke(&origin, Target::Session("s1".to_owned())).await?;
    reinstate(&origin, Target::Session("s1".to_owned())).await?; // an event type that the stream did not request
    revoke(&origin, Target::Session("s2".to_owned())).await?;
    let accepted = receiver.accepted(1).await?;
    let claims = verified_event(&accepted[0], &jwks(&origin).await?)?;
    assert_eq!(claims["sub_id"]["session"]["id"], "s2");
    assert_eq!(
        receiver.received.lock().expect("no panic").requests.len(),
        3,
        "invalid_key is retried, invalid_request is not"
    );
    let listed: Value = serde_json::from_str(&origin.cli(&["stream", "list", "--json"])?)?;
    assert_eq!(listed[0]["refused"], 1, "{listed}");
    Ok(())
}

/// A client that polls its stream.
struct Poller {
    client: TestClient,
    token: String,
    url: String,
}

impl Poller {
    async fn register(origin: &TestOrigin) -> Result<Self> {
        let issuer = origin.server.issuer();
        let client = TestClient::register_with_cli(origin, "poll", &["--scope", "ssf.read", "--audience", issuer])?;
        let add = ["stream", "add", "audit", "--poll", "--client", &client.id, "--audience", "https://audit.example"];
        origin.cli(&add)?;
        let token = client.token("ssf.read").await?;
        let url = format!("{}/ssf/poll/audit", origin.server.url());
        Ok(Self { client, token, url })
    }

    async fn poll(&self, request: Value) -> Result<Value> {
        let answer = self.client.http.post(&self.url).bearer_auth(&self.token).json(&request).send().await?;
        ensure!(answer.status() == 200, "the poll was answered with {}", answer.status());
        Ok(answer.json().await?)
    }
}

/// The `jti`s in a response, ordered by sequence.
fn jtis(answer: &Value) -> Result<Vec<String>> {
    let mut jtis: Vec<String> = answer["sets"].as_object().context("sets")?.keys().cloned().collect();
    jtis.sort_by_key(|jti| jti.split('-').next().and_then(|number| number.parse::<u64>().ok()));
    Ok(jtis)
}

#[tokio::test(flavor = "multi_thread")]
async fn poll_accepts_acknowledgements_in_any_order() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let poller = Poller::register(&origin).await?;
    let now_or_never = json!({ "returnImmediately": true });
    assert_eq!(poller.poll(now_or_never.clone()).await?, json!({ "sets": {} }));
    for session in ["a", "b", "c", "d"] {
        revoke(&origin, Target::Session(session.to_owned())).await?;
    }
    let all = poller.poll(now_or_never.clone()).await?;
    let sent = jtis(&all)?;
    assert_eq!(sent.len(), 4);
    let jwks = jwks(&origin).await?;
    for (jti, token) in all["sets"].as_object().context("sets")? {
        let claims = verified_event(token.as_str().context("a token")?, &jwks)?;
        assert_eq!((&claims["jti"], &claims["aud"]), (&json!(jti), &json!("https://audit.example")));
    }
    assert_eq!(poller.poll(now_or_never.clone()).await?, all, "unacknowledged events are returned again, unchanged");

    let some = poller.poll(json!({ "maxEvents": 3, "returnImmediately": true })).await?;
    assert_eq!((jtis(&some)?, &some["moreAvailable"]), (sent[..3].to_vec(), &json!(true)));
    // Acknowledges the third and an unknown one, then the first, then the second; refuses the
    // fourth.
    let left = poller.poll(json!({ "ack": [sent[2], "9-x"], "returnImmediately": true })).await?;
    assert_eq!(jtis(&left)?, [&sent[0], &sent[1], &sent[3]].map(String::clone));
    let left = poller.poll(json!({ "ack": [sent[0]], "returnImmediately": true })).await?;
    assert_eq!(jtis(&left)?, [&sent[1], &sent[3]].map(String::clone));
    let refused = json!({ &sent[3]: { "err": "invalid_request", "description": "unknown\nsubject" } });
    let done = poller.poll(json!({ "ack": [sent[1]], "setErrs": refused, "maxEvents": 0 })).await?;
    assert_eq!(done, json!({ "sets": {} }));
    assert_eq!(poller.poll(now_or_never).await?, json!({ "sets": {} }));
    let listed: Value = serde_json::from_str(&origin.cli(&["stream", "list", "--json"])?)?;
    assert_eq!((&listed[0]["acknowledged_sequence"], &listed[0]["refused"]), (&json!(4), &json!(1)), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_poll_returns_when_an_event_arrives() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let poller = Arc::new(Poller::register(&origin).await?);
    let waiting = tokio::spawn({
        let poller = Arc::clone(&poller);
        async move { poller.poll(json!({})).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "nothing happened yet");
    revoke(&origin, Target::Session("s1".to_owned())).await?;
    let answer = tokio::time::timeout(Duration::from_secs(20), waiting).await.context("the long poll returns")???;
    assert_eq!(jtis(&answer)?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_is_readable_only_by_its_client() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let issuer = origin.server.issuer();
    let poller = Poller::register(&origin).await?;
    let poll = async |token: &str| -> Result<(u16, String)> {
        let request = json!({ "returnImmediately": true });
        let answer = poller.client.http.post(&poller.url).bearer_auth(token).json(&request).send().await?;
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str()).transpose()?;
        Ok((answer.status().as_u16(), challenge.unwrap_or_default().to_owned()))
    };
    let stranger = TestClient::register_with_cli(&origin, "stranger", &["--scope", "ssf.read", "--audience", issuer])?;
    assert_eq!(poll(&stranger.token("ssf.read").await?).await?.0, 404);
    let (status, challenge) = poll("nonsense").await?;
    assert!(status == 401 && challenge.contains("invalid_token"), "{status} {challenge}");
    let elsewhere = TestClient::register_with_cli(&origin, "elsewhere", &["--scope", "ssf.read"])?;
    assert_eq!(poll(&elsewhere.token("ssf.read").await?).await?.0, 401, "a token for another audience is refused");
    let plain = TestClient::register_with_cli(&origin, "plain", &["--scope", "other", "--audience", issuer])?;
    let (status, challenge) = poll(&plain.token("other").await?).await?;
    assert!(status == 403 && challenge.contains("insufficient_scope"), "{status} {challenge}");
    poller.client.revoke(&poller.token).await?;
    assert_eq!(poll(&poller.token).await?.0, 401, "a revoked token is refused");

    let configuration: Value =
        reqwest::get(format!("{}/.well-known/ssf-configuration", origin.server.url())).await?.json().await?;
    assert_eq!((&configuration["issuer"], &configuration["spec_version"]), (&json!(issuer), &json!("1_0")));
    let token = poller.client.token("ssf.read").await?;
    let streams = configuration["configuration_endpoint"].as_str().context("an endpoint")?;
    let streams: Value = poller.client.http.get(streams).bearer_auth(&token).send().await?.json().await?;
    assert_eq!(
        (&streams[0]["stream_id"], &streams[0]["delivery"]["endpoint_url"]),
        (&json!("audit"), &json!(poller.url))
    );
    Ok(())
}
