//! A diagnosis reads what a database says of itself and creates nothing.

use tollgate_storage::{inspect_database, sqlite_file};
use tollgate_system::Clock;

use crate::database::Database;
use crate::samples::NOW;

on_both_databases!(inspection_reports_product_and_clock);

async fn inspection_reports_product_and_clock(database: &Database) {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let inspection = inspect_database(database.url(), &clock).await.expect("it answers");
    let Some(server) = inspection.server else {
        assert!(inspection.product.starts_with("SQLite 3."), "{}", inspection.product);
        assert!(sqlite_file(database.url()).is_some_and(|file| file.exists()));
        return;
    };
    assert!(inspection.product.starts_with("PostgreSQL "), "{}", inspection.product);
    assert_eq!(sqlite_file(database.url()), None);
    assert!(server.is_writable && server.max_connections > 0 && server.open_connections > 0, "{server:?}");
    time.set(NOW * 1000);
    let skewed = inspect_database(database.url(), &clock).await.expect("it answers").server.expect("a server");
    let ahead_ms = (NOW * 1000).cast_signed() - Clock::system().now_ms().cast_signed();
    // The test may have waited for the database.
    assert!(skewed.clock_ahead_ms.abs_diff(ahead_ms) < 600_000, "{skewed:?}");
}

#[tokio::test]
async fn inspection_creates_no_sqlite_file() {
    let file = std::env::temp_dir().join(format!("tollgate-missing-{}.db", std::process::id()));
    let url = format!("sqlite://{}", file.display());
    inspect_database(&url, &Clock::system()).await.expect_err("there is no database");
    assert!(!file.exists());
    assert_eq!(sqlite_file(&url), Some(file));
}
