//! Conversions between domain values and columns.

use tollgate_core::{RevocationKind, RevokedBefore};
use tollgate_model::{Malformed, SecretHash};

use crate::error::StoreError;

/// Times and sequences are unsigned in the domain and signed in SQL. Only "revoked forever" and
/// "never ends" exceed the signed range; they are stored as the largest value.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads a revocation mark as [`to_sql`] stores it.
pub(crate) fn mark_from_sql(number: i64) -> RevokedBefore {
    if number == i64::MAX { RevokedBefore::EVERY_EPOCH } else { RevokedBefore(from_sql(number)) }
}

pub(crate) fn revocation_kind(byte: i64, table: &'static str) -> Result<RevocationKind, StoreError> {
    let kind = u8::try_from(byte).ok().and_then(RevocationKind::from_byte);
    kind.ok_or_else(|| StoreError::corrupt(table)(Malformed::new("kind", "is unknown")))
}

/// Reads a column of exactly `N` bytes.
pub(crate) fn fixed_bytes<const N: usize>(bytes: &[u8], table: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::corrupt(table)(Malformed::new("binary column", "has the wrong length")))
}

pub(crate) fn secret_hash(bytes: &[u8], table: &'static str) -> Result<SecretHash, StoreError> {
    Ok(SecretHash::from_bytes(fixed_bytes(bytes, table)?))
}

/// Writes a value as the JSON text of a column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Corrupt { table: "a value for the database", problem: error.to_string() })
}

/// Reads the JSON text of a column.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str, table: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt { table, problem: error.to_string() })
}
