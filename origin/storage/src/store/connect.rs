//! Connections outside the pools, while a database is opened or examined.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::timeout;

use crate::database::availability::address;
use crate::error::StoreError;

/// Maximum wait for a connection, or for another process's write.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a connection outside the pools.
pub(crate) async fn connect_to_postgres(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let unreachable = |reason: String| StoreError::Unreachable { address: address(options), reason };
    match timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) if is_transient(&error) => Err(unreachable(error.to_string())),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(unreachable(format!("no answer within {} s", ACQUIRE_TIMEOUT.as_secs()))),
    }
}

/// Whether a later attempt may succeed: the server is down, starting, stopping, or full.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("53") || code.starts_with("08"))
        }
        _ => false,
    }
}
