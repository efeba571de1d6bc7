//! What a gate counts, what it says of a refused request, and what it reports to its origin.

use super::*;
use tollgate_gate::{RefusedRequest, RouteTotals};

/// Decides on a GET, with `token` as a bearer token; what the log says if it is refused.
fn refused(gate: &Gate, target: &str, token: Option<&str>, now_ms: u64) -> Option<RefusedRequest> {
    let credentials = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &[u8])> = credentials.iter().map(|value| ("authorization", value.as_bytes())).collect();
    let request = Request { method: "GET", target, headers: &headers, connection: Connection::default() };
    let decision = match gate.decide(&request, now_ms, false) {
        Decision::Wait => gate.decide(&request, now_ms, true), // after a fetch that failed
        decision => decision,
    };
    match decision {
        Decision::Answer(answer) => answer.refused,
        _ => None,
    }
}

fn with_reason(reason: &'static str, route: Option<&str>, client: Option<&str>) -> Option<RefusedRequest> {
    Some(RefusedRequest { reason, route: route.map(str::to_owned), client: client.map(str::to_owned) })
}

#[test]
fn each_decision_counts_once_and_says_why_a_request_is_refused() {
    let mut origin = Origin::with(1);
    let admin = json!({ "path": "/admin", "methods": ["GET", "PUT"], "scope": ["admin"] });
    origin.config = config(&json!([{ "path": "/open/*", "public": true }, admin]));
    let mut gate = synced(&origin);
    let (good, revoked) = (hs256("a"), hs256("token-1"));
    for (target, token, expected) in [
        ("/open/x", None, None),
        ("/", Some(good.as_str()), None),
        ("/", Some(good.as_str()), None),
        ("/admin", Some(good.as_str()), with_reason("insufficient_scope", Some("GET,PUT /admin"), Some("c"))),
        ("/", None, with_reason("missing_token", None, None)),
        ("/", Some(revoked.as_str()), with_reason("revoked", None, Some("c"))),
        ("/", Some("garbage"), with_reason("not_compact", None, None)),
        ("/a%2fb", Some(good.as_str()), with_reason("invalid_request", None, None)),
        ("/_tollgate/health", None, None),
        ("/_tollgate/nothing", None, None),
    ] {
        assert_eq!(refused(&gate, target, token, NOW), expected, "{target} {token:?}");
    }
    let credentials = format!("Bearer {good}");
    let headers = [("authorization", credentials.as_bytes())];
    let request = Request { method: "GET", target: "/", headers: &headers, connection: Connection::default() };
    assert_eq!(gate.decide(&request, NOW + 2000, false), Decision::Wait, "not counted before it is decided");
    assert_eq!(refused(&gate, "/", Some(&good), NOW + 2000), with_reason("stale", None, Some("c")));

    let totals = "passed-3.cache_hits-3.cache_misses-3.decided_fresh-5.decided_stale-1.refused-not_compact-1.\
                  refused-revoked-1.refused-stale-1.refused-insufficient_scope-1.refused-missing_token-1.\
                  refused-invalid_request-1";
    assert_eq!(gate.counters().totals().to_string(), totals);
    let route = |label: &str, passed, refused| (label.to_owned(), RouteTotals { passed, refused });
    let routes: Vec<_> = gate.route_totals().collect();
    assert_eq!(routes, [route("/open/*", 1, 0), route("GET,PUT /admin", 0, 1)]);

    origin.config = config(&json!([{ "path": "/new/*" }]));
    origin.as_of_ms += 1;
    gate.accept(200, &origin.snapshot(), &asked(NOW + 1)).expect("a newer configuration");
    assert_eq!(gate.route_totals().collect::<Vec<_>>(), [route("/new/*", 0, 0)], "other rules begin at 0");
    assert_eq!(gate.counters().totals().to_string(), totals, "totals of all requests do not");
}

#[test]
fn proxied_questions_count_as_the_requests_they_are_about() {
    let gate = synced(&Origin::with(1));
    let good = hs256("a");
    assert_eq!(refused(&gate, "/_tollgate/validate/x", Some(&good), NOW), None);
    assert_eq!(refused(&gate, "/_tollgate/validate/x", None, NOW), with_reason("missing_token", None, None));
    let totals = gate.counters().totals().to_string();
    assert_eq!(totals, "passed-1.cache_misses-1.decided_fresh-1.refused-missing_token-1");
}

#[test]
fn reports_are_covered_by_the_edges_proof() {
    let key = format!("near.by:1799999999:{}", URL_SAFE_NO_PAD.encode(SECRET));
    let report = "1.00000000000000ab.passed-3.refused-expired-2";
    let mut gate = gate_with(&[("TOLLGATE_EDGE_KEY", &key)]);
    assert_eq!(gate.next_fetch_reporting(0, &asked(NOW), report), "/edge/v1/snapshot");
    assert_eq!(gate.accept(200, &Origin::with(3).snapshot(), &asked(NOW)), Ok(true));
    let target = gate.next_fetch_reporting(0, &asked(NOW), report);
    let query = target.strip_prefix("/edge/v1/deltas?").expect("a query");
    assert!(query.contains(&format!("&at={NOW}&report={report}&proof=")), "{query}");
    let key = EdgeKey::new(&SECRET);
    assert!(key.has_signed(query) && !key.has_signed(&query.replace("passed-3", "passed-4")));
    let gate = synced(&Origin::with(3));
    assert!(!gate.next_fetch_reporting(0, &asked(NOW), report).contains("report"), "an edge without a key has none");
}
