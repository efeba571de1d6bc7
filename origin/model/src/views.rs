//! Views: clients, users, routes, edges, revocations and audit entries as the JSON of the admin API
//! and of the command line. The doc comments are the descriptions in the OpenAPI document.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_core::{EdgeCounter, RevocationKind};

use super::audit::{AuditEntry, AuditKind};
use super::client::{Client, ClientStatus, StoredSecret};
use super::edge::{Edge, EdgeActivity};
use super::metadata::ClientMetadata;
use super::revocation::{Revocation, Target};
use super::user::{User, UserClaims};

/// A client.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ClientView {
    /// Client ID.
    pub client_id: String,
    /// The new client secret; shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Display name.
    pub name: String,
    /// Signature algorithm of its access tokens.
    #[schema(value_type = String)]
    pub alg: &'static str,
    /// Client metadata.
    #[serde(flatten)]
    pub metadata: ClientMetadata,
    /// Its secrets.
    pub secrets: Vec<SecretView>,
    /// When it was registered, Unix seconds.
    pub created_at: u64,
    /// When it was disabled, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
    /// Why the new secret may not work with every client library.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Dates of a client secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SecretView {
    /// When it was created, Unix seconds.
    pub created_at: u64,
    /// The Unix second at which it expires.
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
                ClientStatus::Active | ClientStatus::Excluded { .. } => None,
                ClientStatus::Disabled { at } => Some(at),
            },
            warnings: Vec::new(),
        }
    }
}

/// A user.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UserView {
    /// User ID.
    pub id: String,
    /// User name.
    pub name: String,
    /// The new password; shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Claims for clients.
    #[schema(value_type = Object)]
    pub claims: UserClaims,
    /// Identifier in the system that provisioned the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who checks the password: `local` or `http_api`.
    pub auth_source: &'static str,
    /// Whether the user may use the administration console.
    pub is_admin: bool,
    /// When the user was registered, Unix seconds.
    pub created_at: u64,
    /// When the user was disabled, Unix seconds.
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

/// A registered edge.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EdgeView {
    /// Name.
    pub name: String,
    /// URL.
    pub url: String,
    /// Highest sequence that it acknowledged.
    pub acknowledged_sequence: u64,
    /// When it last acknowledged a change, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at_ms: Option<u64>,
    /// When it last contacted the origin, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_contact_ms: Option<u64>,
    /// Number of changes that it has not acknowledged; absent if no server has used the database
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// What it reported of its work; absent if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<EdgeActivityView>,
}

/// What a registered edge reported of its work: totals since its registration.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EdgeActivityView {
    /// When it sent its newest report, Unix milliseconds.
    pub reported_at_ms: u64,
    /// Requests that passed.
    pub passed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Refused requests by reason.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub refused_by_reason: BTreeMap<&'static str, u64>,
    /// Tokens whose signature had been checked before.
    pub cache_hits: u64,
    /// Tokens that were not in the cache.
    pub cache_misses: u64,
    /// Decisions by a fresh replica.
    pub decided_fresh: u64,
    /// Decisions after a wait for the origin.
    pub decided_waited: u64,
    /// Decisions by a replica older than the staleness bound.
    pub decided_stale: u64,
    /// Streams that are open.
    pub streams_open: u64,
    /// Streams that were opened.
    pub streams_opened: u64,
    /// Streams that the edge ended, because their token was revoked or expired.
    pub streams_cut: u64,
    /// Responses of the upstream.
    pub upstream_responses: u64,
    /// Requests to which the upstream did not respond.
    pub upstream_failures: u64,
    /// Time until the upstream began its responses, in all, in seconds.
    pub upstream_seconds: f64,
}

impl From<&EdgeActivity> for EdgeActivityView {
    fn from(activity: &EdgeActivity) -> EdgeActivityView {
        let EdgeActivity { totals, reported_at_ms, open_streams } = activity;
        EdgeActivityView {
            reported_at_ms: *reported_at_ms,
            passed: totals.get(EdgeCounter::Passed),
            refused: totals.refused_in_all(),
            refused_by_reason: totals.refused().collect(),
            cache_hits: totals.get(EdgeCounter::CacheHits),
            cache_misses: totals.get(EdgeCounter::CacheMisses),
            decided_fresh: totals.get(EdgeCounter::DecidedFresh),
            decided_waited: totals.get(EdgeCounter::DecidedWaited),
            decided_stale: totals.get(EdgeCounter::DecidedStale),
            streams_open: *open_streams,
            streams_opened: totals.get(EdgeCounter::StreamsOpened),
            streams_cut: totals.get(EdgeCounter::StreamsCut),
            upstream_responses: totals.get(EdgeCounter::UpstreamResponses),
            upstream_failures: totals.get(EdgeCounter::UpstreamFailures),
            upstream_seconds: totals.get(EdgeCounter::UpstreamMicroseconds) as f64 / 1e6,
        }
    }
}

