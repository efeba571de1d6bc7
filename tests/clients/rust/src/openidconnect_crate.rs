//! The crate `openidconnect`: discovery, ID tokens, userinfo, registration, logout.

use anyhow::{Context as _, Result, ensure};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientRegistrationRequest, CoreClientRegistrationResponse,
    CoreUserInfoClaims,
};
use openidconnect::registration::EmptyAdditionalClientMetadata;
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, LogoutRequest, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PostLogoutRedirectUrl, ProviderMetadataWithLogout, RedirectUrl, Scope,
    TokenResponse as _,
};

use crate::{Test, http};

pub(crate) fn run(test: &Test) -> Result<()> {
    from_discovery_to_logout(test)?;
    registration(test)
}

fn discover(test: &Test) -> Result<ProviderMetadataWithLogout> {
    Ok(ProviderMetadataWithLogout::discover(&IssuerUrl::new(test.issuer()?.to_owned())?, &http)?)
}

fn from_discovery_to_logout(test: &Test) -> Result<()> {
    let metadata = discover(test)?;
    let end = metadata.additional_metadata().end_session_endpoint.clone().context("no end_session_endpoint")?;
    test.step("discovery");
    let secret = ClientSecret::new(test.client_setting("web", "secret")?);
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new("web".into()), Some(secret))
        .set_redirect_uri(RedirectUrl::new(test.client_setting("web", "redirect_uri")?)?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    let (url, state, nonce) = request.add_scope(Scope::new("email".into())).set_pkce_challenge(challenge).url();
    let (code, returned) = test.authorize(&url)?;
    ensure!(&returned == state.secret(), "another state");
    let token = client.exchange_code(AuthorizationCode::new(code))?.set_pkce_verifier(verifier).request(&http)?;
    test.step("code");

    let id_token = token.id_token().context("no ID token")?;
    let checks = client.id_token_verifier();
    let claims = id_token.claims(&checks, &nonce)?;
    let (alg, key) = (id_token.signing_alg()?, id_token.signing_key(&checks)?);
    let hash = AccessTokenHash::from_token(token.access_token(), alg, key)?;
    ensure!(claims.access_token_hash() == Some(&hash), "another at_hash");
    test.step("id_token");
    let subject = claims.subject();
    let request = client.user_info(token.access_token().clone(), Some(subject.clone()))?;
    let user: CoreUserInfoClaims = request.request(&http)?;
    ensure!(user.email().is_some_and(|email| email.as_str() == "alice@example.com"), "another address");
    test.step("userinfo");

    let refresh_token = token.refresh_token().context("no refresh token")?;
    let next = client.exchange_refresh_token(refresh_token)?.request(&http)?;
    let again = next.id_token().context("no next ID token")?.claims(&checks, |_: Option<&Nonce>| Ok(()))?;
    ensure!(again.subject() == subject, "another subject");
    test.step("refresh");

    let bye = PostLogoutRedirectUrl::new(test.client_setting("web", "post_logout_redirect_uri")?)?;
    let logout = LogoutRequest::from(end).set_id_token_hint(id_token).set_post_logout_redirect_uri(bye.clone());
    let end = test.open_as_user("logout", logout.http_get_url().as_str())?;
    ensure!(&end == bye.url(), "logged out to {end}");
    test.step("logout");
    Ok(())
}

fn registration(test: &Test) -> Result<()> {
    let metadata = discover(test)?;
    let endpoint = metadata.registration_endpoint().context("no registration_endpoint")?.clone();
    let redirect = RedirectUrl::new("https://registered.example/cb".into())?;
    let request = CoreClientRegistrationRequest::new(vec![redirect.clone()], EmptyAdditionalClientMetadata {});
    let registered: CoreClientRegistrationResponse = request.register(&endpoint, &http)?;
    let (id, secret) = (registered.client_id().clone(), registered.client_secret().cloned());
    let client = CoreClient::from_provider_metadata(metadata, id, secret).set_redirect_uri(redirect);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    let (url, _, nonce) = request.set_pkce_challenge(challenge).url();
    let (code, _) = test.authorize(&url)?;
    let token = client.exchange_code(AuthorizationCode::new(code))?.set_pkce_verifier(verifier).request(&http)?;
    token.id_token().context("no ID token")?.claims(&client.id_token_verifier(), &nonce)?;
    test.step("registration");
    Ok(())
}
