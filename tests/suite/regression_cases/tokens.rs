//! Tokens, codes and JWTs prove only what they were made for; a name in them proves nothing.

use anyhow::{Context as _, Result, anyhow, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tollgate_model::TokenAlg;
use tollgate_tests::admin_client::AdminClient;
use tollgate_tests::browser::Browser;
use tollgate_tests::client::{
    ACCESS_TOKEN_TYPE, Answer, JWT_BEARER_GRANT, REDIRECT_URI, TOKEN_EXCHANGE_GRANT, TestClient, member_text, merge,
    redemption, register_resource,
};
use tollgate_tests::environment::now;
use tollgate_tests::jwt::{ClientKey, claims, random_id};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::token_factory::TokenFactory;
use tollgate_tests::users::register_user;

cases! {
    both {
        O1 o1_token_forged_with_an_audiences_key_is_refused,
        O16 o16_tokens_exchanged_from_a_revoked_token_are_inactive,
        O17 o17_used_code_without_its_verifier_revokes_nothing,
    }
    once {
        C7 c7_jwts_named_ed25519_are_accepted,
        C9 c9_jwk_set_begins_with_the_key_type_that_every_verifier_supports,
    }
}

const A: &str = "https://a.example";
const B: &str = "https://b.example";

/// An origin with the resource servers A and B, their clients, and a web client of both.
struct Fixture {
    origin: TestOrigin,
    web: TestClient,
    rs_a: TestClient,
    rs_b: TestClient,
    /// Factories with the HS256 keys of A and of B.
    factories: [TokenFactory; 2],
}

impl Fixture {
    async fn start(case: &RegressionCase, web: Value) -> Result<Self> {
        let origin = case.origin(&[]).await?;
        let web = TestClient::register_web_app(&origin, "web", &web).await?;
        let api = |own: &str| {
            json!({
                "grant_types": ["client_credentials", TOKEN_EXCHANGE_GRANT], "scope": "read write openid", "audiences": [own],
                "access_token_signed_response_alg": "HS256",
            })
        };
        let (rs_a, rs_b) = (
            TestClient::register(&origin, "rs-a", api(A)).await?,
            TestClient::register(&origin, "rs-b", api(B)).await?,
        );
        register_resource(&origin, A, &rs_a).await?;
        register_resource(&origin, B, &rs_b).await?;
        let mut factories = Vec::new();
        for audience in [A, B] {
            let keys = origin.open_keys().await?;
            factories.push(TokenFactory::new(keys, origin.server.issuer(), audience.parse()?));
        }
        let factories = factories.try_into().map_err(|_| anyhow!("one factory for each audience"))?;
        Ok(Self { origin, web, rs_a, rs_b, factories })
    }

    /// Signs in a new user and returns the web client's tokens.
    async fn tokens(&self, more: &[(&str, &str)]) -> Result<Value> {
        let browser = Browser::new(&self.origin.server.url())?;
        let name = format!("alice-{}", random_id().to_lowercase());
        let (_, alice) = register_user(&self.origin, &name).await?;
        let code = self.web.code(&browser, &alice, more).await?;
        Ok(self.web.redeem(&code).await?.body)
    }

    /// A token without claims except the `jti` of another token, signed with an audience's HS256
    /// key.
    fn forged(&self, factory: &TokenFactory, jti: &Value) -> String {
        let draft = factory.token(TokenAlg::Hs256, now()).claim("jti", jti.clone());
        ["sub", "client_id", "scope", "exp", "iat"]
            .iter()
            .fold(draft, |draft, name| draft.claim(name, Value::Null))
            .sign()
    }
}

async fn o1_token_forged_with_an_audiences_key_is_refused(case: &RegressionCase) -> Result<()> {
    let more =
        json!({ "audiences": [A, B], "grant_types": ["authorization_code", "refresh_token", TOKEN_EXCHANGE_GRANT] });
    let fixture = Fixture::start(case, more).await?;
    let signed = fixture.tokens(&[("scope", "openid read"), ("resource", B)]).await?;
    let signed = member_text(&signed, "access_token")?;
    // An opaque token contains no claims, but its id appears in logs.
    let opaque = fixture.rs_b.id.parse()?;
    let mut metadata = fixture.origin.server.store().find_client(&opaque).await?.context("rs-b")?.metadata;
    metadata.access_token_format = tollgate_model::TokenFormat::Opaque;
    fixture.origin.server.store().update_client(&opaque, &metadata).await?;
    let opaque = fixture.rs_b.request_tokens(&[("grant_type", "client_credentials")]).await?.text("access_token")?;
    let opaque_id = fixture.rs_b.post("/oauth/introspect", &[("token", &opaque)]).await?.body["jti"].clone();
    ensure!(opaque_id.is_string(), "an opaque token has an id");

    let [of_a, of_b] = &fixture.factories;
    let (signed_id, mut answers) = (&claims(signed)?["jti"], Vec::new());
    // With B's own key, only the format differs from the opaque token's record.
    for (what, factory, jti) in [
        ("signed, by A's key", of_a, signed_id),
        ("signed, by B's key", of_b, signed_id),
        ("opaque, by A's key", of_a, &opaque_id),
        ("opaque, by B's key", of_b, &opaque_id),
    ] {
        check_forged_token_is_refused(&fixture, &fixture.forged(factory, jti), signed).await.context(what)?;
        answers.push(format!("{what}: bearer 401, introspection inactive, exchange 400"));
    }
    ensure!(
        fixture.web.is_active(signed).await? && fixture.rs_b.is_active(&opaque).await?,
        "the real tokens stay active"
    );
    // A's own token is accepted: key and audience belong together.
    let own = fixture.rs_a.request_tokens(&[("grant_type", "client_credentials")]).await?.text("access_token")?;
    ensure!(fixture.rs_a.is_active(&own).await?, "A's own HS256 token is active");
    ensure!(
        fixture.rs_a.present(Method::GET, "/oauth/tokeninfo", &own).await?.status == 200,
        "A's own HS256 token is active"
    );
    check_that_admins_revoke_the_presented_token(&fixture, signed).await?;
    case.report(answers.join("; "));
    Ok(())
}

async fn check_forged_token_is_refused(fixture: &Fixture, forged: &str, signed: &str) -> Result<()> {
    for (method, path) in
        [(Method::GET, "/oauth/tokeninfo"), (Method::GET, "/oauth/userinfo"), (Method::POST, "/validate")]
    {
        let answer = fixture.web.present(method, path, forged).await?;
        ensure!(answer.status == 401, "{path}: {} {}", answer.status, answer.body);
    }
    for party in [&fixture.rs_a, &fixture.rs_b, &fixture.web] {
        ensure!(!party.is_active(forged).await?, "active for {}", party.id);
        let exchanged = party.exchange(forged, &[]).await?;
        ensure!(exchanged.status == 400, "exchanged: {}", exchanged.body);
        let actor = [("actor_token", forged), ("actor_token_type", ACCESS_TOKEN_TYPE)];
        let exchanged = party.exchange(signed, &actor).await?;
        ensure!(exchanged.status == 400, "as actor: {}", exchanged.body);
        // A forged token must not revoke the token that it names.
        ensure!(party.post("/oauth/revoke", &[("token", forged)]).await?.status == 200, "200 as for an unknown token");
    }
    Ok(())
}

/// Revoking a presented token affects only that very token: a forged one is unknown, an opaque one
/// works like a signed one.
async fn check_that_admins_revoke_the_presented_token(fixture: &Fixture, signed: &str) -> Result<()> {
    let admin = AdminClient::register(&fixture.origin, "admin").await?;
    let revoke = async |token: &str| -> Result<u16> {
        Ok(admin.send(Method::POST, "/revocations", &json!({ "token": token })).await?.status)
    };
    let forged = fixture.forged(&fixture.factories[0], &claims(signed)?["jti"]);
    ensure!(revoke(&forged).await? == 404, "the forged token has no record");
    ensure!(fixture.web.is_active(signed).await?, "the token that it names stays active");
    let opaque = fixture.rs_b.request_tokens(&[("grant_type", "client_credentials")]).await?.text("access_token")?;
    for token in [signed, &opaque] {
        ensure!(revoke(token).await? == 201, "{token}");
    }
    ensure!(!fixture.web.is_active(signed).await? && !fixture.rs_b.is_active(&opaque).await?, "they are revoked");
    // A token forged with A's key that names an administrator's token: the record is not one of a
    // token for A.
    let forged = fixture.forged(&fixture.factories[0], &claims(&admin.token)?["jti"]);
    let answer = fixture.web.present(Method::GET, "/admin/api/clients", &forged).await?;
    ensure!(answer.status == 401, "the admin API answers {}", answer.status);
    Ok(())
}

async fn o16_tokens_exchanged_from_a_revoked_token_are_inactive(case: &RegressionCase) -> Result<()> {
    let more =
        json!({ "audiences": [A, B], "grant_types": ["authorization_code", "refresh_token", TOKEN_EXCHANGE_GRANT] });
    let fixture = Fixture::start(case, more).await?;
    let revoked = async |by: &TestClient, what: &str, lives: &[&str], dies: &[&str]| {
        ensure!(by.post("/oauth/revoke", &[("token", what)]).await?.status == 200, "revoked");
        for token in dies {
            ensure!(!fixture.rs_a.is_active(token).await?, "it was exchanged from a revoked token");
            ensure!(fixture.rs_a.exchange(token, &[]).await?.status == 400, "it cannot be exchanged");
        }
        for token in lives {
            ensure!(fixture.rs_a.is_active(token).await?, "its own tokens are good");
        }
        Ok(())
    };
    let tokens = fixture.tokens(&[("scope", "read"), ("resource", A)]).await?;
    let subject = member_text(&tokens, "access_token")?;
    let child = fixture.rs_a.exchange(subject, &[]).await?.text("access_token")?;
    let grandchild = fixture.rs_a.exchange(&child, &[("scope", "read")]).await?.text("access_token")?;
    for token in [&child, &grandchild] {
        ensure!(fixture.rs_a.is_active(token).await?, "active before the revocation");
        ensure!(claims(token)?.get("exchanged_from").is_none(), "the source is recorded, not a claim");
    }
    revoked(&fixture.rs_a, &grandchild, &[subject, &child], &[&grandchild]).await?;
    let grandchild = fixture.rs_a.exchange(&child, &[]).await?.text("access_token")?;
    revoked(&fixture.web, subject, &[], &[subject, &child, &grandchild]).await?;

    // An actor token, and a revocation that applies only to an older token.
    let tokens = fixture.tokens(&[("scope", "read"), ("resource", A)]).await?;
    let subject = member_text(&tokens, "access_token")?;
    let actor = fixture.rs_a.request_tokens(&[("grant_type", "client_credentials")]).await?.text("access_token")?;
    let acting = [("actor_token", actor.as_str()), ("actor_token_type", ACCESS_TOKEN_TYPE)];
    let child = fixture.rs_a.exchange(subject, &acting).await?.text("access_token")?;
    revoked(&fixture.rs_a, &actor, &[subject], &[&child]).await?;
    let child = fixture.rs_a.exchange(subject, &[]).await?.text("access_token")?;
    let all_of_web = tollgate_model::Target::Client(fixture.web.id.clone());
    let by = tollgate_model::Actor::command_line(None);
    let revoke = tollgate_model::NewRevocation::any(all_of_web, by, None, now())?;
    fixture.origin.server.store().revoke(revoke).await?;
    ensure!(!fixture.rs_a.is_active(&child).await?, "all tokens of web and tokens exchanged from them are revoked");
    case.report("exchanged, exchanged again, by an actor's token, of a revoked client: inactive");
    Ok(())
}

async fn o17_used_code_without_its_verifier_revokes_nothing(case: &RegressionCase) -> Result<()> {
    let public = json!({ "token_endpoint_auth_method": "none" });
    let fixture = Fixture::start(case, public).await?;
    let browser = Browser::new(&fixture.origin.server.url())?;
    let (_, alice) = register_user(&fixture.origin, "alice").await?;
    let code = fixture.web.code(&browser, &alice, &[("scope", "openid read")]).await?;
    let tokens = fixture.web.redeem(&code).await?;
    let wrong = "x".repeat(43);
    let with = |name: &'static str, value: &str| {
        let mut form = redemption(&code).map(|(name, value)| (name, value.to_owned())).to_vec();
        form.retain(|(other, _)| *other != name);
        form.push((name, value.to_owned()));
        form
    };
    let mut answers = Vec::new();
    for form in [with("code_verifier", &wrong), with("redirect_uri", "https://app.example/other")] {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = fixture.web.request_tokens(&form).await?;
        ensure!(answer.status == 400 && answer.body["error"] == "invalid_grant", "{}", answer.body);
        answers.push(answer.summary());
    }
    let refreshed = fixture.web.refresh(&tokens.text("refresh_token")?).await?;
    ensure!(refreshed.status == 200, "the grant is unharmed: {}", refreshed.body);
    answers.push(format!("refresh {}", refreshed.summary()));
    // Code and verifier together were the client's: this is a replay.
    ensure!(fixture.web.redeem(&code).await?.status == 400, "used twice");
    let ended = fixture.web.refresh(&refreshed.text("refresh_token")?).await?;
    ensure!(ended.status == 400, "the grant is revoked: {}", ended.body);
    answers.push(format!("then with the right verifier, refresh {}", ended.summary()));
    case.report(answers.join("; "));
    Ok(())
}

