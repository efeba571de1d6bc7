//! Recorded tokens, and their revocation in one log by several processes.

use std::time::Duration;

use tollgate_core::{Delta, RevocationKind, RevokedBefore};
use tollgate_model::{
    AccessToken, AuditFilter, AuditKind, NewReinstatement, NewRevocation, RevocationSelector, Target, TokenDetails,
};
use tollgate_storage::{Batch, RevocationFilter, StoreError};

use crate::audit::audit;
use crate::database::Database;
use crate::samples::{ISSUER, NOW, by, client, draft, issue_tokens, read_log, reinstate, revoke, revoke_any, token};

on_both_databases!(
    issued_token_is_recorded,
    revoking_twice_sends_edges_one_delta,
    reinstatement_sends_edges_a_delta,
    each_kind_of_revocation_applies_to_its_tokens,
    marks_of_a_target_combine_by_maximum,
    expired_revocation_can_be_made_again,
    revocation_records_have_actor_and_reason,
    rolled_back_revocation_leaves_no_gap,
    concurrent_revocations_form_one_log,
    revoked_token_cannot_be_exchanged,
);

async fn issued_token_is_recorded(database: &Database) {
    let issued = issue_tokens(&database.store, &[draft(1, NOW + 3600), draft(2, NOW + 3600)]).await;
    assert!(issued[0].number < issued[1].number, "numbers rise");
    assert_eq!((issued[0].id, issued[0].id.epoch()), (token(1, 0).id, 1));
    assert_eq!(database.store.find_token(issued[0].id).await.expect("looked up"), Some(issued[0].clone()));
    assert_eq!(database.store.find_token(token(3, 0).id).await.expect("looked up"), None);
    assert!(database.store.issue(draft(1, NOW + 3600)).await.is_err(), "no jti twice");
    assert_eq!(database.store.close_epoch().await.expect("closed"), 1);
    let next = issue_tokens(&database.store, &[draft(4, NOW + 3600)]).await;
    assert_eq!(next[0].id.epoch(), 2);
    assert!(next[0].number > issued[1].number);
}

async fn revoking_twice_sends_edges_one_delta(database: &Database) {
    let first = database.store.revoke(revoke(1)).await.expect("revoked");
    assert!(first.is_new_to_edges);
    let again = database.store.revoke(revoke(1)).await.expect("revoked");
    assert_eq!(
        (again.is_new_to_edges, &again.revocation),
        (false, &first.revocation),
        "the same by the same is on record"
    );
    let by_another = NewRevocation { by: tollgate_model::Actor::command_line(None), ..revoke(1) };
    let other = database.store.revoke(by_another).await.expect("revoked");
    assert!(
        !other.is_new_to_edges && other.revocation.number > first.revocation.number,
        "another's is a record of its own"
    );
    let NewRevocation { target, void_after, .. } = revoke(1);
    let expected = Delta {
        sequence: 1,
        kind: RevocationKind::Token,
        id: target.id(ISSUER),
        revoked_before: RevokedBefore::TOKEN,
        expires_at: void_after,
    };
    assert_eq!(read_log(&database.store).await, [expected]);
}

async fn reinstatement_sends_edges_a_delta(database: &Database) {
    let target = revoke(1).target;
    let nothing = database.store.reinstate(reinstate(target.clone(), NOW)).await.expect("asked");
    assert!(nothing.lifted.is_empty() && !nothing.is_new_to_edges);
    let first = database.store.revoke(revoke(1)).await.expect("revoked").revocation;
    let lifted = database.store.reinstate(reinstate(target.clone(), NOW + 1)).await.expect("lifted");
    assert!(lifted.is_new_to_edges);
    assert_eq!(lifted.lifted[0].number, first.number);
    assert_eq!(lifted.lifted[0].reinstated.as_ref().map(|lifted| lifted.at), Some(NOW + 1));
    assert!(!database.store.is_token_revoked(&token(1, 0)).await.expect("asked"));
    let again = database.store.revoke(revoke(1)).await.expect("revoked again");
    assert!(again.is_new_to_edges);
    let selector = RevocationSelector::Number(again.revocation.number);
    let by_number = NewReinstatement { selector, ..reinstate(target, NOW + 2) };
    assert!(database.store.reinstate(by_number.clone()).await.expect("lifted").is_new_to_edges);
    assert!(database.store.reinstate(by_number).await.expect("asked").lifted.is_empty(), "once");
    let marks: Vec<RevokedBefore> = read_log(&database.store).await.iter().map(|delta| delta.revoked_before).collect();
    assert_eq!(
        marks,
        [RevokedBefore::TOKEN, RevokedBefore::NOT_REVOKED, RevokedBefore::TOKEN, RevokedBefore::NOT_REVOKED]
    );
}

