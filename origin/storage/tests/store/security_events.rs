//! The revocation log in other forms: status lists, and signals on streams.

use std::collections::BTreeSet;

use tollgate_core::{RevocationKind, RevokedBefore};
use tollgate_model::event_stream::{Delivery, EventType, Stream};
use tollgate_model::{
    AccessToken, Actor, NewReinstatement, NewRevocation, RevocationSelector, Scope, Target, TokenDetails, TokenDraft,
};
use tollgate_storage::{Signal, Store, StoreError};

use crate::database::Database;
use crate::samples::{ISSUER, NOW, client};

on_both_databases!(
    each_kind_of_revocation_sets_status_list_bits,
    status_lists_are_those_of_recorded_tokens,
    stream_delivers_what_follows_its_registration,
    position_moves_past_acknowledged_and_undelivered_signals,
    concurrent_registration_and_revocation_lose_no_signal,
    signals_are_kept_until_every_stream_has_them,
);

/// More signals than any test has.
const WINDOW: u64 = 1000;

async fn issued(store: &Store, random: u8) -> AccessToken {
    let draft = TokenDraft {
        unique: [random; 14],
        client: "reports".parse().expect("a client id"),
        subject: "ann".to_owned(),
        session: Some("s1".to_owned()),
        key_id: "k1".to_owned(),
        scope: Scope::parse("reports:read").expect("a scope"),
        audience: "https://api.example".parse().expect("an audience"),
        details: TokenDetails::default(),
        opaque: None,
        issued_at: NOW,
        expires_at: NOW + 3600,
    };
    store.issue(draft).await.expect("issued")
}

async fn revoke(store: &Store, target: Target) {
    let reason = Some("a story".parse().expect("a reason"));
    let revoke = NewRevocation::any(target, Actor::command_line(Some("ann")), reason, NOW + 10).expect("in the past");
    assert!(store.revoke(revoke).await.expect("revoked").is_new_to_edges);
}

async fn reinstate(store: &Store, target: Target) {
    let by = Actor::command_line(None);
    let reinstate = NewReinstatement { selector: RevocationSelector::Target(target), by, reason: None, at: NOW + 20 };
    assert!(store.reinstate(reinstate).await.expect("reinstated").is_new_to_edges);
}

fn session(name: &str) -> Target {
    Target::Session(name.to_owned())
}

async fn revoked(store: &Store) -> Vec<u64> {
    store.list_revoked_numbers(ISSUER, 0..1 << 17).await.expect("read").numbers
}

async fn each_kind_of_revocation_sets_status_list_bits(database: &Database) {
    let store = &database.store;
    store.create_client(&client("reports").0).await.expect("registered");
    let token = issued(store, 1).await;
    assert!(revoked(store).await.is_empty());
    for target in [
        Target::Token(token.id.to_string()),
        session("s1"),
        Target::Subject("ann".to_owned()),
        Target::Client("reports".to_owned()),
        Target::Key("k1".to_owned()),
        Target::Before(NOW + 1),
    ] {
        revoke(store, target.clone()).await;
        assert_eq!(revoked(store).await, [token.number], "{target}");
        assert!(store.list_revoked_numbers(ISSUER, 0..token.number).await.expect("read").numbers.is_empty());
        reinstate(store, target.clone()).await;
        assert!(revoked(store).await.is_empty(), "{target}");
    }
    // Two revocations of one batch, and a token issued after them.
    revoke(store, Target::Token(token.id.to_string())).await;
    revoke(store, session("s1")).await;
    let later = issued(store, 2).await;
    assert!(later.number > token.number);
    let read = store.list_revoked_numbers(ISSUER, 0..1 << 17).await.expect("read");
    assert_eq!((read.numbers.as_slice(), read.sequence), (&[token.number][..], 14));
}

async fn status_lists_are_those_of_recorded_tokens(database: &Database) {
    let store = &database.store;
    store.create_client(&client("reports").0).await.expect("registered");
    assert_eq!(store.get_status_list_range(2).await.expect("read").count(), 0);
    let mut numbers = Vec::new();
    for random in 1..=5 {
        numbers.push(issued(store, random).await.number);
    }
    let lists: Vec<u64> = store.get_status_list_range(2).await.expect("read").collect();
    let wanted: BTreeSet<u64> = numbers.iter().map(|number| number / 2).collect();
    assert_eq!(lists, wanted.into_iter().collect::<Vec<_>>());
}

fn stream(name: &str, events: &[EventType]) -> Stream {
    Stream {
        number: 0,
        name: name.parse().expect("a name"),
        audience: "https://receiver.example".parse().expect("an audience"),
        client: None,
        delivery: Delivery::Poll,
        events: events.to_vec(),
        acknowledged: 0,
        acknowledged_at_ms: None,
        refused: 0,
        problem: None,
        created_at: NOW,
    }
}

async fn pending(store: &Store, stream: &Stream) -> Vec<Signal> {
    let delivers = |signal: &Signal| stream.delivers(signal.event_type());
    store.list_pending_signals(stream.number, WINDOW, delivers).await.expect("read")
}

async fn acknowledge(store: &Store, stream: &Stream, sequences: &[u64]) {
    let these = |signal: &Signal| sequences.contains(&signal.sequence).then_some(false);
    let delivers = |signal: &Signal| stream.delivers(signal.event_type());
    store.acknowledge_signals(stream.number, WINDOW, these, delivers, NOW * 1000).await.expect("acknowledged");
}

