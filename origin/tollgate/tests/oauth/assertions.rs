//! Client authentication by signed assertions and by certificates that a proxy forwards, and the
//! JWT bearer grant.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_model::{AuthMethod, ClientMetadata, GrantType, TrustedIssuer};
use tollgate_system::Clock;
use tollgate_test_kit::client::JWT_BEARER_GRANT;
use tollgate_test_kit::jwt::{ClientKey, base64url, random_id};

use crate::fixture::{Origin, answer, claims, text};

fn now() -> u64 {
    Clock::system().now()
}

const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test(flavor = "multi_thread")]
async fn private_key_jwt_assertion_is_valid_once() {
    let (origin, key) = (Origin::start().await, ClientKey::generate());
    let metadata =
        ClientMetadata { auth_method: AuthMethod::PrivateKeyJwt, jwks: Some(key.jwks()), ..Origin::service("orders") };
    origin.client("signer", metadata).await;
    let good = || json!({ "iss": "signer", "sub": "signer", "aud": origin.server.issuer(), "exp": now() + 60, "jti": random_id() });
    let ask = async |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", assertion),
        ];
        answer(origin.http.post(origin.url("/oauth/token")).form(&form)).await
    };
    let assertion = key.sign(&json!({}), &good());
    let (status, tokens) = ask(&assertion).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(claims(text(&tokens, "access_token"))["sub"], "signer");
    assert_eq!(ask(&assertion).await.0, 401, "a replay");
    let both = json!([origin.server.issuer(), "https://evil.example"]);
    let injected = |mut claims: Value| {
        claims["aud"] = both.clone();
        key.sign(&json!({}), &claims)
    };
    assert_eq!(ask(&injected(good())).await.0, 401, "an audience beside this server");
    let changes: [fn(&mut Value); 8] = [
        |claims| claims["aud"] = json!("https://elsewhere.example"),
        |claims| claims["aud"] = json!([]),
        |claims| claims["exp"] = json!(now() - 61),
        |claims| claims["exp"] = json!(now() + 86_400),
        |claims| claims["iss"] = json!("other"),
        |claims| claims["sub"] = json!("other"),
        |claims| drop(claims.as_object_mut().expect("an object").remove("jti")),
        |claims| claims["nbf"] = json!(now() + 120),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut claims = good();
        change(&mut claims);
        assert_eq!(ask(&key.sign(&json!({}), &claims)).await.0, 401, "change {index}");
    }
    assert_eq!(ask(&ClientKey::generate().sign(&json!({}), &good())).await.0, 401, "another key");
    let mut endpoint = good();
    endpoint["aud"] = json!([format!("{}/oauth/token", origin.server.issuer())]);
    assert_eq!(ask(&key.sign(&json!({}), &endpoint)).await.0, 200);
    // The id alone does not authenticate it.
    assert_eq!(origin.post("/oauth/token", "signer", &[("grant_type", "client_credentials")]).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_issuer_vouches_for_users() {
    let (origin, key, partner) = (Origin::start().await, ClientKey::generate(), ClientKey::generate());
    let user = origin.user("ada").await;
    let trusted =
        TrustedIssuer { issuer: "https://partner.example".to_owned(), jwks: Some(partner.jwks()), jwks_uri: None };
    let metadata = ClientMetadata {
        grant_types: vec![GrantType::JwtBearer],
        jwks: Some(key.jwks()),
        trusted_issuers: vec![trusted],
        ..Origin::service("orders")
    };
    origin.client("robot", metadata).await;
    let assertion = |issuer: &str, subject: &str| json!({ "iss": issuer, "sub": subject, "aud": origin.server.issuer(), "exp": now() + 60, "jti": random_id() });
    let ask = async |jwt: String| {
        origin.post("/oauth/token", "robot", &[("grant_type", JWT_BEARER_GRANT), ("assertion", &jwt)]).await
    };
    let own = ask(key.sign(&json!({}), &assertion("robot", "robot"))).await;
    assert_eq!(claims(own.1["access_token"].as_str().expect("a token"))["sub"], "robot");
    let jwt = partner.sign(&json!({}), &assertion("https://partner.example", "ada"));
    let (_, tokens) = ask(jwt.clone()).await;
    assert_eq!(claims(text(&tokens, "access_token"))["sub"], user.as_str());
    for jwt in [
        jwt,
        partner.sign(&json!({}), &assertion("https://partner.example", "nobody")),
        partner.sign(&json!({}), &assertion("https://other.example", "ada")),
        key.sign(&json!({}), &assertion("https://partner.example", "ada")),
        key.sign(&json!({}), &assertion("robot", "ada")),
        "x".to_owned(),
    ] {
        let (status, error) = ask(jwt.clone()).await;
        assert_eq!((status, &error["error"]), (400, &json!("invalid_grant")), "{jwt}");
    }
}

/// A self-signed P-256 certificate with the subject `CN=robot`, in DER and base64.
pub(crate) const CERTIFICATE: &str = include_str!("certificate.b64");

#[tokio::test(flavor = "multi_thread")]
async fn certificate_header_authenticates_behind_a_trusted_proxy() {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = Origin::start_with(&settings).await;
    let by_name = ClientMetadata {
        auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_subject_dn: Some("CN=robot".to_owned()),
        tls_client_certificate_bound_access_tokens: true,
        ..Origin::service("orders")
    };
    origin.client("robot", by_name.clone()).await;
    origin.client("other", ClientMetadata { tls_client_auth_subject_dn: Some("CN=other".to_owned()), ..by_name }).await;
    let form = [("grant_type", "client_credentials")];
    let certificate = CERTIFICATE.split_whitespace().collect::<String>();
    let ask = async |client: &str, value: &str| {
        answer(origin.form("/oauth/token", client, &form).header("client-cert", value)).await
    };
    let pem = format!("-----BEGIN CERTIFICATE-----%0A{certificate}%0A-----END CERTIFICATE-----%0A");
    for value in [format!(":{certificate}:"), certificate.clone(), pem] {
        let (status, tokens) = ask("robot", &value).await;
        assert_eq!(status, 200, "{tokens}");
        assert!(claims(text(&tokens, "access_token"))["cnf"]["x5t#S256"].is_string());
    }
    assert_eq!(ask("other", &certificate).await.0, 401, "another name");
    assert_eq!(ask("robot", "AAAA").await.0, 400, "not a certificate");
    assert_eq!(origin.post("/oauth/token", "robot", &form).await.0, 401, "no certificate");
    let without_proxy = Origin::start().await;
    let by_name = ClientMetadata {
        auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_subject_dn: Some("CN=robot".to_owned()),
        ..Origin::service("orders")
    };
    without_proxy.client("robot", by_name).await;
    let request = without_proxy.form("/oauth/token", "robot", &form).header("client-cert", &certificate);
    assert_eq!(answer(request).await.0, 401, "a header that does not come from a proxy");
}

/// Self-signed certificates that a proxy forwards (RFC 8705 §2.2).
#[tokio::test(flavor = "multi_thread")]
async fn self_signed_certificate_matches_by_x5t_or_x5c() {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = Origin::start_with(&settings).await;
    let certificate = CERTIFICATE.split_whitespace().collect::<String>();
    let thumbprint = base64url(&Sha256::digest(STANDARD.decode(&certificate).expect("base64")));
    let jwk = ClientKey::generate().jwk();
    for (client, member, registered, status) in [
        ("by-thumbprint", "x5t#S256", json!(thumbprint), 200),
        ("whole", "x5c", json!([certificate]), 200),
        ("another", "x5t#S256", json!(base64url(&[7; 32])), 401),
    ] {
        let mut jwk = jwk.clone();
        jwk[member] = registered;
        let metadata = ClientMetadata {
            auth_method: AuthMethod::SelfSignedTlsClientAuth,
            jwks: Some(json!({ "keys": [jwk] })),
            ..Origin::service("orders")
        };
        origin.client(client, metadata).await;
        let form = [("grant_type", "client_credentials")];
        let request = origin.form("/oauth/token", client, &form);
        let (answered, tokens) = answer(request.header("client-cert", format!(":{certificate}:"))).await;
        assert_eq!(answered, status, "{client}: {tokens}");
        assert_eq!(origin.post("/oauth/token", client, &form).await.0, 401, "{client} without a certificate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jwks_uri_is_fetched_again_after_a_key_rotation() {
    let origin = Origin::start().await;
    let (old, new) = (("old", ClientKey::generate()), ("new", ClientKey::generate()));
    let jwk = |(kid, key): &(&str, ClientKey)| {
        let mut jwk = key.jwk();
        jwk["kid"] = json!(kid);
        jwk
    };
    let published = Arc::new(Mutex::new(json!({ "keys": [jwk(&old)] })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("its address"));
    let served = Arc::clone(&published);
    let keys = axum::Router::new()
        .route("/jwks", axum::routing::get(async move || served.lock().expect("not poisoned").to_string()));
    tokio::spawn(async move { axum::serve(listener, keys).await });
    let metadata = ClientMetadata {
        auth_method: AuthMethod::PrivateKeyJwt,
        jwks_uri: Some(url.parse().expect("a URL")),
        ..Origin::service("orders")
    };
    origin.client("publisher", metadata).await;
    let ask = async |(kid, key): &(&str, ClientKey)| {
        let issuer = origin.server.issuer();
        let claims =
            json!({ "iss": "publisher", "sub": "publisher", "aud": issuer, "exp": now() + 60, "jti": random_id() });
        let assertion = key.sign(&json!({ "kid": kid }), &claims);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", &assertion),
        ];
        answer(origin.http.post(origin.url("/oauth/token")).form(&form)).await.0
    };
    assert_eq!(ask(&old).await, 200);
    assert_eq!(ask(&new).await, 401, "not published yet");
    *published.lock().expect("not poisoned") = json!({ "keys": [jwk(&old), jwk(&new)] });
    // The origin does not fetch the keys again for each unknown `kid`, because anybody can send
    // one.
    let mut status = ask(&new).await;
    for _ in 0..30 {
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        status = ask(&new).await;
    }
    assert_eq!((status, ask(&old).await), (200, 200));
}
