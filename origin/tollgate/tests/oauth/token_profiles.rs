//! What access tokens look like: decided by the resource servers that verify them.

use serde_json::{Value, json};
use tollgate_model::{ClientMetadata, Resource, TokenAlg, TokenFormat, TokenProfile, Verifier};

use crate::fixture::{Origin, UserBrowser, answer, claims, header, text};

const SPRING: &str = "https://spring.example";
const NODE: &str = "https://node.example";
/// Not registered as a resource server.
const OTHER: &str = "https://other.example";

/// An origin with the resource servers, and the client `robot` of all of them.
async fn origin(client: ClientMetadata) -> Origin {
    let origin = Origin::start().await;
    let spring = TokenProfile { lifetime: Some(120), ..TokenProfile::preset(Verifier::Spring) };
    register(&origin, SPRING, spring).await;
    register(&origin, NODE, TokenProfile { lifetime: Some(90), ..TokenProfile::preset(Verifier::Node) }).await;
    let audiences = [SPRING, NODE, OTHER].map(|audience| audience.parse().expect("an audience")).into();
    origin.client("robot", ClientMetadata { audiences, ..client }).await;
    origin
}

async fn register(origin: &Origin, audience: &str, tokens: TokenProfile) {
    let resource = Resource {
        audience: audience.parse().expect("an audience"),
        name: "An API".to_owned(),
        scopes: Default::default(),
        introspected_by: None,
        tokens,
    };
    origin.server.store().save_resource(&resource.checked().expect("valid")).await.expect("registered");
}

