//! Opaque tokens, introspection, resource indicators, and the short names.

use serde_json::json;
use tollgate_model::{ClientMetadata, GrantType, OnStale, Resource, Route, RouteDocument, Scope, TokenFormat};

use crate::fixture::{Origin, answer, claims, text};

#[tokio::test(flavor = "multi_thread")]
async fn opaque_token_works_like_a_signed_one() {
    let origin = Origin::start().await;
    let opaque = ClientMetadata { access_token_format: TokenFormat::Opaque, ..Origin::service("orders") };
    origin.client("robot", opaque).await;
    let tokens = origin.token("robot", &[("grant_type", "client_credentials")]).await;
    let token = text(&tokens, "access_token");
    assert!(token.starts_with("tga_"));
    let introspected = origin.introspect("robot", token).await;
    assert_eq!(
        (&introspected["active"], &introspected["scope"], &introspected["sub"]),
        (&json!(true), &json!("orders"), &json!("robot"))
    );
    let info = answer(origin.http.get(origin.url("/oauth/tokeninfo")).bearer_auth(token)).await;
    assert_eq!((info.0, &info.1["jti"]), (200, &introspected["jti"]));
    assert_eq!(origin.post("/oauth/revoke", "robot", &[("token", token)]).await.0, 200);
    assert_eq!(origin.introspect("robot", token).await, json!({ "active": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_server_introspects_only_tokens_of_its_audience() {
    let origin = Origin::start().await;
    let [first, second] = ["https://one.example", "https://two.example"];
    let mut metadata = Origin::service("orders");
    metadata.audiences = [first, second].map(|audience| audience.parse().expect("an audience")).into();
    origin.client("robot", metadata).await;
    origin.client("api", Origin::service("")).await;
    let resource = Resource {
        audience: first.parse().expect("an audience"),
        name: "One".to_owned(),
        scopes: Default::default(),
        introspected_by: Some("api".parse().expect("an id")),
        tokens: Default::default(),
    };
    origin.server.store().save_resource(&resource).await.expect("registered");
    let token = async |resources: &[&str]| {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(resources.iter().map(|resource| ("resource", *resource)));
        text(&origin.token("robot", &form).await, "access_token").to_owned()
    };
    let (one, two, both) = (token(&[first]).await, token(&[second]).await, token(&[first, second]).await);
    assert_eq!(claims(&both)["aud"], json!([first, second]));
    assert_eq!(origin.introspect("api", &one).await["active"], true);
    assert_eq!(origin.introspect("api", &both).await["active"], true);
    assert_eq!(origin.introspect("api", &two).await, json!({ "active": false }));
    assert_eq!(origin.token_error("robot", &[("grant_type", "client_credentials")]).await, "invalid_target");
    let other = [("grant_type", "client_credentials"), ("resource", "https://three.example")];
    assert_eq!(origin.token_error("robot", &other).await, "invalid_target");

    let request = origin.form("/oauth/introspect", "api", &[("token", &one)]);
    let signed = request.header("accept", "application/token-introspection+jwt").send().await.expect("answered");
    assert_eq!(signed.headers()["content-type"], "application/token-introspection+jwt");
    let signed = claims(&signed.text().await.expect("text"));
    assert_eq!((&signed["aud"], &signed["token_introspection"]["active"]), (&json!("api"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn client_gets_only_its_registered_grants() {
    let origin = Origin::start().await;
    origin.client("robot", Origin::service("orders")).await;
    let not_offered = [GrantType::ClientCredentials, GrantType::Password, GrantType::Implicit];
    for grant in GrantType::ALL.iter().filter(|grant| !not_offered.contains(grant)) {
        assert_eq!(
            origin.token_error("robot", &[("grant_type", grant.as_str())]).await,
            "unauthorized_client",
            "{grant}"
        );
    }
    for grant in ["password", "implicit", "x"] {
        assert_eq!(origin.token_error("robot", &[("grant_type", grant)]).await, "unsupported_grant_type");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_decides_as_the_edges_do() {
    let origin = Origin::start().await;
    origin.client("robot", Origin::service("orders admin")).await;
    let route = |path: &str, scope: &str, public| {
        Route::new(path, &[], Scope::parse(scope).expect("a scope"), public, OnStale::Deny).expect("a route")
    };
    for route in [route("/orders/*", "orders", false), route("/admin", "admin", false), route("/open", "", true)] {
        origin.server.store().create_route(&route).await.expect("added");
    }
    let tokens = origin.token("robot", &[("grant_type", "client_credentials"), ("scope", "orders")]).await;
    let token = text(&tokens, "access_token");
    let ask = async |name: &str, address: &str, token: &str| {
        let request = origin.http.post(origin.url("/validate")).header(name, address);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        request.send().await.expect("answered").status().as_u16()
    };
    for (name, address, token, status) in [
        ("x-original-uri", "/orders/1?a=b", token, 200),
        ("x-forwarded-uri", "/orders/1", token, 200),
        ("x-forwarded-for", "https://api.example/orders/1", token, 200),
        ("x-original-uri", "/admin", token, 403),
        ("x-original-uri", "/orders/1", "", 401),
        ("x-original-uri", "/orders/1", "x", 401),
        ("x-original-uri", "/open", "", 200),
        ("x-original-uri", "/open/../admin", "", 400),
        ("x-original-uri", "/%61dmin", token, 400),
    ] {
        assert_eq!(ask(name, address, token).await, status, "{name}: {address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_applies_rules_by_host_client_claim_and_authentication() {
    let origin = Origin::start().await;
    origin.client("robot", Origin::service("orders")).await;
    for document in [
        json!({ "path": "/orders/{id}", "hosts": ["api.example"], "acr": ["gold"], "max_age": 60 }),
        json!({ "path": "/orders/{id}", "hosts": ["*.open.example"], "public": true }),
        json!({ "path": "/mine/*", "clients": ["robot"], "claims": [{ "name": "sub", "equals": "robot" }] }),
        json!({ "path": "/theirs", "clients": ["other"] }),
        json!({ "path": "/roles", "claims": [{ "name": "roles", "contains": "admin" }] }),
        json!({ "path": "/bound", "binding": "required" }),
        json!({ "path": "/foreign", "audience": "https://other.example" }),
    ] {
        let document: RouteDocument = serde_json::from_value(document).expect("a document");
        let route = Route::try_from(document).expect("a rule");
        origin.server.store().create_route(&route).await.expect("added");
    }
    let tokens = origin.token("robot", &[("grant_type", "client_credentials"), ("scope", "orders")]).await;
    let token = text(&tokens, "access_token");
    let ask = async |headers: &[(&str, &str)]| {
        let request = origin.http.post(origin.url("/validate")).bearer_auth(token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.expect("answered");
        let challenge = response.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
        (response.status().as_u16(), challenge.unwrap_or_default().to_owned())
    };
    for (headers, status) in [
        (&[("x-original-uri", "https://a.open.example/orders/1")][..], 200),
        (&[("x-original-uri", "/orders/1"), ("x-original-host", "A.Open.example:443")], 200),
        (&[("x-forwarded-uri", "/orders/1"), ("x-forwarded-host", "a.open.example")], 200),
        (&[("x-original-uri", "/orders/1"), ("x-forwarded-host", "a.open.example")], 400),
        (&[("x-original-uri", "/orders/1/2")], 200),
        (&[("x-original-uri", "/mine/1")], 200),
        (&[("x-original-uri", "/theirs")], 403),
        (&[("x-original-uri", "/roles")], 403),
        (&[("x-original-uri", "/bound")], 401),
        (&[("x-original-uri", "/foreign")], 401),
    ] {
        assert_eq!(ask(headers).await.0, status, "{headers:?}");
    }
    let (status, challenge) = ask(&[("x-original-uri", "https://api.example/orders/1")]).await;
    assert_eq!(status, 401);
    for part in ["error=\"insufficient_user_authentication\"", "acr_values=\"gold\"", "max_age=\"60\""] {
        assert!(challenge.contains(part), "{challenge}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_methods_are_not_cached_either() {
    let origin = Origin::start().await;
    for path in
        ["token", "revoke", "introspect", "par", "device/code", "register", "userinfo", "tokeninfo", "authorize"]
    {
        let url = origin.url(&format!("/oauth/{path}"));
        let response = origin.http.patch(&url).send().await.expect("answered");
        assert_eq!(response.status(), 405, "{path}");
        let headers = response.headers();
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["pragma"], "no-cache", "{path}");
        assert!(headers.contains_key("allow"), "{path}");
    }
}
