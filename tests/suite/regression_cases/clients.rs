//! Clients: registration, scopes, and where the origin sends browsers and requests on their behalf.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tollgate_model::ClientMetadata;
use tollgate_tests::browser::{Browser, Page, Person};
use tollgate_tests::client::{CODE_CHALLENGE, CODE_VERIFIER, TestClient, member_text, merge, query};
use tollgate_tests::environment::now;
use tollgate_tests::jwt::{ClientKey, claims, random_id};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::recording_server::RecordingServer;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::PASSWORD;

cases! {
    both {
        C2 c2_pushed_request_is_used_up_by_the_authorization_it_leads_to,
        C5 c5_scope_of_a_self_registered_client_goes_to_the_api_that_defines_it,
        O9 o9_registration_when_off_is_closed_and_an_update_widens_nothing,
        O24 o24_operators_client_may_use_loopback_urls,
    }
    once {
        C1 c1_client_assertion_names_no_other_server,
        C4 c4_what_a_client_says_about_itself_is_kept_and_shown,
        C8 c8_client_without_redirects_registers_empty_lists,
        C6 c6_unknown_scope_value_of_an_openid_request_is_ignored,
        O10 o10_self_registered_clients_do_not_redirect_before_sign_in,
        O18 o18_admin_client_gets_the_admin_scope,
        O27 o27_resources_are_compared_after_url_normalization,
        O28 o28_empty_scope_equals_omitted_scope,
        O29 o29_unusable_keys_in_a_jwk_set_are_skipped,
    }
}

const REDIRECT: &str = "https://shop.example/cb";
/// RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest wait for a logout token, on a busy machine.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Registers a client dynamically (RFC 7591); returns status and response.
async fn register(origin: &TestOrigin, body: &Value) -> Result<(u16, Value)> {
    let url = format!("{}/oauth/register", origin.server.url());
    let answer = reqwest::Client::new().post(url).json(body).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Sends a request to the client configuration endpoint (RFC 7592); returns status and response.
async fn manage(origin: &TestOrigin, method: Method, client: &Value, body: Option<&Value>) -> Result<(u16, Value)> {
    let url = format!("{}/oauth/register/{}", origin.server.url(), member_text(client, "client_id")?);
    let request = reqwest::Client::new().request(method, url);
    let request = request.bearer_auth(member_text(client, "registration_access_token")?);
    let answer = body.map_or_else(|| request.try_clone(), |body| Some(request.try_clone()?.json(body)));
    let answer = answer.context("a request that can be sent")?.send().await?;
    Ok((answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)))
}

/// Posts a form to the token endpoint; returns status and response.
async fn token(origin: &TestOrigin, form: &[(&str, &str)]) -> Result<(u16, Value)> {
    post(origin, "/oauth/token", form).await
}

async fn post(origin: &TestOrigin, path: &str, form: &[(&str, &str)]) -> Result<(u16, Value)> {
    let answer = reqwest::Client::new().post(format!("{}{path}", origin.server.url())).form(form).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// URL of an authorization request, with these parameters in place of the defaults.
fn authorize(origin: &TestOrigin, client: &str, changes: &[(&str, &str)]) -> String {
    let defaults = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("scope", "openid"),
        ("code_challenge", CODE_CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    origin.url(&format!("/oauth/authorize?{}", query(&defaults, changes)))
}

/// The first response to a browser without cookies.
async fn first_response(url: &str) -> Result<Page> {
    let browser = Browser::new("http://nowhere.invalid")?;
    let request = browser.request(Method::GET, url);
    browser.send(request).await
}

/// Key id of a client's key.
const KEY_ID: &str = "good";

/// The public key, with its id.
fn jwk(key: &ClientKey) -> Value {
    merge(key.jwk(), &json!({ "kid": KEY_ID }))
}

/// A client assertion (RFC 7523 §3).
fn client_assertion(key: &ClientKey, origin: &TestOrigin, client: &str) -> String {
    let claims = json!({
        "iss": client, "sub": client, "aud": origin.server.issuer(), "jti": random_id(), "iat": now(), "exp": now() + 60,
    });
    key.sign(&json!({ "kid": KEY_ID }), &claims)
}

/// Status of a token request authenticated by an assertion of this key.
async fn token_status_by_assertion(origin: &TestOrigin, client: &str, key: &ClientKey) -> Result<u16> {
    let assertion = client_assertion(key, origin, client);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion.as_str()),
    ];
    Ok(token(origin, &form).await?.0)
}

