//! The parameters of forms, for their descriptions: handlers read them one by one,
//! for which they need depends on the others.
#![expect(dead_code, reason = "these describe what handlers read, and hold nothing")]

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// How a client authenticates that does not in a header (RFC 6749 §2.3.1, RFC 7523
/// §2.2).
#[derive(Deserialize, ToSchema)]
pub(crate) struct ClientForm {
    /// The client's identifier, unless a header or an assertion names it.
    client_id: Option<String>,
    /// `client_secret_post`
    client_secret: Option<String>,
    /// `private_key_jwt`: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`
    client_assertion_type: Option<String>,
    /// `private_key_jwt`
    client_assertion: Option<String>,
}

/// A request for tokens. Which parameters a grant takes, its RFC says; others are
/// ignored.
#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenForm {
    #[schema(example = "client_credentials")]
    grant_type: String,
    scope: Option<String>,
    /// RFC 8707 §2; may repeat.
    resource: Option<String>,
    /// RFC 8693 §2.1; may repeat.
    audience: Option<String>,
    /// RFC 9396 §2: an array, as JSON.
    authorization_details: Option<String>,
    /// Of `authorization_code`.
    code: Option<String>,
    /// Of `authorization_code`, if the authorization request had one.
    redirect_uri: Option<String>,
    /// RFC 7636 §4.5
    code_verifier: Option<String>,
    /// Of `refresh_token`.
    refresh_token: Option<String>,
    /// RFC 8628 §3.4
    device_code: Option<String>,
    /// RFC 7523 §2.1
    assertion: Option<String>,
    /// RFC 8693 §2.1
    subject_token: Option<String>,
    /// RFC 8693 §2.1
    subject_token_type: Option<String>,
    /// RFC 8693 §2.1
    actor_token: Option<String>,
    /// RFC 8693 §2.1
    actor_token_type: Option<String>,
    /// RFC 8693 §2.1
    requested_token_type: Option<String>,
    #[serde(flatten)]
    client: ClientForm,
}

/// A token to be revoked or looked at (RFC 7009 §2.1, RFC 7662 §2.1).
#[derive(Deserialize, ToSchema)]
pub(crate) struct OneTokenForm {
    token: String,
    /// It is not needed, and a wrong one changes nothing.
    token_type_hint: Option<String>,
    #[serde(flatten)]
    client: ClientForm,
}

/// A request for a device's code (RFC 8628 §3.1).
#[derive(Deserialize, ToSchema)]
pub(crate) struct DeviceForm {
    scope: Option<String>,
    /// What the device calls itself, for the user to know it by; our own.
    device_name: Option<String>,
    /// RFC 8707 §2; may repeat.
    resource: Option<String>,
    #[serde(flatten)]
    client: ClientForm,
}

/// An authorization request that a client pushes.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PushedForm {
    #[serde(flatten)]
    request: AuthorizationForm,
    #[serde(flatten)]
    client: ClientForm,
}

/// An authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1).
#[derive(Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuthorizationForm {
    client_id: Option<String>,
    #[schema(example = "code")]
    response_type: Option<String>,
    redirect_uri: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    /// RFC 7636 §4.3
    code_challenge: Option<String>,
    /// `S256`
    code_challenge_method: Option<String>,
    /// RFC 8707 §2; may repeat.
    resource: Option<String>,
    /// RFC 9396 §2: an array, as JSON.
    authorization_details: Option<String>,
    nonce: Option<String>,
    prompt: Option<String>,
    /// Seconds.
    max_age: Option<String>,
    login_hint: Option<String>,
    /// Languages of the pages, by preference: tags separated by spaces.
    ui_locales: Option<String>,
    /// RFC 9449 §10
    dpop_jkt: Option<String>,
    /// RFC 9101 §5
    request: Option<String>,
    /// RFC 9126 §4
    request_uri: Option<String>,
}

/// Of the page to sign in.
#[derive(ToSchema)]
pub(crate) struct LoginForm {
    csrf: String,
    username: String,
    password: String,
    /// The authorization request that waits for the sign-in.
    request: Option<String>,
    /// The device that does.
    user_code: Option<String>,
    /// The page of this origin to go back to.
    next: Option<String>,
}

/// Of the page to make an account.
#[derive(ToSchema)]
pub(crate) struct RegisterForm {
    csrf: String,
    username: String,
    password: String,
    /// The same password.
    again: String,
    /// As at the sign-in.
    request: Option<String>,
    /// As at the sign-in.
    user_code: Option<String>,
    /// As at the sign-in.
    next: Option<String>,
}

/// Of the page to change the password.
#[derive(ToSchema)]
pub(crate) struct PasswordForm {
    csrf: String,
    old: String,
    new: String,
    /// The same new one.
    again: String,
}

/// Of the page of sessions.
#[derive(ToSchema)]
pub(crate) struct EndForm {
    csrf: String,
    /// The id of a session `tgl_…` or of a grant `tgg_…`; `others` for all other
    /// browsers, `all` for all grants.
    end: String,
}

/// Of the page to agree.
#[derive(ToSchema)]
pub(crate) struct ConsentForm {
    csrf: String,
    request: String,
    /// `allow` or `deny`
    decision: String,
}

/// Of the pages to connect a device.
#[derive(ToSchema)]
pub(crate) struct UserCodeForm {
    csrf: String,
    user_code: String,
    /// `allow` or `deny`, once the user has seen who asks.
    decision: Option<String>,
}

/// A wish to sign out (OpenID Connect RP-Initiated Logout §2).
#[derive(ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogoutForm {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
    /// Languages of the pages, by preference: tags separated by spaces.
    ui_locales: Option<String>,
}

/// Of the page to sign out.
#[derive(ToSchema)]
pub(crate) struct ConfirmedLogoutForm {
    csrf: String,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}
