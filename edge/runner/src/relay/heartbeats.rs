//! Heartbeats of the edges behind a relay, which the relay hands on with its own questions.
//!
//! A heartbeat is an edge's own query, which the edge has signed. The relay cannot check it; the
//! origin does, so a relay can leave a heartbeat out and never invent one.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Edges whose heartbeats wait.
const MAX_EDGES: usize = 4096;
/// Longest query that is handed on, in bytes.
const MAX_QUERY_BYTES: usize = 3 * 1024;
/// Bytes of the heartbeats in one question; proxies commonly limit a request line to 8 KiB.
const MAX_PARAMETER_BYTES: usize = 4 * 1024;
const PARAMETER: &str = "relayed=";

/// Heartbeats in the order of arrival, the newest one of each edge.
#[derive(Debug, Default)]
pub(super) struct Heartbeats(Mutex<VecDeque<Heartbeat>>);

#[derive(Debug)]
struct Heartbeat {
    edge: String,
    query: String,
}

impl Heartbeats {
    /// Keeps the query of an edge, if it is signed; and the heartbeats in it, if it is a relay's.
    pub(super) fn record(&self, query: &str) {
        if let Some(relayed) = parameter(query, PARAMETER) {
            decode(relayed).lines().for_each(|query| self.record_edge(query));
        }
        self.record_edge(query);
    }

    fn record_edge(&self, query: &str) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=&.-_~".contains(&byte);
        let is_signed = query.len() <= MAX_QUERY_BYTES && query.bytes().all(is_plain) && query.contains("&proof=");
        let Some(edge) = parameter(query, "edge=").filter(|_| is_signed) else { return };
        let mut heartbeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heartbeats.iter_mut().find(|heartbeat| heartbeat.edge == edge);
        if let Some(known) = known {
            // A report of the edge's work is not in every query.
            if parameter(query, "report=").is_some() || parameter(&known.query, "report=").is_none() {
                known.query = query.to_owned();
            }
        } else if heartbeats.len() < MAX_EDGES {
            heartbeats.push_back(Heartbeat { edge: edge.to_owned(), query: query.to_owned() });
        }
    }

    /// The parameter for a question with as many heartbeats as fit, or nothing.
    pub(super) fn take_parameter(&self) -> String {
        let mut heartbeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut relayed = String::new();
        while let Some(next) = heartbeats.front().map(|heartbeat| encode(&heartbeat.query)) {
            if !relayed.is_empty() && relayed.len() + next.len() > MAX_PARAMETER_BYTES {
                break;
            }
            relayed.push_str(if relayed.is_empty() { "&relayed=" } else { "%0A" });
            relayed.push_str(&next);
            heartbeats.pop_front();
        }
        relayed
    }
}

/// The value of a parameter, whose name ends in `=`.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name))
}

/// A query of plain characters as the value of a parameter.
fn encode(query: &str) -> String {
    query.replace('&', "%26").replace('=', "%3D")
}

fn decode(value: &str) -> String {
    value.replace("%26", "&").replace("%3D", "=").replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(edge: &str, more: &str) -> String {
        format!("after=1&wait=0.250&edge={edge}&number=7&at=9{more}&proof=ab")
    }

    #[test]
    fn each_edge_has_its_newest_heartbeat_and_keeps_its_report() {
        let heartbeats = Heartbeats::default();
        for query in [
            query("near", ""),
            query("far", "&report=1.ab.passed-3"),
            query("far", ""),
            query("near", "&report=1.cd"),
            "after=1&edge=unsigned".to_owned(),
            query("odd", "&report=%41"),
            "after=1&nonce=00".to_owned(),
        ] {
            heartbeats.record(&query);
        }
        let relayed = heartbeats.take_parameter();
        let lines = decode(relayed.strip_prefix("&relayed=").expect("heartbeats"));
        assert_eq!(lines, [query("near", "&report=1.cd"), query("far", "&report=1.ab.passed-3")].join("\n"));
        assert_eq!(heartbeats.take_parameter(), "");
    }

    #[test]
    fn heartbeats_pass_through_two_relays_and_are_bounded() {
        let (first, second) = (Heartbeats::default(), Heartbeats::default());
        for number in 0..MAX_EDGES + 10 {
            first.record(&query(&format!("edge-{number}"), ""));
        }
        second.record(&format!("after=1{}&nonce=00", first.take_parameter()));
        let relayed = second.take_parameter();
        assert!(relayed.starts_with("&relayed=after%3D1%26wait%3D0.250%26edge%3Dedge-0%26"), "{relayed}");
        assert!(relayed.len() <= MAX_PARAMETER_BYTES + 100 && relayed.matches("%0A").count() > 10, "{relayed}");
        assert_eq!(second.take_parameter(), "", "all that came with one question fit into the next");
        let rest = std::iter::from_fn(|| Some(first.take_parameter()).filter(|relayed| !relayed.is_empty()));
        let heartbeats: usize = rest.map(|relayed| relayed.matches("%0A").count() + 1).sum();
        assert_eq!(heartbeats + relayed.matches("%0A").count() + 1, MAX_EDGES);
    }
}
