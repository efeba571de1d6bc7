//! Privilege never grows: an exchange, a refresh or a repeated consent gives no more than its
//! source.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tollgate_storage::Termination;
use tollgate_tests::browser::{Browser, Page};
use tollgate_tests::client::{
    Answer, CODE_CHALLENGE, DEVICE_CODE_GRANT, TOKEN_EXCHANGE_GRANT, TestClient, authorization_outcome, exchange,
    redemption, register_resource,
};
use tollgate_tests::environment::now;
use tollgate_tests::jwt::{ClientKey, claims};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::register_user;

cases! {
    both {
        O2 o2_token_exchange_never_loosens_the_binding,
        O6 o6_consent_is_per_scope_and_audience,
        O13 o13_refresh_is_limited_to_the_clients_current_registration,
        O15 o15_disabled_client_is_refused_at_every_step,
    }
    once {}
}

const A: &str = "https://a.example";
const B: &str = "https://b.example";

fn client_of_both_audiences(grants: &[&str]) -> Value {
    let grants = [&["authorization_code", "refresh_token"], grants].concat();
    json!({ "audiences": [A, B], "grant_types": grants })
}

async fn api(origin: &TestOrigin) -> Result<TestClient> {
    let api = json!({ "grant_types": ["client_credentials", TOKEN_EXCHANGE_GRANT], "scope": "read", "audiences": ["https://c.example"] });
    let api = TestClient::register(origin, "rs-a", api).await?;
    register_resource(origin, A, &api).await?;
    Ok(api)
}

fn binding(token: &str) -> Result<Value> {
    Ok(claims(token)?["cnf"].clone())
}

async fn o2_token_exchange_never_loosens_the_binding(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let web = TestClient::register_web_app(&origin, "web", &client_of_both_audiences(&[TOKEN_EXCHANGE_GRANT])).await?;
    let (rs_a, key, other) = (api(&origin).await?, ClientKey::generate(), ClientKey::generate());
    let (_, alice) = register_user(&origin, "alice").await?;
    let browser = Browser::new(&origin.server.url())?;
    let more = [("scope", "openid read write"), ("resource", A), ("resource", B)];
    let code = web.code(&browser, &alice, &more).await?;
    let bound = web.request_bound_tokens(&key, &redemption(&code)).await?.text("access_token")?;
    ensure!(binding(&bound)?.is_object(), "web's token is bound");

    let unproven = rs_a.exchange(&bound, &[("resource", B)]).await?;
    ensure!(unproven.status == 400, "by the API, without a proof: {}", unproven.body);
    let proven = rs_a.request_bound_tokens(&other, &exchange(&bound, &[("resource", B)])).await?;
    let proven = proven.text("access_token")?;
    ensure!(binding(&proven)?.is_object() && binding(&proven)? != binding(&bound)?, "bound to the API's own key");
    ensure!(rs_a.exchange(&proven, &[]).await?.status == 400, "a further exchange needs the key as well");
    let own = [
        (web.exchange(&bound, &[]).await?, 400, "web without a proof"),
        (web.request_bound_tokens(&other, &exchange(&bound, &[])).await?, 400, "web with another key"),
        (web.request_bound_tokens(&key, &exchange(&bound, &[])).await?, 200, "web with its key"),
    ];
    for (answer, status, what) in &own {
        ensure!(answer.status == *status, "{what}: {}", answer.body);
    }
    ensure!(binding(&own[2].0.text("access_token")?)? == binding(&bound)?, "bound to the same key");
    // For another audience of its own, the API's own registration limits the scope.
    let elsewhere = async |more: &[(&str, &str)]| {
        let more = [&[("resource", "https://c.example")], more].concat();
        rs_a.request_bound_tokens(&other, &exchange(&bound, &more)).await
    };
    ensure!(elsewhere(&[]).await?.body["scope"] == "read", "write and openid were not given for C");
    ensure!(elsewhere(&[("scope", "read write")]).await?.body["error"] == "invalid_scope", "and cannot be requested");
    exchanged_tokens_do_not_open_userinfo(&rs_a, &proven, &other, &origin).await?;
    case.report(format!("without a proof: {}; with the API's own: bound", unproven.summary()));
    Ok(())
}

/// userinfo does not show the API what alice allowed the client to see (OpenID Connect Core §5.3).
async fn exchanged_tokens_do_not_open_userinfo(
    rs_a: &TestClient,
    token: &str,
    key: &ClientKey,
    origin: &TestOrigin,
) -> Result<()> {
    let url = format!("{}/oauth/userinfo", origin.server.url());
    let proof = key.proof_with_token("GET", &url, token);
    let http = reqwest::Client::new();
    let request = http.get(&url).header("authorization", format!("DPoP {token}")).header("dpop", proof);
    let answer = Answer::read(request).await?;
    ensure!(answer.status == 401, "userinfo of an exchanged token, by {}: {}", rs_a.id, answer.body);
    Ok(())
}

