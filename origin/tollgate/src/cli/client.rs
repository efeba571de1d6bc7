//! `tollgate client create|list|show|rotate-secret|disable|enable`

use anyhow::{Context as _, bail};
use tollgate_model::client::checked_secret;
use tollgate_model::metadata::checked_name;
use tollgate_model::scope::ADMIN;
use tollgate_model::{
    Audience, AuthMethod, Client, ClientId, ClientMetadata, ClientView, GrantType, Scope, Secret, SecretKind,
    StoredSecret, TokenAlg, TokenFormat, text,
};
use tollgate_services::password_hashing::hash_password_blocking;
use tollgate_system::{Clock, rng};

use super::output::table;
use super::user::termination;
use super::{Session, input};

/// Seconds that a replaced secret stays valid by default: a day.
const DEFAULT_OVERLAP: u64 = 24 * 60 * 60;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client and print its secret, once
    Create(Box<CreateFlags>),
    /// List the clients
    List,
    /// Show the registration of a client
    Show {
        /// client_id
        id: ClientId,
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
    /// Person or team responsible for the client
    #[arg(long)]
    owner: Option<String>,
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
    /// refresh_token, device_code, token_exchange, jwt_bearer [default: client_credentials;
    /// with --redirect-uri: authorization_code, refresh_token]
    #[arg(long, value_name = "GRANT")]
    grant: Vec<String>,
    /// Redirect URI for authorization responses; repeatable
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Redirect URI for after a logout; repeatable
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Register a public client: an app in a browser or on a user's device, without a secret
    #[arg(long)]
    public: bool,
    /// Register an application of your own: users are not asked for consent
    #[arg(long)]
    first_party: bool,
    /// Further metadata, as a JSON object with the members of RFC 7591, e.g.
    /// '{"token_endpoint_auth_method":"private_key_jwt","jwks":…}'
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Allow the scope tollgate:admin, for the admin API; the client also needs the issuer as an
    /// audience
    #[arg(long)]
    admin: bool,
    /// client_id [default: a random one]
    #[arg(long)]
    id: Option<ClientId>,
    #[command(flatten)]
    secret: SecretFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct SecretFlags {
    /// Read the secret from standard input, one line of 16 to 256 characters [default: a random
    /// secret, printed once]
    #[arg(long)]
    secret_stdin: bool,
}

impl SecretFlags {
    /// The secret as stored; and in plain text, if it was generated here and must be shown.
    fn choose(&self, now: u64) -> anyhow::Result<(StoredSecret, Option<Secret>)> {
        if !self.secret_stdin {
            let secret = Secret::new(SecretKind::Client, &rng::random()?);
            return Ok((StoredSecret::generated(&secret, now), Some(secret)));
        }
        let secret = input::line("secret")?;
        checked_secret(&secret)?;
        Ok((StoredSecret::chosen(hash_password_blocking(&secret)?, rng::random()?, now), None))
    }
}

impl CreateFlags {
    fn metadata(&self) -> anyhow::Result<ClientMetadata> {
        let mut metadata: ClientMetadata = match &self.metadata {
            Some(json) => text::json(json.as_bytes()).context("--metadata")?,
            None => ClientMetadata::default(),
        };
        metadata.name = checked_name(&self.name)?;
        metadata.owner = self.owner.clone().or(metadata.owner);
        metadata.scope = metadata.scope.union(&Scope::from_arguments(&self.scope)?)?;
        if self.admin {
            metadata.scope = metadata.scope.union(&Scope::parse(ADMIN)?)?;
        }
        metadata.audiences.extend(self.audience.iter().cloned());
        metadata.alg = self.alg.unwrap_or(metadata.alg);
        metadata.access_token_format = self.token_format.unwrap_or(metadata.access_token_format);
        metadata.first_party |= self.first_party;
        for uri in &self.redirect_uri {
            metadata.redirect_uris.push(uri.parse().with_context(|| uri.clone())?);
        }
        for uri in &self.post_logout_redirect_uri {
            metadata.post_logout_redirect_uris.push(uri.parse().with_context(|| uri.clone())?);
        }
        if self.public {
            metadata.auth_method = AuthMethod::None;
        }
        for name in &self.grant {
            metadata.grant_types.push(grant_type(name)?);
        }
        if metadata.grant_types.is_empty() {
            metadata.grant_types = match metadata.redirect_uris.is_empty() {
                true => vec![GrantType::ClientCredentials],
                false => vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            };
        }
        Ok(metadata.checked()?)
    }
}

/// The grant type with this registered name, or with this last part of a URN.
fn grant_type(name: &str) -> anyhow::Result<GrantType> {
    let named = |grant: &&GrantType| {
        let last = grant.as_str().rsplit(':').next().unwrap_or_default().replace('-', "_");
        grant.as_str() == name || last == name.replace('-', "_")
    };
    GrantType::ALL.iter().find(named).copied().with_context(|| format!("grant type {name} does not exist"))
}

impl ClientCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ClientCommand::Create(flags) => create(*flags, session).await,
            ClientCommand::List => {
                let clients = session.store.list_clients().await?;
                let views: Vec<ClientView> = clients.iter().map(ClientView::from).collect();
                session.output.print(&views, |views| table(HEADING, &views.iter().map(row).collect::<Vec<_>>()))
            }
            ClientCommand::Show { id } => {
                let view = ClientView::from(&find(session, &id).await?);
                session.output.print(&view, |view| serde_json::to_string_pretty(view).unwrap_or_default())
            }
            ClientCommand::RotateSecret { id, overlap, secret } => {
                rotate(&id, overlap.unwrap_or(DEFAULT_OVERLAP), &secret, session).await
            }
            ClientCommand::Disable { id } => {
                let disabled = session.store.disable_client(&id, &termination("the client was disabled")).await?;
                let client = disabled.with_context(|| format!("client {id} does not exist"))?;
                session.output.print(&ClientView::from(&client), |view| format!("disabled {}", view.client_id))
            }
            ClientCommand::Enable { id } => {
                let enabled = session.store.enable_client(&id).await?;
                let client = enabled.with_context(|| format!("client {id} does not exist"))?;
                session.output.print(&ClientView::from(&client), |view| format!("enabled {}", view.client_id))
            }
        }
    }
}

