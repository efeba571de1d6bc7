//! Clients that sign: `private_key_jwt`, the JWT bearer grant; and clients whose certificate a proxy tells of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_model::{AuthMethod, ClientMetadata, GrantType, TrustedIssuer};
use tollgate_system::ambient::now;

use crate::harness::{Key, Origin, answer, base64url, claims, unique};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_who_it_is_and_each_assertion_is_good_once() {
    let (origin, key) = (Origin::start().await, Key::new());
    let metadata =
        ClientMetadata { auth_method: AuthMethod::PrivateKeyJwt, jwks: Some(key.jwks()), ..Origin::service("orders") };
    origin.client("signer", metadata).await;
    let good = || json!({ "iss": "signer", "sub": "signer", "aud": origin.server.issuer(), "exp": now() + 60, "jti": unique() });
    let ask = async |assertion: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ];
        answer(origin.http.post(origin.url("/oauth/token")).form(&form)).await
    };
    let assertion = key.sign(&json!({}), &good());
    let (status, tokens) = ask(&assertion).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(claims(tokens["access_token"].as_str().expect("a token"))["sub"], "signer");
    assert_eq!(ask(&assertion).await.0, 401, "the same again");
    let changes: [fn(&mut Value); 7] = [
        |claims| claims["aud"] = json!("https://elsewhere.example"),
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
    assert_eq!(ask(&Key::new().sign(&json!({}), &good())).await.0, 401, "another key");
    let mut endpoint = good();
    endpoint["aud"] = json!([format!("{}/oauth/token", origin.server.issuer())]);
    assert_eq!(ask(&key.sign(&json!({}), &endpoint)).await.0, 200);
    // It cannot fall back to its id alone.
    assert_eq!(origin.post("/oauth/token", "signer", &[("grant_type", "client_credentials")]).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_issuer_vouches_for_users_and_nobody_else_does() {
    let (origin, key, partner) = (Origin::start().await, Key::new(), Key::new());
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
    let assertion = |issuer: &str, subject: &str| json!({ "iss": issuer, "sub": subject, "aud": origin.server.issuer(), "exp": now() + 60, "jti": unique() });
    let ask =
        async |jwt: String| origin.post("/oauth/token", "robot", &[("grant_type", BEARER), ("assertion", &jwt)]).await;
    let own = ask(key.sign(&json!({}), &assertion("robot", "robot"))).await;
    assert_eq!(claims(own.1["access_token"].as_str().expect("a token"))["sub"], "robot");
    let jwt = partner.sign(&json!({}), &assertion("https://partner.example", "ada"));
    let (_, tokens) = ask(jwt.clone()).await;
    assert_eq!(claims(tokens["access_token"].as_str().expect("a token"))["sub"], user.as_str());
    for jwt in [
        jwt,
        partner.sign(&json!({}), &assertion("https://partner.example", "nobody")),
        partner.sign(&json!({}), &assertion("https://other.example", "ada")),
        key.sign(&json!({}), &assertion("https://partner.example", "ada")),
        key.sign(&json!({}), &assertion("robot", "ada")),
        "x".to_owned(),
    ] {
        let (status, error) = ask(jwt.clone()).await;
        assert_eq!((status.as_u16(), &error["error"]), (400, &json!("invalid_grant")), "{jwt}");
    }
}

/// A self-signed P-256 certificate with the subject `CN=robot`, in DER and base64.
pub(crate) const CERTIFICATE: &str = include_str!("certificate.b64");

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_believed_of_a_trusted_proxy() {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = Origin::with(&settings).await;
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
        assert!(claims(tokens["access_token"].as_str().expect("a token"))["cnf"]["x5t#S256"].is_string());
    }
    assert_eq!(ask("other", &certificate).await.0, 401, "another name");
    assert_eq!(ask("robot", "AAAA").await.0, 400, "no certificate");
    assert_eq!(origin.post("/oauth/token", "robot", &form).await.0, 401, "none at all");
    let distrustful = Origin::start().await;
    let by_name = ClientMetadata {
        auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_subject_dn: Some("CN=robot".to_owned()),
        ..Origin::service("orders")
    };
    distrustful.client("robot", by_name).await;
    let request = distrustful.form("/oauth/token", "robot", &form).header("client-cert", &certificate);
    assert_eq!(answer(request).await.0, 401, "anybody can send a header");
}

/// A client whose certificate nobody else vouches for, behind a proxy that passes it on (RFC 8705 §2.2).
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_making_is_known_by_its_thumbprint_or_whole() {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = Origin::with(&settings).await;
    let certificate = CERTIFICATE.split_whitespace().collect::<String>();
    let thumbprint = base64url(&Sha256::digest(STANDARD.decode(&certificate).expect("base64")));
    let jwk = Key::new().jwk();
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
        assert_eq!(origin.post("/oauth/token", client, &form).await.0, 401, "{client} without it");
    }
}

/// Keys that a client publishes are fetched from it, and again when it signs with one that was not there.
#[tokio::test(flavor = "multi_thread")]
async fn published_keys_are_fetched_and_found_again_after_a_rotation() {
    let origin = Origin::start().await;
    let (old, new) = (("old", Key::new()), ("new", Key::new()));
    let jwk = |(kid, key): &(&str, Key)| {
        let mut jwk = key.jwk();
        jwk["kid"] = json!(kid);
        jwk
    };
    let published = Arc::new(Mutex::new(json!({ "keys": [jwk(&old)] })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("its address"));
    let served = Arc::clone(&published);
    let keys =
        axum::Router::new().route("/jwks", axum::routing::get(async move || served.lock().expect("whole").to_string()));
    tokio::spawn(async move { axum::serve(listener, keys).await });
    let metadata = ClientMetadata {
        auth_method: AuthMethod::PrivateKeyJwt,
        jwks_uri: Some(url.parse().expect("a URL")),
        ..Origin::service("orders")
    };
    origin.client("publisher", metadata).await;
    let ask = async |(kid, key): &(&str, Key)| {
        let issuer = origin.server.issuer();
        let claims =
            json!({ "iss": "publisher", "sub": "publisher", "aud": issuer, "exp": now() + 60, "jti": unique() });
        let assertion = key.sign(&json!({ "kid": kid }), &claims);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
        ];
        answer(origin.http.post(origin.url("/oauth/token")).form(&form)).await.0.as_u16()
    };
    assert_eq!(ask(&old).await, 200);
    assert_eq!(ask(&new).await, 401, "it is not published");
    *published.lock().expect("whole") = json!({ "keys": [jwk(&old), jwk(&new)] });
    // Who does not fit is not asked for at once again: a stranger may send anything.
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