/// Whether the listener got no connection.
async fn is_untouched(listener: &TcpListener) -> bool {
    tokio::time::timeout(Duration::from_millis(200), listener.accept()).await.is_err()
}

/// A second origin on the same database, with registration off.
async fn without_registration(origin: &TestOrigin) -> Result<TestOrigin> {
    let shared = ["TOLLGATE_DATABASE_URL", "TOLLGATE_MASTER_KEY_FILE", "TOLLGATE_PUBLIC_URL"];
    let settings = shared.into_iter().filter_map(|name| {
        let (_, value) = origin.settings.iter().rev().find(|(own, _)| *own == name)?;
        Some((name, value.as_str()))
    });
    TestOrigin::start_with(&settings.chain([("TOLLGATE_REGISTRATION", "off")]).collect::<Vec<_>>()).await
}

async fn o9_registration_when_off_is_closed_and_an_update_widens_nothing(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let wide = json!({
        "redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid profile offline_access",
    });
    let (status, client) = register(&origin, &wide).await?;
    ensure!(status == 201, "{status} {client}");
    let put = |more: Value| {
        let mut body = wide.clone();
        body["client_id"] = client["client_id"].clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };

    // The operator narrows the registration; the client asks for everything again.
    let store = origin.server.store();
    let id = member_text(&client, "client_id")?.parse()?;
    let own = store.find_client(&id).await?.context("registered")?.metadata;
    let narrow: ClientMetadata = serde_json::from_value(json!({
        "client_name": own.name, "redirect_uris": [REDIRECT], "grant_types": ["authorization_code"],
        "scope": "openid", "audiences": ["https://narrow.example"], "dpop_bound_access_tokens": true,
    }))?;
    ensure!(store.update_client(&id, &narrow).await?, "the client exists");
    let (status, changed) =
        manage(&origin, Method::PUT, &client, Some(&put(json!({ "client_name": "Other" })))).await?;
    assert_eq!((status, &changed["client_name"], &changed["scope"]), (200, &json!("Other"), &json!("openid")));
    assert_eq!(changed["grant_types"], json!(["authorization_code"]));
    let now = store.find_client(&id).await?.context("registered")?.metadata;
    assert_eq!(now.audiences, narrow.audiences, "the audiences stay narrowed");
    assert!(now.dpop_bound_access_tokens, "tokens stay bound to a key");

    // For a self-registered client the origin requests only public Internet addresses, even after
    // an operator changed it.
    let neighbour = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}/sector", neighbour.local_addr()?);
    let sector = put(json!({ "sector_identifier_uri": url }));
    assert_eq!(manage(&origin, Method::PUT, &client, Some(&sector)).await?.0, 400);
    let keys = ClientMetadata { jwks_uri: Some(url.parse()?), ..narrow };
    ensure!(store.update_client(&id, &keys).await?, "the client exists");
    let request = ClientKey::generate().sign(&json!({ "kid": KEY_ID }), &json!({ "client_id": id.as_str() }));
    let ask =
        async |origin: &TestOrigin| first_response(&authorize(origin, id.as_str(), &[("request", &request)])).await;

    // When registration is off, clients registered before are refused as well.
    let closed = without_registration(&origin).await?;
    let mut answers = Vec::new();
    for (method, body) in [(Method::GET, None), (Method::PUT, Some(&sector)), (Method::DELETE, None)] {
        answers.push(manage(&closed, method, &client, body).await?.0);
    }
    assert_eq!(answers, [404, 404, 404]);
    assert_eq!([ask(&origin).await?.status, ask(&closed).await?.status], [400, 400]);
    ensure!(is_untouched(&neighbour).await, "the loopback server was requested");
    ensure!(store.find_client(&id).await?.context("registered")?.is_active(), "nothing changed");
    case.report(format!(
        "PUT of a wider scope: {}; management when off: {answers:?}; nothing connected",
        changed["scope"]
    ));
    Ok(())
}