async fn find(session: &Session, id: &ClientId) -> anyhow::Result<Client> {
    session.store.find_client(id).await?.with_context(|| format!("client {id} does not exist"))
}

async fn create(flags: CreateFlags, session: &Session) -> anyhow::Result<()> {
    let metadata = flags.metadata()?;
    if metadata.scope.is_admin() && !flags.admin {
        bail!("the scope tollgate:admin allows everything in the admin API: add --admin to confirm");
    }
    let id = match flags.id {
        Some(id) => id,
        None => ClientId::from_random(&rng::random()?),
    };
    let now = Clock::system().now();
    let mut client = Client::new(id, metadata, now);
    let has_secret =
        matches!(client.metadata.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost);
    if flags.secret.secret_stdin && !has_secret {
        bail!("this client does not authenticate with a secret: remove --secret-stdin");
    }
    let mut client_secret = None;
    if has_secret {
        let (stored, shown) = flags.secret.choose(now)?;
        client.secrets.push(stored);
        client_secret = shown.map(|secret| secret.reveal().to_owned());
    }
    session.store.create_client(&client).await?;
    session.output.print(&ClientView { client_secret, ..ClientView::from(&client) }, created_text)
}

async fn rotate(id: &ClientId, overlap: u64, secret: &SecretFlags, session: &Session) -> anyhow::Result<()> {
    let client = find(session, id).await?;
    if client.secrets.is_empty() {
        bail!("client {id} does not authenticate with a secret");
    }
    let now = Clock::system().now();
    let (stored, shown) = secret.choose(now)?;
    session.store.rotate_secret(id, &stored, now.saturating_add(overlap)).await?;
    let client_secret = shown.map(|secret| secret.reveal().to_owned());
    session.output.print(&ClientView { client_secret, ..ClientView::from(&find(session, id).await?) }, created_text)
}

fn created_text(view: &ClientView) -> String {
    let Some(secret) = &view.client_secret else {
        return format!("client_id      {}", view.client_id);
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
