//! Dynamic client registration (RFC 7591, RFC 7592).

use reqwest::Method;
use serde_json::{Value, json};
use tollgate_model::ClientMetadata;

use crate::fixture::{Origin, UserBrowser, answer, text};

async fn register(origin: &Origin, body: Value) -> (u16, Value) {
    let (status, answer) = answer(origin.http.post(origin.url("/oauth/register")).json(&body)).await;
    (status, answer)
}

fn shop() -> Value {
    json!({ "client_name": "A shop", "redirect_uris": ["https://shop.example/cb"], "unknown": 1 })
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_needs_to_be_on_and_a_token_where_configured() {
    assert_eq!(register(&Origin::start().await, shop()).await.0, 404);
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "token")]).await;
    assert_eq!(register(&origin, shop()).await.0, 401);
    let mut metadata = Origin::service("tollgate:register orders");
    metadata.audiences = vec![origin.server.issuer().parse().expect("an audience")];
    origin.client("registrar", metadata).await;
    for (scope, status) in [("orders", 403), ("tollgate:register", 201)] {
        let tokens = origin.token("registrar", &[("grant_type", "client_credentials"), ("scope", scope)]).await;
        let request = origin.http.post(origin.url("/oauth/register")).json(&shop());
        let request = request.bearer_auth(text(&tokens, "access_token"));
        assert_eq!(answer(request).await.0, status, "{scope}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn self_registered_client_reads_updates_and_deletes_itself() {
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await;
    let (status, made) = register(&origin, shop()).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["client_secret"].as_str().is_some_and(|secret| secret.starts_with("tgs_")));
    assert_eq!((&made["client_secret_expires_at"], &made["client_name"]), (&json!(0), &json!("A shop")));
    let (_, other) = register(&origin, shop()).await;
    for (body, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://shop.example/cb"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["https://a.example"], "grant_types": ["password"] }), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
    ] {
        let (status, answer) = register(&origin, body.clone()).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{body}");
    }
    let uri = text(&made, "registration_client_uri");
    let manage = async |method: Method, token: &Value, body: Value| {
        let request = origin.http.request(method, uri).bearer_auth(token.as_str().expect("a token"));
        answer(if body.is_null() { request } else { request.json(&body) }).await
    };
    let token = &made["registration_access_token"];
    let (status, read) = manage(Method::GET, token, Value::Null).await;
    assert_eq!((status, &read["client_id"]), (200, &made["client_id"]));
    assert!(read.get("client_secret").is_none() && read.get("registration_access_token").is_none());
    assert_eq!(
        manage(Method::GET, &other["registration_access_token"], Value::Null).await.0,
        401,
        "another client's token"
    );
    let change = json!({
        "client_id": made["client_id"],
        "client_name": "A better shop",
        "redirect_uris": ["https://shop.example/new"],
    });
    let (status, changed) = manage(Method::PUT, token, change.clone()).await;
    assert_eq!((status, &changed["client_name"]), (200, &json!("A better shop")));
    let mut foreign = change;
    foreign["client_id"] = other["client_id"].clone();
    assert_eq!(manage(Method::PUT, token, foreign).await.0, 400);
    assert_eq!(manage(Method::DELETE, token, Value::Null).await.0, 204);
    assert_eq!(manage(Method::GET, token, Value::Null).await.0, 401);
}

/// With open registration anybody can make the origin request a URL, so it refuses private
/// addresses.
#[tokio::test(flavor = "multi_thread")]
async fn registration_causes_no_request_to_a_private_address() {
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await;
    for sector in
        ["https://127.0.0.1:9/sector", "https://localhost:9/sector", "https://169.254.169.254/latest/meta-data"]
    {
        let body = json!({ "redirect_uris": ["https://shop.example/cb"], "sector_identifier_uri": sector });
        let (status, answer) = register(&origin, body).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_client_metadata")), "{sector}");
    }
}

