//! Clients with the FAPI 2.0 Security Profile.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata, ClientProfile, GrantType, TokenAlg};
use tollgate_system::Clock;
use tollgate_test_kit::client::{CODE_CHALLENGE, CODE_VERIFIER};
use tollgate_test_kit::jwt::{ClientKey, RsaClientKeys, random_id};

use crate::fixture::{Origin, REDIRECT_URI, UserBrowser, answer, authorization_query, parameters, text};

const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Registers `bank`, a client with the profile that authenticates by these keys.
async fn register_bank(origin: &Origin, jwks: Value) {
    let bank = ClientMetadata {
        profile: Some(ClientProfile::Fapi2),
        auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(jwks),
        ..Origin::web()
    };
    origin.client("bank", bank.checked().expect("good")).await;
}

/// Posts a form as the client `bank`, whose assertion has this audience.
async fn post(origin: &Origin, key: &ClientKey, path: &str, audience: Value, form: &[(&str, &str)]) -> (u16, Value) {
    answer(request(origin, key, path, audience, form)).await
}

fn request(origin: &Origin, key: &ClientKey, path: &str, audience: Value, form: &[(&str, &str)]) -> RequestBuilder {
    let claims = json!({
        "iss": "bank", "sub": "bank", "aud": audience, "exp": Clock::system().now() + 60, "jti": random_id(),
    });
    let assertion = key.sign(&json!({}), &claims);
    let authentication = [("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", assertion.as_str())];
    origin.http.post(origin.url(path)).form(&[form, &authentication].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn fapi2_client_pushes_binds_and_names_the_issuer_alone() {
    let (origin, key) = (Origin::start().await, ClientKey::generate());
    origin.user("ada").await;
    register_bank(&origin, key.jwks()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.request_authorization("bank", &[]).await;
    assert_eq!(parameters(&page.redirect().expect("a redirect"))["error"], "invalid_request", "it was not pushed");

    let query = authorization_query("bank", &[("client_id", "")]);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let issuer = origin.server.issuer();
    for (audience, status) in [
        (json!([issuer]), 401),
        (json!(format!("{issuer}/oauth/par")), 401),
        (json!(format!("{issuer}/oauth/token")), 401),
        (json!(issuer), 201),
    ] {
        assert_eq!(post(&origin, &key, "/oauth/par", audience.clone(), &form).await.0, status, "{audience}");
    }
    let (_, pushed) = post(&origin, &key, "/oauth/par", json!(issuer), &form).await;
    let by = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", "bank"), ("request_uri", text(&pushed, "request_uri"))])
        .finish();
    let page = browser.get(&format!("/oauth/authorize?{by}")).await;
    let response = browser.complete(page, "allow").await;
    assert_eq!(response["iss"], issuer);
    let code = response["code"].as_str();
    let redemption = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)];
    let (_, refused) = post(&origin, &key, "/oauth/token", json!(issuer), &redemption).await;
    assert_eq!(refused["error"], "invalid_grant", "code_verifier is missing");
    let with_verifier = [&redemption[..], &[("code_verifier", CODE_VERIFIER)]].concat();
    let (_, refused) = post(&origin, &key, "/oauth/token", json!(issuer), &with_verifier).await;
    assert_eq!(refused["error"], "invalid_dpop_proof", "tokens are bound to a key");
    let url = format!("{issuer}/oauth/token");
    let bound = async |form: &[(&str, &str)]| {
        let proof = key.proof("POST", &url, json!({}));
        answer(request(&origin, &key, "/oauth/token", json!(issuer), form).header("dpop", proof)).await
    };
    let (status, tokens) = bound(&with_verifier).await;
    assert_eq!(status, 200, "{tokens}");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    for _ in 0..2 {
        let (status, refreshed) = bound(&refresh).await;
        assert_eq!((status, refreshed.get("refresh_token")), (200, None), "not rotated: {refreshed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_cannot_register_what_contradicts_the_profile() {
    let fixture = crate::console::Fixture::start().await;
    let body = json!({
        "client_name": "A bank", "profile": "fapi2", "grant_types": ["client_credentials"], "scope": "orders",
        "token_endpoint_auth_method": "client_secret_basic",
    });
    let (status, refusal) = fixture.send(reqwest::Method::POST, "/clients", body).await;
    assert_eq!(status, 400, "{refusal}");
    assert!(refusal.to_string().contains("profile fapi2: token_endpoint_auth_method"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fapi2_client_signs_with_ps256_and_never_with_rs256() {
    let (origin, keys) = (Origin::start().await, RsaClientKeys::generate().expect("keys"));
    let service =
        ClientMetadata { auth_method: AuthMethod::PrivateKeyJwt, jwks: Some(keys.jwks()), ..Origin::service("orders") };
    let bank = ClientMetadata { profile: Some(ClientProfile::Fapi2), ..service.clone() };
    origin.client("bank", bank.checked().expect("good")).await;
    origin.client("service", service).await;
    let (issuer, url) = (origin.server.issuer(), format!("{}/oauth/token", origin.server.issuer()));
    let post = async |client: &str, assertion: TokenAlg, proof: TokenAlg| {
        let claims = json!({
            "iss": client, "sub": client, "aud": issuer, "exp": Clock::system().now() + 60, "jti": random_id(),
        });
        let assertion = keys.sign(assertion, &json!({}), &claims).expect("signed");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        let proof = keys.proof(proof, "POST", &url).expect("signed");
        answer(origin.http.post(&url).form(&form).header("dpop", proof)).await
    };
    for alg in [TokenAlg::Ps256, TokenAlg::Rs256] {
        let (status, tokens) = post("service", alg, alg).await;
        assert_eq!((status, &tokens["token_type"]), (200, &json!("DPoP")), "{alg}: {tokens}");
    }
    let (status, tokens) = post("bank", TokenAlg::Ps256, TokenAlg::Ps256).await;
    assert_eq!(status, 200, "{tokens}");
    let (status, refusal) = post("bank", TokenAlg::Rs256, TokenAlg::Ps256).await;
    assert_eq!((status, &refusal["error"]), (401, &json!("invalid_client")));
    let (status, refusal) = post("bank", TokenAlg::Ps256, TokenAlg::Rs256).await;
    assert_eq!((status, &refusal["error"]), (400, &json!("invalid_dpop_proof")), "{refusal}");
    assert!(refusal["error_description"].as_str().is_some_and(|text| text.contains("profile fapi2")), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fapi2_request_object_is_signed_with_ps256_and_never_with_rs256() {
    let (origin, keys) = (Origin::start().await, RsaClientKeys::generate().expect("keys"));
    register_bank(&origin, keys.jwks()).await;
    let (issuer, now) = (origin.server.issuer(), Clock::system().now());
    let expires_at = now + 60;
    for (alg, status) in [(TokenAlg::Ps256, 201), (TokenAlg::Rs256, 400)] {
        let claims = json!({ "iss": "bank", "sub": "bank", "aud": issuer, "exp": expires_at, "jti": random_id() });
        let assertion = keys.sign(TokenAlg::Ps256, &json!({}), &claims).expect("signed");
        let object = json!({
            "iss": "bank", "client_id": "bank", "aud": issuer, "nbf": now, "exp": expires_at, "response_type": "code",
            "redirect_uri": REDIRECT_URI, "scope": "openid", "code_challenge": CODE_CHALLENGE,
            "code_challenge_method": "S256",
        });
        let object = keys.sign(alg, &json!({ "typ": "oauth-authz-req+jwt" }), &object).expect("signed");
        let form = [
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
            ("request", object.as_str()),
        ];
        let (answered, body) = answer(origin.http.post(origin.url("/oauth/par")).form(&form)).await;
        assert_eq!(answered, status, "{alg}: {body}");
        let refusal = body["error_description"].as_str().unwrap_or_default();
        assert_eq!(refusal.contains("profile fapi2"), alg == TokenAlg::Rs256, "{body}");
    }
}

/// Modules ensure-request-object-without-nbf-fails and -with-nbf-over-60-fails of the OpenID
/// Foundation's FAPI 2.0 Message Signing plan.
#[tokio::test(flavor = "multi_thread")]
async fn fapi2_request_object_is_recent_and_short_lived() {
    let (origin, key) = (Origin::start().await, ClientKey::generate());
    register_bank(&origin, key.jwks()).await;
    let (issuer, now) = (origin.server.issuer(), Clock::system().now());
    for (changes, refusal) in [
        (json!({}), None),
        (json!({ "nbf": now - 3000 }), None),
        (json!({ "aud": null }), Some("no aud")),
        (json!({ "nbf": null }), Some("no nbf")),
        (json!({ "exp": null, "iat": now }), Some("no exp")),
        (json!({ "nbf": now - 4200 }), Some("nbf is more than an hour ago")),
        (json!({ "nbf": now - 3000, "exp": now + 1200 }), Some("more than an hour after its nbf")),
    ] {
        let mut object = json!({
            "iss": "bank", "client_id": "bank", "aud": issuer, "nbf": now, "exp": now + 60, "response_type": "code",
            "redirect_uri": REDIRECT_URI, "scope": "openid", "code_challenge": CODE_CHALLENGE,
            "code_challenge_method": "S256",
        });
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => object.as_object_mut().expect("an object").remove(name),
                value => object.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
            };
        }
        let object = key.sign(&json!({ "typ": "oauth-authz-req+jwt" }), &object);
        let (status, body) = post(&origin, &key, "/oauth/par", json!(issuer), &[("request", object.as_str())]).await;
        let description = body["error_description"].as_str().unwrap_or_default();
        match refusal {
            None => assert_eq!(status, 201, "{changes}: {body}"),
            Some(reason) => {
                assert_eq!(
                    (status, body["error"].as_str()),
                    (400, Some("invalid_request_object")),
                    "{changes}: {body}"
                );
                assert!(description.contains(reason), "{changes}: {body}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_of_the_issuer_is_kept_by_every_client_and_in_discovery() {
    let settings = [("TOLLGATE_PROFILE", "fapi2"), ("TOLLGATE_REGISTRATION", "open")];
    let (origin, key) = (Origin::start_with(&settings).await, ClientKey::generate());
    origin.user("ada").await;
    let (_, discovery) = answer(origin.http.get(origin.url("/.well-known/openid-configuration"))).await;
    assert_eq!(discovery["require_pushed_authorization_requests"], true);
    assert_eq!(discovery["token_endpoint_auth_methods_supported"], json!(["private_key_jwt"]));
    assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["EdDSA", "ES256"]));
    for member in ["dpop", "request_object", "token_endpoint_auth"] {
        let algs = &discovery[format!("{member}_signing_alg_values_supported")];
        assert_eq!(*algs, json!(["EdDSA", "Ed25519", "ES256", "PS256"]), "{member}");
    }
    // Registered without the profile, as before the setting.
    let unmarked = ClientMetadata {
        auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(key.jwks()),
        grant_types: vec![GrantType::AuthorizationCode, GrantType::ClientCredentials],
        ..Origin::web()
    };
    origin.client("bank", unmarked).await;
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.request_authorization("bank", &[]).await;
    assert_eq!(parameters(&page.redirect().expect("a redirect"))["error"], "invalid_request", "it was not pushed");
    let issuer = origin.server.issuer();
    let form = [("grant_type", "client_credentials"), ("scope", "orders")];
    let (_, refused) = post(&origin, &key, "/oauth/token", json!(issuer), &form).await;
    assert_eq!(refused["error"], "invalid_dpop_proof", "tokens are bound to a key");
    let proof = key.proof("POST", &format!("{issuer}/oauth/token"), json!({}));
    let bound = request(&origin, &key, "/oauth/token", json!(issuer), &form).header("dpop", proof);
    assert_eq!(answer(bound).await.0, 200);

    // What contradicts the profile is refused by the rule's name.
    origin.client("shop", Origin::web()).await;
    assert_eq!(origin.post("/oauth/token", "shop", &form).await.0, 401);
    let page = browser.request_authorization("shop", &[]).await;
    assert!(page.status == 400 && page.body.contains("profile fapi2: token_endpoint_auth_method"), "{}", page.body);
    let root = origin.user("root").await;
    origin.server.store().set_admin(&root, true).await.expect("an administrator");
    let console = UserBrowser::new(&origin, "root");
    console.sign_in().await;
    let shown = console.get("/admin/clients/shop").await;
    assert!(shown.body.contains("contradicts the security profile of this server"), "{}", shown.body);
    let registration = json!({ "redirect_uris": ["https://shop.example/cb"] });
    let (status, refusal) = answer(origin.http.post(origin.url("/oauth/register")).json(&registration)).await;
    assert_eq!((status, &refusal["error"]), (400, &json!("invalid_client_metadata")));
    assert!(refusal["error_description"].as_str().is_some_and(|text| text.contains("profile fapi2")), "{refusal}");
    let own = json!({
        "redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks(),
    });
    let (status, registered) = answer(origin.http.post(origin.url("/oauth/register")).json(&own)).await;
    assert_eq!((status, &registered["profile"]), (201, &json!("fapi2")), "{registered}");
}