async fn is_revoked(database: &Database, token: &AccessToken) -> bool {
    database.store.is_token_revoked(token).await.expect("asked")
}

async fn each_kind_of_revocation_applies_to_its_tokens(database: &Database) {
    let names = |token: &AccessToken| {
        [
            Target::Session(token.session.clone().expect("an odd one has a session")),
            Target::Subject(token.subject.clone()),
            Target::Client(token.client.to_string()),
        ]
    };
    let mut number = 1;
    for kind in 0..3 {
        let before = issue_tokens(&database.store, &[draft(number, NOW + 3600)]).await.remove(0);
        let target = names(&before)[kind].clone();
        assert!(database.store.revoke(revoke_any(target.clone(), NOW)).await.expect("revoked").is_new_to_edges);
        let after = issue_tokens(&database.store, &[draft(number + 30, NOW + 3600)]).await.remove(0);
        assert_eq!(names(&after)[kind], target, "the same name");
        assert!(is_revoked(database, &before).await && !is_revoked(database, &after).await, "{target}");
        assert!(database.store.reinstate(reinstate(target.clone(), NOW)).await.expect("lifted").is_new_to_edges);
        assert!(!is_revoked(database, &before).await, "{target}");
        number += 2;
    }
    let token = issue_tokens(&database.store, &[draft(100, NOW + 3600)]).await.remove(0);
    let everything = |time| Target::Before(time);
    database.store.revoke(revoke_any(everything(NOW), NOW)).await.expect("revoked");
    assert!(!is_revoked(database, &token).await, "issued at the time, not before it");
    database.store.revoke(revoke_any(everything(NOW + 1), NOW + 1)).await.expect("revoked");
    assert!(is_revoked(database, &token).await);
    assert!(database.store.reinstate(reinstate(everything(NOW + 1), NOW + 1)).await.expect("lifted").is_new_to_edges);
    assert!(!is_revoked(database, &token).await);

    let key = Target::Key("key-1".to_owned());
    database.store.revoke(revoke_any(key.clone(), NOW)).await.expect("revoked");
    assert!(is_revoked(database, &token).await);
    let refused = database.store.issue(draft(101, NOW + 3600)).await;
    assert!(matches!(refused, Err(StoreError::KeyRevoked(_))), "{refused:?}");
    database.store.sweep(NOW + 10_000_000).await.expect("swept");
    assert!(database.store.is_token_revoked(&token).await.expect("asked"), "a stolen key stays stolen");
    database.store.reinstate(reinstate(key, NOW)).await.expect("lifted");
    assert!(database.store.issue(draft(101, NOW + 3600)).await.is_ok());
}

