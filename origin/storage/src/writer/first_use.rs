//! Replay protection: identifiers that may be used once, such as the `jti` of a DPoP proof (RFC
//! 9449 §11.1) or of a client assertion (RFC 7523 §3).

use std::collections::HashSet;

use tollgate_model::SecretHash;

use crate::database::Tx;
use crate::database::bulk::statement_chunks;
use crate::database::values::to_sql;
use crate::error::StoreError;

/// A value that may be used once.
#[derive(Debug, Clone, Copy)]
pub struct ReplayKey {
    /// Hash of the identifier and of its issuer.
    pub hash: SecretHash,
    /// Unix second from which the value is refused as expired anyway.
    pub expires_at: u64,
}

impl Tx {
    /// Records uses of replay keys, and returns for each whether it is the first.
    pub(crate) async fn record_first_uses(&mut self, keys: &[ReplayKey]) -> Result<Vec<bool>, StoreError> {
        let mut first_uses: HashSet<Vec<u8>> = HashSet::new();
        for keys in statement_chunks(keys) {
            with_connection!(&mut *self, connection => {
                let mut query = build_insert!("INSERT INTO replay_keys (hash, expires_at)", keys, |row, key| row
                    .push_bind(key.hash.as_bytes().to_vec())
                    .push_bind(to_sql(key.expires_at)));
                query.push(" ON CONFLICT DO NOTHING RETURNING hash");
                first_uses.extend(query.build_query_scalar::<Vec<u8>>().fetch_all(connection).await?);
            });
        }
        Ok(keys.iter().map(|key| first_uses.remove(key.hash.as_bytes().as_slice())).collect())
    }
}