async fn o10_self_registered_clients_do_not_redirect_before_sign_in(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let alice = Person::new("alice", PASSWORD);
    let metadata = json!({ "redirect_uris": [REDIRECT], "post_logout_redirect_uris": [REDIRECT], "scope": "openid" });
    let (_, own) = register(&origin, &metadata).await?;
    let own = member_text(&own, "client_id")?;
    let mut given = metadata;
    given["grant_types"] = json!(["authorization_code"]);
    for id in ["operators", "disabled"] {
        TestClient::register(&origin, id, given.clone()).await?;
    }
    origin.cli(&["client", "disable", "disabled"])?;

    let wrong: [&[(&str, &str)]; 4] = [
        &[("response_type", "foo")],
        &[("scope", "nonsense")],
        &[("request_uri", "https://elsewhere.example")],
        &[("prompt", "none")],
    ];
    let logout =
        |id: &str| format!("{}/oauth/logout?client_id={id}&post_logout_redirect_uri={REDIRECT}", origin.server.url());
    for (id, redirects) in [(own, false), ("disabled", false), ("operators", true)] {
        let mut urls = wrong.iter().map(|changes| authorize(&origin, id, changes)).collect::<Vec<_>>();
        urls.push(logout(id));
        for url in urls {
            let page = first_response(&url).await?;
            assert_eq!(page.location().is_some(), redirects, "{id}: {url}: {}", page.status);
        }
    }
    let (page, off) = (first_response(&authorize(&origin, own, wrong[0])).await?, first_response(&logout(own)).await?);
    case.report(format!("authorize: {}, logout: {}, and no Location", page.status, off.status));
    let page = first_response(&authorize(&origin, own, wrong[3])).await?;
    assert!(page.body.contains(&format!("href=\"{REDIRECT}?error=login_required")), "a link: {}", page.body);

    // A signed-in user is redirected, and so is an iframe with prompt=none.
    let browser = Browser::new(&origin.server.url())?;
    browser.visit(&format!("{}/login", origin.server.url()), &alice).await?;
    let page = browser.open(&authorize(&origin, own, wrong[0])).await?;
    assert_eq!(page.parameter("error").as_deref(), Some("unsupported_response_type"), "{}", page.status);
    let stranger = Browser::new(&origin.server.url())?;
    let framed = stranger.request(Method::GET, &authorize(&origin, own, wrong[3])).header("sec-fetch-dest", "iframe");
    assert_eq!(stranger.send(framed).await?.parameter("error").as_deref(), Some("login_required"));
    Ok(())
}

async fn c4_what_a_client_says_about_itself_is_kept_and_shown(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let about = json!({
        "client_name": "Field Notes", "logo_uri": "https://notes.example/logo.png",
        "client_uri": "https://notes.example/", "policy_uri": "https://notes.example/policy",
        "tos_uri": "https://notes.example/terms", "contacts": ["ada@notes.example"],
    });
    let wanted =
        merge(json!({ "redirect_uris": [REDIRECT], "scope": "openid", "token_endpoint_auth_method": "none" }), &about);
    let (status, client) = register(&origin, &wanted).await?;
    assert_eq!(status, 201, "{client}");
    let (_, read) = manage(&origin, Method::GET, &client, None).await?;
    for (member, value) in about.as_object().context("an object")? {
        assert_eq!((&client[member], &read[member]), (value, value), "{member}");
    }
    // RFC 7591 in browsers: open registration answers pages of any origin.
    let own = format!("/oauth/register/{}", member_text(&client, "client_id")?);
    for (path, method) in [("/oauth/register", "POST"), (own.as_str(), "PUT"), (own.as_str(), "DELETE")] {
        let preflight = reqwest::Client::new().request(Method::OPTIONS, origin.url(path));
        let preflight = preflight
            .header("origin", "https://app.example")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization, content-type");
        let answer = preflight.send().await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("access-control-allow-origin"), "*", "{path}");
        assert!(header("access-control-allow-methods").contains(method), "{path}");
        assert!(header("access-control-allow-headers").contains("authorization"), "{path}");
    }
    let (status, refused) =
        register(&origin, &merge(wanted, &json!({ "policy_uri": "http://notes.example/" }))).await?;
    let description = member_text(&refused, "error_description")?;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_client_metadata")));
    assert!(description.contains("policy_uri") && description.contains("http://notes.example/"), "{description}");

    let browser = Browser::new(&origin.server.url())?;
    browser.visit(&format!("{}/login", origin.server.url()), &Person::new("alice", PASSWORD)).await?;
    let page = browser.open(&authorize(&origin, member_text(&client, "client_id")?, &[])).await?;
    for shown in ["https://notes.example/policy", "https://notes.example/terms", "noopener noreferrer", ">FN<"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    assert!(!page.body.contains("logo.png"), "no browser fetches the picture");
    case.report(description);
    Ok(())
}