async fn marks_of_a_target_combine_by_maximum(database: &Database) {
    let everything = |time| revoke_any(Target::Before(time), NOW);
    let high = database.store.revoke(everything(NOW - 10)).await.expect("revoked");
    let low = database.store.revoke(everything(NOW - 20)).await.expect("revoked");
    assert!(high.is_new_to_edges && !low.is_new_to_edges, "an ineffective revocation is recorded, and edges know");
    assert!(low.revocation.number > high.revocation.number);
    let lift =
        |number| NewReinstatement { selector: RevocationSelector::Number(number), ..reinstate(Target::Before(0), NOW) };
    assert!(database.store.reinstate(lift(high.revocation.number)).await.expect("lifted").is_new_to_edges);
    assert!(database.store.reinstate(lift(low.revocation.number)).await.expect("lifted").is_new_to_edges);

    let subject = || revoke_any(Target::Subject("someone".to_owned()), NOW);
    let first = database.store.revoke(subject()).await.expect("revoked");
    let second = database.store.revoke(subject()).await.expect("revoked");
    assert!(second.revocation.revoked_before > first.revocation.revoked_before, "each ends an epoch of its own");
    database.store.reinstate(lift(second.revocation.number)).await.expect("lifted");
    let marks: Vec<u64> = read_log(&database.store).await.iter().map(|delta| delta.revoked_before.0).collect();
    assert_eq!(marks, [NOW - 10, NOW - 20, 0, 2, 3, 2]);
}

async fn expired_revocation_can_be_made_again(database: &Database) {
    // A token without a record: an expired revocation may be missing in every snapshot, so edges
    // need a new delta.
    let foreign = |at| revoke_any(Target::Token("not-of-our-making".to_owned()), at);
    let first = database.store.revoke(foreign(NOW)).await.expect("revoked");
    let later = first.revocation.void_after + 1;
    assert!(database.store.reinstate(reinstate(foreign(NOW).target, later)).await.expect("asked").lifted.is_empty());
    let second = database.store.revoke(foreign(later)).await.expect("revoked");
    assert!(second.is_new_to_edges && second.revocation.number > first.revocation.number);
}

async fn revocation_records_have_actor_and_reason(database: &Database) {
    database.store.revoke(revoke_any(Target::Client("a".to_owned()), NOW)).await.expect("revoked");
    database.store.revoke(revoke_any(Target::Before(NOW - 1), NOW + 1)).await.expect("revoked");
    database.store.reinstate(reinstate(Target::Client("a".to_owned()), NOW + 2)).await.expect("lifted");
    let listed = async |listing: RevocationFilter| {
        let found =
            database.store.list_revocations(&RevocationFilter { limit: 10, ..listing }, NOW + 2).await.expect("listed");
        found.iter().map(|revocation| revocation.number).collect::<Vec<_>>()
    };
    assert_eq!(listed(RevocationFilter::default()).await, [2]);
    assert_eq!(listed(RevocationFilter { include_inactive: true, ..RevocationFilter::default() }).await, [2, 1]);
    assert_eq!(
        listed(RevocationFilter { include_inactive: true, below: Some(2), ..RevocationFilter::default() }).await,
        [1]
    );
    assert_eq!(
        listed(RevocationFilter {
            include_inactive: true,
            kind: Some(RevocationKind::Client),
            ..RevocationFilter::default()
        })
        .await,
        [1]
    );
    assert_eq!(
        listed(RevocationFilter { include_inactive: true, name: Some("b".to_owned()), ..RevocationFilter::default() })
            .await,
        [0; 0]
    );
    let found = database.store.find_revocation(1).await.expect("read").expect("there");
    assert_eq!((found.by, found.reason.as_deref(), found.at), (by(), Some("test"), NOW));

    let log = audit(&database.store, AuditFilter::default()).await;
    let entries: Vec<_> =
        log.iter().map(|entry| (entry.at, entry.action.as_str(), entry.kind, entry.name.as_str())).collect();
    let (client, everything) = (AuditKind::CLIENT, AuditKind::Revocable(RevocationKind::Everything));
    let time = (NOW - 1).to_string();
    let expected = [
        (NOW, "revoke", client, "a"),
        (NOW + 1, "revoke", everything, time.as_str()),
        (NOW + 2, "reinstate", client, "a"),
    ];
    assert_eq!(entries, expected);
    for change in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
        assert!(database.execute(change).await.is_err(), "{change}");
    }
    database.store.sweep(NOW + 10_000_000).await.expect("swept");
    assert!(
        listed(RevocationFilter { include_inactive: true, ..RevocationFilter::default() }).await.is_empty(),
        "void records are forgotten"
    );
    assert_eq!(audit(&database.store, AuditFilter::default()).await.len(), 3, "the log is kept");
}

