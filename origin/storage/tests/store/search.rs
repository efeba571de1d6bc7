//! Search finds clients and users by parts of their ids and names, page by page.

use tollgate_model::{ClientMetadata, User, UserClaims, UserId};
use tollgate_storage::{Search, Store};

use crate::database::Database;
use crate::samples::{NOW, client};

on_both_databases!(search_finds_clients, search_finds_users);

fn search(text: &str) -> Search {
    Search { text: (!text.is_empty()).then(|| text.to_owned()), limit: 100, ..Search::default() }
}

async fn clients(store: &Store, search: &Search) -> Vec<String> {
    let found = store.search_clients(search).await.expect("searched");
    found.iter().map(|client| client.id.to_string()).collect()
}

async fn users(store: &Store, search: &Search) -> Vec<String> {
    let found = store.search_users(search).await.expect("searched");
    found.iter().map(|user| user.name.to_string()).collect()
}

async fn search_finds_clients(database: &Database) {
    let store = &database.store;
    for (place, (id, name, owner)) in
        [("shop", "The Shop", Some("Retail")), ("tv-1", "100% TV", None), ("tv_2", "Another TV", Some("retail east"))]
            .into_iter()
            .enumerate()
    {
        let (mut client, _) = client(id);
        client.created_at = NOW + place as u64;
        client.metadata = ClientMetadata { name: name.to_owned(), owner: owner.map(str::to_owned), ..client.metadata };
        store.create_client(&client).await.expect("registered");
    }
    for (text, expected) in [
        ("", &["shop", "tv-1", "tv_2"][..]),
        ("SHOP", &["shop"]),
        ("retail", &["shop", "tv_2"]),
        ("tv", &["tv-1", "tv_2"]),
        // Wildcards of a pattern are ordinary characters in a search.
        ("tv_", &["tv_2"]),
        ("0%", &["tv-1"]),
        ("%", &["tv-1"]),
        ("\\", &[]),
        ("'", &[]),
    ] {
        assert_eq!(clients(store, &search(text)).await, expected, "{text}");
    }
    let newest = Search { newest_first: true, limit: 2, ..search("") };
    assert_eq!(clients(store, &newest).await, ["tv_2", "tv-1"]);
    assert_eq!(clients(store, &Search { after: Some("tv-1".to_owned()), ..newest }).await, ["shop"]);
    assert_eq!(clients(store, &Search { after: Some("shop".to_owned()), ..search("tv") }).await, ["tv-1", "tv_2"]);
}

async fn search_finds_users(database: &Database) {
    let store = &database.store;
    for (place, (name, claims)) in [
        ("ada", r#"{"name":"Ada Lovelace","email":"ada@example.org"}"#),
        ("bob", r#"{"email":"bob@lovelace.example"}"#),
        ("cy", "{}"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = UserId::from_random(&[place as u8; 12]);
        let claims = UserClaims::parse(claims).expect("claims");
        let external_id = Some(format!("hr-{place}"));
        let user = User { claims, external_id, ..User::new(id, name.parse().expect("a name"), NOW + place as u64) };
        store.create_user(&user).await.expect("registered");
    }
    for (text, expected) in [
        ("", &["ada", "bob", "cy"][..]),
        ("LOVELACE", &["ada", "bob"]),
        ("example.org", &["ada"]),
        ("hr-2", &["cy"]),
        ("nobody", &[]),
    ] {
        assert_eq!(users(store, &search(text)).await, expected, "{text}");
    }
    let page = Search { newest_first: true, limit: 1, ..search("lovelace") };
    assert_eq!(users(store, &page).await, ["bob"]);
    let bob = UserId::from_random(&[1; 12]).to_string();
    assert_eq!(users(store, &Search { after: Some(bob), ..page }).await, ["ada"]);
}
