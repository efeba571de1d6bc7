//! The parameters of the console's pages and forms, for their descriptions.
#![expect(dead_code, reason = "these describe what handlers read, and hold nothing")]

use utoipa::{IntoParams, ToSchema};

/// What is looked for in a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// Part of a name or an id.
    search: Option<String>,
    /// The id after which the page begins.
    after: Option<String>,
}

/// Of a question that is answered by a button.
#[derive(ToSchema)]
pub(crate) struct BareForm {
    csrf: String,
}

/// Of a client that is registered or changed.
#[derive(ToSchema)]
#[schema(as = ConsoleClientForm)]
pub(crate) struct ClientForm {
    csrf: String,
    /// Of a new client: the id that is wanted, if one is.
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
    auth_method: String,
    /// Separated by line breaks or spaces.
    redirect_uris: Option<String>,
    /// Separated by line breaks or spaces.
    post_logout_redirect_uris: Option<String>,
    scope: Option<String>,
    /// Separated by line breaks or spaces.
    audiences: Option<String>,
    token_format: String,
    alg: String,
    /// The other members of the metadata, as a JSON object.
    more: Option<String>,
    /// That the scope tollgate:admin is meant.
    confirmed: Option<String>,
}

/// Of a user who is registered.
#[derive(ToSchema)]
#[schema(as = ConsoleUserForm)]
pub(crate) struct UserForm {
    csrf: String,
    name: String,
    /// Without one, one is made and shown once.
    password: Option<String>,
    full_name: Option<String>,
    email: Option<String>,
    external_id: Option<String>,
    /// More claims, as a JSON object.
    claims: Option<String>,
    is_admin: Option<String>,
}

/// Of a password that is set.
#[derive(ToSchema)]
#[schema(as = ConsolePasswordForm)]
pub(crate) struct PasswordForm {
    csrf: String,
    /// Without one, one is made and shown once.
    password: Option<String>,
}

/// Of a user who is made an administrator, or is one no longer.
#[derive(ToSchema)]
pub(crate) struct AdministratorForm {
    csrf: String,
    /// `yes` or `no`
    is_admin: String,
}

/// Of keys that are replaced.
#[derive(ToSchema)]
pub(crate) struct RotateForm {
    csrf: String,
    /// EdDSA, ES256 and RS256 without it.
    alg: Option<String>,
    /// Sign as soon as it is published.
    at_once: Option<String>,
}

/// Of a question that is answered with a reason.
#[derive(ToSchema)]
pub(crate) struct ReasonForm {
    csrf: String,
    reason: Option<String>,
}

/// Which revocations are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevocationsQuery {
    /// `token`, `session`, `subject`, `client`, `key` or `everything`
    kind: Option<String>,
    /// What they strike.
    name: Option<String>,
    /// Past ones, too.
    all: Option<String>,
    /// Those with a lower number.
    below: Option<String>,
}

/// Of a revocation.
#[derive(ToSchema)]
#[schema(as = ConsoleRevocationForm)]
pub(crate) struct RevocationForm {
    csrf: String,
    /// `token`, `session`, `subject`, `client`, `key` or `everything`
    kind: String,
    /// Which one; for a token its `jti` or the token itself.
    name: Option<String>,
    /// Of everything: a date and a time in UTC, as `2026-11-22T08:15`.
    before: Option<String>,
    reason: Option<String>,
    /// That it is meant.
    confirmed: Option<String>,
}

/// Of a resource server.
#[derive(ToSchema)]
#[schema(as = ConsoleResourceForm)]
pub(crate) struct ResourceForm {
    csrf: String,
    audience: String,
    name: String,
    /// On each line a scope value, `=` and what it means in words.
    scopes: Option<String>,
    introspected_by: Option<String>,
}

/// Of a resource server that is removed.
#[derive(ToSchema)]
pub(crate) struct AudienceForm {
    csrf: String,
    audience: String,
}

/// Of a rule that is added.
#[derive(ToSchema)]
#[schema(as = ConsoleRouteForm)]
pub(crate) struct RouteForm {
    csrf: String,
    path: String,
    /// Separated by spaces; all without any.
    methods: Option<String>,
    scope: Option<String>,
    public: Option<String>,
    /// `deny` or `allow`
    on_stale: Option<String>,
    /// `deny` or `allow`
    on_not_covered: Option<String>,
}

/// Of a rule that is removed.
#[derive(ToSchema)]
pub(crate) struct RouteNameForm {
    csrf: String,
    path: String,
    methods: Option<String>,
}

/// Which lines of the audit log are shown.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// About this kind alone, such as `client` or `user`.
    kind: Option<String>,
    /// Of this action alone, such as `create` or `revoke`.
    action: Option<String>,
    /// By this actor alone.
    actor: Option<String>,
    /// About what has this name alone.
    target: Option<String>,
    /// From this date and time on, in UTC, as `2026-11-22T08:15`.
    since: Option<String>,
    /// Up to this date and time.
    until: Option<String>,
}
