//! Backups have all rows in one state and can be restored into the other database; what ended with
//! a restore has ended.

use tollgate_model::{PresentedRefreshToken, SecretHash, Target};
use tollgate_storage::{BackupState, BackupValue, RestoreMode, Store, StoreError};
use tollgate_system::Clock;

use crate::database::Database;
use crate::grant_samples::{grant_with_refresh_token, is_ended};
use crate::samples::{NOW, by, draft, issue_tokens, revoke_any};

on_both_databases!(
    rows_are_the_same_after_a_move_to_the_other_database,
    only_an_empty_database_is_restored_unless_forced,
    abandoned_restore_changes_nothing,
    nothing_from_before_a_restore_is_accepted_after_it,
    backup_has_one_state_while_others_write,
);

/// The rows of each table, with the names of its columns.
type Rows = Vec<(String, Vec<String>, Vec<Vec<BackupValue>>)>;

async fn export(store: &Store) -> (BackupState, Rows) {
    let mut export = store.export().await.expect("begun");
    let (state, mut tables) = (export.state().clone(), Rows::new());
    while let Some(table) = export.table().cloned() {
        let mut rows = Vec::new();
        loop {
            let page = export.next_page().await.expect("read");
            rows.extend(page.rows);
            if page.is_last {
                break;
            }
        }
        tables.push((table.name, table.columns.into_iter().map(|(name, _)| name).collect(), rows));
    }
    (state, tables)
}

async fn restore(store: &Store, (state, tables): &(BackupState, Rows), mode: RestoreMode) {
    let mut transaction = store.begin_restore(state, true).await.expect("begun");
    for (name, columns, rows) in tables {
        transaction.begin_table(name, columns).await.expect("a known table");
        transaction.insert(rows).await.expect("written");
    }
    transaction.finish(mode, NOW, &by()).await.expect("committed");
}

/// The rows of a table, each with its columns in alphabetical order, sorted.
fn sorted(rows: &Rows, table: &str) -> Vec<String> {
    let (_, columns, rows) = rows.iter().find(|(name, ..)| name == table).expect("a table");
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|index| &columns[*index]);
    let line = |row: &Vec<BackupValue>| format!("{:?}", order.iter().map(|index| &row[*index]).collect::<Vec<_>>());
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.sort();
    lines
}

async fn fill(database: &Database) {
    let store = &database.store;
    grant_with_refresh_token(database, "refresh one").await;
    // More than one page.
    let drafts: Vec<_> = (10..280).map(|number| draft(number, NOW + 3600)).collect();
    let tokens = issue_tokens(store, &drafts).await;
    store.revoke(revoke_any(Target::Token(tokens[0].id.to_string()), NOW)).await.expect("revoked");
    store.revoke(revoke_any(Target::Client("reports".to_owned()), NOW)).await.expect("revoked");
}

async fn other_database(database: &Database, test: &str) -> Database {
    match database.url().starts_with("sqlite") {
        true => Database::postgres(test).await,
        false => Database::sqlite(test).await,
    }
}

async fn rows_are_the_same_after_a_move_to_the_other_database(database: &Database) {
    fill(database).await;
    let backup = export(&database.store).await;
    let other = other_database(database, "backup_moved").await;
    restore(&other.store, &backup, RestoreMode::Moved).await;
    let restored = export(&other.store).await;
    assert_eq!(restored.0, backup.0);
    for (table, _, rows) in &backup.1 {
        assert_eq!(sorted(&restored.1, table), sorted(&backup.1, table), "{table}");
        let is_filled = ["clients", "users", "grants", "tokens", "revocations", "deltas", "audit"];
        assert!(!is_filled.contains(&table.as_str()) || !rows.is_empty(), "{table}");
    }
    assert!(other.execute("DELETE FROM audit").await.is_err(), "the audit log is only added to");
    let token = issue_tokens(&other.store, &[draft(1000, NOW + 3600)]).await;
    assert!(token[0].number > 270, "numbers continue");
    other.remove().await;
}