async fn c8_client_without_redirects_registers_empty_lists(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let wanted = json!({
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"], "response_types": [], "redirect_uris": [],
        "token_endpoint_auth_method": "none",
    });
    let (status, client) = register(&origin, &wanted).await?;
    assert_eq!((status, &client["response_types"]), (201, &json!([])), "{client}");
    case.report(format!("{status}, response_types {}", client["response_types"]));
    Ok(())
}

async fn c5_scope_of_a_self_registered_client_goes_to_the_api_that_defines_it(case: &RegressionCase) -> Result<()> {
    const API: &str = "https://mcp.example";
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    origin.cli(&["resource", "create", API, "--name", "Field tools", "--scope", "tools=Use the field tools"])?;
    let wanted = json!({
        "redirect_uris": [REDIRECT], "scope": "openid tools", "token_endpoint_auth_method": "none",
    });
    let (status, client) = register(&origin, &wanted).await?;
    assert_eq!((status, &client["scope"]), (201, &json!("openid tools")), "{client}");
    let id = member_text(&client, "client_id")?;

    let browser = Browser::new(&origin.server.url())?;
    let alice = Person::new("alice", PASSWORD);
    for changes in [&[("scope", "tools"), ("resource", API)][..], &[("scope", "openid tools")]] {
        let page = browser.visit(&authorize(&origin, id, changes), &alice).await?;
        let code = page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", id),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", CODE_VERIFIER),
        ];
        let (status, tokens) = token(&origin, &form).await?;
        assert_eq!((status, &tokens["scope"]), (200, &json!(changes[0].1)), "{tokens}");
        assert_eq!(claims(member_text(&tokens, "access_token")?)?["aud"], API, "{changes:?}");
    }
    // The user is already signed in: the page that asks for consent names the API.
    let both = authorize(&origin, id, &[("scope", "tools"), ("resource", API), ("prompt", "consent")]);
    let body = browser.open(&both).await?.body;
    assert!(body.contains("Field tools") && body.contains("Use the field tools"), "{body}");
    let other = [("scope", "openid"), ("resource", API)];
    let page = browser.open(&authorize(&origin, id, &other)).await?;
    assert_eq!(page.parameter("error").as_deref(), Some("invalid_target"), "nothing of the API was requested");
    case.report(format!("aud {API} with and without resource"));
    Ok(())
}

async fn c6_unknown_scope_value_of_an_openid_request_is_ignored(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let client = TestClient::register(
        &origin,
        "web",
        json!({ "grant_types": ["authorization_code"], "scope": "openid email read", "redirect_uris": [REDIRECT] }),
    )
    .await?;
    let browser = Browser::new(&origin.server.url())?;
    let url = authorize(&origin, "web", &[("scope", "openid groups email")]);
    let page = browser.visit(&url, &Person::new("alice", PASSWORD)).await?;
    let code = page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("client_secret", client.secret()),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", CODE_VERIFIER),
    ];
    let (status, tokens) = token(&origin, &form).await?;
    assert_eq!((status, &tokens["scope"]), (200, &json!("email openid")), "{tokens}");

    let plain = browser.open(&authorize(&origin, "web", &[("scope", "read groups")])).await?;
    assert_eq!(plain.parameter("error").as_deref(), Some("invalid_scope"));
    let description = plain.parameter("error_description").context("a description")?;
    assert!(description.contains("groups"), "{description}");
    case.report(format!("scope {}; without openid: {description}", tokens["scope"]));
    Ok(())
}

async fn o18_admin_client_gets_the_admin_scope(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let issuer = origin.server.issuer();
    let created = origin.cli(&["client", "create", "--json", "--name", "Deploy", "--admin", "--audience", issuer])?;
    let created: Value = serde_json::from_str(&created)?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", member_text(&created, "client_id")?),
        ("client_secret", member_text(&created, "client_secret")?),
    ];
    let (_, tokens) = token(&origin, &form).await?;
    let url = format!("{}/admin/api/clients", origin.server.url());
    let listed = reqwest::Client::new().get(url).bearer_auth(member_text(&tokens, "access_token")?).send().await?;
    assert_eq!((&created["scope"], listed.status().as_u16()), (&json!("tollgate:admin"), 200));
    case.report(format!("scope {}, the admin API answers {}", created["scope"], listed.status()));
    Ok(())
}

