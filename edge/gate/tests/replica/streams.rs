//! Which streams may stay open, and when they must be checked again.

use serde_json::json;
use tollgate_core::{
    ConfigDigest, Delta, DeltaParts, HashChain, RevocationId, RevocationKind, RevokedBefore, build_deltas,
};
use tollgate_gate::{
    Connection, Decision, Freshness, Gate, Refusal, Request, StreamPolicy, StreamTicket, StreamVerdict, may_stay_open,
    stream_check_delay_ms,
};

use crate::{ISSUER, NOW, Origin, asked, config, gate, hs256, signer, status, synced};

fn request<T>(target: &str, token_id: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
    let credentials = format!("Bearer {}", hs256(token_id));
    ask(&Request {
        method: "GET",
        target,
        headers: &[("authorization", credentials.as_bytes())],
        connection: Connection::default(),
    })
}

/// The ticket of a stream at `target`, as its host got it back from its memory.
fn ticket(gate: &Gate, target: &str, token_id: &str) -> StreamTicket {
    let ticket = request(target, token_id, |request| gate.stream_ticket(request)).expect("a known token");
    StreamTicket::from_bytes(&ticket.to_bytes()).expect("a ticket")
}

fn origin_with_routes(routes: &serde_json::Value) -> Origin {
    Origin { config: config(routes), ..Origin::with(0) }
}

/// Pushes changes with the values that `changes` gives to one id.
fn push(gate: &mut Gate, kind: RevocationKind, id: RevocationId, changes: &[RevokedBefore]) {
    let deltas: Vec<Delta> = (1..)
        .zip(changes)
        .map(|(sequence, &revoked_before)| Delta { sequence, kind, id, revoked_before, expires_at: NOW / 1000 + 7200 })
        .collect();
    let parts = DeltaParts {
        issuer: ISSUER,
        after: 0,
        head: deltas.len() as u64,
        as_of_ms: NOW,
        chain: HashChain::genesis(ISSUER),
        config: ConfigDigest::of(&Origin::with(0).config),
        epoch: 1,
        deltas: &deltas,
        nonce: None,
    };
    let message = build_deltas(&parts, &signer()).expect("good deltas");
    assert_eq!(gate.push(&message, NOW).status, 200);
}

#[test]
fn stream_ends_with_every_kind_of_revocation_as_requests_do() {
    use RevocationKind::{Client, Everything, Key, Subject, Token};
    let all = RevokedBefore::EVERY_EPOCH;
    for (kind, id, value) in [
        (Token, RevocationId::for_token(ISSUER, "a"), RevokedBefore::TOKEN),
        (Subject, RevocationId::new(Subject, ISSUER, "s"), all),
        (Client, RevocationId::new(Client, ISSUER, "c"), all),
        (Key, RevocationId::new(Key, ISSUER, "shared"), all),
        (Everything, RevocationId::EVERYTHING, RevokedBefore::time(NOW / 1000)),
    ] {
        let mut gate = synced(&Origin::with(0));
        let (of_a, of_b) = (ticket(&gate, "/", "a"), ticket(&gate, "/", "b"));
        assert_eq!(gate.check_stream(&of_a, NOW, false), StreamVerdict::Keep, "{kind:?}");
        let before = gate.stream_schedule();

        push(&mut gate, kind, id, &[value]);
        assert_ne!(gate.stream_schedule(), before, "{kind:?}: streams are checked again");
        assert_eq!(status(&gate, "/", "a", NOW), 401, "{kind:?}");
        assert_eq!(gate.check_stream(&of_a, NOW, false), StreamVerdict::End(Refusal::Revoked), "{kind:?}");
        if kind == Token {
            assert_eq!(gate.check_stream(&of_b, NOW, false), StreamVerdict::Keep, "another token of the same group");
        }

        push(&mut gate, kind, id, &[value, RevokedBefore::NOT_REVOKED]);
        assert_eq!(gate.check_stream(&of_a, NOW, false), StreamVerdict::Keep, "{kind:?}: reinstated");
    }
}