/// A JWT made for another purpose is refused, even if the right client signed it (RFC 8725 §3.11).
#[tokio::test(flavor = "multi_thread")]
async fn jwt_of_another_type_is_refused() -> Result<()> {
    let case = RegressionCase::new("typ");
    let origin = case.origin(&[]).await?;
    let key = ClientKey::generate();
    let own = json!({
        "token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks(),
        "grant_types": ["authorization_code", "client_credentials", JWT_BEARER_GRANT],
    });
    let signer = TestClient::register_web_app(&origin, "signer", &own).await?;
    let issuer = origin.server.issuer().to_owned();
    let assertion = |header: Value| {
        let claims = json!({ "iss": "signer", "sub": "signer", "aud": issuer, "exp": now() + 60, "jti": random_id() });
        key.sign(&header, &claims)
    };
    let authenticate = async |assertion: String, more: &[(&str, &str)]| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = [&[("client_assertion_type", kind), ("client_assertion", &assertion)], more].concat();
        Ok::<_, anyhow::Error>(signer.request_tokens(&form).await?.status)
    };
    let own = [("grant_type", "client_credentials")];
    for typ in [json!({}), json!({ "typ": "JWT" }), json!({ "typ": "client-authentication+jwt" })] {
        assert_eq!(authenticate(assertion(typ.clone()), &own).await?, 200, "{typ}");
    }
    let others = ["at+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "application/at+jwt"];
    for typ in others {
        assert_eq!(authenticate(assertion(json!({ "typ": typ })), &own).await?, 401, "{typ}");
        let grant = assertion(json!({ "typ": typ }));
        let bearer = [("grant_type", JWT_BEARER_GRANT), ("assertion", grant.as_str())];
        assert_eq!(authenticate(assertion(json!({})), &bearer).await?, 400, "{typ}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn request_object_needs_its_type_and_an_expiry() -> Result<()> {
    let case = RegressionCase::new("exp");
    let origin = case.origin(&[]).await?;
    let key = ClientKey::generate();
    let signer = TestClient::register_web_app(&origin, "signer", &json!({ "jwks": key.jwks() })).await?;
    let browser = Browser::new(&origin.server.url())?;
    let request = |header: Value, changes: &Value| -> Result<String> {
        let plain = reqwest::Url::parse(&signer.authorization_url(&[("scope", "openid")]))?;
        let mut claims: Value = plain.query_pairs().map(|(name, value)| (name.into_owned(), json!(value))).collect();
        claims["iss"] = json!("signer");
        claims["aud"] = json!(origin.server.issuer());
        claims["prompt"] = json!("none");
        let jwt = key.sign(&header, &merge(claims, changes));
        Ok(signer.authorization_url(&[("request", &jwt), ("redirect_uri", REDIRECT_URI)]))
    };
    let typed = || json!({ "typ": "oauth-authz-req+jwt" });
    let (soon, lately) = (now() + 60, now() - 3000);
    for (header, more, error) in [
        (json!({}), json!({ "exp": soon }), "login_required"),
        (json!({ "typ": "JWT" }), json!({ "exp": soon }), "login_required"),
        (typed(), json!({ "exp": soon }), "login_required"),
        (typed(), json!({ "iat": lately }), "login_required"),
        (typed(), json!({ "exp": soon, "sub": "signer" }), "login_required"),
        (json!({}), json!({ "exp": soon, "sub": "signer" }), "invalid_request_object"),
        (typed(), json!({}), "invalid_request_object"),
        (typed(), json!({ "nbf": lately }), "invalid_request_object"),
        (typed(), json!({ "iat": now() - 4000 }), "invalid_request_object"),
        (typed(), json!({ "exp": now() - 61 }), "invalid_request_object"),
        (typed(), json!({ "iat": now(), "nbf": now() + 3600 }), "invalid_request_object"),
        (json!({ "typ": "at+jwt" }), json!({ "exp": soon }), "invalid_request_object"),
        (json!({ "typ": "client-authentication+jwt" }), json!({ "exp": soon }), "invalid_request_object"),
    ] {
        let page = browser.open(&request(header.clone(), &more)?).await?;
        assert_eq!(page.parameter("error").as_deref(), Some(error), "{header} {more}: {}", page.status);
    }
    Ok(())
}

/// RFC 9864 §2.2: `Ed25519` is the second name of EdDSA with that curve.
async fn c7_jwts_named_ed25519_are_accepted(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let key = ClientKey::generate();
    let mut jwks = key.jwks();
    jwks["keys"][0]["alg"] = json!("Ed25519");
    let metadata = json!({
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks,
        "scope": "read",
    });
    let client = TestClient::register(&origin, "signs", metadata).await?;
    let url = format!("{}/oauth/token", origin.server.issuer());
    let mut answers = Vec::new();
    for (alg, is_accepted) in [("EdDSA", true), ("Ed25519", true), ("ed25519", false), ("Ed448", false)] {
        let claims = json!({
            "iss": client.id, "sub": client.id, "aud": origin.server.issuer(), "jti": random_id(), "iat": now(),
            "exp": now() + 60,
        });
        let assertion = key.sign_as(alg, &json!({}), &claims);
        let proof = json!({ "htm": "POST", "htu": url, "iat": now(), "jti": random_id() });
        let proof = key.sign_as(alg, &json!({ "typ": "dpop+jwt", "jwk": key.jwk() }), &proof);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ];
        let answer = Answer::read(client.request("/oauth/token", &form)).await?;
        ensure!((answer.status == 200) == is_accepted, "a client assertion named {alg}: {}", answer.summary());
        // The proof alone has the name.
        let claims = merge(claims, &json!({ "jti": random_id() }));
        let assertion = key.sign_as("EdDSA", &json!({}), &claims);
        let form = [form[0], form[1], ("client_assertion", assertion.as_str())];
        let answer = Answer::read(client.request("/oauth/token", &form).header("dpop", proof)).await?;
        ensure!((answer.status == 200) == is_accepted, "a DPoP proof named {alg}: {}", answer.summary());
        answers.push(format!("{alg} {}", answer.summary()));
    }
    case.report(answers.join(", "));
    Ok(())
}

async fn c9_jwk_set_begins_with_the_key_type_that_every_verifier_supports(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let url = format!("{}/.well-known/jwks.json", origin.server.url());
    let jwks: Value = reqwest::get(url).await?.json().await?;
    let keys = jwks["keys"].as_array().context("keys")?;
    let types: Vec<&Value> = keys.iter().map(|key| &key["kty"]).collect();
    ensure!(types == ["RSA", "EC", "OKP"], "{types:?}");
    ensure!(keys.iter().all(|key| key["use"] == "sig" && key["alg"].is_string()), "each key has use and alg: {jwks}");
    case.report(format!("{types:?}"));
    Ok(())
}
