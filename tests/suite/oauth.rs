//! OAuth endpoints of the origin over HTTP.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollgate_tests::client::TestClient;
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

async fn start() -> Result<(TestOrigin, TestClient)> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let client = TestClient::register_with_cli(&origin, "a service", &["--scope", "a b"])?;
    Ok((origin, client))
}

fn part(token: &str, index: usize) -> Result<Value> {
    let part = token.split('.').nth(index).context("a part of a token")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn access_token_follows_rfc_9068() -> Result<()> {
    let (origin, client) = start().await?;
    let form = [("grant_type", "client_credentials"), ("scope", "b")];
    let answer = client.request("/oauth/token", &form).send().await?;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer: Value = answer.json().await?;
    assert_eq!(
        (&answer["token_type"], &answer["expires_in"], &answer["scope"]),
        (&json!("Bearer"), &json!(3600), &json!("b"))
    );
    let token = answer["access_token"].as_str().context("a token")?;
    let (header, claims) = (part(token, 0)?, part(token, 1)?);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    assert!(header["kid"].is_string() && claims["jti"].is_string());
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(origin.server.issuer()), &json!(AUDIENCE)));
    assert_eq!(
        (&claims["sub"], &claims["client_id"], &claims["scope"]),
        (&json!(client.id), &json!(client.id), &json!("b"))
    );
    let (issued, expires) = (claims["iat"].as_u64().context("iat")?, claims["exp"].as_u64().context("exp")?);
    assert!(issued.abs_diff(now()) <= 60 && expires == issued + 3600);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_must_use_exactly_one_authentication_method() -> Result<()> {
    let (origin, client) = start().await?;
    let url = format!("{}/oauth/token", origin.server.url());
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", client.id.as_str()), ("client_secret", client.secret()));
    let post = |form: Vec<(&'static str, String)>| client.http.post(&url).form(&form).send();
    let form = |pairs: &[(&'static str, &str)]| {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
    };

    assert_eq!(post(form(&[grant, id, secret])).await?.status(), 200, "client_secret_post");
    for (what, pairs) in [
        ("no credentials", vec![grant]),
        ("no secret", vec![grant, id]),
        ("another secret", vec![grant, id, ("client_secret", "tgs_wrong")]),
        ("another client", vec![grant, ("client_id", "nobody"), secret]),
    ] {
        let answer = post(form(&pairs)).await?;
        assert_eq!(answer.status(), 401, "{what}");
        assert_eq!(answer.json::<Value>().await?["error"], "invalid_client", "{what}");
    }
    let wrong_basic = client.http.post(&url).basic_auth(&client.id, Some("wrong")).form(&form(&[grant])).send().await?;
    assert_eq!(wrong_basic.status(), 401);
    assert!(wrong_basic.headers()["www-authenticate"].to_str()?.starts_with("Basic"));
    let both = client
        .http
        .post(&url)
        .basic_auth(&client.id, Some(client.secret()))
        .form(&form(&[grant, id, secret]))
        .send()
        .await?;
    assert_eq!((both.status().as_u16(), both.json::<Value>().await?["error"].clone()), (400, json!("invalid_request")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_token_requests_get_the_specific_error() -> Result<()> {
    let (_origin, client) = start().await?;
    let grant = ("grant_type", "client_credentials");
    for (what, form, error) in [
        ("no grant", vec![], "invalid_request"),
        ("another grant", vec![("grant_type", "password")], "unsupported_grant_type"),
        ("a grant twice", vec![grant, grant], "invalid_request"),
        ("an unregistered scope", vec![grant, ("scope", "a c")], "invalid_scope"),
        ("a malformed scope", vec![grant, ("scope", "a\"b")], "invalid_scope"),
        ("another's audience", vec![grant, ("resource", "https://other.example")], "invalid_target"),
    ] {
        let answer = client.request("/oauth/token", &form).send().await?;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["cache-control"].to_str()?),
            (400, "no-store"),
            "{what}"
        );
        assert_eq!(answer.json::<Value>().await?["error"], error, "{what}");
    }
    let unknown = client.request_tokens(&[grant, ("unknown", "1")]).await?;
    assert_eq!(unknown.status, 200, "unknown parameters are ignored (RFC 6749 §3.2)");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_accepted_only_at_the_short_path() -> Result<()> {
    let (origin, client) = start().await?;
    let body = json!({ "grant_type": "client_credentials", "client_id": client.id, "client_secret": client.secret() });
    let post = |path: &str| client.http.post(format!("{}{path}", origin.server.url())).json(&body).send();
    assert_eq!(post("/token").await?.status(), 200);
    let refused = post("/oauth/token").await?;
    assert_eq!(
        (refused.status().as_u16(), refused.json::<Value>().await?["error"].clone()),
        (400, json!("invalid_request"))
    );
    assert_eq!(client.post("/token", &[("grant_type", "client_credentials")]).await?.status, 200, "a form, too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_client_gets_no_token() -> Result<()> {
    let (origin, client) = start().await?;
    client.token("a").await?;
    origin.cli(&["client", "disable", &client.id])?;
    let answer = client.request_tokens(&[("grant_type", "client_credentials")]).await?;
    assert_eq!(answer.summary(), "401 invalid_client");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_follows_rfc_7009() -> Result<()> {
    let (origin, client) = start().await?;
    let stranger = TestClient::register_with_cli(&origin, "a stranger", &[])?;
    let token = client.token("a").await?;
    let revoke = |who, form: Vec<(&'static str, String)>| {
        let who: &TestClient = who;
        let form: Vec<(&str, String)> = form;
        who.http
            .post(format!("{}/oauth/revoke", origin.server.url()))
            .basic_auth(&who.id, Some(who.secret()))
            .form(&form)
            .send()
    };
    assert_eq!(revoke(&client, vec![("token", "unknown".into())]).await?.status(), 200, "section 2.2");
    assert_eq!(revoke(&client, vec![]).await?.status(), 400);
    let unauthenticated =
        client.http.post(format!("{}/oauth/revoke", origin.server.url())).form(&[("token", &token)]).send().await?;
    assert_eq!(unauthenticated.status(), 401);
    revoke(&stranger, vec![("token", token.clone())]).await?;
    assert_eq!(client.introspect(&token).await?["active"], true, "another client's token survives");
    let hinted = vec![("token", token.clone()), ("token_type_hint", "refresh_token".into())];
    assert_eq!(revoke(&client, hinted).await?.status(), 200, "a wrong hint still finds the token");
    assert_eq!(client.introspect(&token).await?, json!({ "active": false }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_follows_rfc_7662() -> Result<()> {
    let (origin, client) = start().await?;
    let token = client.token("a").await?;
    let active = client.introspect(&token).await?;
    assert_eq!(
        (&active["active"], &active["client_id"], &active["scope"]),
        (&json!(true), &json!(client.id), &json!("a"))
    );
    assert_eq!((&active["iss"], &active["aud"]), (&json!(origin.server.issuer()), &json!(AUDIENCE)));
    let mut tampered = token.clone();
    tampered.replace_range(
        tampered.len() - 10..tampered.len() - 9,
        if tampered[tampered.len() - 10..].starts_with('A') { "B" } else { "A" },
    );
    for unknown in ["", "abc", "a.b.c", &tampered] {
        let answer = client.post("/oauth/introspect", &[("token", unknown)]).await?;
        if unknown.is_empty() && answer.status == 400 {
            continue; // an empty parameter counts as omitted (RFC 6749 §3.2)
        }
        assert_eq!(answer.body, json!({ "active": false }), "{unknown}");
    }
    let stranger =
        client.http.post(format!("{}/oauth/introspect", origin.server.url())).form(&[("token", &token)]).send().await?;
    assert_eq!(stranger.status(), 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_lists_the_endpoints() -> Result<()> {
    let (origin, _client) = start().await?;
    let get = async |path: &str| {
        anyhow::Ok(reqwest::get(format!("{}{path}", origin.server.url())).await?.json::<Value>().await?)
    };
    let metadata = get("/.well-known/oauth-authorization-server").await?;
    assert_eq!(metadata["issuer"], origin.server.issuer());
    for (member, path) in [
        ("token_endpoint", "/oauth/token"),
        ("revocation_endpoint", "/oauth/revoke"),
        ("introspection_endpoint", "/oauth/introspect"),
        ("jwks_uri", "/.well-known/jwks.json"),
    ] {
        assert_eq!(metadata[member], format!("{}{path}", origin.server.issuer()), "{member}");
    }
    assert!(metadata["grant_types_supported"].as_array().is_some_and(|grants| grants.len() == 6), "{metadata}");
    let jwks = get("/.well-known/jwks.json").await?;
    let mut algorithms: Vec<&str> =
        jwks["keys"].as_array().context("keys")?.iter().filter_map(|key| key["alg"].as_str()).collect();
    algorithms.sort_unstable();
    assert_eq!(algorithms, ["ES256", "EdDSA", "RS256"], "no symmetric key is published");
    assert!(!jwks.to_string().contains("\"d\"") && !jwks.to_string().contains("\"k\""));
    assert_eq!(reqwest::get(format!("{}/health", origin.server.url())).await?.status(), 200);
    assert_eq!(reqwest::get(format!("{}/health/live", origin.server.url())).await?.status(), 200);
    Ok(())
}