/// Module oidcc-registration-logo-uri, -policy-uri and -tos-uri of the OpenID Foundation's suite.
#[tokio::test(flavor = "multi_thread")]
async fn sign_in_page_shows_sign_policy_and_terms_of_the_client() {
    let origin = Origin::start().await;
    let url = |url: &str| Some(url.parse().expect("a URL"));
    let logo = ClientMetadata { logo_uri: url("https://shop.example/logo.png"), ..Origin::web() };
    let described = ClientMetadata {
        policy_uri: url("https://shop.example/policy"),
        tos_uri: url("https://shop.example/terms"),
        ..Origin::web()
    };
    origin.client("plain", Origin::web()).await;
    origin.client("logo", logo).await;
    origin.client("described", described).await;
    let browser = UserBrowser::new(&origin, "ada");
    let sign_in_page = async |client: &str| {
        let page = browser.request_authorization(client, &[]).await;
        let page = browser.get(&page.redirect().expect("a sign-in page")).await;
        assert!(page.body.contains("Continue to"), "{}", page.body);
        page.body
    };
    assert!(!sign_in_page("plain").await.contains("class=\"sign"));
    let with_logo = sign_in_page("logo").await;
    assert!(with_logo.contains("class=\"sign") && !with_logo.contains("logo.png"), "{with_logo}");
    let with_links = sign_in_page("described").await;
    for link in ["https://shop.example/policy", "https://shop.example/terms"] {
        let expected = format!("<a href=\"{link}\" target=\"_blank\" rel=\"noopener noreferrer\">");
        assert!(with_links.contains(&expected), "{link}: {with_links}");
    }
    origin.shutdown().await;
}

/// Module oidcc-prompt-none-not-logged-in of the OpenID Foundation's suite, with a dynamic client.
#[tokio::test(flavor = "multi_thread")]
async fn error_page_links_to_a_self_registered_client_and_names_its_host() {
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await;
    let mut metadata = shop();
    metadata["scope"] = json!("openid");
    let (_, client) = register(&origin, metadata).await;
    let silent = [("redirect_uri", "https://shop.example/cb"), ("scope", "openid"), ("prompt", "none")];
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.request_authorization(text(&client, "client_id"), &silent).await;
    assert_eq!((page.status, page.redirect()), (400, None), "{}", page.body);
    assert!(page.body.contains("href=\"https://shop.example/cb?error=login_required"), "{}", page.body);
    assert!(page.body.contains("Return to <bdi>shop.example</bdi>"), "{}", page.body);
    let posted = [silent.as_slice(), &[("response_mode", "form_post")]].concat();
    let page = browser.request_authorization(text(&client, "client_id"), &posted).await;
    assert!(page.status == 400 && !page.body.contains("shop.example"), "{}", page.body);
    origin.shutdown().await;
}

/// Module oidcc-ensure-request-without-nonce-succeeds-for-code-flow of the OpenID Foundation's
/// suite fails for such a client, by design.
#[tokio::test(flavor = "multi_thread")]
async fn self_registered_client_needs_pkce_or_a_nonce() {
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await;
    let mut metadata = shop();
    metadata["scope"] = json!("openid");
    metadata["require_pkce"] = json!("never");
    let (_, client) = register(&origin, metadata).await;
    assert_eq!(client["require_pkce"], "unless_nonce", "{client}");
    let browser = UserBrowser::new(&origin, "ada");
    let plain = [
        ("redirect_uri", "https://shop.example/cb"),
        ("scope", "openid"),
        ("code_challenge", ""),
        ("code_challenge_method", ""),
    ];
    let page = browser.request_authorization(text(&client, "client_id"), &plain).await;
    assert!(page.status == 400 && page.body.contains("error=invalid_request"), "{}", page.body);
    let with_nonce = [plain.as_slice(), &[("nonce", "n")]].concat();
    let page = browser.request_authorization(text(&client, "client_id"), &with_nonce).await;
    assert!(page.redirect().is_some_and(|to| to.contains("/login?")), "{}", page.body);
    origin.shutdown().await;
}