async fn request(origin: &Origin, resources: &[&str]) -> (u16, Value) {
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(resources.iter().map(|resource| ("resource", *resource)));
    origin.post("/oauth/token", "robot", &form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_server_decides_algorithm_type_format_and_lifetime() {
    let client =
        ClientMetadata { alg: TokenAlg::Es256, access_token_format: TokenFormat::Opaque, ..Origin::service("orders") };
    let origin = origin(client).await;
    for (resource, alg, typ, lifetime) in [(SPRING, "RS256", "JWT", 120), (NODE, "RS256", "at+jwt", 90)] {
        let (status, tokens) = request(&origin, &[resource]).await;
        assert_eq!((status, &tokens["expires_in"]), (200, &json!(lifetime)), "{tokens}");
        let token = text(&tokens, "access_token");
        assert_eq!((&header(token)["alg"], &header(token)["typ"]), (&json!(alg), &json!(typ)));
        // The origin knows its token whatever the type is.
        assert_eq!(origin.introspect("robot", token).await["active"], true, "{typ}");
        let info = answer(origin.http.get(origin.url("/oauth/tokeninfo")).bearer_auth(token)).await;
        assert_eq!((info.0, &info.1["aud"]), (200, &json!(resource)));
        assert_eq!(origin.post("/oauth/revoke", "robot", &[("token", token)]).await.0, 200);
        assert_eq!(origin.introspect("robot", token).await, json!({ "active": false }), "{typ}");
    }
    // What no resource server decides, the registration of the client does.
    let (_, tokens) = request(&origin, &[OTHER]).await;
    assert!(text(&tokens, "access_token").starts_with("tga_"), "{tokens}");
    // A change applies to the next token.
    register(&origin, SPRING, TokenProfile::preset(Verifier::Edge)).await;
    let (_, tokens) = request(&origin, &[SPRING]).await;
    let token = text(&tokens, "access_token");
    assert_eq!((&header(token)["alg"], &header(token)["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
}

#[tokio::test(flavor = "multi_thread")]
async fn token_for_resource_servers_that_disagree_is_refused_with_the_reason() {
    let origin = origin(Origin::service("orders")).await;
    let (status, error) = request(&origin, &[SPRING, NODE]).await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_target")));
    let why = text(&error, "error_description");
    for part in [SPRING, NODE, "typ"] {
        assert!(why.contains(part), "{why}");
    }
    let (status, tokens) = request(&origin, &[NODE, OTHER]).await;
    assert_eq!((status, &tokens["expires_in"]), (200, &json!(90)), "an unregistered one accepts anything");
    assert_eq!(header(text(&tokens, "access_token"))["alg"], "RS256");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_contains_the_claims_of_the_user_that_its_resource_server_receives() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let claims_of_users = ["email".to_owned(), "phone_number".to_owned()].into();
    register(&origin, SPRING, TokenProfile { claims: claims_of_users, ..TokenProfile::default() }).await;
    register(&origin, NODE, TokenProfile::default()).await;
    let audiences = [SPRING, NODE].map(|audience| audience.parse().expect("an audience")).into();
    origin.client("shop", ClientMetadata { audiences, ..Origin::web() }).await;
    let browser = UserBrowser::new(&origin, "ada");
    for (resource, email) in [(SPRING, Some("ada@example.org")), (NODE, None)] {
        let code = origin.code(&browser, "shop", &[("scope", "openid orders"), ("resource", resource)]).await;
        let tokens = origin.redeem("shop", &code).await;
        let access = claims(text(&tokens, "access_token"));
        assert_eq!((access["email"].as_str(), access.get("phone_number")), (email, None), "{access}");
        assert_eq!(claims(text(&tokens, "id_token")).get("email"), None, "the scope decides about ID tokens");
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
        let refreshed = origin.token("shop", &refresh).await;
        assert_eq!(claims(text(&refreshed, "access_token"))["email"].as_str(), email, "after a refresh, too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn id_token_is_no_access_token_even_where_access_tokens_have_the_type_jwt() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    // The confusion at its worst: the resource server has the client's name.
    register(&origin, "shop", TokenProfile::preset(Verifier::Generic)).await;
    let audiences = vec!["shop".parse().expect("an audience")];
    origin.client("shop", ClientMetadata { audiences, ..Origin::web() }).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[("scope", "openid")]).await;
    let tokens = origin.redeem("shop", &code).await;
    let (access, id_token) = (text(&tokens, "access_token"), text(&tokens, "id_token"));
    for member in ["alg", "typ", "kid"] {
        assert_eq!(header(access)[member], header(id_token)[member], "{member}");
    }
    assert_eq!(claims(access)["aud"], claims(id_token)["aud"]);
    assert_eq!(origin.introspect("shop", access).await["active"], true);
    assert_eq!(origin.introspect("shop", id_token).await, json!({ "active": false }));
    let userinfo =
        async |token: &str| answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(token)).await.0;
    assert_eq!((userinfo(access).await, userinfo(id_token).await), (200, 401));

    // An edge has no records, only keys and the claims.
    let jwks = origin.http.get(origin.url("/.well-known/jwks.json")).send().await.expect("answered");
    let keys = tollgate_core::KeySet::from_jwks(&jwks.bytes().await.expect("a body")).expect("keys");
    let requirements = tollgate_core::TokenRequirements {
        issuer: origin.server.issuer(),
        audience: "shop",
        scope: &[],
        rules: None,
        leeway: 60,
        allow_plain_jwt: true,
        on_stale: tollgate_core::UnknownStatusPolicy::Deny,
        on_not_covered: tollgate_core::UnknownStatusPolicy::Deny,
    };
    let now = claims(access)["iat"].as_u64().expect("a time");
    let verify = |token: &str| {
        let checked = tollgate_core::CheckedByCaller;
        tollgate_core::verify(token.as_bytes(), &keys, &requirements, &checked, now).map(drop)
    };
    assert_eq!(verify(access), Ok(()));
    assert!(matches!(verify(id_token), Err(tollgate_core::Refusal::MissingClaim { .. })), "{:?}", verify(id_token));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_installation_issues_tokens_for_the_verifier_of_its_setting() {
    for (setting, alg, typ) in
        [(None, "EdDSA", "at+jwt"), (Some("generic"), "RS256", "JWT"), (Some("edge"), "EdDSA", "at+jwt")]
    {
        let settings: Vec<(&'static str, &str)> =
            setting.map(|verifier| ("TOLLGATE_VERIFIER", verifier)).into_iter().collect();
        let origin = Origin::start_with(&settings).await;
        origin.client("robot", Origin::service("orders")).await;
        let (status, tokens) = request(&origin, &[]).await;
        assert_eq!(status, 200, "{tokens}");
        let token = text(&tokens, "access_token");
        assert_eq!((&header(token)["alg"], &header(token)["typ"]), (&json!(alg), &json!(typ)), "{setting:?}");
        assert_eq!(origin.server.store().list_resources().await.expect("listed").len(), settings.len());
    }
}
