//! Parameters of forms, for the OpenAPI document. Handlers read them by name, because which are
//! required depends on the others.
#![expect(dead_code, reason = "describes parameters that handlers read by name")]

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Client authentication in the form (RFC 6749 §2.3.1, RFC 7523 §2.2).
#[derive(Deserialize, ToSchema)]
pub(crate) struct ClientForm {
    /// Client ID, unless a header or an assertion contains it.
    client_id: Option<String>,
    /// `client_secret_post`
    client_secret: Option<String>,
    /// `private_key_jwt`: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`
    client_assertion_type: Option<String>,
    /// `private_key_jwt`
    client_assertion: Option<String>,
}

/// Token request. The RFC of a grant type defines its parameters; others are ignored.
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
    /// For `authorization_code`.
    code: Option<String>,
    /// For `authorization_code`, if the authorization request had one.
    redirect_uri: Option<String>,
    /// RFC 7636 §4.5
    code_verifier: Option<String>,
    /// For `refresh_token`.
    refresh_token: Option<String>,
    /// RFC 8628 §3.4
    device_code: Option<String>,
    /// RFC 7523 §2.1
    assertion: Option<String>,
    /// For `password`, where the server offers it.
    username: Option<String>,
    /// For `password`.
    password: Option<String>,
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

/// Token to revoke or introspect (RFC 7009 §2.1, RFC 7662 §2.1).
#[derive(Deserialize, ToSchema)]
pub(crate) struct OneTokenForm {
    token: String,
    /// Ignored.
    token_type_hint: Option<String>,
    #[serde(flatten)]
    client: ClientForm,
}

/// Device authorization request (RFC 8628 §3.1).
#[derive(Deserialize, ToSchema)]
pub(crate) struct DeviceForm {
    scope: Option<String>,
    /// Name of the device, shown to the user; an extension.
    device_name: Option<String>,
    /// RFC 8707 §2; may repeat.
    resource: Option<String>,
    #[serde(flatten)]
    client: ClientForm,
}

/// Pushed authorization request (RFC 9126 §2.1).
#[derive(Deserialize, ToSchema)]
pub(crate) struct PushedForm {
    #[serde(flatten)]
    request: AuthorizationForm,
    #[serde(flatten)]
    client: ClientForm,
}

/// Authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1).
#[derive(Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuthorizationForm {
    client_id: Option<String>,
    #[schema(example = "code")]
    response_type: Option<String>,
    /// `query`, `form_post`, `query.jwt`, `form_post.jwt` or `jwt`
    response_mode: Option<String>,
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
    /// OpenID Connect Core §5.5: claims by name, as JSON.
    claims: Option<String>,
    /// Preferred languages of the pages: tags separated by spaces.
    ui_locales: Option<String>,
    /// RFC 9449 §10
    dpop_jkt: Option<String>,
    /// RFC 9101 §5
    request: Option<String>,
    /// RFC 9126 §4
    request_uri: Option<String>,
}

/// Sign-in form.
#[derive(ToSchema)]
pub(crate) struct LoginForm {
    csrf: String,
    username: String,
    password: String,
    /// ID of the pending authorization request.
    request: Option<String>,
    /// User code of the device that waits for the sign-in.
    user_code: Option<String>,
    /// Path of this origin to return to.
    next: Option<String>,
}

/// Registration form of users.
#[derive(ToSchema)]
pub(crate) struct RegisterForm {
    csrf: String,
    username: String,
    password: String,
    /// The password again.
    again: String,
    /// As in the sign-in form.
    request: Option<String>,
    /// As in the sign-in form.
    user_code: Option<String>,
    /// As in the sign-in form.
    next: Option<String>,
}

/// Form to change the password.
#[derive(ToSchema)]
pub(crate) struct PasswordForm {
    csrf: String,
    old: String,
    new: String,
    /// The new password again.
    again: String,
}

/// Form to end sessions and grants.
#[derive(ToSchema)]
pub(crate) struct EndForm {
    csrf: String,
    /// ID of a session `tgl_…` or of a grant `tgg_…`; `others` for all other browsers, `all` for
    /// all grants.
    end: String,
}

/// Consent form.
#[derive(ToSchema)]
pub(crate) struct ConsentForm {
    csrf: String,
    request: String,
    /// `allow` or `deny`
    decision: String,
}

/// Form to connect a device.
#[derive(ToSchema)]
pub(crate) struct UserCodeForm {
    csrf: String,
    user_code: String,
    /// `allow` or `deny`, after the user has seen the client.
    decision: Option<String>,
}

/// Logout request (OpenID Connect RP-Initiated Logout §2).
#[derive(ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogoutForm {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
    /// Preferred languages of the pages: tags separated by spaces.
    ui_locales: Option<String>,
}

/// Confirmation form of the logout.
#[derive(ToSchema)]
pub(crate) struct ConfirmedLogoutForm {
    csrf: String,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}
