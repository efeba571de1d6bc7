//! Which requests wait for a fresh replica, and which are decided immediately.

use super::*;

/// The decision on a GET of `target` with this token, by a request that has not waited.
fn decision(gate: &Gate, target: &str, credentials: Option<&str>, now_ms: u64) -> String {
    let credentials = credentials.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &[u8])> = credentials.iter().map(|value| ("authorization", value.as_bytes())).collect();
    match gate.decide(
        &Request { method: "GET", target, headers: &headers, connection: Connection::default() },
        now_ms,
        false,
    ) {
        Decision::Answer(answer) => answer.status.to_string(),
        Decision::Forward(forward) => format!("passes, {} headers", forward.identity.len()),
        Decision::Wait => "waits".to_owned(),
        Decision::Introspect(token) => format!("introspects {token}"),
        Decision::Push => "push".to_owned(),
    }
}

#[test]
fn only_decisions_that_need_a_fresh_replica_wait() {
    let mut origin = Origin::with(1);
    let routes = json!([
        { "path": "/open/*", "public": true },
        { "path": "/lenient", "on_stale": "allow" },
        { "path": "/strict", "max_staleness_ms": 100 },
        { "path": "/admin", "scope": ["admin"] },
    ]);
    origin.config = config(&routes);
    let gate = synced(&origin);
    let (good, revoked) = (hs256("a"), hs256("token-1"));
    let forged = format!("{}A", &good[..good.len() - 1]);
    let later = NOW + 1001;
    for (target, token, fresh, stale) in [
        ("/_tollgate/health", None, "200", "503"),
        ("/_tollgate/nothing", None, "404", "404"),
        ("/open/x", None, "passes, 0 headers", "passes, 0 headers"),
        ("/open/x", Some("garbage"), "passes, 0 headers", "passes, 0 headers"),
        ("/open/x", Some(good.as_str()), "passes, 6 headers", "waits"),
        ("/", None, "401", "401"),
        ("/", Some("garbage"), "401", "401"),
        ("/", Some(forged.as_str()), "401", "401"),
        ("/", Some(revoked.as_str()), "401", "401"),
        ("/lenient", Some(revoked.as_str()), "401", "401"),
        ("/a%2fb", Some(good.as_str()), "400", "400"),
        ("/ADMIN", Some(good.as_str()), "400", "400"),
        ("/", Some("a b"), "400", "400"),
        ("/", Some(good.as_str()), "passes, 6 headers", "waits"),
        ("/lenient", Some(good.as_str()), "passes, 6 headers", "passes, 6 headers"),
        ("/strict", Some(good.as_str()), "passes, 6 headers", "waits"),
        ("/admin", Some(good.as_str()), "403", "waits"),
    ] {
        assert_eq!(decision(&gate, target, token, NOW), fresh, "{target} {token:?}");
        assert_eq!(decision(&gate, target, token, later), stale, "{target} {token:?}, later");
    }
    assert_eq!(decision(&gate, "/", Some(&good), NOW + 3_700_000), "401", "the token has expired");

    // A stricter bound of a route.
    for (age, decided) in [(0, "passes, 6 headers"), (100, "passes, 6 headers"), (101, "waits")] {
        assert_eq!(decision(&gate, "/strict", Some(&good), NOW + age), decided, "after {age} ms");
    }
    assert_eq!(gate.freshness(NOW + 101), Freshness::RefreshDue, "fetches keep to the strictest bound");
    assert!(gate.next_fetch(250, &asked(NOW)).contains("&wait=0.025&"), "polls too");

    // An edge that had no requests for a while has an old replica although its origin answers.
    assert_eq!(decision(&gate, "/lenient", Some(&good), NOW + 60_000), "passes, 6 headers");
    assert_eq!(decision(&gate, "/lenient", Some(&good), NOW + 60_001), "waits");

    // Rules and keys may have changed: an unknown key is refused only by a fresh replica.
    let other = good.split_once('.').map(|(_, rest)| rest).expect("three parts");
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "newer" }).to_string();
    let newer = format!("{}.{other}", URL_SAFE_NO_PAD.encode(header));
    assert_eq!(decision(&gate, "/", Some(&newer), NOW), "401");
    assert_eq!(decision(&gate, "/", Some(&newer), later), "waits");

    // An instance that was never fresh has rules of unknown age, or none.
    let mut warm = self::gate();
    for stage in ["cold", "warm"] {
        assert_eq!(decision(&warm, "/_tollgate/health", None, NOW), "503", "{stage}");
        assert_eq!(decision(&warm, "/a;b", None, NOW), "400", "{stage}");
        assert_eq!(decision(&warm, "/open/x", None, NOW), "waits", "{stage}");
        assert_eq!(decision(&warm, "/_tollgate/validate", None, NOW), "waits", "{stage}");
        assert_eq!(warm.warm(&origin.snapshot()), Ok(()));
    }
}