async fn rolled_back_revocation_leaves_no_gap(database: &Database) {
    // Dropped at different moments, some before the commit and some after.
    for number in 0..40_u32 {
        let patience = Duration::from_micros(u64::from(number) * 50);
        drop(tokio::time::timeout(patience, database.store.revoke(revoke(number))).await);
    }
    // Waits for those that were committing when they were dropped.
    database.store.revoke(revoke(40)).await.expect("revoked");
    let deltas = read_log(&database.store).await.len();
    let mut revoked = 0;
    for number in 0..=40 {
        revoked += usize::from(database.store.is_token_revoked(&token(number, 0)).await.expect("asked"));
    }
    assert_eq!(deltas, revoked, "each revocation has its delta, and each delta its revocation");
}

async fn concurrent_revocations_form_one_log(database: &Database) {
    let other = database.reopen().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100_u32 {
        let store = if number % 2 == 0 { database.store.clone() } else { other.clone() };
        // Revokes every token twice, by either process.
        tasks.spawn(async move { store.revoke(revoke(number / 2)).await.expect("revoked").is_new_to_edges });
    }
    let fresh = tasks.join_all().await.into_iter().filter(|fresh| *fresh).count();
    assert_eq!(fresh, 50, "each was revoked by one of the two");
    assert_eq!(read_log(&database.store).await.len(), 50);
    other.close().await;
}

async fn revoked_token_cannot_be_exchanged(database: &Database) {
    let store = &database.store;
    let source = issue_tokens(store, &[draft(1, NOW + 3600)]).await.remove(0);
    let exchanged = |number: u32| {
        let mut draft = draft(number, NOW + 3600);
        draft.client = "another".parse().expect("an id");
        draft.subject = "another".to_owned();
        draft.session = None;
        draft.details.exchanged_from = vec![source.id];
        draft
    };
    store.create_client(&client("another").0).await.expect("registered");
    let child = store.issue(exchanged(2)).await.expect("issued");
    let found = store.find_token(child.id).await.expect("read").expect("there");
    assert_eq!((&found, found.details.exchanged_from.as_slice()), (&child, &[source.id][..]));
    assert!(!store.is_token_revoked(&child).await.expect("asked"));

    // In one batch with the revocation, the token is revoked as well: it belongs to the epoch that
    // is closed.
    let target = Target::Client(source.client.to_string());
    let batch = Batch {
        revocations: vec![revoke_any(target.clone(), NOW)],
        issuances: vec![exchanged(3).into(), draft(4, NOW + 3600).into()],
        ..Batch::default()
    };
    let issued = store.apply(batch).await.expect("written").issued;
    let issued: Vec<_> = issued.into_iter().map(|token| token.expect("issued")).collect();
    assert!(issued[0].id.epoch() < issued[1].id.epoch());
    assert!(
        store.is_token_revoked(&issued[0]).await.expect("asked")
            && store.is_token_revoked(&child).await.expect("asked")
    );
    assert!(!store.is_token_revoked(&issued[1]).await.expect("asked"));
    let refused = store.issue(exchanged(5)).await;
    assert!(matches!(refused, Err(StoreError::SubjectTokenRevoked)), "{refused:?}");
    store.reinstate(reinstate(target, NOW)).await.expect("lifted");
    assert!(!store.is_token_revoked(&child).await.expect("asked"));
    assert!(store.issue(exchanged(6)).await.is_ok());

    let orphan = AccessToken { details: exchanged(7).details, ..token(7, 0) };
    let unknown = TokenDetails { exchanged_from: vec![token(90, 0).id], ..TokenDetails::default() };
    assert!(!store.is_token_revoked(&orphan).await.expect("asked"));
    assert!(
        store.is_token_revoked(&AccessToken { details: unknown, ..orphan }).await.expect("asked"),
        "nothing is known of it"
    );
}
