//! What the store promises, told of both databases: each story runs on SQLite and on a real PostgreSQL, whose URL stands in
//! `TOLLGATE_TEST_POSTGRES_URL` (a role that may create databases). Without it the PostgreSQL half fails; it is never skipped.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tollgate::domain::{
    AccessToken, Client, ClientSecret, ClientStatus, Edge, OnStale, Revocation, Route, Scope, TokenAlg, TokenId,
};
use tollgate::keys::{KeyRing, KeyRingError, MasterKey};
use tollgate::store::{Store, StoreError};
use tollgate_core::{Chain, Change, Delta};

const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_800_000_000;

macro_rules! on_both_databases {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                let database = super::Database::sqlite(stringify!($story)).await;
                super::$story(&database).await;
                database.remove().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                let database = super::Database::postgres(stringify!($story)).await;
                super::$story(&database).await;
                database.remove().await;
            })+
        }
    };
}

on_both_databases!(
    migrating_twice_changes_nothing,
    a_client_comes_back_as_it_was,
    a_taken_client_id_is_refused,
    a_disabled_client_stays_disabled_since_then,
    a_token_is_on_record,
    revoking_twice_tells_edges_once,
    reinstating_tells_edges_too,
    a_rolled_back_revocation_leaves_no_gap,
    concurrent_revocations_make_one_history,
    deltas_follow_a_sequence,
    a_snapshot_has_all_that_is_revoked,
    sweeping_forgets_what_expired,
    old_deltas_are_swept_and_said_to_be_gone,
    an_acknowledged_sequence_never_goes_back,
    conflicting_routes_are_refused,
    keys_open_under_their_master_key_alone,
    first_keys_are_stored_once,
    another_issuer_is_refused,
    a_watch_notices_another_process,
);

/// A database of one story's own.
struct Database {
    url: String,
    store: Store,
    /// The server to remove it from; a SQLite file has none.
    server: Option<PgConnectOptions>,
}

impl Database {
    async fn sqlite(story: &str) -> Database {
        let path = std::env::temp_dir().join(format!("tollgate-{}-{}.db", story, unique()));
        Database::served(format!("sqlite://{}", path.display()), None).await
    }

    async fn postgres(story: &str) -> Database {
        let url = std::env::var("TOLLGATE_TEST_POSTGRES_URL").expect(
            "TOLLGATE_TEST_POSTGRES_URL must name a PostgreSQL server on which databases may be created, \
             e.g. postgres://postgres@127.0.0.1:5432/postgres",
        );
        let server = PgConnectOptions::from_str(&url).expect("TOLLGATE_TEST_POSTGRES_URL is a PostgreSQL URL");
        let name = format!("t_{}_{}", &story[..story.len().min(30)], unique());
        let mut connection = PgConnection::connect_with(&server).await.expect("PostgreSQL answers");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("a database is created");
        let own = server.clone().database(&name).to_url_lossy();
        Database::served(own.to_string(), Some(server)).await
    }

    async fn served(url: String, server: Option<PgConnectOptions>) -> Database {
        let store = Store::open(&url).await.expect("the database opens");
        store.adopt_issuer(ISSUER).await.expect("a fresh database is nobody's");
        Database { url, store, server }
    }

    /// Another handle, as another process has it.
    async fn again(&self) -> Store {
        Store::open(&self.url).await.expect("the database opens again")
    }

