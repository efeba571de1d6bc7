//! How authorization responses reach the client: form post and signed responses (JARM).

use serde_json::json;
use tollgate_model::{AuthMethod, ClientMetadata, TokenAlg};
use tollgate_test_kit::browser::Page;

use crate::fixture::{Origin, REDIRECT_URI, UserBrowser, claims, header, parameters, redemption};

const FORM_POST: [(&str, &str); 1] = [("response_mode", "form_post")];

/// The content security policy of a page.
fn policy(page: &Page) -> &str {
    page.headers["content-security-policy"].to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn form_post_page_posts_the_response_to_the_client() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.request_authorization("shop", &FORM_POST).await;
    let page = browser.complete_pages(page, "allow").await;
    assert_eq!((page.status, page.redirect()), (200, None), "{}", page.body);
    assert!(page.body.contains(&format!("<form class=\"form\" method=\"post\" action=\"{REDIRECT_URI}\">")));
    assert_eq!(page.field("state").as_deref(), Some("a state"));
    assert_eq!(page.field("iss").as_deref(), Some(origin.server.issuer()));
    origin.token("shop", &redemption(&page.field("code").expect("a code"))).await;
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(policy(&page).contains("script-src 'sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE='"));
    assert!(policy(&page).starts_with("default-src 'none'"), "{}", policy(&page));
    assert!(page.body.contains("<script>document.forms[0].submit()</script>"));
    let in_german = [("response_mode", "form_post"), ("ui_locales", "de")];
    assert!(browser.request_authorization("shop", &in_german).await.body.contains("Weiter zu"));
    origin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_posted_too() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    for (change, error) in [
        (("scope", "admin"), "invalid_scope"),
        (("prompt", "none"), "login_required"),
        (("code_challenge_method", "plain"), "invalid_request"),
    ] {
        let page = browser.request_authorization("shop", &[FORM_POST[0], change]).await;
        assert_eq!((page.status, page.field("error").as_deref()), (200, Some(error)));
        assert_eq!(page.field("state").as_deref(), Some("a state"));
    }
    let page = browser.request_authorization("shop", &FORM_POST).await;
    let denied = browser.complete_pages(page, "deny").await;
    assert_eq!(denied.field("error").as_deref(), Some("access_denied"));
    let elsewhere = [FORM_POST[0], ("redirect_uri", "https://evil.example/cb")];
    let page = browser.request_authorization("shop", &elsewhere).await;
    assert_eq!((page.status, page.field("error")), (400, None), "an address that is not registered gets nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn app_scheme_cannot_get_a_form() {
    let origin = Origin::start().await;
    let redirect_uris = vec!["com.example.app:/cb".parse().expect("a URI")];
    origin.client("app", ClientMetadata { auth_method: AuthMethod::None, redirect_uris, ..Origin::web() }).await;
    let browser = UserBrowser::new(&origin, "ada");
    let changes = [FORM_POST[0], ("redirect_uri", "com.example.app:/cb")];
    let page = browser.request_authorization("app", &changes).await;
    assert_eq!(parameters(&page.redirect().expect("a redirect"))["error"], "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_responses_name_their_client_and_expire() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let signed_with = ClientMetadata { authorization_signed_response_alg: Some(TokenAlg::Es256), ..Origin::web() };
    origin.client("modern", signed_with).await;
    let browser = UserBrowser::new(&origin, "ada");
    for (client, mode, alg) in [("shop", "jwt", "RS256"), ("shop", "query.jwt", "RS256"), ("modern", "jwt", "ES256")] {
        let response = browser.authorize(client, &[("response_mode", mode)]).await;
        assert_eq!(response.len(), 1, "everything is in the JWT: {response:?}");
        let jwt = &response["response"];
        assert_eq!(header(jwt)["alg"], alg);
        let signed = claims(jwt);
        assert_eq!(signed["iss"], origin.server.issuer());
        assert_eq!((&signed["aud"], &signed["state"]), (&json!(client), &json!("a state")));
        let lifetime = signed["exp"].as_u64().expect("exp") - tollgate_system::Clock::system().now();
        assert!(lifetime <= 600, "{lifetime}");
        origin.token(client, &redemption(signed["code"].as_str().expect("a code"))).await;
    }
    let page = browser.request_authorization("shop", &[("response_mode", "form_post.jwt"), ("scope", "admin")]).await;
    assert_eq!(claims(&page.field("response").expect("a response"))["error"], "invalid_scope");
    // The same keys sign it, but it is no ID token.
    let response = browser.authorize("shop", &[("response_mode", "jwt")]).await;
    let hint = [("id_token_hint", response["response"].as_str())];
    let page = browser.request_authorization("shop", &hint).await;
    assert_eq!(parameters(&page.redirect().expect("a redirect"))["error"], "invalid_request");
}