async fn o24_operators_client_may_use_loopback_urls(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let key = ClientKey::generate();
    let peer = RecordingServer::start(200, &json!({ "keys": [jwk(&key)] }).to_string(), Duration::ZERO).await?;
    TestClient::register(
        &origin,
        "service",
        json!({
            "grant_types": ["client_credentials"], "scope": "read", "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": format!("{}/keys", peer.url),
        }),
    )
    .await?;
    let status = token_status_by_assertion(&origin, "service", &key).await?;
    assert_eq!(status, 200);

    let web = TestClient::register(
        &origin,
        "web",
        json!({
            "grant_types": ["authorization_code"], "scope": "openid", "redirect_uris": [REDIRECT],
            "backchannel_logout_uri": format!("{}/logged-out", peer.url),
        }),
    )
    .await?;
    let browser = Browser::new(&origin.server.url())?;
    let page = browser.visit(&authorize(&origin, "web", &[]), &Person::new("alice", PASSWORD)).await?;
    let code = page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("client_secret", web.secret()),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", CODE_VERIFIER),
    ];
    let (_, tokens) = token(&origin, &form).await?;
    let hint = member_text(&tokens, "id_token")?;
    browser.open(&format!("{}/oauth/logout?id_token_hint={hint}", origin.server.url())).await?;
    let until = Instant::now() + DELIVERY_TIMEOUT;
    let logout = loop {
        if let Some(logout) = peer.requests().into_iter().find(|request| request.starts_with("POST /logged-out")) {
            break logout;
        }
        ensure!(Instant::now() < until, "the client got no logout token: {:?}", peer.requests());
        sleep(Duration::from_millis(20)).await;
    };
    assert!(logout.contains("logout_token=ey"), "{logout}");
    case.report(format!("jwks_uri on loopback: {status}; back-channel logout on loopback: sent"));
    Ok(())
}

async fn o27_resources_are_compared_after_url_normalization(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let service =
        json!({ "grant_types": ["client_credentials"], "scope": "read", "audiences": ["https://mcp.example"] });
    let service = TestClient::register(&origin, "service", service).await?;
    let other = json!({ "grant_types": ["client_credentials"], "scope": "read" });
    let rs = TestClient::register(&origin, "rs", other).await?;
    // The resource server is registered with the operator's spelling of the URL.
    let resource = json!({ "audience": "https://mcp.example/", "name": "Tools", "introspected_by": "rs" });
    origin.server.store().save_resource(&serde_json::from_value(resource)?).await?;

    let ask = async |resource: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "service"),
            ("client_secret", service.secret()),
            ("resource", resource),
        ];
        token(&origin, &form).await
    };
    for resource in ["https://mcp.example/", "https://mcp.example", "HTTPS://MCP.example:443"] {
        let (status, tokens) = ask(resource).await?;
        ensure!(status == 200, "{resource}: {status} {tokens}");
        let form =
            [("client_id", "rs"), ("client_secret", rs.secret()), ("token", member_text(&tokens, "access_token")?)];
        let (_, about) = post(&origin, "/oauth/introspect", &form).await?;
        assert_eq!((&about["active"], &about["aud"]), (&json!(true), &json!("https://mcp.example")), "{resource}");
        case.report(format!("resource={resource}: {status}, aud {}", about["aud"]));
    }
    for resource in ["https://mcp.example/x", "http://mcp.example/", "https://mcp.example:444/"] {
        let (status, answer) = ask(resource).await?;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_target")), "{resource}");
    }
    Ok(())
}

async fn o28_empty_scope_equals_omitted_scope(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let without = json!({ "redirect_uris": [REDIRECT] });
    let mut with = without.clone();
    with["scope"] = json!("");
    let (one, other) = (register(&origin, &without).await?, register(&origin, &with).await?);
    assert_eq!((one.0, other.0, &other.1["scope"]), (201, 201, &one.1["scope"]));
    let mut body = with;
    body["client_id"] = other.1["client_id"].clone();
    let (status, changed) = manage(&origin, Method::PUT, &other.1, Some(&body)).await?;
    assert_eq!((status, &changed["scope"]), (200, &one.1["scope"]));
    case.report(format!("scope {}", changed["scope"]));
    Ok(())
}

