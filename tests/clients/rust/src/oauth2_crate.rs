//! The crate `oauth2`.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DeviceAuthorizationUrl, EndpointSet,
    IntrospectionUrl, PkceCodeChallenge, RedirectUrl, RequestTokenError, RevocationUrl, Scope,
    StandardDeviceAuthorizationResponse, StandardRevocableToken, TokenIntrospectionResponse as _, TokenResponse as _,
    TokenUrl,
};

use crate::{Test, http};

type Client = BasicClient<EndpointSet, EndpointSet, EndpointSet, EndpointSet, EndpointSet>;

pub(crate) fn run(test: &Test) -> Result<()> {
    client_credentials(test)?;
    code(test)?;
    device(test)
}

fn client(test: &Test, id: &str) -> Result<Client> {
    let issuer = test.issuer()?;
    let at = |path: &str| format!("{issuer}{path}");
    let mut client = BasicClient::new(ClientId::new(id.to_owned()))
        .set_auth_uri(AuthUrl::new(at("/oauth/authorize"))?)
        .set_token_uri(TokenUrl::new(at("/oauth/token"))?)
        .set_device_authorization_url(DeviceAuthorizationUrl::new(at("/oauth/device/code"))?)
        .set_introspection_url(IntrospectionUrl::new(at("/oauth/introspect"))?)
        .set_revocation_url(RevocationUrl::new(at("/oauth/revoke").replacen("http://", "https://", 1))?);
    client = match test.client_setting(id, "secret") {
        Ok(secret) => client.set_client_secret(ClientSecret::new(secret)),
        Err(_) => client.set_auth_type(AuthType::RequestBody),
    };
    if let Ok(uri) = test.client_setting(id, "redirect_uri") {
        client = client.set_redirect_uri(RedirectUrl::new(uri)?);
    }
    Ok(client)
}

fn read() -> Scope {
    Scope::new("read".to_owned())
}

fn client_credentials(test: &Test) -> Result<()> {
    for (id, way, step) in [
        ("web", AuthType::BasicAuth, "client_credentials_basic"),
        ("post", AuthType::RequestBody, "client_credentials_post"),
    ] {
        let client = client(test, id)?.set_auth_type(way);
        let token = client.exchange_client_credentials().add_scope(read()).request(&http)?;
        ensure!(
            token.scopes() == Some(&vec![read()]) && token.token_type() == &BasicTokenType::Bearer,
            "another token"
        );
        test.step(step);
    }
    Ok(())
}

fn code(test: &Test) -> Result<()> {
    let client = client(test, "web")?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let request = client.authorize_url(CsrfToken::new_random).add_scope(read()).set_pkce_challenge(challenge);
    let (url, expected) = request.url();
    let (code, state) = test.authorize(&url)?;
    ensure!(&state == expected.secret(), "another state");
    let token = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier).request(&http)?;
    test.step("code");

    let introspected = client.introspect(token.access_token()).request(&http)?;
    ensure!(introspected.active() && introspected.client_id().is_some_and(|id| id.as_str() == "web"), "not active");
    test.step("introspection");
    let first = token.refresh_token().context("no refresh token")?;
    let next = client.exchange_refresh_token(first).request(&http)?;
    let second = next.refresh_token().context("no next refresh token")?;
    ensure!(first.secret() != second.secret(), "refresh tokens rotate");
    test.step("refresh");

    client.revoke_token(StandardRevocableToken::RefreshToken(second.clone()))?.request(&http)?;
    match client.exchange_refresh_token(second).request(&http) {
        Err(RequestTokenError::ServerResponse(answer)) => {
            ensure!(answer.error() == &BasicErrorResponseType::InvalidGrant, "another error: {answer:?}");
        }
        other => bail!("a revoked refresh token gave {other:?}"),
    }
    ensure!(!client.introspect(next.access_token()).request(&http)?.active(), "the grant lives on");
    test.step("revocation");
    Ok(())
}

fn device(test: &Test) -> Result<()> {
    let client = client(test, "tv")?;
    let started: StandardDeviceAuthorizationResponse =
        client.exchange_device_code().add_scope(read()).request(&http)?;
    let complete = started.verification_uri_complete().context("no complete URI")?;
    test.open_as_user("device", complete.secret())?;
    let polling = client.exchange_device_access_token(&started);
    let token = polling.request(&http, thread::sleep, Some(Duration::from_secs(60)))?;
    ensure!(!token.access_token().secret().is_empty(), "no token");
    test.step("device");
    Ok(())
}
