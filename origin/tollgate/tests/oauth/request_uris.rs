//! Request objects at URLs that the client registered (OpenID Connect Core §6.2).

use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tollgate_model::ClientMetadata;
use tollgate_system::Clock;
use tollgate_test_kit::jwt::{ClientKey, base64url};
use tollgate_test_kit::recording_server::RecordingServer;

use crate::fixture::{Origin, UserBrowser, authorization_query, parameters};

/// A request object of the client `shop`, and the hash that its URI may have.
fn request_object(origin: &Origin, key: &ClientKey) -> (String, String) {
    let mut object = json!({ "iss": "shop", "aud": origin.server.issuer(), "exp": Clock::system().now() + 600 });
    let query = authorization_query("shop", &[("state", "of the object")]);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        object[&*name] = json!(value);
    }
    let object = key.sign(&json!({ "typ": "oauth-authz-req+jwt" }), &object);
    let hash = base64url(&Sha256::digest(object.as_bytes()));
    (object, hash)
}

fn by_reference(uri: &str, more: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", "shop"), ("request_uri", uri)])
        .extend_pairs(more)
        .finish();
    format!("/oauth/authorize?{query}")
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_request_uri_is_fetched_once_for_its_hash() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let key = ClientKey::generate();
    let (object, hash) = request_object(&origin, &key);
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
async fn request_object_must_have_the_hash_in_its_uri_and_the_clients_signature() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let key = ClientKey::generate();
    let (object, hash) = request_object(&origin, &ClientKey::generate());
    let server = RecordingServer::start(200, &object, Duration::ZERO).await.expect("started");
    let uri = format!("{}/request.jwt", server.url);
    let metadata =
        ClientMetadata { jwks: Some(key.jwks()), request_uris: vec![uri.parse().expect("a URI")], ..Origin::web() };
    origin.client("shop", metadata).await;
    let browser = UserBrowser::new(&origin, "ada");
    let other_hash = base64url(&Sha256::digest(b"another object"));
    for (named, error) in [
        (uri.clone(), "invalid_request_object"),
        (format!("{uri}#{hash}"), "invalid_request_object"),
        (format!("{uri}#{other_hash}"), "invalid_request_uri"),
    ] {
        let location = browser.get(&by_reference(&named, &[])).await.redirect().expect("a redirect");
        assert_eq!(parameters(&location)["error"], error, "{named}");
    }
}
