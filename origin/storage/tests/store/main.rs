//! What the storage promises, on both databases: each test runs on SQLite and on a real PostgreSQL, whose URL is in
//! `TOLLGATE_TEST_POSTGRES_URL` (a role that may create databases). Without it the PostgreSQL half fails; it is never skipped.

/// Makes two tests of each story, one a database.
macro_rules! on_both_databases {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                let database = crate::database::Database::sqlite(stringify!($story)).await;
                super::$story(&database).await;
                database.remove().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                let database = crate::database::Database::postgres(stringify!($story)).await;
                super::$story(&database).await;
                database.remove().await;
            })+
        }
    };
}

mod at_once;
mod audit;
mod clients;
mod consents;
mod database;
mod edges;
mod feed;
mod grant_samples;
mod grants;
mod keys;
mod migrations;
mod people;
mod requests;
mod resources;
mod revocations;
mod samples;
mod search;
mod signals;
mod snapshots;
mod writer;