async fn position(store: &Store, stream: &Stream) -> u64 {
    store.find_stream(&stream.name).await.expect("read").expect("it is there").acknowledged
}

fn sequences(signals: &[Signal]) -> Vec<u64> {
    signals.iter().map(|signal| signal.sequence).collect()
}

async fn stream_delivers_what_follows_its_registration(database: &Database) {
    let store = &database.store;
    revoke(store, session("before")).await;
    let stream = store.create_stream(&stream("siem", &EventType::ALL)).await.expect("registered");
    assert_eq!(stream.acknowledged, 1);
    assert!(matches!(store.create_stream(&stream).await, Err(StoreError::AlreadyExists(_))));
    assert_eq!(pending(store, &stream).await, []);

    revoke(store, session("s1")).await;
    reinstate(store, session("s1")).await;
    revoke(store, Target::Before(NOW)).await;
    let signals = pending(store, &stream).await;
    assert_eq!(sequences(&signals), [2, 3, 4]);
    let [revoked, lifted, everything] = signals.as_slice() else { panic!("three signals") };
    assert_eq!((revoked.kind, revoked.name.as_str(), revoked.is_reinstatement), (RevocationKind::Session, "s1", false));
    assert_eq!((revoked.by.as_str(), revoked.reason.as_deref(), revoked.at), ("cli:ann", Some("a story"), NOW + 10));
    assert!(lifted.is_reinstatement && lifted.mark == RevokedBefore::NOT_REVOKED);
    assert_eq!((everything.kind, everything.mark), (RevocationKind::Everything, RevokedBefore::time(NOW)));

    assert!(store.delete_stream(&stream.name).await.expect("removed"));
    assert!(!store.delete_stream(&stream.name).await.expect("asked"));
    let again = store.create_stream(&stream).await.expect("registered");
    assert_ne!(again.number, stream.number, "a stream of the same name is another stream");
    assert_eq!(pending(store, &again).await, []);
}

async fn position_moves_past_acknowledged_and_undelivered_signals(database: &Database) {
    let store = &database.store;
    let all = store.create_stream(&stream("all", &EventType::ALL)).await.expect("registered");
    let some = store.create_stream(&stream("some", &[EventType::SessionRevoked])).await.expect("registered");
    for name in ["a", "b", "c"] {
        revoke(store, session(name)).await;
        reinstate(store, session(name)).await;
    }
    assert_eq!(sequences(&pending(store, &some).await), [1, 3, 5]);
    acknowledge(store, &some, &[3]).await;
    assert_eq!((position(store, &some).await, sequences(&pending(store, &some).await)), (0, vec![1, 5]));
    acknowledge(store, &some, &[1]).await;
    assert_eq!(position(store, &some).await, 4, "past undelivered signals, up to the first unacknowledged one");
    acknowledge(store, &some, &[1, 5]).await;
    assert_eq!((position(store, &some).await, pending(store, &some).await), (6, Vec::new()));

    assert_eq!(sequences(&pending(store, &all).await), [1, 2, 3, 4, 5, 6]);
    acknowledge(store, &all, &[2, 3, 6]).await;
    assert_eq!((position(store, &all).await, sequences(&pending(store, &all).await)), (0, vec![1, 4, 5]));
    acknowledge(store, &all, &[1, 4, 5]).await;
    assert_eq!(position(store, &all).await, 6);
    // A window of signals that the stream does not deliver is skipped.
    let none = store.list_pending_signals(some.number, 2, |signal| signal.sequence > 6).await.expect("read");
    assert_eq!(none, []);
}

async fn concurrent_registration_and_revocation_lose_no_signal(database: &Database) {
    let other = database.reopen().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60_u32 {
        let store = if number % 2 == 0 { database.store.clone() } else { other.clone() };
        tasks.spawn(async move { revoke(&store, session(&format!("s{number}"))).await });
    }
    let first = database.store.create_stream(&stream("first", &EventType::ALL)).await.expect("registered");
    let second = other.create_stream(&stream("second", &EventType::ALL)).await.expect("registered");
    tasks.join_all().await;
    for stream in [first, second] {
        let signals = sequences(&pending(&database.store, &stream).await);
        assert_eq!(signals, (stream.acknowledged + 1..=60).collect::<Vec<_>>(), "all that follows, and nothing else");
    }
    other.close().await;
}

async fn signals_are_kept_until_every_stream_has_them(database: &Database) {
    let store = &database.store;
    let slow = store.create_stream(&stream("slow", &EventType::ALL)).await.expect("registered");
    let fast = store.create_stream(&stream("fast", &EventType::ALL)).await.expect("registered");
    for name in ["a", "b", "c"] {
        revoke(store, session(name)).await;
    }
    acknowledge(store, &fast, &[1, 2, 3]).await;
    acknowledge(store, &slow, &[1]).await;
    assert_eq!(store.sweep_signals(NOW).await.expect("swept"), 1);
    assert_eq!(sequences(&pending(store, &slow).await), [2, 3]);
    // Days later all tokens that the signals are about have expired.
    assert_eq!(store.sweep_signals(NOW + 3 * 24 * 3600).await.expect("swept"), 2);
    assert_eq!(pending(store, &slow).await, []);
}
