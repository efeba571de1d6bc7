//! A database per test, removed when the test has passed.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tollgate_storage::Store;

use crate::samples::ISSUER;

pub(crate) struct Database {
    url: String,
    pub(crate) store: Store,
    /// Server to remove the database from; none for a SQLite file.
    server: Option<PgConnectOptions>,
}

impl Database {
    pub(crate) async fn sqlite(test: &str) -> Database {
        let path = std::env::temp_dir().join(format!("tollgate-{}-{}.db", test, unique()));
        Database::open(format!("sqlite://{}", path.display()), None).await
    }

    pub(crate) async fn postgres(test: &str) -> Database {
        let url = std::env::var("TOLLGATE_TEST_POSTGRES_URL").expect(
            "TOLLGATE_TEST_POSTGRES_URL must name a PostgreSQL server on which databases may be created, \
             e.g. postgres://postgres@127.0.0.1:5432/postgres",
        );
        let server = PgConnectOptions::from_str(&url).expect("TOLLGATE_TEST_POSTGRES_URL is a PostgreSQL URL");
        let name = format!("t_{}_{}", &test[..test.len().min(30)], unique());
        let mut connection = PgConnection::connect_with(&server).await.expect("PostgreSQL answers");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("a database is created");
        let own = server.clone().database(&name).to_url_lossy();
        Database::open(own.to_string(), Some(server)).await
    }

    async fn open(url: String, server: Option<PgConnectOptions>) -> Database {
        let store = Store::open(&url).await.expect("the database opens");
        store.adopt_issuer(ISSUER).await.expect("a new database has no issuer");
        Database { url, store, server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Another handle to the database, as another process has it.
    pub(crate) async fn reopen(&self) -> Store {
        Store::open(&self.url).await.expect("the database opens again")
    }

    pub(crate) async fn remove(self) {
        self.store.close().await;
        match self.server {
            None => {
                let path = self.url.trim_start_matches("sqlite://");
                for suffix in ["", "-wal", "-shm"] {
                    drop(std::fs::remove_file(format!("{path}{suffix}")));
                }
            }
            Some(server) => {
                let own = PgConnectOptions::from_str(&self.url).expect("the URL is our own");
                let name = own.get_database().expect("it names a database").to_owned();
                let mut connection = PgConnection::connect_with(&server).await.expect("PostgreSQL answers");
                let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
                sqlx::raw_sql(drop).execute(&mut connection).await.expect("the database is dropped");
            }
        }
    }

    /// Deletes deltas as a sweep does after very many revocations.
    pub(crate) async fn delete_deltas_up_to(&self, sequence: i64) {
        self.execute(&format!("DELETE FROM deltas WHERE sequence <= {sequence}")).await.expect("deleted");
    }

    /// Runs a statement without the store.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.server.is_some() {
            let mut connection = PgConnection::connect(&self.url).await.expect("connected");
            sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.expect("connected");
            sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
        }
    }
}

fn unique() -> String {
    let bytes = tollgate_system::rng::random::<8>().expect("randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