#[test]
fn stream_ends_when_requests_with_its_token_expire() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    let ticket = ticket(&gate, "/", "a");
    let expires_at_ms = ticket.expires_at() * 1000;
    assert_eq!(expires_at_ms, NOW + 3_630_000, "the leeway counts");
    let last_ms = expires_at_ms - 1;
    origin.as_of_ms = last_ms;
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(last_ms)), Ok(false));
    assert_eq!(
        (gate.check_stream(&ticket, last_ms, false), status(&gate, "/", "a", last_ms)),
        (StreamVerdict::Keep, 200)
    );
    let expired = Refusal::Expired { expires_at: expires_at_ms / 1000, now: expires_at_ms / 1000 };
    assert_eq!(gate.check_stream(&ticket, expires_at_ms, false), StreamVerdict::End(expired));
    assert_eq!(status(&gate, "/", "a", expires_at_ms), 401);
}

#[test]
fn stream_with_a_stale_replica_waits_and_then_ends_unless_its_route_allows_it() {
    let gate = synced(&origin_with_routes(&json!([{ "path": "/lenient", "on_stale": "allow" }])));
    let (strict, lenient) = (ticket(&gate, "/", "a"), ticket(&gate, "/lenient", "a"));
    let stale_at_ms = gate.stream_schedule().stale_at_ms.expect("fresh once");
    assert_ne!(gate.freshness(stale_at_ms - 1), Freshness::Stale);
    assert_eq!(gate.freshness(stale_at_ms), Freshness::Stale);
    for (ticket, has_waited, expected) in [
        (&strict, false, StreamVerdict::Wait),
        (&strict, true, StreamVerdict::End(Refusal::Stale)),
        (&lenient, false, StreamVerdict::Keep),
        (&lenient, true, StreamVerdict::Keep),
    ] {
        assert_eq!(gate.check_stream(ticket, stale_at_ms - 1, has_waited), StreamVerdict::Keep);
        assert_eq!(gate.check_stream(ticket, stale_at_ms, has_waited), expected);
    }
}

#[test]
fn stream_without_a_replica_never_stays_open() {
    let ticket = ticket(&synced(&Origin::with(0)), "/", "a");
    assert_eq!(gate().check_stream(&ticket, NOW, false), StreamVerdict::Wait);
    assert_eq!(gate().check_stream(&ticket, NOW, true), StreamVerdict::End(Refusal::Stale));
}

#[test]
fn only_streams_with_an_accepted_token_can_end_with_it() {
    let routes = json!([{ "path": "/open", "public": true }, { "path": "/on", "streams": "continue" }]);
    let gate = synced(&origin_with_routes(&routes));
    let policy = |decision| match decision {
        Decision::Forward(forward) => forward.route.streams,
        other => panic!("expected a request that passes, not {other:?}"),
    };
    let of_token = |target| policy(request(target, "a", |request| gate.decide(request, NOW, true)));
    assert_eq!([of_token("/"), of_token("/open")], [StreamPolicy::End; 2]);
    assert_eq!(of_token("/on"), StreamPolicy::Continue);
    let anonymous = Request { method: "GET", target: "/open", headers: &[], connection: Connection::default() };
    assert_eq!(policy(gate.decide(&anonymous, NOW, true)), StreamPolicy::Continue);
    assert_eq!(gate.stream_ticket(&anonymous), None);
}

#[test]
fn responses_that_may_stay_open_are_known_by_their_headers() {
    for (content_type, content_length, expected) in [
        (Some("text/event-stream; charset=utf-8"), Some("5"), true),
        (Some("application/json"), None, true),
        (Some("application/json"), Some("1048576"), false),
        (None, Some("1048577"), true),
        (None, Some("0"), false),
        (None, Some("many"), true),
    ] {
        assert_eq!(may_stay_open(content_type, content_length), expected, "{content_type:?} {content_length:?}");
    }
}

#[test]
fn stream_is_checked_again_when_its_ticket_expires_at_the_latest() {
    let ticket = ticket(&synced(&Origin::with(0)), "/", "a");
    let expires_at_ms = ticket.expires_at() * 1000;
    assert_eq!(stream_check_delay_ms(&ticket, expires_at_ms - 40), 40);
    assert!(stream_check_delay_ms(&ticket, NOW) <= 1000);
    assert_eq!(stream_check_delay_ms(&ticket, expires_at_ms + 1), 0);
}
