//! The resource owner password credentials grant (RFC 6749 §4.3), for the migration of old
//! applications: the application sees the user's password, which RFC 9700 §2.4 forbids.
//!
//! Never: for clients that the operator did not register for it, or where the server's setting does
//! not turn it on. Attempts are limited as sign-ins are, and a refusal does not say what is wrong.

use tollgate_model::authorization::requested_access;
use tollgate_model::user::PASSWORD_ACR;
use tollgate_model::{
    Access, AuthorizationCode, ClaimsRequest, Grant, GrantId, GrantTerms, GrantType, MAX_TOKEN_LIFETIME, Secret,
    SecretKind, User,
};
use tollgate_services::password_hashing::PasswordHashingError;
use tollgate_services::telemetry::CredentialKind;
use tollgate_storage::RedeemCredential;
use tollgate_system::rng;

use super::redeem::{GrantRedemption, first_refresh, redeem_grant};
use crate::oauth::error::OAuthError;
use crate::oauth::id_token::AMR;
use crate::oauth::issue::TokenAnswer;
use crate::oauth::token_request::TokenRequest;
use crate::pages::known_device::account;
use crate::pages::sign_in::authenticate;
use crate::pages::state::PageState;

/// Seconds for which the code lives that the grant is redeemed by in the same request.
const CODE_LIFETIME: u64 = 60;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let (endpoint, client, form) = (request.endpoint, &request.caller.client, request.form);
    let sign_in = endpoint.password_grant.as_deref().ok_or(OAuthError::UnsupportedGrantType)?;
    let username = form.required("username", "username is missing")?;
    let password = form.required("password", "password is missing")?;
    let (default, resources) = (&endpoint.issuer.default_audience, endpoint.cache.resources(request.caller.now).await?);
    let access = Access::for_client(client, requested_access(form)?, default, &resources)?;
    let user = authenticate_user(sign_in, &request, username, password).await?;
    let grant = grant_of(&request, &user, access)?;
    // The grant is recorded with a code that nobody receives, and redeemed by it: so all rules of
    // grants hold, in the same transactions.
    let code = AuthorizationCode {
        hash: Secret::new(SecretKind::Code, &rng::random()?).hash(),
        grant,
        redirect_uri: None,
        challenge: None,
        nonce: None,
        jkt: None,
        expires_at: endpoint.clock.now().saturating_add(CODE_LIFETIME),
        tokens_expire_at: None,
        redeemed_at: None,
    };
    if !endpoint.store.create_code(&code, None).await? {
        return Err(wrong_credentials());
    }
    let (refresh, kept) = first_refresh(endpoint, client, &code.grant, request.jkt.as_deref())?;
    let claim = RedeemCredential::Code { hash: code.hash, refresh: kept };
    let access = code.grant.terms.access.clone();
    redeem_grant(request, GrantRedemption { grant: &code.grant, claim, access, refresh, nonce: None }).await
}

/// The user with this password. The response is the same for an unknown user, a wrong password and
/// a disabled user.
async fn authenticate_user(
    sign_in: &PageState,
    request: &TokenRequest<'_>,
    username: &str,
    password: &str,
) -> Result<User, OAuthError> {
    sign_in.password_hasher.check_capacity()?;
    let address = request.sent_by.address(&sign_in.proxies);
    let attempt = sign_in.rate_limiter.begin_sign_in(&account(username), address, None).await?;
    match authenticate(sign_in, username, password).await {
        Ok(Some(user)) => {
            attempt.succeeded().await;
            Ok(user)
        }
        Ok(None) => {
            attempt.failed();
            let user = sign_in.store.find_user_by_typed_name(username).await?;
            let name = user.as_ref().map(|user| user.id.as_str());
            sign_in.failures.record(CredentialKind::SignIn, name, address).await;
            Err(wrong_credentials())
        }
        Err(error) if error.is_busy() => {
            attempt.cancel().await;
            Err(PasswordHashingError::Busy.into())
        }
        // A password may have been checked before the failure: it counts as wrong.
        Err(_) => {
            attempt.failed();
            Err(PasswordHashingError::Busy.into())
        }
    }
}

fn wrong_credentials() -> OAuthError {
    OAuthError::BadGrant("the username or the password is wrong")
}

/// The grant of a user who gave the client their password.
fn grant_of(request: &TokenRequest<'_>, user: &User, access: Access) -> Result<Grant, OAuthError> {
    let (endpoint, client) = (request.endpoint, &request.caller.client);
    let now = endpoint.clock.now();
    let lifetime = match client.metadata.allows(GrantType::RefreshToken) {
        true => client.metadata.lifetimes.refresh_within(endpoint.refresh).lifetime,
        false => MAX_TOKEN_LIFETIME,
    };
    let pairwise_key = endpoint.keys.current().derive_key("tollgate pairwise subjects v1");
    Ok(Grant {
        id: GrantId::from_random(&rng::random()?),
        client: client.id.clone(),
        user: user.id.clone(),
        subject: user.subject_for(&client.metadata, &pairwise_key),
        browser_session: None,
        terms: GrantTerms {
            access,
            auth_time: now,
            acr: PASSWORD_ACR.to_owned(),
            amr: vec![AMR.to_owned()],
            device: None,
            claims: ClaimsRequest::default(),
        },
        created_at: now,
        ends_at: now.saturating_add(lifetime),
        ended_at: None,
    })
}
