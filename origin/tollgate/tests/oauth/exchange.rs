//! Token exchange (RFC 8693).

use serde_json::{Value, json};
use tollgate_model::{ClientMetadata, GrantType, Resource};
use tollgate_test_kit::client::{ACCESS_TOKEN_TYPE, TOKEN_EXCHANGE_GRANT, exchange};

use crate::assertions::CERTIFICATE;
use crate::fixture::{Origin, UserBrowser, answer, claims, text};

/// An origin with the client `shop`, an API that introspects its tokens, and shop's tokens of ada.
async fn start() -> (Origin, Value) {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let mut shop = Origin::web();
    shop.grant_types.push(GrantType::TokenExchange);
    origin.client("shop", shop).await;
    let api = ClientMetadata {
        grant_types: vec![GrantType::TokenExchange, GrantType::ClientCredentials],
        audiences: vec!["https://stock.example".parse().expect("an audience")],
        ..Origin::service("orders")
    };
    origin.client("api", api.clone()).await;
    origin.client("stranger", api).await;
    let resource = Resource {
        audience: "https://api.example".parse().expect("an audience"),
        name: "Orders".to_owned(),
        scopes: Default::default(),
        introspected_by: Some("api".parse().expect("an id")),
        tokens: Default::default(),
    };
    origin.server.store().save_resource(&resource).await.expect("registered");
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    (origin, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_token_names_the_actor_and_ends_with_its_grant() {
    let (origin, tokens) = start().await;
    let token = text(&tokens, "access_token");
    let more = [("scope", "orders"), ("resource", "https://stock.example")];
    let exchanged = origin.token("api", &exchange(token, &more)).await;
    assert_eq!((&exchanged["issued_token_type"], &exchanged["scope"]), (&json!(ACCESS_TOKEN_TYPE), &json!("orders")));
    assert!(exchanged.get("refresh_token").is_none());
    let (old, new) = (claims(token), claims(text(&exchanged, "access_token")));
    assert_eq!((&new["sub"], &new["sid"], &new["aud"]), (&old["sub"], &old["sid"], &json!("https://stock.example")));
    assert_eq!((&new["client_id"], &new["act"]["sub"]), (&json!("api"), &json!("api")));
    assert!(new["exp"].as_u64() <= old["exp"].as_u64());
    // The exchanged token ends with the grant.
    let revoke = [("token", text(&tokens, "refresh_token"))];
    assert_eq!(origin.post("/oauth/revoke", "shop", &revoke).await.0, 200);
    let exchanged = text(&exchanged, "access_token");
    assert_eq!(origin.introspect("api", exchanged).await, json!({ "active": false }));
    assert_eq!(origin.token_error("api", &exchange(token, &[])).await, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn exchange_never_widens_and_refuses_tokens_of_strangers() {
    let (origin, tokens) = start().await;
    let token = text(&tokens, "access_token");
    let own = origin.token("shop", &exchange(token, &[("scope", "orders")])).await;
    let own = text(&own, "access_token");
    assert!(claims(own).get("act").is_none(), "narrowed by its own client");
    for (client, form, error) in [
        ("stranger", exchange(token, &[]), "invalid_request"),
        ("api", exchange("x.y.z", &[]), "invalid_request"),
        ("shop", exchange(own, &[("scope", "openid orders")]), "invalid_scope"),
        ("api", exchange(token, &[("resource", "https://bank.example")]), "invalid_target"),
        ("api", exchange(token, &[("audience", "https://bank.example")]), "invalid_target"),
        (
            "api",
            exchange(token, &[("requested_token_type", "urn:ietf:params:oauth:token-type:saml2")]),
            "invalid_request",
        ),
        ("api", exchange(token, &[("actor_token", token), ("actor_token_type", ACCESS_TOKEN_TYPE)]), "invalid_request"),
        ("api", exchange(token, &[("actor_token_type", ACCESS_TOKEN_TYPE)]), "invalid_request"),
        ("api", vec![("grant_type", TOKEN_EXCHANGE_GRANT), ("subject_token", token)], "invalid_request"),
        ("api", vec![("grant_type", TOKEN_EXCHANGE_GRANT)], "invalid_request"),
    ] {
        assert_eq!(origin.token_error(client, &form).await, error, "{form:?}");
    }
    let actor = origin.token("api", &[("grant_type", "client_credentials")]).await;
    let actor = text(&actor, "access_token");
    let exchanged =
        origin.token("api", &exchange(token, &[("actor_token", actor), ("actor_token_type", ACCESS_TOKEN_TYPE)])).await;
    assert_eq!(claims(text(&exchanged, "access_token"))["act"]["client_id"], "api");
}

/// A thief must not get rid of the certificate binding by an exchange.
#[tokio::test(flavor = "multi_thread")]
async fn exchange_of_a_certificate_bound_token_needs_the_certificate() {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = Origin::start_with(&settings).await;
    let metadata = ClientMetadata {
        grant_types: vec![GrantType::ClientCredentials, GrantType::TokenExchange],
        tls_client_certificate_bound_access_tokens: true,
        ..Origin::service("orders")
    };
    origin.client("robot", metadata.clone()).await;
    let certificate = CERTIFICATE.split_whitespace().collect::<String>();
    let request = origin.form("/oauth/token", "robot", &[("grant_type", "client_credentials")]);
    let (status, tokens) = answer(request.header("client-cert", &certificate)).await;
    assert_eq!(status, 200, "{tokens}");
    let bound = exchange(text(&tokens, "access_token"), &[]);
    // The thief's best case: the client's tokens need no certificate any more.
    let unbound = ClientMetadata { tls_client_certificate_bound_access_tokens: false, ..metadata };
    let id = "robot".parse().expect("an id");
    origin.server.store().update_client(&id, &unbound).await.expect("changed");
    assert_eq!(origin.token_error("robot", &bound).await, "invalid_request");
    let with = origin.form("/oauth/token", "robot", &bound).header("client-cert", &certificate);
    let (status, exchanged) = answer(with).await;
    assert_eq!(status, 200, "{exchanged}");
    let exchanged = claims(text(&exchanged, "access_token"));
    let bound = claims(text(&tokens, "access_token"));
    assert_eq!(exchanged["cnf"], bound["cnf"], "the exchanged token is bound as well");
}

/// Each use of an exchanged token checks the tokens that it came from, so their number is limited.
#[tokio::test(flavor = "multi_thread")]
async fn exchange_chain_has_a_limited_length() {
    let (origin, tokens) = start().await;
    let mut token = text(&tokens, "access_token").to_owned();
    for _ in 0..32 {
        let exchanged = origin.token("shop", &exchange(&token, &[])).await;
        token = text(&exchanged, "access_token").to_owned();
    }
    assert_eq!(origin.introspect("shop", &token).await["active"], true);
    assert_eq!(origin.token_error("shop", &exchange(&token, &[])).await, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_token_expires_no_later_than_its_sources() {
    let (origin, tokens) = start().await;
    let token = text(&tokens, "access_token");
    let actor = origin.token("api", &[("grant_type", "client_credentials")]).await;
    let actor = text(&actor, "access_token");
    let more = [("actor_token", actor), ("actor_token_type", ACCESS_TOKEN_TYPE)];
    let exchanged = origin.token("api", &exchange(token, &more)).await;
    let end = |token: &str| claims(token)["exp"].as_u64().expect("exp");
    let exchanged = end(text(&exchanged, "access_token"));
    assert!(exchanged <= end(actor).min(end(token)));
}