async fn o29_unusable_keys_in_a_jwk_set_are_skipped(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let key = ClientKey::generate();
    let weak = json!({ "kty": "RSA", "kid": "weak", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xc1; 128]) });
    let set =
        json!({ "keys": [weak, { "kty": "AKP", "alg": "ML-DSA-44" }, { "kid": 1 }, "odd", jwk(&key), jwk(&key)] });
    let peer = RecordingServer::start(200, &set.to_string(), Duration::ZERO).await?;
    let client = |keys: &str, value: Value| {
        let mut metadata = json!({
            "grant_types": ["client_credentials"], "scope": "read", "token_endpoint_auth_method": "private_key_jwt",
        });
        metadata[keys] = value;
        metadata
    };
    TestClient::register(&origin, "fetched", client("jwks_uri", json!(peer.url.clone() + "/keys"))).await?;
    TestClient::register(&origin, "registered", client("jwks", set.clone())).await?;
    let statuses = [
        token_status_by_assertion(&origin, "fetched", &key).await?,
        token_status_by_assertion(&origin, "registered", &key).await?,
        token_status_by_assertion(&origin, "fetched", &ClientKey::generate()).await?,
    ];
    assert_eq!(statuses, [200, 200, 401]);
    let own = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt", "jwks": set });
    let (status, answer) = register(&origin, &own).await?;
    assert_eq!(status, 201, "{answer}");
    case.report(format!(
        "jwks_uri and jwks with unusable keys: {}, {}; registration {status}",
        statuses[0], statuses[1]
    ));
    Ok(())
}

/// C1: a client assertion whose `aud` also names another server is refused.
async fn c1_client_assertion_names_no_other_server(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let key = ClientKey::generate();
    let metadata = json!({
        "grant_types": ["authorization_code"], "redirect_uris": [REDIRECT], "scope": "openid",
        "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [jwk(&key)] },
    });
    origin.client("shop", &metadata)?;
    let issuer = origin.server.issuer();
    let push = async |audience: Value| -> Result<u16> {
        let claims = json!({
            "iss": "shop", "sub": "shop", "aud": audience, "jti": random_id(), "iat": now(), "exp": now() + 60,
        });
        let assertion = key.sign(&json!({ "kid": KEY_ID }), &claims);
        let form = [
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid"),
            ("code_challenge", CODE_CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        Ok(post(&origin, "/oauth/par", &form).await?.0)
    };
    ensure!(push(json!([issuer, "https://evil.example"])).await? == 401, "the audience was injected");
    ensure!(push(json!(["https://evil.example", issuer])).await? == 401, "the audience was injected first");
    ensure!(push(json!(issuer)).await? == 201, "the issuer alone");
    ensure!(push(json!(format!("{issuer}/oauth/par"))).await? == 201, "the endpoint alone");
    Ok(())
}

/// C2: visits before the sign-in do not use a pushed request up, the authorization does.
async fn c2_pushed_request_is_used_up_by_the_authorization_it_leads_to(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let metadata = json!({
        "grant_types": ["authorization_code"], "redirect_uris": [REDIRECT], "scope": "openid",
        "token_endpoint_auth_method": "none",
    });
    origin.client("shop", &metadata)?;
    origin.client("other", &metadata)?;
    origin.user("alice", PASSWORD, &json!({}))?;
    let form = [
        ("client_id", "shop"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid"),
        ("code_challenge", CODE_CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let (status, pushed) = post(&origin, "/oauth/par", &form).await?;
    ensure!(status == 201, "{pushed}");
    let by = |client: &str| {
        let pair = [("client_id", client), ("request_uri", pushed["request_uri"].as_str().unwrap_or_default())];
        origin.url(&format!("/oauth/authorize?{}", query(&pair, &[])))
    };
    let preview = Browser::new("http://nowhere.invalid")?;
    let head = preview.send(preview.request(Method::HEAD, &by("shop"))).await?;
    ensure!(head.status == 303, "HEAD gets {}", head.status);
    for visit in 1..=2 {
        let page = first_response(&by("shop")).await?;
        ensure!(page.status == 303, "visit {visit} gets {}", page.status);
    }
    ensure!(first_response(&by("other")).await?.status == 400, "another client's request");
    let browser = Browser::new(&origin.server.url())?;
    let page = browser.visit(&by("shop"), &Person::new("alice", PASSWORD)).await?;
    ensure!(page.parameter("code").is_some(), "no code: {} {}", page.status, page.body);
    ensure!(first_response(&by("shop")).await?.status == 400, "used up");
    let again = browser.send(browser.request(Method::GET, &by("shop"))).await?;
    ensure!(again.status == 400, "used up for the same browser, too");
    Ok(())
}
