//! Request objects at URLs that the client registered (OpenID Connect Core §6.2).

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_model::ClientMetadata;
use tollgate_system::Clock;
use tollgate_test_kit::jwt::{ClientKey, base64url};
use tollgate_test_kit::recording_server::RecordingServer;

use crate::fixture::{Origin, UserBrowser, authorization_query, parameters};

/// Claims of a request object of the client `shop`, without times.
fn request_claims(origin: &Origin) -> Value {
    let mut object = json!({ "iss": "shop", "aud": origin.server.issuer() });
    let query = authorization_query("shop", &[("state", "of the object")]);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        object[&*name] = json!(value);
    }
    object
}

fn by_reference(uri: &str, more: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", "shop"), ("request_uri", uri)])
        .extend_pairs(more)
        .finish();
    format!("/oauth/authorize?{query}")
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_request_uri_is_fetched_once_for_each_version() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let key = ClientKey::generate();
    let mut claims = request_claims(&origin);
    claims["exp"] = json!(Clock::system().now() + 600);
    let object = key.sign(&json!({ "typ": "oauth-authz-req+jwt" }), &claims);
    let hash = base64url(&Sha256::digest(object.as_bytes()));
    let server = RecordingServer::start(200, &object, Duration::ZERO).await.expect("started");
    let uri = format!("{}/request.jwt#{hash}", server.url);
    let metadata =
        ClientMetadata { jwks: Some(key.jwks()), request_uris: vec![uri.parse().expect("a URI")], ..Origin::web() };
    origin.client("shop", metadata).await;
    let browser = UserBrowser::new(&origin, "ada");
    for _ in 0..2 {
        let page = browser.get(&by_reference(&uri, &[("state", "of the link")])).await;
        let response = browser.complete(page, "allow").await;
        assert!(response.contains_key("code"), "{response:?}");
        assert_eq!(response["state"], "of the object", "parameters outside the object do not count");
    }
    assert_eq!(server.requests(), ["GET /request.jwt"]);
    let other_hash = base64url(&Sha256::digest(b"another object"));
    let elsewhere = [
        format!("{}/other.jwt", server.url),
        format!("{}/request.jwt", server.url),
        format!("{}/request.jwt#{other_hash}", server.url),
        "https://shop.example/request.jwt".to_owned(),
        "x".to_owned(),
    ];
    for other in &elsewhere {
        let location = browser.get(&by_reference(other, &[])).await.redirect().expect("a redirect");
        assert_eq!(parameters(&location)["error"], "invalid_request_uri", "{other}");
    }
    let both = browser.get(&by_reference(&uri, &[("request", &object)])).await.redirect().expect("a redirect");
    assert_eq!(parameters(&both)["error"], "invalid_request");
    assert_eq!(server.requests().len(), 1, "no other URL is requested");
}

#[tokio::test(flavor = "multi_thread")]
async fn published_request_object_must_have_the_clients_signature_but_no_times() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let key = ClientKey::generate();
    for (signed_by, is_accepted) in [(&key, true), (&ClientKey::generate(), false)] {
        let object = signed_by.sign(&json!({}), &request_claims(&origin));
        let server = RecordingServer::start(200, &object, Duration::ZERO).await.expect("started");
        let uri = format!("{}/request.jwt", server.url);
        let metadata =
            ClientMetadata { jwks: Some(key.jwks()), request_uris: vec![uri.parse().expect("a URI")], ..Origin::web() };
        match is_accepted {
            true => origin.client("shop", metadata).await,
            false => origin.update_client("shop", metadata).await,
        }
        let browser = UserBrowser::new(&origin, "ada");
        let page = browser.get(&by_reference(&uri, &[])).await;
        let response = browser.complete(page, "allow").await;
        assert_eq!(response.contains_key("code"), is_accepted, "{response:?}");
        assert_eq!(response.get("error").map(String::as_str), (!is_accepted).then_some("invalid_request_object"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_that_a_link_adds_cause_no_further_requests() {
    const LINKS: usize = 12;
    let origin = Origin::start().await;
    origin.user("ada").await;
    let server = RecordingServer::start(500, "", Duration::ZERO).await.expect("started");
    let uri = format!("{}/request.jwt", server.url);
    let metadata = ClientMetadata {
        jwks: Some(ClientKey::generate().jwks()),
        request_uris: vec![uri.parse().expect("a URI")],
        ..Origin::web()
    };
    origin.client("shop", metadata).await;
    let browser = UserBrowser::new(&origin, "ada");
    for link in 0..LINKS {
        let hash = base64url(&Sha256::digest(link.to_string()));
        let location = browser.get(&by_reference(&format!("{uri}#{hash}"), &[])).await.redirect().expect("a redirect");
        assert_eq!(parameters(&location)["error"], "invalid_request_uri", "{link}");
    }
    // The delay after a failure doubles up to a minute: as many requests would need minutes.
    let requests = server.requests().len();
    assert!((1..LINKS).contains(&requests), "{requests}");
}
