//! What a running origin promises on both databases: each test runs on SQLite and on a real PostgreSQL, whose URL is in
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

#[path = "../../../storage/tests/store/database.rs"]
mod database;
#[path = "../../../storage/tests/store/grant_samples.rs"]
mod grant_samples;
mod known;
mod logouts;
mod rotation;
#[path = "../../../storage/tests/store/samples.rs"]
mod samples;
mod served;
mod served_issuers;
mod served_keys;
