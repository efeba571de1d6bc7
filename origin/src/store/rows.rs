//! Rows as the databases give them, and how they become domain values.

use std::str::FromStr;

use sqlx::FromRow;
use tollgate_core::{Change, Delta, RevocationId};

use super::{StoreError, from_sql};
use crate::domain::{AccessToken, Audience, Client, ClientStatus, Edge, Malformed, Route, Scope, SecretHash};
use crate::keys::StoredKey;

#[derive(FromRow)]
pub(super) struct ClientRow {
    id: String,
    name: String,
    secret_hash: Vec<u8>,
    scope: String,
    audiences: String,
    token_alg: String,
    created_at: i64,
    disabled_at: Option<i64>,
}

impl TryFrom<ClientRow> for Client {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Client, StoreError> {
        let corrupt = StoreError::corrupt("clients");
        Ok(Client {
            id: row.id.parse().map_err(&corrupt)?,
            name: row.name,
            secret: SecretHash::from_bytes(fixed(&row.secret_hash, "clients")?),
            scope: Scope::parse(&row.scope).map_err(&corrupt)?,
            audiences: listed::<Audience>(&row.audiences).map_err(&corrupt)?,
            alg: row.token_alg.parse().map_err(&corrupt)?,
            status: match row.disabled_at {
                None => ClientStatus::Active,
                Some(at) => ClientStatus::Disabled { at: from_sql(at) },
            },
            created_at: from_sql(row.created_at),
        })
    }
}

#[derive(FromRow)]
pub(super) struct TokenRow {
    id: String,
    client_id: String,
    subject: String,
    scope: String,
    audience: String,
    issued_at: i64,
    expires_at: i64,
}

impl TryFrom<TokenRow> for AccessToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<AccessToken, StoreError> {
        let corrupt = StoreError::corrupt("tokens");
        Ok(AccessToken {
            id: row.id.parse().map_err(&corrupt)?,
            client: row.client_id.parse().map_err(&corrupt)?,
            subject: row.subject,
            scope: Scope::parse(&row.scope).map_err(&corrupt)?,
            audience: row.audience.parse().map_err(&corrupt)?,
            issued_at: from_sql(row.issued_at),
            expires_at: from_sql(row.expires_at),
        })
    }
}

#[derive(FromRow)]
pub(super) struct DeltaRow {
    sequence: i64,
    id: Vec<u8>,
    change: i64,
    void_after: i64,
}

impl TryFrom<DeltaRow> for Delta {
    type Error = StoreError;

    fn try_from(row: DeltaRow) -> Result<Delta, StoreError> {
        let change = u8::try_from(row.change).ok().and_then(Change::from_byte);
        Ok(Delta {
            sequence: from_sql(row.sequence),
            id: RevocationId::from_bytes(fixed(&row.id, "deltas")?),
            change: change.ok_or_else(|| StoreError::corrupt("deltas")(Malformed::new("change", "is unknown")))?,
            expires_at: from_sql(row.void_after),
        })
    }
}

#[derive(FromRow)]
pub(super) struct KeyRow {
    kid: String,
    purpose: String,
    alg: String,
    sealed: Vec<u8>,
    created_at: i64,
}

impl From<KeyRow> for StoredKey {
    fn from(row: KeyRow) -> StoredKey {
        let KeyRow { kid, purpose, alg, sealed, created_at } = row;
        StoredKey { kid, purpose, alg, sealed, created_at: from_sql(created_at) }
    }
}

#[derive(FromRow)]
pub(super) struct EdgeRow {
    name: String,
    url: String,
    acknowledged: i64,
    acknowledged_at_ms: Option<i64>,
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
            created_at: from_sql(row.created_at),
        })
    }
}

#[derive(FromRow)]
pub(super) struct RouteRow {
    path: String,
    methods: String,
    scope: String,
    public: bool,
    on_stale: String,
}

impl TryFrom<RouteRow> for Route {
    type Error = StoreError;

    fn try_from(row: RouteRow) -> Result<Route, StoreError> {
        let corrupt = StoreError::corrupt("routes");
        let methods: Vec<String> = row.methods.split_whitespace().map(str::to_owned).collect();
        let scope = Scope::parse(&row.scope).map_err(&corrupt)?;
        let on_stale = row.on_stale.parse().map_err(&corrupt)?;
        Route::new(&row.path, &methods, scope, row.public, on_stale).map_err(&corrupt)
    }
}

/// A column of exactly `N` bytes.
pub(super) fn fixed<const N: usize>(bytes: &[u8], table: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::corrupt(table)(Malformed::new("binary column", "has the wrong length")))
}

fn listed<T: FromStr>(text: &str) -> Result<Vec<T>, T::Err> {
    text.split_whitespace().map(str::parse).collect()
}
