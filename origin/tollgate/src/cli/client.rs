//! `tollgate client create|import|list|show|update|check|rotate-secret|disable|enable`

use anyhow::{Context as _, bail};
use serde_json::json;
use tollgate_model::client::secret_warning;
use tollgate_model::scope::ADMIN;
use tollgate_model::{
    Audience, AuthMethod, ClientId, ClientLifetimes, ClientMetadata, ClientProfile, ClientView, GrantType, OutboundUrl,
    PkceRequirement, RedirectUri, RequestUri, ResponseType, Scope, TokenAlg, TokenFormat, WebUrl, text,
};
use tollgate_services::admin::client_check::{Finding, Verdict, check_authorization_url, check_settings};
use tollgate_services::admin::{
    AdminError, NewSecret, SECRET_OVERLAP, has_secret, invalid_client, patch_client_metadata,
};
use tollgate_system::Clock;
use zeroize::Zeroizing;

use super::change::{ChangeFlags, grant_type, not_applicable, print_preview};
use super::import::ImportClientsFlags;
use super::output::table;
use super::{Session, command_line_actor, input};
use crate::issuers::default_audience;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client and print its secret, once
    Create(Box<CreateFlags>),
    /// Import clients from client metadata or another system's export
    Import(ImportClientsFlags),
    /// List the clients
    List,
    /// Show the registration of a client
    Show {
        /// client_id
        id: ClientId,
    },
    /// Change single members of a client's registration; the others stay as they are
    Update(Box<UpdateFlags>),
    /// Explain the settings of a client, or an authorization URL that its application uses; fails
    /// if something is wrong
    Check {
        /// client_id
        id: ClientId,
        /// URL to which the application sends the browser of a user
        url: Option<String>,
    },
    /// Create a new secret for a client and print it, once; the old secret stays valid for a while
    RotateSecret {
        /// client_id
        id: ClientId,
        /// Seconds that the old secret stays valid [default: 86400]
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u64>,
        #[command(flatten)]
        secret: SecretFlags,
    },
    /// Disable a client, and revoke its tokens and grants
    Disable {
        /// client_id
        id: ClientId,
    },
    /// Enable a disabled client; its revoked tokens and grants stay revoked
    Enable {
        /// client_id
        id: ClientId,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateFlags {
    /// Name shown to users
    #[arg(long)]
    name: String,
    #[command(flatten)]
    client: ClientFlags,
    /// client_id [default: a random one]
    #[arg(long)]
    id: Option<ClientId>,
    #[command(flatten)]
    secret: SecretFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct UpdateFlags {
    /// client_id
    id: ClientId,
    /// Name shown to users
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    change: ChangeFlags,
}

/// Metadata of a client as flags, for `create` and `update`: all are optional. A new member of
/// [`ClientMetadata`] gets its flag here, once, and a line in [`ClientFlags::apply`]; `update`
/// clears members by the flags of [`ChangeFlags`].
#[derive(Debug, clap::Args)]
struct ClientFlags {
    /// Person or team responsible for the client
    #[arg(long)]
    owner: Option<String>,
    /// Picture of the client
    #[arg(long, value_name = "URL")]
    logo_uri: Option<WebUrl>,
    /// Page about the client, shown to users
    #[arg(long, value_name = "URL")]
    client_uri: Option<WebUrl>,
    /// Page with its privacy policy, shown to users
    #[arg(long, value_name = "URL")]
    policy_uri: Option<WebUrl>,
    /// Page with its terms of service, shown to users
    #[arg(long, value_name = "URL")]
    tos_uri: Option<WebUrl>,
    /// How to reach those who are responsible for it, usually an email address; repeatable
    #[arg(long)]
    contact: Vec<String>,
    /// Scope value that its tokens may have; repeatable, or separate values by spaces
    #[arg(long)]
    scope: Vec<String>,
    /// Audience that its tokens may have; repeatable [default: the server's default audience]
    #[arg(long)]
    audience: Vec<Audience>,
    /// Signature algorithm of its access tokens: EdDSA, ES256, RS256 or HS256 [default: EdDSA]
    #[arg(long)]
    alg: Option<TokenAlg>,
    /// Format of its access tokens: jwt or opaque [default: jwt]
    #[arg(long, value_name = "FORM")]
    token_format: Option<TokenFormat>,
    /// Grant type that it may use; repeatable. Short names: authorization_code, client_credentials,
    /// refresh_token, device_code, token_exchange, jwt_bearer, password [default:
    /// client_credentials; with --redirect-uri: authorization_code, refresh_token]
    #[arg(long, value_name = "GRANT")]
    grant: Vec<String>,
    /// Redirect URI for authorization responses; repeatable
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Redirect URI for after a logout; repeatable
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Make it a public client: an app in a browser or on a user's device, without a secret
    #[arg(long, conflicts_with = "auth_method")]
    public: bool,
    /// Client authentication: client_secret_basic, client_secret_post, private_key_jwt,
    /// tls_client_auth, self_signed_tls_client_auth or none [default: client_secret_basic]
    #[arg(long, value_name = "METHOD")]
    auth_method: Option<AuthMethod>,
    /// URL of its public keys
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<OutboundUrl>,
    /// URL of a request object that it publishes, for request_uri; a SHA-256 hash as its fragment
    /// names a version of the object; repeatable
    #[arg(long, value_name = "URL")]
    request_uri: Vec<RequestUri>,
    /// Security profile: fapi2 sets and enforces the rules of the FAPI 2.0 Security Profile
    #[arg(long)]
    profile: Option<ClientProfile>,
    /// When its requests need PKCE: always, unless_nonce or never [default: unless_nonce; always
    /// for public clients]
    #[arg(long, value_name = "WHEN")]
    require_pkce: Option<PkceRequirement>,
    /// Whether each use of a refresh token replaces it: true or false; false only for clients that
    /// authenticate or whose tokens are bound by DPoP [default: true; false with --profile fapi2]
    #[arg(long, value_name = "BOOLEAN")]
    rotate_refresh_tokens: Option<bool>,
    /// Response type that it may use, e.g. 'code id_token'; repeatable [default: code]
    #[arg(long, value_name = "TYPE")]
    response_type: Vec<ResponseType>,
    /// URL that receives logout tokens
    #[arg(long, value_name = "URL")]
    backchannel_logout_uri: Option<OutboundUrl>,
    #[command(flatten)]
    lifetimes: LifetimeFlags,
    /// Make it an application of your own: users are not asked for consent
    #[arg(long)]
    first_party: bool,
    /// Further metadata, as a JSON object with the members of RFC 7591, e.g.
    /// '{"token_endpoint_auth_method":"private_key_jwt","jwks":…}'. In an update, null resets a
    /// member
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Allow the scope tollgate:admin, for the admin API; the client also needs the issuer as an
    /// audience
    #[arg(long)]
    admin: bool,
}

/// Lifetimes of what a client gets, in seconds.
#[derive(Debug, clap::Args)]
struct LifetimeFlags {
    /// Lifetime of its access tokens
    #[arg(long, value_name = "SECONDS")]
    access_token_lifetime: Option<u64>,
    /// Lifetime of its ID tokens
    #[arg(long, value_name = "SECONDS")]
    id_token_lifetime: Option<u64>,
    /// Time after which its grants end, however often they are refreshed
    #[arg(long, value_name = "SECONDS")]
    refresh_token_lifetime: Option<u64>,
    /// Time after which an unused refresh token expires
    #[arg(long, value_name = "SECONDS")]
    refresh_token_idle_lifetime: Option<u64>,
    /// Lifetime of its authorization codes
    #[arg(long, value_name = "SECONDS")]
    authorization_code_lifetime: Option<u64>,
    /// Lifetime of its device codes
    #[arg(long, value_name = "SECONDS")]
    device_code_lifetime: Option<u64>,
}

impl LifetimeFlags {
    fn apply(&self, lifetimes: &mut ClientLifetimes) {
        for (flag, lifetime) in [
            (self.access_token_lifetime, &mut lifetimes.access_token),
            (self.id_token_lifetime, &mut lifetimes.id_token),
            (self.refresh_token_lifetime, &mut lifetimes.refresh_token),
            (self.refresh_token_idle_lifetime, &mut lifetimes.refresh_token_idle),
            (self.authorization_code_lifetime, &mut lifetimes.authorization_code),
            (self.device_code_lifetime, &mut lifetimes.device_code),
        ] {
            *lifetime = flag.or(*lifetime);
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct SecretFlags {
    /// Read the secret from standard input, one line of 16 to 256 characters [default: a random
    /// secret, printed once]
    #[arg(long)]
    secret_stdin: bool,
}

impl SecretFlags {
    /// The secret, with a warning if client libraries may not send it as it is meant.
    fn choose(&self) -> anyhow::Result<(NewSecret, Option<&'static str>)> {
        if !self.secret_stdin {
            return Ok((NewSecret::Generated, None));
        }
        let secret: Zeroizing<String> = input::line("secret")?;
        let warning = secret_warning(&secret);
        Ok((NewSecret::Chosen(secret), warning))
    }
}

impl CreateFlags {
    fn metadata(&self) -> anyhow::Result<ClientMetadata> {
        let metadata = match &self.client.metadata {
            Some(json) => text::json(json.as_bytes()).context("--metadata")?,
            None => ClientMetadata::default(),
        };
        let mut metadata = self.client.apply(ClientMetadata { name: self.name.clone(), ..metadata })?;
        if metadata.grant_types.is_empty() {
            metadata.grant_types = match metadata.redirect_uris.is_empty() {
                true => vec![GrantType::ClientCredentials],
                false => vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            };
        }
        Ok(metadata.checked()?)
    }
}

impl UpdateFlags {
    /// The changed metadata. Values are removed before others are set and added.
    fn apply(&self, current: &ClientMetadata) -> anyhow::Result<ClientMetadata> {
        let mut metadata = self.change.apply(current)?;
        if let Some(json) = &self.client.metadata {
            let patch = text::json(json.as_bytes()).context("--metadata")?;
            metadata = patch_client_metadata(&metadata, patch)?;
        }
        if let Some(name) = &self.name {
            metadata.name.clone_from(name);
        }
        let changed = self.client.apply(metadata)?;
        require_admin_flag(self.client.admin || current.scope.is_admin(), &changed)?;
        Ok(changed)
    }
}

impl ClientFlags {
    /// Sets members and adds values as the flags say, except `--metadata`.
    fn apply(&self, mut metadata: ClientMetadata) -> anyhow::Result<ClientMetadata> {
        metadata.owner = self.owner.clone().or(metadata.owner);
        metadata.scope = metadata.scope.union(&Scope::from_arguments(&self.scope)?)?;
        if self.admin {
            metadata.scope = metadata.scope.union(&Scope::parse(ADMIN)?)?;
        }
        metadata.alg = self.alg.unwrap_or(metadata.alg);
        metadata.access_token_format = self.token_format.unwrap_or(metadata.access_token_format);
        metadata.profile = self.profile.or(metadata.profile);
        metadata.first_party |= self.first_party;
        metadata.auth_method = match self.public {
            true => AuthMethod::None,
            false => self.auth_method.unwrap_or(metadata.auth_method),
        };
        metadata.logo_uri = self.logo_uri.clone().or(metadata.logo_uri);
        metadata.client_uri = self.client_uri.clone().or(metadata.client_uri);
        metadata.policy_uri = self.policy_uri.clone().or(metadata.policy_uri);
        metadata.tos_uri = self.tos_uri.clone().or(metadata.tos_uri);
        add(&mut metadata.contacts, self.contact.clone());
        self.lifetimes.apply(&mut metadata.lifetimes);
        metadata.jwks_uri = self.jwks_uri.clone().or(metadata.jwks_uri);
        metadata.require_pkce = self.require_pkce.or(metadata.require_pkce);
        metadata.rotate_refresh_tokens = self.rotate_refresh_tokens.or(metadata.rotate_refresh_tokens);
        metadata.backchannel_logout_uri = self.backchannel_logout_uri.clone().or(metadata.backchannel_logout_uri);
        add(&mut metadata.response_types, self.response_type.clone());
        add(&mut metadata.request_uris, self.request_uri.clone());
        let uri = |uri: &String| uri.parse::<RedirectUri>().with_context(|| uri.clone());
        let grants = self.grant.iter().map(|name| grant_type(name)).collect::<anyhow::Result<Vec<_>>>()?;
        add(&mut metadata.audiences, self.audience.clone());
        add(&mut metadata.redirect_uris, self.redirect_uri.iter().map(uri).collect::<anyhow::Result<Vec<_>>>()?);
        let logout_uris = self.post_logout_redirect_uri.iter().map(uri).collect::<anyhow::Result<Vec<_>>>()?;
        add(&mut metadata.post_logout_redirect_uris, logout_uris);
        add(&mut metadata.grant_types, grants);
        Ok(metadata)
    }
}

/// Adds the values that a list does not have yet.
fn add<T: PartialEq>(values: &mut Vec<T>, new: Vec<T>) {
    for value in new {
        if !values.contains(&value) {
            values.push(value);
        }
    }
}

fn require_admin_flag(is_allowed: bool, metadata: &ClientMetadata) -> anyhow::Result<()> {
    if metadata.scope.is_admin() && !is_allowed {
        bail!("the scope tollgate:admin allows everything in the admin API: add --admin to confirm");
    }
    Ok(())
}

impl ClientCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ClientCommand::Create(flags) => create(*flags, session).await,
            ClientCommand::Import(flags) => flags.run(session).await,
            ClientCommand::List => {
                let clients = session.registry()?.list_clients().await?;
                let views: Vec<ClientView> = clients.iter().map(ClientView::from).collect();
                session.output.print(&views, |views| table(HEADING, &views.iter().map(row).collect::<Vec<_>>()))
            }
            ClientCommand::Show { id } => {
                let view = ClientView::from(&session.registry()?.get_client(id.as_str()).await?);
                session.output.print(&view, |view| serde_json::to_string_pretty(view).unwrap_or_default())
            }
            ClientCommand::Check { id, url } => check(&id, url.as_deref(), session).await,
            ClientCommand::Update(flags) => update(*flags, session).await,
            ClientCommand::RotateSecret { id, overlap, secret } => {
                rotate(&id, overlap.unwrap_or(SECRET_OVERLAP), &secret, session).await
            }
            ClientCommand::Disable { id } => {
                let registry = session.registry()?;
                let client = registry.get_client(id.as_str()).await?;
                let client = registry.disable_client(&command_line_actor(), &client).await?;
                session.output.print(&ClientView::from(&client), |view| format!("disabled {}", view.client_id))
            }
            ClientCommand::Enable { id } => {
                let registry = session.registry()?;
                let client = registry.get_client(id.as_str()).await?;
                let client = registry.enable_client(&command_line_actor(), &client).await?;
                session.output.print(&ClientView::from(&client), |view| format!("enabled {}", view.client_id))
            }
        }
    }
}

async fn create(flags: CreateFlags, session: &Session) -> anyhow::Result<()> {
    let metadata = flags.metadata()?;
    require_admin_flag(flags.client.admin, &metadata)?;
    let (secret, warning) = flags.secret.choose()?;
    let (client, generated) =
        session.registry()?.create_client(&command_line_actor(), flags.id, metadata, secret).await?;
    let client_secret = generated.map(|secret| secret.reveal().to_owned());
    let warnings = warning.map(str::to_owned).into_iter().collect();
    session.output.print(&ClientView { client_secret, warnings, ..ClientView::from(&client) }, created_text)
}

async fn update(flags: UpdateFlags, session: &Session) -> anyhow::Result<()> {
    let (registry, id) = (session.registry()?, flags.id.as_str());
    let change = |metadata: &ClientMetadata| -> Result<ClientMetadata, AdminError> {
        flags.apply(metadata).map_err(|error| not_applicable(&error))
    };
    if flags.change.dry_run {
        let client = registry.get_client(id).await?;
        let changed = change(&client.metadata)?.checked().map_err(|error| invalid_client(&error))?;
        return print_preview(&session.output, &client.metadata, &changed);
    }
    let client = registry.change_client(&command_line_actor(), id, change).await?;
    let lacks_secret = has_secret(&client) && client.secrets.is_empty();
    session.output.print(&ClientView::from(&client), |view| match lacks_secret {
        true => format!("changed {0}\nit has no secret yet: `tollgate client rotate-secret {0}`", view.client_id),
        false => format!("changed {}", view.client_id),
    })
}

async fn check(id: &ClientId, url: Option<&str>, session: &Session) -> anyhow::Result<()> {
    let client = session.registry()?.get_client(id.as_str()).await?.under(session.settings.grants.profile);
    let (now, http) = (Clock::system().now(), session.settings.grants.http_redirects);
    let findings = match url {
        Some(url) => {
            let issuer = session.issuer().await?;
            let audience = default_audience(&session.settings, &issuer)?;
            let resources = session.registry()?.list_resources().await?;
            check_authorization_url(&client, url, &issuer, &audience, &resources, now, http)
        }
        None => check_settings(&client, now, http),
    };
    session.output.print(&json!({ "client_id": client.id, "findings": findings }), |_| {
        let line = |finding: &Finding| {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Error => "error",
            };
            format!("{verdict:8} {}: {}", finding.subject, finding.text)
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Error).count() {
        0 => Ok(()),
        errors => bail!("{errors} of these would not work"),
    }
}

async fn rotate(id: &ClientId, overlap: u64, secret: &SecretFlags, session: &Session) -> anyhow::Result<()> {
    let (registry, by) = (session.registry()?, command_line_actor());
    let client = registry.get_client(id.as_str()).await?;
    let (client, client_secret, warnings) = match secret.choose()? {
        (NewSecret::Generated, _) => {
            let (client, secret) = registry.rotate_client_secret(&by, &client, overlap).await?;
            (client, secret.map(|secret| secret.reveal().to_owned()), Vec::new())
        }
        (NewSecret::Chosen(secret), warning) => {
            let client = registry.set_client_secret(&by, &client, secret, overlap).await?;
            (client, None, warning.map(str::to_owned).into_iter().collect())
        }
    };
    session.output.print(&ClientView { client_secret, warnings, ..ClientView::from(&client) }, created_text)
}

fn created_text(view: &ClientView) -> String {
    let Some(secret) = &view.client_secret else {
        let warnings = view.warnings.iter().map(|warning| format!("\nwarning: {warning}"));
        return format!("client_id      {}{}", view.client_id, warnings.collect::<String>());
    };
    let note = "The secret is shown only once; the database stores its hash.";
    format!("client_id      {}\nclient_secret  {secret}\n{note}", view.client_id)
}

const HEADING: [&str; 7] = ["CLIENT", "NAME", "ALG", "GRANTS", "SCOPE", "AUDIENCES", "STATUS"];

fn row(view: &ClientView) -> [String; 7] {
    let status = if view.disabled_at.is_some() { "disabled" } else { "active" };
    let audiences: Vec<&str> = view.metadata.audiences.iter().map(Audience::as_str).collect();
    let audiences = if audiences.is_empty() { "(default)".to_owned() } else { audiences.join(" ") };
    let grants = view.metadata.grant_types.iter().filter_map(|grant| grant.as_str().rsplit(':').next());
    let grants = grants.collect::<Vec<_>>().join(" ");
    let [client, name] = [&view.client_id, &view.name].map(String::clone);
    [client, name, view.alg.to_owned(), grants, view.metadata.scope.to_string(), audiences, status.to_owned()]
}
