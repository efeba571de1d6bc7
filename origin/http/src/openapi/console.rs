//! Parameters of the console's pages and forms, for the OpenAPI document.
#![expect(dead_code, reason = "describes parameters that handlers read by name")]

use utoipa::{IntoParams, ToSchema};

/// Search parameters of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// Part of a name or ID.
    search: Option<String>,
    /// ID after which the page begins.
    after: Option<String>,
}

/// Form of a confirmation page.
#[derive(ToSchema)]
#[schema(as = BareForm)]
pub(crate) struct ConfirmForm {
    csrf: String,
}

/// Form to register or change a client.
#[derive(ToSchema)]
#[schema(as = ConsoleClientForm)]
pub(crate) struct ClientForm {
    csrf: String,
    /// Version that the form shows, for an edit.
    version: Option<String>,
    /// Chosen ID of a new client.
    client_id: Option<String>,
    name: String,
    owner: Option<String>,
    first_party: Option<String>,
    grant_client_credentials: Option<String>,
    grant_authorization_code: Option<String>,
    grant_refresh_token: Option<String>,
    grant_device_code: Option<String>,
    grant_token_exchange: Option<String>,
    grant_jwt_bearer: Option<String>,
    grant_password: Option<String>,
    grant_implicit: Option<String>,
    auth_method: String,
    /// Whether refresh tokens are rotated: `true`, `false`, or empty for the default.
    rotation: Option<String>,
    /// Separated by line breaks or spaces.
    redirect_uris: Option<String>,
    /// Separated by line breaks or spaces.
    post_logout_redirect_uris: Option<String>,
    scope: Option<String>,
    /// Separated by line breaks or spaces.
    audiences: Option<String>,
    token_format: String,
    alg: String,
    /// Other members of the metadata, as a JSON object.
    more: Option<String>,
    /// Confirms the scope tollgate:admin.
    confirmed: Option<String>,
}

/// Form to register a user.
#[derive(ToSchema)]
#[schema(as = ConsoleUserForm)]
pub(crate) struct UserForm {
    csrf: String,
    name: String,
    /// By default one is generated and shown once.
    password: Option<String>,
    full_name: Option<String>,
    email: Option<String>,
    external_id: Option<String>,
    /// Other claims, as a JSON object.
    claims: Option<String>,
    is_admin: Option<String>,
    /// Version that the form shows, for an edit.
    version: Option<String>,
}

/// Form to set a password.
#[derive(ToSchema)]
#[schema(as = ConsolePasswordForm)]
pub(crate) struct PasswordForm {
    csrf: String,
    /// By default one is generated and shown once.
    password: Option<String>,
}

/// Form to grant or withdraw the administrator role.
#[derive(ToSchema)]
pub(crate) struct AdministratorForm {
    csrf: String,
    /// `yes` or `no`
    is_admin: String,
}

/// Form to rotate keys.
#[derive(ToSchema)]
pub(crate) struct RotateForm {
    csrf: String,
    /// Algorithm; by default EdDSA, ES256 and RS256.
    alg: Option<String>,
    /// Sign as soon as the key is published.
    at_once: Option<String>,
}

/// Form of a confirmation page with a reason.
#[derive(ToSchema)]
pub(crate) struct ReasonForm {
    csrf: String,
    reason: Option<String>,
}

/// Filter of the list of revocations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevocationsQuery {
    /// `token`, `session`, `subject`, `client`, `key` or `everything`
    kind: Option<String>,
    /// Only revocations of this name.
    name: Option<String>,
    /// Include expired and lifted ones.
    all: Option<String>,
    /// Revocations with a lower number.
    below: Option<String>,
}

/// Form to revoke tokens.
#[derive(ToSchema)]
#[schema(as = ConsoleRevocationForm)]
pub(crate) struct RevocationForm {
    csrf: String,
    /// `token`, `session`, `subject`, `client`, `key` or `everything`
    kind: String,
    /// Name; for a token its `jti` or the token itself.
    name: Option<String>,
    /// For `everything`: UTC date and time, such as `2026-11-22T08:15`.
    before: Option<String>,
    reason: Option<String>,
    /// Confirms the revocation.
    confirmed: Option<String>,
}

/// Form to register or change a resource server.
#[derive(ToSchema)]
#[schema(as = ConsoleResourceForm)]
pub(crate) struct ResourceForm {
    csrf: String,
    audience: String,
    name: String,
    /// Lines of a scope value, `=` and its description.
    scopes: Option<String>,
    introspected_by: Option<String>,
    /// Preset that replaces algorithm, type and format.
    verifier: Option<String>,
    alg: Option<String>,
    token_type: Option<String>,
    token_format: Option<String>,
    /// Seconds.
    token_lifetime: Option<String>,
    /// Names of claims, separated by spaces.
    token_claims: Option<String>,
    /// Version that the form shows, for an edit.
    version: Option<String>,
}

/// Form to delete a resource server.
#[derive(ToSchema)]
pub(crate) struct AudienceForm {
    csrf: String,
    audience: String,
}

/// Form to create a rule.
#[derive(ToSchema)]
#[schema(as = ConsoleRouteForm)]
pub(crate) struct RouteForm {
    csrf: String,
    path: String,
    /// Separated by spaces; by default all.
    methods: Option<String>,
    /// Separated by spaces; by default all.
    hosts: Option<String>,
    scope: Option<String>,
    public: Option<String>,
    /// `deny`, `allow` or `introspect`
    on_stale: Option<String>,
    /// `deny`, `allow` or `introspect`
    on_not_covered: Option<String>,
    /// Further members of the rule, as a JSON object.
    more: Option<String>,
}

/// Form to delete a rule.
#[derive(ToSchema)]
pub(crate) struct RouteNameForm {
    csrf: String,
    path: String,
    methods: Option<String>,
    hosts: Option<String>,
}

/// Filter of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only targets of this kind, such as `client` or `user`.
    kind: Option<String>,
    /// Only this action, such as `create` or `revoke`.
    action: Option<String>,
    /// Only this actor.
    actor: Option<String>,
    /// Only the target of this name.
    target: Option<String>,
    /// At or after this UTC date and time, such as `2026-11-22T08:15`.
    since: Option<String>,
    /// At or before this date and time.
    until: Option<String>,
}
