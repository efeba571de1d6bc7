//! Rows as the databases give them, and how they become domain values.

use tollgate_core::{Delta, RevocationId, RevocationKind};
use tollgate_model::{
    AccessToken, Actor, AuditEntry, AuditKind, Client, ClientStatus, Edge, Malformed, Reinstatement, Revocation, Route,
    Scope, SecretHash, StoredKey, StoredSecret, Target, TokenId,
};

use super::clients::from_json;
use super::{StoreError, from_sql, mark_from_sql};

#[derive(sqlx_macros::FromRow)]
pub(super) struct ClientRow {
    id: String,
    metadata: String,
    registration: Option<Vec<u8>>,
    operator_metadata: Option<String>,
    created_at: i64,
    disabled_at: Option<i64>,
    secret: Option<Vec<u8>>,
    secret_chosen: Option<String>,
    secret_created_at: Option<i64>,
    secret_expires_at: Option<i64>,
}

impl ClientRow {
    /// The client without its secrets, and one of them.
    pub(super) fn parts(self) -> Result<(Client, Option<StoredSecret>), StoreError> {
        let client = Client {
            id: self.id.parse().map_err(StoreError::corrupt("clients"))?,
            metadata: from_json(&self.metadata, "clients")?,
            secrets: Vec::new(),
            registration: self.registration.map(|hash| hashed(&hash, "clients")).transpose()?,
            operator_metadata: self.operator_metadata.map(|text| from_json(&text, "clients")).transpose()?,
            status: match self.disabled_at {
                None => ClientStatus::Active,
                Some(at) => ClientStatus::Disabled { at: from_sql(at) },
            },
            created_at: from_sql(self.created_at),
        };
        let secret = self.secret.zip(self.secret_created_at).map(|(hash, created_at)| {
            let (chosen, expires_at) = (self.secret_chosen, self.secret_expires_at);
            StoredSecret::try_from(SecretRow { hash, chosen, created_at, expires_at })
        });
        Ok((client, secret.transpose()?))
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct SecretRow {
    hash: Vec<u8>,
    chosen: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
}

impl TryFrom<SecretRow> for StoredSecret {
    type Error = StoreError;

    fn try_from(row: SecretRow) -> Result<StoredSecret, StoreError> {
        Ok(StoredSecret {
            hash: hashed(&row.hash, "client_secrets")?,
            argon2_hash: row.chosen,
            created_at: from_sql(row.created_at),
            expires_at: row.expires_at.map(from_sql),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct TokenRow {
    number: i64,
    id: Vec<u8>,
    client_id: String,
    subject: String,
    session: Option<String>,
    key_id: String,
    scope: String,
    audience: String,
    details: Option<String>,
    opaque: Option<Vec<u8>>,
    issued_at: i64,
    expires_at: i64,
}

impl TryFrom<TokenRow> for AccessToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<AccessToken, StoreError> {
        let corrupt = StoreError::corrupt("tokens");
        Ok(AccessToken {
            id: TokenId::from_bytes(fixed(&row.id, "tokens")?),
            number: from_sql(row.number),
            client: row.client_id.parse().map_err(&corrupt)?,
            subject: row.subject,
            session: row.session,
            key_id: row.key_id,
            scope: Scope::parse(&row.scope).map_err(&corrupt)?,
            audience: row.audience.parse().map_err(&corrupt)?,
            details: row.details.map(|details| from_json(&details, "tokens")).transpose()?.unwrap_or_default(),
            opaque: row.opaque.map(|hash| hashed(&hash, "tokens")).transpose()?,
            issued_at: from_sql(row.issued_at),
            expires_at: from_sql(row.expires_at),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct DeltaRow {
    sequence: i64,
    id: Vec<u8>,
    kind: i64,
    mark: i64,
    void_after: i64,
}

impl TryFrom<DeltaRow> for Delta {
    type Error = StoreError;

    fn try_from(row: DeltaRow) -> Result<Delta, StoreError> {
        Ok(Delta {
            sequence: from_sql(row.sequence),
            id: RevocationId::from_bytes(fixed(&row.id, "deltas")?),
            kind: kind(row.kind, "deltas")?,
            revoked_before: mark_from_sql(row.mark),
            expires_at: from_sql(row.void_after),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct KeyRow {
    kid: String,
    purpose: String,
    alg: String,
    sealed: Vec<u8>,
    created_at: i64,
    ahead: i64,
    published_at: Option<i64>,
    signs_from: Option<i64>,
    retires_at: Option<i64>,
    gone_at: Option<i64>,
}

impl From<KeyRow> for StoredKey {
    fn from(row: KeyRow) -> StoredKey {
        StoredKey {
            kid: row.kid,
            purpose: row.purpose,
            alg: row.alg,
            sealed: row.sealed,
            created_at: from_sql(row.created_at),
            ahead: from_sql(row.ahead),
            published_at: row.published_at.map(from_sql),
            signs_from: row.signs_from.map(from_sql),
            retires_at: row.retires_at.map(from_sql),
            gone_at: row.gone_at.map(from_sql),
        }
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct EdgeRow {
    name: String,
    url: String,
    acknowledged: i64,
    acknowledged_at_ms: Option<i64>,
    contacted_at_ms: Option<i64>,
    created_at: i64,
}

impl TryFrom<EdgeRow> for Edge {
    type Error = StoreError;

    fn try_from(row: EdgeRow) -> Result<Edge, StoreError> {
        let corrupt = StoreError::corrupt("edges");
        Ok(Edge {
            name: row.name.parse().map_err(&corrupt)?,
            url: row.url.parse().map_err(&corrupt)?,
            acknowledged: from_sql(row.acknowledged),
            acknowledged_at_ms: row.acknowledged_at_ms.map(from_sql),
            contacted_at_ms: row.contacted_at_ms.map(from_sql),
            created_at: from_sql(row.created_at),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct RouteRow {
    path: String,
    methods: String,
    scope: String,
    public: bool,
    on_stale: String,
    on_not_covered: String,
}

impl TryFrom<RouteRow> for Route {
    type Error = StoreError;

    fn try_from(row: RouteRow) -> Result<Route, StoreError> {
        let corrupt = StoreError::corrupt("routes");
        let methods: Vec<String> = row.methods.split_whitespace().map(str::to_owned).collect();
        let scope = Scope::parse(&row.scope).map_err(&corrupt)?;
        let on_stale = row.on_stale.parse().map_err(&corrupt)?;
        let route = Route::new(&row.path, &methods, scope, row.public, on_stale).map_err(&corrupt)?;
        Ok(route.on_not_covered(row.on_not_covered.parse().map_err(&corrupt)?))
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct RevocationRow {
    number: i64,
    kind: i64,
    name: String,
    mark: i64,
    reason: Option<String>,
    revoked_by: String,
    revoked_at: i64,
    void_after: i64,
    lifted_by: Option<String>,
    lifted_at: Option<i64>,
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = StoreError;

    fn try_from(row: RevocationRow) -> Result<Revocation, StoreError> {
        let mark = mark_from_sql(row.mark);
        let target = match kind(row.kind, "revocations")? {
            RevocationKind::Everything => Target::Before(mark.0),
            kind => Target::new(kind, &row.name).map_err(StoreError::corrupt("revocations"))?,
        };
        let lifted = row.lifted_by.zip(row.lifted_at);
        Ok(Revocation {
            number: from_sql(row.number),
            target,
            mark,
            by: Actor::from_record(row.revoked_by),
            reason: row.reason,
            at: from_sql(row.revoked_at),
            void_after: from_sql(row.void_after),
            reinstated: lifted.map(|(by, at)| Reinstatement { by: Actor::from_record(by), at: from_sql(at) }),
        })
    }
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct AuditRow {
    number: i64,
    at: i64,
    actor: String,
    action: String,
    kind: i64,
    name: String,
    reason: Option<String>,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<AuditEntry, StoreError> {
        let AuditRow { number, at, actor, action, kind, name, reason } = row;
        let kind = u8::try_from(kind).ok().and_then(AuditKind::from_byte);
        let kind = kind.ok_or_else(|| StoreError::corrupt("audit")(Malformed::new("kind", "is unknown")))?;
        Ok(AuditEntry { number: from_sql(number), at: from_sql(at), actor, action, kind, name, reason })
    }
}

/// A column that holds a kind of revocation.
pub(super) fn kind(byte: i64, table: &'static str) -> Result<RevocationKind, StoreError> {
    let kind = u8::try_from(byte).ok().and_then(RevocationKind::from_byte);
    kind.ok_or_else(|| StoreError::corrupt(table)(Malformed::new("kind", "is unknown")))
}

/// A column of exactly `N` bytes.
pub(super) fn fixed<const N: usize>(bytes: &[u8], table: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::corrupt(table)(Malformed::new("binary column", "has the wrong length")))
}

/// A column that holds a hash.
pub(super) fn hashed(bytes: &[u8], table: &'static str) -> Result<SecretHash, StoreError> {
    Ok(SecretHash::from_bytes(fixed(bytes, table)?))
}
