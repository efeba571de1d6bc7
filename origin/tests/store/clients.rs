//! Clients.

use tollgate::domain::{ClientSecret, ClientStatus};
use tollgate::store::StoreError;

use crate::database::Database;
use crate::samples::{NOW, client};

on_both_databases!(
    migrating_twice_changes_nothing,
    a_client_comes_back_as_it_was,
    a_taken_client_id_is_refused,
    a_disabled_client_stays_disabled_since_then,
);

async fn migrating_twice_changes_nothing(database: &Database) {
    let (client, _) = client("reports");
    database.store.insert_client(&client).await.expect("registered");
    let again = database.again().await;
    assert_eq!(again.clients().await.expect("listed").len(), 1);
    again.close().await;
}

async fn a_client_comes_back_as_it_was(database: &Database) {
    let (client, secret) = client("reports");
    database.store.insert_client(&client).await.expect("registered");
    let found = database.store.client(&client.id).await.expect("looked up").expect("it is there");
    assert_eq!(format!("{found:?}"), format!("{client:?}"));
    assert!(found.secret.matches(&secret.hash()));
    assert!(!found.secret.matches(&ClientSecret::from_random(&[0; 32]).hash()));
    assert!(database.store.client(&"nobody".parse().expect("an id")).await.expect("looked up").is_none());
}

async fn a_taken_client_id_is_refused(database: &Database) {
    let (first, secret) = client("reports");
    database.store.insert_client(&first).await.expect("registered");
    let refused = database.store.insert_client(&client("reports").0).await;
    assert!(matches!(refused, Err(StoreError::Exists("client"))), "{refused:?}");
    let found = database.store.client(&first.id).await.expect("looked up").expect("it is there");
    assert!(found.secret.matches(&secret.hash()), "the first one's secret stays");
}

async fn a_disabled_client_stays_disabled_since_then(database: &Database) {
    let (client, _) = client("reports");
    database.store.insert_client(&client).await.expect("registered");
    for now in [NOW + 1, NOW + 2] {
        let disabled = database.store.disable_client(&client.id, now).await.expect("disabled").expect("it is there");
        assert_eq!(disabled.status, ClientStatus::Disabled { at: NOW + 1 });
    }
    let found = database.store.client(&client.id).await.expect("looked up").expect("it is there");
    assert_eq!(found.status, ClientStatus::Disabled { at: NOW + 1 });
    assert!(database.store.disable_client(&"nobody".parse().expect("an id"), NOW).await.expect("asked").is_none());
}
