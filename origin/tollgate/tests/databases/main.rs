//! Running origins on both databases: each test runs on SQLite and on the PostgreSQL server at
//! `TOLLGATE_TEST_POSTGRES_URL`, with a role that may create databases. Without it the PostgreSQL
//! tests fail; they are never skipped.

/// Makes two tests of each function, one for each database.
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

mod cached_state;
#[expect(dead_code, reason = "only the tests of tollgate-storage use the rest")]
#[path = "../../../storage/tests/store/database.rs"]
mod database;
mod fixture;
#[expect(dead_code, reason = "only the tests of tollgate-storage use the rest")]
#[path = "../../../storage/tests/store/grant_samples.rs"]
mod grant_samples;
mod issuers;
mod key_changes;
mod key_lifecycle;
mod logout_delivery;
#[expect(dead_code, reason = "only the tests of tollgate-storage use the rest")]
#[path = "../../../storage/tests/store/samples.rs"]
mod samples;
