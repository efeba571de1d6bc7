//! The admin API for clients, users, resource servers and routes.

use reqwest::Method;
use serde_json::{Value, json};
use tollgate_test_kit::admin_client::AdminClient;
use tollgate_test_kit::jwt::ClientKey;

use crate::fixture::{Origin, answer, text};

/// An origin with the client `admin`, whose token opens the admin API.
struct Admin {
    origin: Origin,
    api: AdminClient,
}

impl Admin {
    async fn start() -> Admin {
        let origin = Origin::start().await;
        let mut metadata = Origin::service("tollgate:admin");
        metadata.audiences = vec![origin.server.issuer().parse().expect("an audience")];
        origin.client("admin", metadata).await;
        let tokens = origin.token("admin", &[("grant_type", "client_credentials")]).await;
        let api = AdminClient::with_token(&origin, text(&tokens, "access_token").to_owned());
        Admin { origin, api }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let answer = self.api.send(method, path, &body).await.expect("answered");
        (answer.status, answer.body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api_registers_changes_and_disables_clients() {
    let admin = Admin::start().await;
    let shop = json!({
        "client_id": "shop",
        "client_name": "A shop",
        "grant_types": ["authorization_code"],
        "redirect_uris": ["https://shop.example/cb"],
    });
    let (status, made) = admin.ask(Method::POST, "/clients", shop.clone()).await;
    assert_eq!((status, &made["client_id"]), (201, &json!("shop")), "{made}");
    assert!(made["client_secret"].as_str().is_some_and(|secret| secret.starts_with("tgs_")));
    assert_eq!(admin.ask(Method::POST, "/clients", shop.clone()).await.0, 409);
    for body in [json!({}), json!({ "client_name": "x", "grant_types": ["magic"] }), json!([])] {
        assert_eq!(admin.ask(Method::POST, "/clients", body.clone()).await.0, 400, "{body}");
    }
    assert!(admin.ask(Method::GET, "/clients/shop", Value::Null).await.1.get("client_secret").is_none());
    let mut changed = shop;
    changed["client_name"] = json!("A better shop");
    assert_eq!(admin.ask(Method::PUT, "/clients/shop", changed).await.1["name"], "A better shop");
    let (_, rotated) = admin.ask(Method::POST, "/clients/shop/secret", Value::Null).await;
    assert_ne!(rotated["client_secret"], made["client_secret"]);
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(2));
    assert!(admin.ask(Method::DELETE, "/clients/shop", Value::Null).await.1["disabled_at"].is_u64());
    assert_eq!(admin.ask(Method::GET, "/clients/nobody", Value::Null).await.0, 404);
    assert_eq!(admin.ask(Method::GET, "/clients", Value::Null).await.1.as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn enabled_client_authenticates_again_but_its_old_tokens_stay_revoked() {
    let admin = Admin::start().await;
    admin.origin.client("service", Origin::service("orders")).await;
    let form = [("grant_type", "client_credentials")];
    let old = admin.origin.token("service", &form).await;
    assert!(admin.ask(Method::DELETE, "/clients/service", Value::Null).await.1["disabled_at"].is_u64());
    assert_eq!(admin.origin.post("/oauth/token", "service", &form).await.0, 401);

    for _ in 0..2 {
        let (status, enabled) = admin.ask(Method::POST, "/clients/service/enable", Value::Null).await;
        assert_eq!((status, enabled.get("disabled_at")), (200, None));
    }
    assert_eq!(admin.origin.introspect("service", text(&old, "access_token")).await, json!({ "active": false }));
    let new = admin.origin.token("service", &form).await;
    assert_eq!(admin.origin.introspect("service", text(&new, "access_token")).await["active"], true);
    assert_eq!(admin.ask(Method::POST, "/clients/nobody/enable", Value::Null).await.0, 404);
    let (_, log) = admin.ask(Method::GET, "/audit?kind=client&action=enable", Value::Null).await;
    assert_eq!(log["entries"].as_array().map(Vec::len), Some(1), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_of_a_resource_server_takes_a_preset_and_the_version_that_was_read() {
    let admin = Admin::start().await;
    let resource = json!({ "audience": "https://api.example", "name": "Orders", "access_token_lifetime": 60 });
    let (_, registered) = admin.ask(Method::PUT, "/resources", resource).await;
    let path = "/resources?audience=https%3A%2F%2Fapi.example";
    let patch = json!({ "verifier": "spring", "version": registered["version"], "name": "All orders" });
    let (status, patched) = admin.ask(Method::PATCH, path, patch.clone()).await;
    assert_eq!((status, &patched["name"], &patched["access_token_lifetime"]), (200, &json!("All orders"), &json!(60)));
    assert_eq!(
        (&patched["access_token_signed_response_alg"], &patched["access_token_type"]),
        (&json!("RS256"), &json!("JWT"))
    );
    assert_ne!(patched["version"], registered["version"]);
    assert_eq!(admin.ask(Method::PATCH, path, patch).await.0, 409, "made from an earlier version");
    assert_eq!(admin.ask(Method::PATCH, path, json!({ "verifier": "pigeon" })).await.0, 400);
    assert_eq!(admin.ask(Method::GET, "/resources", Value::Null).await.1, json!([patched]));
}

/// As `tollgate revoke client` does.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_of_a_client_that_does_not_exist_is_refused() {
    let admin = Admin::start().await;
    admin.origin.client("service", Origin::service("orders")).await;
    for (name, expected) in [("nobody", 404), ("service", 201)] {
        let (status, body) = admin.ask(Method::POST, "/revocations", json!({ "kind": "client", "name": name })).await;
        assert_eq!(status, expected, "{name}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api_refuses_a_bound_token_without_its_proof() {
    let mut admin = Admin::start().await;
    assert_eq!(admin.ask(Method::GET, "/clients", Value::Null).await.0, 200);
    let proof =
        ClientKey::generate().proof("POST", &format!("{}/oauth/token", admin.origin.server.issuer()), json!({}));
    let form = [("grant_type", "client_credentials")];
    let (_, tokens) = answer(admin.origin.form("/oauth/token", "admin", &form).header("dpop", proof)).await;
    assert_eq!(tokens["token_type"], "DPoP");
    admin.api.token = text(&tokens, "access_token").to_owned();
    assert_eq!(admin.ask(Method::GET, "/clients", Value::Null).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api_manages_users_resources_and_routes() {
    let admin = Admin::start().await;
    let ada = json!({ "name": "Ada", "password": "correct horse", "claims": { "email": "ada@example.org" } });
    let (status, made) = admin.ask(Method::POST, "/users", ada.clone()).await;
    assert_eq!((status, &made["name"]), (201, &json!("ada")), "{made}");
    assert_eq!(admin.ask(Method::POST, "/users", ada).await.0, 409);
    for body in [json!({ "name": "b", "password": "short" }), json!({ "name": "b", "claims": { "sub": "x" } })] {
        assert_eq!(admin.ask(Method::POST, "/users", body.clone()).await.0, 400, "{body}");
    }
    let path = format!("/users/{}", text(&made, "id"));
    let password = json!({ "password": "another horse" });
    assert_eq!(admin.ask(Method::PUT, &format!("{path}/password"), password).await.0, 204);
    assert!(admin.ask(Method::DELETE, &path, Value::Null).await.1["disabled_at"].is_u64());

    let resource =
        json!({ "audience": "https://api.example", "name": "Orders", "scopes": { "orders": "See your orders" } });
    let (status, registered) = admin.ask(Method::PUT, "/resources", resource.clone()).await;
    assert_eq!((status, &registered["scopes"]), (200, &resource["scopes"]));
    assert_eq!(admin.ask(Method::GET, "/resources", Value::Null).await.1, json!([registered]));
    let pay = json!({ "audience": "https://api.example", "value": "pay", "words": "Pay your orders" });
    let (status, more) = admin.ask(Method::PUT, "/resources/scopes", pay.clone()).await;
    assert_eq!((status, &more["scopes"]), (200, &json!({ "orders": "See your orders", "pay": "Pay your orders" })));
    for (member, wrong, status) in
        [("audience", "https://nowhere.example", 404), ("value", "a b", 400), ("value", "", 400)]
    {
        let mut body = pay.clone();
        body[member] = json!(wrong);
        assert_eq!(admin.ask(Method::PUT, "/resources/scopes", body).await.0, status, "{member} {wrong}");
    }
    let pay = "/resources/scopes?audience=https%3A%2F%2Fapi.example&value=pay";
    for status in [204, 404] {
        assert_eq!(admin.ask(Method::DELETE, pay, Value::Null).await.0, status);
    }
    assert_eq!(admin.ask(Method::DELETE, "/resources/scopes?value=pay", Value::Null).await.0, 400);
    assert_eq!(
        admin.ask(Method::GET, "/resources", Value::Null).await.1,
        json!([registered]),
        "other scope values stay"
    );
    let gone = "/resources?audience=https%3A%2F%2Fapi.example";
    assert_eq!(admin.ask(Method::DELETE, gone, Value::Null).await.0, 204);
    assert_eq!(admin.ask(Method::DELETE, gone, Value::Null).await.0, 404);

    let route = json!({ "path": "/orders/*", "methods": ["GET"], "scope": "orders" });
    assert_eq!(admin.ask(Method::POST, "/routes", route.clone()).await.0, 201);
    assert_eq!(admin.ask(Method::POST, "/routes", route.clone()).await.0, 409);
    assert_eq!(admin.ask(Method::GET, "/routes", Value::Null).await.1[0]["path"], "/orders/*");
    assert_eq!(admin.ask(Method::DELETE, "/routes", route).await.0, 204);
    assert!(admin.ask(Method::GET, "/audit", Value::Null).await.1["entries"].is_array());
    for path in ["/clients", "/users", "/resources", "/routes", "/audit"] {
        let bare =
            admin.origin.http.get(admin.origin.url(&format!("/admin/api{path}"))).send().await.expect("answered");
        assert_eq!(bare.status(), 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_changes_only_its_members_and_keeps_concurrent_changes() {
    let admin = Admin::start().await;
    admin.origin.client("shop", Origin::web()).await;
    let before = admin.ask(Method::GET, "/clients/shop", Value::Null).await.1;
    let owner = json!({ "owner": "Team", "default_max_age": 60 });
    let (status, patched) = admin.ask(Method::PATCH, "/clients/shop", owner).await;
    assert_eq!((status, &patched["owner"], &patched["default_max_age"]), (200, &json!("Team"), &json!(60)));
    assert_eq!(patched["redirect_uris"], before["redirect_uris"]);
    let (_, reset) = admin.ask(Method::PATCH, "/clients/shop", json!({ "owner": null, "scope": "openid" })).await;
    assert_eq!((reset.get("owner"), &reset["scope"], &reset["default_max_age"]), (None, &json!("openid"), &json!(60)));
    for body in [
        json!({ "ownr": "x" }),
        json!({ "client_name": null }),
        json!({ "redirect_uris": [] }),
        json!({ "scope": 1 }),
        json!([]),
    ] {
        assert_eq!(admin.ask(Method::PATCH, "/clients/shop", body.clone()).await.0, 400, "{body}");
    }
    let (status, missing) = admin.ask(Method::PATCH, "/clients/nobody", json!({ "owner": "x" })).await;
    assert_eq!((status, &missing["detail"]), (404, &json!("client nobody does not exist")));

    // Each of the concurrent changes is there afterwards.
    let change = |body: Value| admin.ask(Method::PATCH, "/clients/shop", body);
    let (one, two, three) = tokio::join!(
        change(json!({ "owner": "Team" })),
        change(json!({ "first_party": true })),
        change(json!({ "subject_type": "pairwise" })),
    );
    assert_eq!([one.0, two.0, three.0], [200; 3]);
    let after = admin.ask(Method::GET, "/clients/shop", Value::Null).await.1;
    assert_eq!(after["owner"], json!("Team"));
    assert_eq!((&after["first_party"], &after["subject_type"]), (&json!(true), &json!("pairwise")));

    let api = json!({ "audience": "https://api.example", "name": "API", "scopes": { "read": "Read" } });
    assert_eq!(admin.ask(Method::PUT, "/resources", api).await.0, 200);
    let path = "/resources?audience=https%3A%2F%2Fapi.example";
    let scopes = json!({ "scopes": { "read": null, "write": "Write" } });
    let (status, changed) = admin.ask(Method::PATCH, path, scopes).await;
    assert_eq!((status, &changed["name"], &changed["scopes"]), (200, &json!("API"), &json!({ "write": "Write" })));
    for body in
        [json!({ "introspected_by": "nobody" }), json!({ "audience": "https://other.example" }), json!({ "nme": 1 })]
    {
        assert_eq!(admin.ask(Method::PATCH, path, body.clone()).await.0, 400, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn narrowed_client_gets_no_more_than_it_has_now() {
    let admin = Admin::start().await;
    admin.origin.client("service", Origin::service("orders reports")).await;
    let form = [("grant_type", "client_credentials")];
    assert_eq!(admin.origin.token("service", &form).await["scope"], "orders reports");
    admin.ask(Method::PATCH, "/clients/service", json!({ "scope": "orders" })).await;
    assert_eq!(admin.origin.token("service", &form).await["scope"], "orders");
    let (status, _) = admin.origin.post("/oauth/token", "service", &[form[0], ("scope", "reports")]).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_secret_that_clients_encode_differently_is_warned_of() {
    let admin = Admin::start().await;
    admin.origin.client("service", Origin::service("orders")).await;
    for (secret, is_warned) in [("50%+off:everything", true), ("correct-horse_battery.9", false)] {
        let (status, set) = admin.ask(Method::PUT, "/clients/service/secret", json!({ "client_secret": secret })).await;
        let warnings = set.get("warnings").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!((status, warnings), (200, usize::from(is_warned)), "{set}");
        assert!(!set.to_string().contains(secret));
    }
}