async fn only_an_empty_database_is_restored_unless_forced(database: &Database) {
    let (state, _) = export(&database.store).await;
    let refused = database.store.begin_restore(&state, false).await.err();
    assert!(matches!(refused, Some(StoreError::NotEmpty)), "{refused:?}");
    let newer = BackupState { migrations: [state.migrations.as_slice(), &[9001]].concat(), ..state };
    let refused = database.store.begin_restore(&newer, true).await.err();
    assert!(matches!(refused, Some(StoreError::OtherSchema { backup: 9001, .. })), "{refused:?}");
}

async fn abandoned_restore_changes_nothing(database: &Database) {
    fill(database).await;
    let before = export(&database.store).await;
    let mut transaction = database.store.begin_restore(&before.0, true).await.expect("begun");
    let (name, columns, rows) = &before.1[0];
    transaction.begin_table(name, columns).await.expect("a known table");
    transaction.insert(rows).await.expect("written");
    assert!(transaction.begin_table("other", &[]).await.is_err());
    assert!(transaction.begin_table(name, &columns[1..]).await.is_err(), "a column is missing");
    drop(transaction);
    let after = export(&database.store).await;
    assert_eq!(after.0, before.0);
    assert_eq!(after.1, before.1);
}

async fn nothing_from_before_a_restore_is_accepted_after_it(database: &Database) {
    let grant = grant_with_refresh_token(database, "refresh one").await;
    let tokens = issue_tokens(&database.store, &[draft(10, NOW + 3600)]).await;
    let backup = export(&database.store).await;
    // What is lost: a revocation, and more tokens.
    database.store.revoke(revoke_any(Target::Subject("subject-1".to_owned()), NOW)).await.expect("revoked");
    let lost = issue_tokens(&database.store, &[draft(11, NOW + 3600)]).await;
    let lost_head = database.store.get_feed_head().await.expect("read").sequence;
    let before = database.store.get_feed_page(0).await.expect("read");

    let (clock, _) = Clock::manual((NOW + 10) * 1000);
    let store = Store::open_with_clock(database.url(), clock).await.expect("opened");
    restore(&store, &backup, RestoreMode::AfterLoss).await;
    for token in tokens.iter().chain(&lost) {
        assert!(store.is_token_revoked(token).await.expect("read"), "{}", token.id);
    }
    assert!(is_ended(database, &grant).await);
    let presented = PresentedRefreshToken { grant: grant.id.clone(), hash: SecretHash::of("refresh one") };
    assert_eq!(store.find_refresh_token(presented).await.expect("read"), None);
    let head = store.get_feed_head().await.expect("read").sequence;
    assert!(head > lost_head + 1_000_000, "the log continues beyond the lost one");
    assert!(store.get_feed_page(lost_head).await.expect("read").chain.is_none(), "edges fetch the snapshot");
    let page = store.get_feed_page(head).await.expect("read");
    assert!(page.chain.is_some() && page.epoch > before.epoch);
    let again = issue_tokens(&store, &[draft(12, NOW + 3600)]).await;
    assert!(again[0].number > lost[0].number && again[0].id.epoch() > lost[0].id.epoch());
    store.close().await;
}

async fn backup_has_one_state_while_others_write(database: &Database) {
    fill(database).await;
    let mut reading = database.store.export().await.expect("begun");
    let first = reading.next_page().await.expect("read");
    assert_eq!(first.rows.len(), 1, "the client");
    let late = issue_tokens(&database.store, &[draft(2000, NOW + 3600)]).await;
    database.store.revoke(revoke_any(Target::Session("late".to_owned()), NOW)).await.expect("revoked");
    let (mut tokens, mut revocations) = (0, 0);
    while let Some(table) = reading.table().map(|table| table.name.clone()) {
        let page = reading.next_page().await.expect("read");
        match table.as_str() {
            "tokens" => tokens += page.rows.len(),
            "revocations" => revocations += page.rows.len(),
            _ => {}
        }
    }
    assert_eq!((tokens, revocations), (271, 2), "without {} and the late revocation", late[0].id);
}