    async fn remove(self) {
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
}

fn unique() -> String {
    let bytes = tollgate::ambient::random::<8>().expect("randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn client(id: &str) -> (Client, ClientSecret) {
    let secret = ClientSecret::from_random(&tollgate::ambient::random().expect("randomness"));
    let client = Client {
        id: id.parse().expect("a client id"),
        name: "Reports, nightly".to_owned(),
        secret: secret.hash(),
        scope: Scope::parse("reports:read reports:write").expect("a scope"),
        audiences: ["https://api.example", "other"].map(|audience| audience.parse().expect("an audience")).into(),
        alg: TokenAlg::Es256,
        status: ClientStatus::Active,
        created_at: NOW,
    };
    (client, secret)
}

fn token_id(number: u32) -> TokenId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    TokenId::from_random(&bytes)
}

fn token(number: u32, expires_at: u64) -> AccessToken {
    AccessToken {
        id: token_id(number),
        client: "reports".parse().expect("a client id"),
        subject: "reports".to_owned(),
        scope: Scope::parse("reports:read").expect("a scope"),
        audience: "https://api.example".parse().expect("an audience"),
        issued_at: NOW,
        expires_at,
    }
}

fn revocation(number: u32) -> Revocation {
    Revocation::of(&token(number, NOW + 3600), ISSUER, NOW).expect("the token lives")
}

async fn with_tokens(store: &Store, tokens: &[AccessToken]) {
    store.insert_client(&client("reports").0).await.expect("registered");
    for token in tokens {
        store.record_token(token).await.expect("recorded");
    }
}

/// Follows the whole history from its beginning, as an edge does, checking every link.
async fn followed(store: &Store) -> Vec<Delta> {
    let mut chain = Chain::genesis(ISSUER);
    let mut all: Vec<Delta> = Vec::new();
    loop {
        let page = store.feed_page(all.len() as u64).await.expect("a page");
        assert_eq!(page.chain, Some(chain), "the chain joins on");
        for delta in &page.deltas {
            assert_eq!(delta.sequence, all.len() as u64 + 1, "no gap");
            chain = chain.next(delta);
            all.push(*delta);
        }
        if page.deltas.is_empty() {
            assert_eq!(page.head.sequence, all.len() as u64);
            return all;
        }
    }
}

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
    assert!(database.store.disable_client(&client.id, NOW + 1).await.expect("disabled"));
    assert!(database.store.disable_client(&client.id, NOW + 2).await.expect("disabled"));
    let found = database.store.client(&client.id).await.expect("looked up").expect("it is there");
    assert_eq!(found.status, ClientStatus::Disabled { at: NOW + 1 });
    assert!(!database.store.disable_client(&"nobody".parse().expect("an id"), NOW).await.expect("asked"));
}

async fn a_token_is_on_record(database: &Database) {
    let token = token(1, NOW + 3600);
    with_tokens(&database.store, std::slice::from_ref(&token)).await;
    assert_eq!(database.store.token(&token.id).await.expect("looked up"), Some(token.clone()));
    assert_eq!(database.store.token(&token_id(2)).await.expect("looked up"), None);
    assert!(database.store.record_token(&token).await.is_err(), "no jti twice");
    assert!(database.store.unrevoked_token(&token.id).await.expect("looked up").is_some());
    assert!(database.store.revoke(&revocation(1)).await.expect("revoked"));
    assert!(database.store.unrevoked_token(&token.id).await.expect("looked up").is_none());
}

async fn revoking_twice_tells_edges_once(database: &Database) {
    assert!(database.store.revoke(&revocation(1)).await.expect("revoked"));
    assert!(!database.store.revoke(&revocation(1)).await.expect("asked"));
    assert!(database.store.is_revoked(&token_id(1)).await.expect("asked"));
    assert!(!database.store.is_revoked(&token_id(2)).await.expect("asked"));
    let Revocation { id, void_after, .. } = revocation(1);
    let history = followed(&database.store).await;
    assert_eq!(history, [Delta { sequence: 1, id, change: Change::Revoke, expires_at: void_after }]);
}

async fn reinstating_tells_edges_too(database: &Database) {
    assert!(!database.store.reinstate(&token_id(1)).await.expect("asked"));
    database.store.revoke(&revocation(1)).await.expect("revoked");
    assert!(database.store.reinstate(&token_id(1)).await.expect("lifted"));
    assert!(!database.store.is_revoked(&token_id(1)).await.expect("asked"));
    assert!(database.store.revoke(&revocation(1)).await.expect("revoked again"));
    let changes: Vec<Change> = followed(&database.store).await.iter().map(|delta| delta.change).collect();
    assert_eq!(changes, [Change::Revoke, Change::Reinstate, Change::Revoke]);
}

async fn a_rolled_back_revocation_leaves_no_gap(database: &Database) {
    // Dropped at different moments: some before the commit, some after.
    for number in 0..40_u32 {
        let revocation = revocation(number);
        let patience = Duration::from_micros(u64::from(number) * 50);
        drop(tokio::time::timeout(patience, database.store.revoke(&revocation)).await);
    }
    let told = followed(&database.store).await.len();
    let mut revoked = 0;
    for number in 0..40 {
        revoked += usize::from(database.store.is_revoked(&token_id(number)).await.expect("asked"));
    }
    assert_eq!(told, revoked, "each revocation has its delta, and each delta its revocation");
}

async fn concurrent_revocations_make_one_history(database: &Database) {
    let other = database.again().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100_u32 {
        let store = if number % 2 == 0 { database.store.clone() } else { other.clone() };
        // Every token twice, by way of either process.
        tasks.spawn(async move { store.revoke(&revocation(number / 2)).await.expect("revoked") });
    }
    let fresh = tasks.join_all().await.into_iter().filter(|fresh| *fresh).count();
    assert_eq!(fresh, 50, "each was revoked by one of the two");
    assert_eq!(followed(&database.store).await.len(), 50);
    other.close().await;
}