async fn o6_consent_is_per_scope_and_audience(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let web = TestClient::register_web_app(&origin, "web", &client_of_both_audiences(&[])).await?;
    let (_, alice) = register_user(&origin, "alice").await?;
    let browser = Browser::new(&origin.server.url())?;
    for (scope, audience) in [("read", A), ("write", B)] {
        web.code(&browser, &alice, &[("scope", scope), ("resource", audience)]).await?;
    }
    let silently = async |scope: &str, audiences: &[&str]| -> Result<String> {
        let mut more = vec![("scope", scope), ("prompt", "none")];
        more.extend(audiences.iter().map(|audience| ("resource", *audience)));
        let page = browser.open(&web.authorization_url(&more)).await?;
        Ok(authorization_outcome(&page))
    };
    let mut answers = Vec::new();
    for (scope, audiences, expected) in [
        ("write", &[A][..], "consent_required"),
        ("read", &[B], "consent_required"),
        ("read", &[A, B], "consent_required"),
        ("read write", &[A], "consent_required"),
        ("read", &[A], "code"),
        ("write", &[B], "code"),
    ] {
        let answer = silently(scope, audiences).await?;
        ensure!(answer == expected, "{scope} at {audiences:?}: {answer}");
        answers.push(format!("{scope}@{}: {answer}", audiences.join("+")));
    }
    case.report(answers.join(", "));
    Ok(())
}