impl EdgeView {
    /// `newest` is the newest sequence of the revocation log, `activity` what the edge reported.
    #[must_use]
    pub fn new(edge: &Edge, newest: Option<u64>, activity: Option<&EdgeActivity>) -> EdgeView {
        EdgeView {
            name: edge.name.to_string(),
            url: edge.url.to_string(),
            acknowledged_sequence: edge.acknowledged,
            acknowledged_at_ms: edge.acknowledged_at_ms,
            last_contact_ms: edge.contacted_at_ms,
            lag: newest.map(|newest| newest.saturating_sub(edge.acknowledged)),
            activity: activity.map(EdgeActivityView::from),
        }
    }
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RevocationView {
    /// Number of the revocation.
    pub id: u64,
    /// `token`, `session`, `subject`, `client`, `key` or `everything`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Name of what it applies to; absent for `everything`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For `everything`: tokens issued before this Unix second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Actor that created it.
    pub revoked_by: String,
    /// When it was created, Unix seconds.
    pub revoked_at: u64,
    /// The Unix second after which all tokens that it applies to have expired; absent for keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void_after: Option<u64>,
    /// Actor that reinstated the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
    /// When the target was reinstated, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<u64>,
    /// Whether it applies to tokens now.
    pub in_force: bool,
}

impl RevocationView {
    /// A revocation as of the Unix second `now`.
    #[must_use]
    pub fn new(revocation: &Revocation, now: u64) -> RevocationView {
        let (name, before) = name_or_time(&revocation.target);
        let lifted = revocation.reinstated.as_ref();
        RevocationView {
            id: revocation.number,
            kind: revocation.target.kind().name(),
            name,
            before,
            reason: revocation.reason.clone(),
            revoked_by: revocation.by.as_str().to_owned(),
            revoked_at: revocation.at,
            void_after: (revocation.void_after != super::revocation::NEVER).then_some(revocation.void_after),
            lifted_by: lifted.map(|lifted| lifted.by.as_str().to_owned()),
            lifted_at: lifted.map(|lifted| lifted.at),
            in_force: lifted.is_none() && now <= revocation.void_after,
        }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditView {
    /// Number of the entry.
    pub id: u64,
    /// Unix seconds.
    pub at: u64,
    /// Actor.
    pub actor: String,
    /// Action, such as `revoke`, `create` or `sign_in`.
    pub action: String,
    /// Kind of the object, such as `token`, `client` or `user`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Name of the object; absent for `everything`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For `everything`: tokens issued before this Unix second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Reason or details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl AuditView {
    /// The heading of a CSV export.
    pub const CSV_HEADING: &str = "id,at,actor,action,kind,name,before,reason";

    /// A line of CSV (RFC 4180 §2) without the line break. No field contains a line break, see
    /// [`NewAuditEntry`](super::NewAuditEntry).
    #[must_use]
    pub fn to_csv(&self) -> String {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let before = self.before.map(|time| time.to_string()).unwrap_or_default();
        let (id, at) = (self.id.to_string(), self.at.to_string());
        let (actor, action, kind) = (self.actor.clone(), self.action.clone(), self.kind.to_owned());
        let fields = [id, at, actor, action, kind, optional(&self.name), before, optional(&self.reason)];
        fields.map(|field| quoted(&field)).join(",")
    }
}

/// Quotes a field if necessary. A field that a spreadsheet would evaluate as a formula gets an
/// apostrophe first.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_owned() };
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> AuditView {
        let AuditEntry { number, at, actor, action, kind, name, reason } = entry;
        let (name, before) = match kind {
            AuditKind::Revocable(RevocationKind::Everything) => (None, name.parse().ok()),
            _ => (Some(name), None),
        };
        AuditView { id: number, at, actor, action, kind: kind.name(), name, before, reason }
    }
}

fn name_or_time(target: &Target) -> (Option<String>, Option<u64>) {
    match target {
        Target::Before(time) => (None, Some(*time)),
        target => (Some(target.name().to_owned()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted() {
        for (field, written) in [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "'=1+1"), ("", "")] {
            assert_eq!(quoted(field), written);
        }
    }
}
