//! Promises of the storage, on both databases: each test runs on SQLite and on a real PostgreSQL,
//! whose URL is in `TOLLGATE_TEST_POSTGRES_URL` (a role that may create databases). Without it the
//! PostgreSQL tests fail; they are never skipped.

/// Makes two tests of each function, one per database.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let database = crate::database::Database::sqlite(stringify!($test)).await;
                super::$test(&database).await;
                database.remove().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let database = crate::database::Database::postgres(stringify!($test)).await;
                super::$test(&database).await;
                database.remove().await;
            })+
        }
    };
}

mod accounts;
mod audit;
mod backup;
mod clients;
mod consents;
mod database;
mod edges;
mod fast_path;
mod feed;
mod grant_samples;
mod grants;
mod inspection;
mod keys;
mod migrations;
mod resources;
mod revocations;
mod samples;
mod search;
mod security_events;
mod single_use;
mod snapshots;
mod writer;
