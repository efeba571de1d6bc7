//! The development setting by which `http` redirect URIs may lead to other hosts.

use reqwest::Method;
use serde_json::json;
use tollgate_model::ClientMetadata;

use crate::console::Fixture;
use crate::fixture::{Origin, UserBrowser, answer};

const SWITCH: (&str, &str) = ("TOLLGATE_ALLOW_HTTP_REDIRECTS", "true");
const URI: &str = "http://dev.example:3000/cb";

/// A client that was registered while the setting was on.
async fn register(origin: &Origin) {
    let uris = vec![URI.parse().expect("a URI")];
    let metadata = ClientMetadata { redirect_uris: uris.clone(), post_logout_redirect_uris: uris, ..Origin::web() };
    origin.client("dev", metadata).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_http_redirect_uri_works_only_while_the_setting_is_on() {
    let logout = format!("/oauth/logout?client_id=dev&post_logout_redirect_uri={URI}");
    let origin = Origin::start().await;
    origin.user("ada").await;
    register(&origin).await;
    let browser = UserBrowser::new(&origin, "ada");
    for page in [browser.request_authorization("dev", &[("redirect_uri", URI)]).await, browser.get(&logout).await] {
        assert_eq!((page.status, page.redirect()), (400, None));
        assert!(page.body.contains("TOLLGATE_ALLOW_HTTP_REDIRECTS"), "the page says why: {}", page.body);
    }
    origin.shutdown().await;

    let origin = Origin::start_with(&[SWITCH]).await;
    origin.user("ada").await;
    register(&origin).await;
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.request_authorization("dev", &[("redirect_uri", URI)]).await;
    let location = browser.complete_pages(page, "allow").await.redirect().expect("a redirect");
    assert!(location.starts_with(&format!("{URI}?")) && location.contains("code="), "{location}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_redirect_uris_are_registered_only_while_the_setting_is_on() {
    let client = json!({
        "client_id": "web", "client_name": "A shop", "grant_types": ["authorization_code"], "redirect_uris": [URI],
    });
    let registration = ("TOLLGATE_REGISTRATION", "open");
    for (settings, by_operator, by_client) in [(&[registration][..], 400, 400), (&[registration, SWITCH], 201, 201)] {
        let fixture = Fixture::start_with(settings).await;
        let (status, body) = fixture.send(Method::POST, "/clients", client.clone()).await;
        assert_eq!(status, by_operator, "{body}");
        let request = fixture.origin.http.post(fixture.origin.url("/oauth/register"));
        let (status, body) = answer(request.json(&json!({ "redirect_uris": [URI] }))).await;
        assert_eq!(status, by_client, "{body}");
        let page = fixture.browser("root").await.get("/admin").await.body;
        assert_eq!(page.contains("TOLLGATE_ALLOW_HTTP_REDIRECTS"), by_operator == 201, "the console warns");
        fixture.origin.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_members_of_a_client_with_an_http_redirect_uri_can_be_changed() {
    let fixture = Fixture::start().await;
    register(&fixture.origin).await;
    let (status, body) = fixture.send(Method::PATCH, "/clients/dev", json!({ "owner": "Team" })).await;
    assert_eq!((status, &body["owner"]), (200, &json!("Team")), "{body}");
    let more = json!({ "redirect_uris": [URI, "http://other.example/cb"] });
    assert_eq!(fixture.send(Method::PATCH, "/clients/dev", more).await.0, 400);
    assert_eq!(fixture.read("/clients/dev").await["redirect_uris"], json!([URI]));
}
