//! Clients, users, routes and edges as the command line and the admin API tell of them.

use serde::Serialize;

use super::{Client, ClientMetadata, ClientStatus, Edge, Route, StoredSecret, User, UserClaims};

/// A client.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ClientView {
    /// Its public identifier.
    pub client_id: String,
    /// Its new secret, the one time it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What people call it.
    pub name: String,
    /// How its access tokens are signed.
    #[schema(value_type = String)]
    pub alg: &'static str,
    /// All that is registered of it.
    #[serde(flatten)]
    pub metadata: ClientMetadata,
    /// Its secrets.
    pub secrets: Vec<SecretView>,
    /// When it was registered, Unix seconds.
    pub created_at: u64,
    /// When it was disabled, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

/// A client's secret, of which nothing is told but its dates.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SecretView {
    /// When it was made, Unix seconds.
    pub created_at: u64,
    /// The Unix second from which it opens nothing, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl From<&Client> for ClientView {
    fn from(client: &Client) -> ClientView {
        let secret =
            |secret: &StoredSecret| SecretView { created_at: secret.created_at, expires_at: secret.expires_at };
        ClientView {
            client_id: client.id.to_string(),
            client_secret: None,
            name: client.metadata.name.clone(),
            alg: client.metadata.alg.as_str(),
            metadata: client.metadata.clone(),
            secrets: client.secrets.iter().map(secret).collect(),
            created_at: client.created_at,
            disabled_at: match client.status {
                ClientStatus::Active => None,
                ClientStatus::Disabled { at } => Some(at),
            },
        }
    }
}

/// A user.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UserView {
    /// The identifier.
    pub id: String,
    /// What they sign in with.
    pub name: String,
    /// Their new password, the one time it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What clients may be told.
    #[schema(value_type = Object)]
    pub claims: UserClaims,
    /// Who they are to whoever provisioned them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who checks their password: `local` or `http_api`.
    pub auth_source: &'static str,
    /// Whether they may use the console.
    pub is_admin: bool,
    /// When they were registered, Unix seconds.
    pub created_at: u64,
    /// When they were disabled, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> UserView {
        UserView {
            id: user.id.to_string(),
            name: user.name.to_string(),
            password: None,
            claims: user.claims.clone(),
            external_id: user.external_id.clone(),
            auth_source: user.auth_source.as_str(),
            is_admin: user.is_admin,
            created_at: user.created_at,
            disabled_at: user.disabled_at,
        }
    }
}

/// A rule that edges follow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RouteView {
    /// The path, ending in `/*` for a prefix.
    pub path: String,
    /// The methods; none means all.
    pub methods: Vec<String>,
    /// Every value the token must have.
    pub scope: String,
    /// Whether requests pass without a token.
    pub public: bool,
    /// What edges do on stale knowledge.
    #[schema(value_type = String)]
    pub on_stale: &'static str,
    /// What they do with a token that is younger than all knowledge.
    #[schema(value_type = String)]
    pub on_not_covered: &'static str,
}

impl From<&Route> for RouteView {
    fn from(route: &Route) -> RouteView {
        RouteView {
            path: route.path().to_owned(),
            methods: route.methods().iter().cloned().collect(),
            scope: route.scope.to_string(),
            public: route.public,
            on_stale: route.on_stale.as_str(),
            on_not_covered: route.on_not_covered.as_str(),
        }
    }
}

/// An edge that is pushed to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EdgeView {
    /// What it is called.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// The highest sequence it ever acknowledged.
    pub acknowledged_sequence: u64,
    /// When it last acknowledged anything, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at_ms: Option<u64>,
    /// When it was last heard of, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_contact_ms: Option<u64>,
    /// How many changes it has not acknowledged. Unknown while nobody served from the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

impl EdgeView {
    /// An edge beside the newest sequence of the history.
    #[must_use]
    pub fn new(edge: &Edge, newest: Option<u64>) -> EdgeView {
        EdgeView {
            name: edge.name.to_string(),
            url: edge.url.to_string(),
            acknowledged_sequence: edge.acknowledged,
            acknowledged_at_ms: edge.acknowledged_at_ms,
            last_contact_ms: edge.contacted_at_ms,
            lag: newest.map(|newest| newest.saturating_sub(edge.acknowledged)),
        }
    }
}
