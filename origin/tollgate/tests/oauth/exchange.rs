//! Token exchange: narrower, never wider, and with a trace.

use serde_json::{Value, json};
use tollgate_model::{ClientMetadata, GrantType, Resource};

use crate::assertions::CERTIFICATE;
use crate::harness::{Browser, Origin, answer, claims};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

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
    };
    origin.server.store().put_resource(&resource).await.expect("registered");
    let code = origin.code(&Browser::of(&origin, "ada"), "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    (origin, tokens)
}

fn form<'a>(token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("grant_type", GRANT), ("subject_token", token), ("subject_token_type", TYPE)], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_hands_a_token_on_and_it_is_seen() {
    let (origin, tokens) = start().await;
    let token = tokens["access_token"].as_str().expect("a token");
    let more = [("scope", "orders"), ("resource", "https://stock.example")];
    let exchanged = origin.token("api", &form(token, &more)).await;
    assert_eq!((&exchanged["issued_token_type"], &exchanged["scope"]), (&json!(TYPE), &json!("orders")));
    assert!(exchanged.get("refresh_token").is_none());
    let (old, new) = (claims(token), claims(exchanged["access_token"].as_str().expect("a token")));
    assert_eq!((&new["sub"], &new["sid"], &new["aud"]), (&old["sub"], &old["sid"], &json!("https://stock.example")));
    assert_eq!((&new["client_id"], &new["act"]["sub"]), (&json!("api"), &json!("api")));
    assert!(new["exp"].as_u64() <= old["exp"].as_u64());
    // It ends with the grant.
    let revoke = [("token", tokens["refresh_token"].as_str().expect("a token"))];
    assert_eq!(origin.post("/oauth/revoke", "shop", &revoke).await.0, 200);
    let exchanged = exchanged["access_token"].as_str().expect("a token");
    assert_eq!(origin.introspect("api", exchanged).await, json!({ "active": false }));
    assert_eq!(origin.refused("api", &form(token, &[])).await, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ones_own_is_not_exchanged_and_nothing_grows() {
    let (origin, tokens) = start().await;
    let token = tokens["access_token"].as_str().expect("a token");
    let own = origin.token("shop", &form(token, &[("scope", "orders")])).await;
    let own = own["access_token"].as_str().expect("a token");
    assert!(claims(own).get("act").is_none(), "its own client narrows it");
    for (client, form, error) in [
        ("stranger", form(token, &[]), "invalid_request"),
        ("api", form("x.y.z", &[]), "invalid_request"),
        ("shop", form(own, &[("scope", "openid orders")]), "invalid_scope"),
        ("api", form(token, &[("resource", "https://bank.example")]), "invalid_target"),
        ("api", form(token, &[("audience", "https://bank.example")]), "invalid_target"),
        ("api", form(token, &[("requested_token_type", "urn:ietf:params:oauth:token-type:saml2")]), "invalid_request"),
        ("api", form(token, &[("actor_token", token), ("actor_token_type", TYPE)]), "invalid_request"),
        ("api", form(token, &[("actor_token_type", TYPE)]), "invalid_request"),
        ("api", vec![("grant_type", GRANT), ("subject_token", token)], "invalid_request"),
        ("api", vec![("grant_type", GRANT)], "invalid_request"),
    ] {
        assert_eq!(origin.refused(client, &form).await, error, "{form:?}");
    }
    let actor = origin.token("api", &[("grant_type", "client_credentials")]).await;
    let actor = actor["access_token"].as_str().expect("a token");
    let exchanged = origin.token("api", &form(token, &[("actor_token", actor), ("actor_token_type", TYPE)])).await;
    assert_eq!(claims(exchanged["access_token"].as_str().expect("a token"))["act"]["client_id"], "api");
}

/// Whoever stole a token that is bound to a certificate must not be rid of the binding by an exchange.
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_exchanged_with_its_certificate_alone() {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"), ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let origin = Origin::with(&settings).await;
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
    let bound = form(tokens["access_token"].as_str().expect("a token"), &[]);
    // As the thief would have it: the same client, whose tokens need no certificate.
    let unbound = ClientMetadata { tls_client_certificate_bound_access_tokens: false, ..metadata };
    let id = "robot".parse().expect("an id");
    origin.server.store().update_client(&id, &unbound).await.expect("changed");
    assert_eq!(origin.refused("robot", &bound).await, "invalid_request");
    let with = origin.form("/oauth/token", "robot", &bound).header("client-cert", &certificate);
    let (status, exchanged) = answer(with).await;
    assert_eq!(status, 200, "{exchanged}");
    let exchanged = claims(exchanged["access_token"].as_str().expect("a token"));
    let bound = claims(tokens["access_token"].as_str().expect("a token"));
    assert_eq!(exchanged["cnf"], bound["cnf"], "what comes of it is bound as well");
}

/// What a token was exchanged from is looked at whenever it is shown: that must end.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_exchanged_again_and_again_for_ever() {
    let (origin, tokens) = start().await;
    let mut token = tokens["access_token"].as_str().expect("a token").to_owned();
    for _ in 0..32 {
        let exchanged = origin.token("shop", &form(&token, &[])).await;
        token = exchanged["access_token"].as_str().expect("a token").to_owned();
    }
    assert_eq!(origin.introspect("shop", &token).await["active"], true);
    assert_eq!(origin.refused("shop", &form(&token, &[])).await, "invalid_request");
}

/// A token ends no later than the actor's by which it was got.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_token_lives_no_longer_than_what_it_came_from() {
    let (origin, tokens) = start().await;
    let token = tokens["access_token"].as_str().expect("a token");
    let actor = origin.token("api", &[("grant_type", "client_credentials")]).await;
    let actor = actor["access_token"].as_str().expect("a token");
    let more = [("actor_token", actor), ("actor_token_type", TYPE)];
    let exchanged = origin.token("api", &form(token, &more)).await;
    let end = |token: &str| claims(token)["exp"].as_u64().expect("exp");
    let exchanged = end(exchanged["access_token"].as_str().expect("a token"));
    assert!(exchanged <= end(actor).min(end(token)));
}
