//! The `claims` parameter (OpenID Connect Core §5.5), and where claims about the user are returned.

use serde_json::{Value, json};
use tollgate_model::{ClientMetadata, Scope};

use crate::fixture::{Origin, UserBrowser, answer, claims, parameters, text};

async fn userinfo(origin: &Origin, tokens: &Value) -> Value {
    answer(origin.http.get(origin.url("/oauth/userinfo")).bearer_auth(text(tokens, "access_token"))).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn named_claims_are_returned_where_they_were_requested() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    let requested = json!({
        "userinfo": { "name": { "essential": true }, "phone_number": null },
        "id_token": { "email": null, "acr": { "values": ["urn:other"] } },
    });
    let changes = [("scope", "openid"), ("claims", &requested.to_string())];
    browser.sign_in().await;
    let to_consent = browser.request_authorization("shop", &changes).await.redirect().expect("a redirect");
    let consent = browser.get(&to_consent).await;
    for asked in ["name", "email"] {
        assert!(consent.body.to_lowercase().contains(asked), "the user sees what is asked: {}", consent.body);
    }
    let code = origin.code(&browser, "shop", &changes).await;
    let tokens = origin.redeem("shop", &code).await;
    assert_eq!(tokens["scope"], "openid", "no more access than the scope");
    let id_token = claims(text(&tokens, "id_token"));
    assert_eq!((&id_token["email"], id_token.get("name")), (&json!("ada@example.org"), None));
    let userinfo = userinfo(&origin, &tokens).await;
    assert_eq!((&userinfo["name"], userinfo.get("email")), (&json!("Ada Lovelace"), None));
    // Consent is remembered for what was shown, and not for more.
    assert!(browser.request_authorization("shop", &changes).await.redirect().is_some_and(|to| to.contains("code=")));
    let more = json!({ "userinfo": { "family_name": null, "email": null, "address": null } }).to_string();
    let within = browser.request_authorization("shop", &[("scope", "openid"), ("claims", &more)]).await;
    assert!(within.redirect().is_some_and(|to| to.contains("code=")), "the client's scope has no address");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_beyond_the_registered_scope_are_not_returned() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let scope = Scope::parse("openid").expect("a scope");
    origin.client("shop", ClientMetadata { scope, ..Origin::web() }).await;
    let requested = json!({ "userinfo": { "email": null }, "id_token": { "email": null } }).to_string();
    let browser = UserBrowser::new(&origin, "ada");
    let code = origin.code(&browser, "shop", &[("scope", "openid"), ("claims", &requested)]).await;
    let tokens = origin.redeem("shop", &code).await;
    assert_eq!(claims(text(&tokens, "id_token")).get("email"), None);
    assert_eq!(userinfo(&origin, &tokens).await.get("email"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn requested_subject_and_essential_acr_are_met_or_refused() {
    let origin = Origin::start().await;
    let user = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    origin.code(&browser, "shop", &[]).await;
    let answer_to = async |requested: Value| {
        let changes = [("claims", requested.to_string()), ("prompt", "none".to_owned())];
        let changes: Vec<(&str, &str)> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = browser.request_authorization("shop", &changes).await;
        parameters(&page.redirect().expect("a redirect"))
    };
    let subject = |subject: &str| json!({ "id_token": { "sub": { "value": subject } } });
    assert!(answer_to(subject(user.as_str())).await.contains_key("code"));
    assert_eq!(answer_to(subject("someone else")).await["error"], "login_required");
    let acr = |acr: &str| json!({ "id_token": { "acr": { "essential": true, "values": [acr] } } });
    assert!(answer_to(acr("urn:tollgate:acr:password")).await.contains_key("code"));
    assert_eq!(answer_to(acr("urn:other")).await["error"], "unmet_authentication_requirements");
    assert_eq!(answer_to(json!([])).await["error"], "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn id_token_has_no_user_claims_where_the_client_wants_none() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", ClientMetadata { id_token_user_claims: Some(false), ..Origin::web() }).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[("scope", "openid email")]).await;
    let tokens = origin.redeem("shop", &code).await;
    assert_eq!(claims(text(&tokens, "id_token")).get("email"), None);
    assert_eq!(userinfo(&origin, &tokens).await["email"], "ada@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_takes_the_token_in_a_form_once() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let token = text(&tokens, "access_token");
    let post = || origin.http.post(origin.url("/oauth/userinfo")).form(&[("access_token", token)]);
    let (status, body) = answer(post()).await;
    assert_eq!((status, body["sub"].is_string()), (200, true), "{body}");
    assert_eq!(answer(post().bearer_auth(token)).await.0, 400, "two methods (RFC 6750 section 2)");
    let in_query = origin.http.get(origin.url("/oauth/userinfo")).query(&[("access_token", token)]);
    assert_eq!(answer(in_query).await.0, 401, "never in the query");
}