async fn o13_refresh_is_limited_to_the_clients_current_registration(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let web = TestClient::register_web_app(&origin, "web", &client_of_both_audiences(&[])).await?;
    let (_, alice) = register_user(&origin, "alice").await?;
    let browser = Browser::new(&origin.server.url())?;
    let all = [("scope", "openid email read write"), ("resource", A), ("resource", B)];
    let code_before = web.code(&browser, &alice, &all).await?;
    let only_b = web.code(&browser, &alice, &[("scope", "read"), ("resource", B)]).await?;
    let only_b = web.redeem(&only_b).await?.text("refresh_token")?;
    let waiting = web.code(&browser, &alice, &all).await?;
    let mut last = web.redeem(&code_before).await?;
    ensure!(last.body["scope"] == "email openid read write", "{}", last.body);
    web.update(&origin, |metadata| {
        metadata["scope"] = json!("openid read");
        metadata["audiences"] = json!([A]);
    })
    .await?;
    let userinfo = web.present(Method::GET, "/oauth/userinfo", &last.text("access_token")?).await?;
    ensure!(
        userinfo.status == 200 && userinfo.body.get("email").is_none(),
        "userinfo is limited as well: {}",
        userinfo.body
    );

    let refresh = async |token: &str, more: &[(&'static str, &str)]| {
        web.request_tokens(&[&[("grant_type", "refresh_token"), ("refresh_token", token)], more].concat()).await
    };
    for more in [("scope", "write"), ("resource", B)] {
        let refused = refresh(&last.text("refresh_token")?, &[more]).await?;
        ensure!(refused.status == 400, "{more:?}: {}", refused.body);
    }
    last = refresh(&last.text("refresh_token")?, &[("scope", "openid email read write")]).await?;
    ensure!(last.body["scope"] == "openid read", "what was granted may be named: {}", last.body);
    last = refresh(&last.text("refresh_token")?, &[]).await?;
    let token = claims(&last.text("access_token")?)?;
    ensure!((&token["scope"], &token["aud"]) == (&json!("openid read"), &json!(A)), "{token}");
    ensure!(claims(&last.text("id_token")?)?.get("email").is_none(), "the ID token is limited as well");
    let redeemed = claims(&web.redeem(&waiting).await?.text("access_token")?)?;
    ensure!((&redeemed["scope"], &redeemed["aud"]) == (&json!("openid read"), &json!(A)), "a code: {redeemed}");
    let nothing = refresh(&only_b, &[]).await?;
    ensure!(nothing.body["error"] == "invalid_grant", "nothing of the grant remains: {}", nothing.body);
    // When the operator restores the audience, the grant contains it again: the user agreed to it.
    web.update(&origin, |metadata| metadata["audiences"] = json!([A, B])).await?;
    ensure!(refresh(&only_b, &[]).await?.status == 200, "given back");
    case.report(format!("{} at {}; of B alone: {}", token["scope"], token["aud"], nothing.summary()));
    Ok(())
}

async fn disable(origin: &TestOrigin, is_disabled: bool) -> Result<()> {
    let (store, id) = (origin.server.store(), "web".parse()?);
    let by = tollgate_model::Actor::command_line(None);
    match is_disabled {
        true => store.disable_client(&id, &Termination::new(&by, "the client was disabled", now())).await?,
        false => store.enable_client(&id).await?,
    };
    Ok(())
}

async fn o15_disabled_client_is_refused_at_every_step(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let web = TestClient::register_web_app(
        &origin,
        "web",
        &json!({ "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE_GRANT] }),
    )
    .await?;
    let (_, alice) = register_user(&origin, "alice").await?;
    let is_refused = |page: &Page| page.status == 400 && page.parameter("code").is_none();
    let mut answers = Vec::new();

    // On the sign-in page.
    let browser = Browser::new(&origin.server.url())?;
    let sign_in = browser.open(&web.authorization_url(&[("scope", "openid")])).await?;
    ensure!(sign_in.url.path() == "/login", "the sign-in page: {}", sign_in.url);
    disable(&origin, true).await?;
    let page = browser.complete_forms(sign_in, &alice).await?;
    ensure!(is_refused(&page), "{} {:?}", page.status, page.location());
    answers.push(format!("at sign-in {}", authorization_outcome(&page)));

    // On the consent page.
    disable(&origin, false).await?;
    let consent = browser.open(&web.authorization_url(&[("scope", "openid read")])).await?;
    ensure!(consent.url.path() == "/consent", "the consent page: {}", consent.url);
    disable(&origin, true).await?;
    let page = browser.complete_forms(consent, &alice).await?;
    ensure!(is_refused(&page), "{} {:?}", page.status, page.location());
    answers.push(format!("at consent {}", authorization_outcome(&page)));
    let page = web.authorize(&browser, &alice, &[("scope", "openid")]).await?;
    ensure!(is_refused(&page), "{} {:?}", page.status, page.location());

    // With an issued code, refresh token, pushed request or device code.
    disable(&origin, false).await?;
    let code = web.code(&browser, &alice, &[("scope", "openid read")]).await?;
    let device = web.post("/oauth/device/code", &[("scope", "read")]).await?;
    disable(&origin, true).await?;
    for answer in [
        web.redeem(&code).await?,
        web.post("/oauth/device/code", &[]).await?,
        web.post("/oauth/par", &[("response_type", "code")]).await?,
        web.request_tokens(&[("grant_type", DEVICE_CODE_GRANT), ("device_code", &device.text("device_code")?)]).await?,
    ] {
        ensure!(answer.status == 401, "{}", answer.body);
    }
    let at = format!("{}/device?user_code={}", origin.server.url(), device.text("user_code")?);
    let page = browser.visit(&at, &alice).await?;
    ensure!(page.status == 404, "the device's page: {}", page.status);
    answers.push("code, device code and pushed request 401".to_owned());
    check_that_nothing_is_recorded(&origin).await?;
    case.report(answers.join("; "));
    Ok(())
}

/// The client is disabled between the page and the transaction: nothing is recorded.
async fn check_that_nothing_is_recorded(origin: &TestOrigin) -> Result<()> {
    use tollgate_model::{Access, AuthorizationCode, Grant, GrantId, GrantTerms, SecretHash};
    let store = origin.server.store();
    let user = store.find_user_by_name(&"alice".parse()?).await?.expect("she signed in");
    let access = Access { scope: "read".parse()?, audience: A.parse()?, details: Default::default() };
    let grant = Grant {
        id: GrantId::from_random(&[7; 12]),
        client: "web".parse()?,
        subject: user.id.to_string(),
        user: user.id,
        browser_session: None,
        terms: GrantTerms {
            access,
            auth_time: 0,
            acr: String::new(),
            amr: Vec::new(),
            device: None,
            claims: Default::default(),
        },
        created_at: 0,
        ends_at: u64::MAX,
        ended_at: None,
    };
    let code = AuthorizationCode {
        hash: SecretHash::of("code"),
        grant,
        redirect_uri: None,
        challenge: Some(CODE_CHALLENGE.parse()?),
        nonce: None,
        jkt: None,
        expires_at: u64::MAX,
        tokens_expire_at: None,
        redeemed_at: None,
    };
    ensure!(!store.create_code(&code, None).await?, "the client is disabled");
    ensure!(store.find_grant(&code.grant.id).await?.is_none(), "no grant is recorded");
    Ok(())
}

/// A native app is asked for consent each time, even a first-party one, because any app on the
/// machine can claim to be it.
#[tokio::test(flavor = "multi_thread")]
async fn first_party_native_app_needs_consent_each_time() -> Result<()> {
    let case = RegressionCase::new("native");
    let origin = case.origin(&[]).await?;
    let native = |redirect: &str| json!({ "token_endpoint_auth_method": "none", "redirect_uris": [redirect], "first_party": true });
    let confidential = json!({ "redirect_uris": ["http://127.0.0.1/cb"], "first_party": true });
    let (_, alice) = register_user(&origin, "alice").await?;
    let browser = Browser::new(&origin.server.url())?;
    for (id, metadata, redirect, expected) in [
        ("loopback", native("http://127.0.0.1/cb"), "http://127.0.0.1:4711/cb", "consent_required"),
        ("scheme", native("com.example.app:/cb"), "com.example.app:/cb", "consent_required"),
        ("claimed", native("https://app.example/cb"), "https://app.example/cb", "code"),
        ("confidential", confidential, "http://127.0.0.1:4711/cb", "code"),
    ] {
        let client = TestClient::register_web_app(&origin, id, &metadata).await?;
        for _ in 0..2 {
            client.code(&browser, &alice, &[("scope", "openid"), ("redirect_uri", redirect)]).await?;
            let silent = [("scope", "openid"), ("redirect_uri", redirect), ("prompt", "none")];
            let page = browser.open(&client.authorization_url(&silent)).await?;
            assert_eq!(authorization_outcome(&page), expected, "{id}");
        }
    }
    Ok(())
}