async fn deltas_follow_a_sequence(database: &Database) {
    for number in 1..=5 {
        database.store.revoke(&revocation(number)).await.expect("revoked");
    }
    let page = database.store.feed_page(3).await.expect("a page");
    assert_eq!(page.deltas.iter().map(|delta| delta.sequence).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(page.head.sequence, 5);
    let at_the_end = database.store.feed_page(5).await.expect("a page");
    assert!(at_the_end.deltas.is_empty() && at_the_end.chain.is_some());
    let beyond = database.store.feed_page(6).await.expect("a page");
    assert!(beyond.deltas.is_empty() && beyond.chain.is_none());
}

async fn a_snapshot_has_all_that_is_revoked(database: &Database) {
    for number in 1..=3 {
        database.store.revoke(&revocation(number)).await.expect("revoked");
    }
    database.store.reinstate(&token_id(2)).await.expect("lifted");
    let input = database.store.snapshot_input(NOW).await.expect("input");
    let mut expected = [revocation(1).id, revocation(3).id];
    expected.sort_unstable();
    assert_eq!(input.revoked, expected);
    assert_eq!(input.head.sequence, 4);
    assert_eq!(Some(input.chain), database.store.feed_page(4).await.expect("a page").chain);
    // Void ones are left out, whether they were swept or not.
    let later = database.store.snapshot_input(revocation(1).void_after + 1).await.expect("input");
    assert!(later.revoked.is_empty());
}

async fn sweeping_forgets_what_expired(database: &Database) {
    let short = token(1, NOW + 60);
    let long = token(2, NOW + 3600);
    with_tokens(&database.store, &[short.clone(), long.clone()]).await;
    let short_revocation = Revocation::of(&short, ISSUER, NOW).expect("it lives");
    database.store.revoke(&short_revocation).await.expect("revoked");
    database.store.revoke(&revocation(2)).await.expect("revoked");

    let at_the_end = database.store.sweep(short_revocation.void_after).await.expect("swept");
    assert_eq!((at_the_end.tokens, at_the_end.revocations), (0, 0), "still within the margin");
    let after = database.store.sweep(short_revocation.void_after + 1).await.expect("swept");
    assert_eq!((after.tokens, after.revocations), (1, 1));
    assert!(database.store.is_revoked(&long.id).await.expect("asked"));
    assert_eq!(followed(&database.store).await.len(), 2, "the history stays whole");
    assert_eq!(Revocation::of(&short, ISSUER, short_revocation.void_after + 1), None, "too late to revoke");
}

async fn old_deltas_are_swept_and_said_to_be_gone(database: &Database) {
    for number in 1..=3 {
        database.store.revoke(&revocation(number)).await.expect("revoked");
    }
    assert_eq!(database.store.sweep(NOW).await.expect("swept").deltas, 0, "few are all kept");
    database.drop_deltas_up_to(1).await;
    assert!(database.store.feed_page(0).await.expect("a page").chain.is_none(), "the beginning is gone");
    assert!(database.store.feed_page(1).await.expect("a page").chain.is_none(), "so is the link at 1");
    let page = database.store.feed_page(2).await.expect("a page");
    assert!(page.chain.is_some() && page.deltas.len() == 1);
}

impl Database {
    /// What a sweep does after many more revocations than a test wants to make.
    async fn drop_deltas_up_to(&self, sequence: i64) {
        let delete = "DELETE FROM deltas WHERE sequence <= $1";
        if self.server.is_some() {
            let mut connection = PgConnection::connect(&self.url).await.expect("connected");
            sqlx::query(delete).bind(sequence).execute(&mut connection).await.expect("deleted");
        } else {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.expect("connected");
            sqlx::query(delete).bind(sequence).execute(&mut connection).await.expect("deleted");
        }
    }
}

async fn an_acknowledged_sequence_never_goes_back(database: &Database) {
    let name = "tokyo-1".parse().expect("a name");
    let edge = Edge {
        name,
        url: "http://127.0.0.1:8787".parse().expect("a URL"),
        acknowledged: 0,
        acknowledged_at_ms: None,
        created_at: NOW,
    };
    database.store.insert_edge(&edge).await.expect("registered");
    assert!(matches!(database.store.insert_edge(&edge).await, Err(StoreError::Exists("edge"))));
    for (sequence, at) in [(7, 1000), (5, 2000), (7, 3000)] {
        database.store.acknowledge(&edge.name, sequence, at).await.expect("recorded");
    }
    let edges = database.store.edges().await.expect("listed");
    assert_eq!(edges, [Edge { acknowledged: 7, acknowledged_at_ms: Some(3000), ..edge.clone() }]);
    assert!(database.store.delete_edge(&edge.name).await.expect("removed"));
    assert!(!database.store.delete_edge(&edge.name).await.expect("asked"));
}

async fn conflicting_routes_are_refused(database: &Database) {
    let route = |path: &str, methods: &[&str]| {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        Route::new(path, &methods, Scope::parse("a b").expect("a scope"), false, OnStale::Allow).expect("a route")
    };
    let before = database.store.head().await.expect("a head").version;
    for added in [route("/b", &[]), route("/a", &["PUT", "GET"]), route("/a", &[])] {
        database.store.insert_route(&added).await.expect("added");
    }
    assert!(database.store.insert_route(&route("/a", &["GET"])).await.is_err());
    let routes = database.store.routes().await.expect("listed");
    assert_eq!(routes, [route("/a", &[]), route("/a", &["GET", "PUT"]), route("/b", &[])]);
    assert!(database.store.delete_route(&route("/b", &[])).await.expect("removed"));
    assert!(!database.store.delete_route(&route("/b", &[])).await.expect("asked"));
    assert!(database.store.head().await.expect("a head").version > before, "edges are told");
}

async fn keys_open_under_their_master_key_alone(database: &Database) {
    let master = MasterKey::from_random([1; 32]);
    let made = Arc::new(made_keys(&master));
    assert!(database.store.insert_first_keys(&made).await.expect("stored"));
    let stored = database.store.keys().await.expect("read");
    let ring = KeyRing::open(&master, &stored).expect("they open");
    assert_eq!(ring.public_jwks().len(), 3);

    let wrong = KeyRing::open(&MasterKey::from_random([2; 32]), &stored).err();
    assert!(matches!(wrong, Some(KeyRingError::WrongMasterKey { .. })), "{wrong:?}");
    let mut swapped = stored.clone();
    let (first, last) = (swapped[0].sealed.clone(), swapped.len() - 1);
    swapped[0].sealed = std::mem::replace(&mut swapped[last].sealed, first);
    assert!(KeyRing::open(&master, &swapped).is_err(), "a private part opens in its own row only");

    for alg in TokenAlg::ALL {
        let token = token(1, NOW + 3600);
        let text = ring.issue(&token, ISSUER, alg).expect("signed");
        assert_eq!(ring.recognise(&text, ISSUER), Some(token.id.clone()), "{alg}");
        assert_eq!(ring.recognise(&text, "https://other.example"), None, "{alg}");
        let tampered = format!("{}A{}", &text[..text.len() - 8], &text[text.len() - 7..]);
        assert!(tampered == text || ring.recognise(&tampered, ISSUER).is_none(), "{alg}");
    }
}

async fn first_keys_are_stored_once(database: &Database) {
    let master = MasterKey::from_random([1; 32]);
    let (one, other) = (made_keys(&master), made_keys(&master));
    let second = database.again().await;
    let (first, late) = tokio::join!(database.store.insert_first_keys(&one), second.insert_first_keys(&other));
    assert!(first.expect("stored") != late.expect("asked"), "one of two that start together makes the keys");
    assert_eq!(database.store.keys().await.expect("read").len(), one.len());
    second.close().await;
}

fn made_keys(master: &MasterKey) -> Vec<tollgate::keys::StoredKey> {
    tokio::task::block_in_place(|| KeyRing::generate(master, NOW)).expect("made")
}

async fn another_issuer_is_refused(database: &Database) {
    database.store.adopt_issuer(ISSUER).await.expect("its own");
    let refused = database.store.adopt_issuer("https://other.example").await;
    assert!(matches!(refused, Err(StoreError::WrongIssuer { .. })), "{refused:?}");
    assert_eq!(database.store.issuer().await.expect("read"), ISSUER);
}

async fn a_watch_notices_another_process(database: &Database) {
    let mut watch = database.store.watch().await.expect("watching");
    let other = database.again().await;
    // What opening did is seen first; then nothing more is.
    while tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_ok() {}
    let noticed = tokio::spawn(async move { watch.changed().await });
    let begun = std::time::Instant::now();
    other.revoke(&revocation(1)).await.expect("revoked");
    tokio::time::timeout(Duration::from_secs(2), noticed)
        .await
        .expect("noticed in time")
        .expect("ran")
        .expect("no error");
    assert!(begun.elapsed() < Duration::from_millis(900), "it took {:?}", begun.elapsed());
    other.close().await;
}
