//! Adapters that send a case of the conformance table to a gate and return its answer. An adapter
//! may skip only the cases that no HTTP header can carry.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use tollgate_edge::{Program, Validator};
use tollgate_gate::{
    Connection, Decision, Gate, Header, Nonce, Peer, Question, Request, RequestHeaderPolicy, Settings, TrustedProxies,
    added_response_headers,
};

use crate::conformance::{Answer, Case, Exchange};
use crate::echo_upstream::{self, ANSWER_WITH, ECHO, joined};
use crate::edge::{EdgeKind, TestEdge};
use crate::environment::{now_ms, required_env};

/// Address from which all cases are sent.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A host of the gate that gets the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The gate, called as a Rust function.
    Native,
    /// The gate in the WIT component, called through wasmtime.
    Component,
    /// An edge over HTTP, with an upstream behind it.
    Edge(EdgeKind),
}

impl Host {
    /// All hosts.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Component,
        Self::Edge(EdgeKind::Runner),
        Self::Edge(EdgeKind::Spin),
        Self::Edge(EdgeKind::Worker),
    ];

    /// Starts a gate that is fresh.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn start(self, settings: &BTreeMap<&'static str, String>) -> Result<Adapter> {
        let mut settings = settings.clone();
        // No case is about freshness: nothing refreshes a gate that is called as a function while
        // the table runs, and a busy machine must make no edge stale.
        settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
        let Self::Edge(kind) = self else {
            let proxies = TrustedProxies::from_lookup(|name| settings.get(name).cloned())?;
            return match self {
                Self::Native => Ok(Adapter::Native(native(&settings).await?, proxies)),
                _ => Ok(Adapter::Component(component(&settings).await?, proxies)),
            };
        };
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Adapter::Http(TestEdge::start(kind, &settings).await?, client))
    }
}

/// A gate that answers cases.
pub enum Adapter {
    Native(Box<Gate>, TrustedProxies),
    Component(Box<Validator>, TrustedProxies),
    Http(TestEdge, reqwest::Client),
}

/// Opens a gate in this process and feeds it from the origin.
async fn native(settings: &BTreeMap<&'static str, String>) -> Result<Box<Gate>> {
    let settings = Settings::from_lookup(|name| settings.get(name).cloned())?;
    let mut gate = Gate::new(settings).with_instance_seed(Nonce::from_bytes([7; Nonce::LEN]));
    loop {
        let question = Question { asked_at_ms: now_ms(), nonce: Nonce::from_bytes([1; Nonce::LEN]) };
        let answer = fetch(&gate.settings().origin, &gate.next_fetch(0, &question)).await?;
        if !gate.accept(200, &answer, &question)? {
            return Ok(Box::new(gate));
        }
    }
}

/// Instantiates the WIT component and feeds it from the origin.
async fn component(settings: &BTreeMap<&'static str, String>) -> Result<Box<Validator>> {
    let program =
        Program::load(&PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    let pairs: Vec<(String, String)> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut validator = Validator::open(&program, &pairs)?;
    loop {
        let question = tollgate_edge::Question { asked_at_ms: now_ms(), nonce: (now_ms(), 1) };
        let target = validator.next_fetch(0, question).map_err(trap)?;
        let answer = fetch(&settings["TOLLGATE_EDGE_ORIGIN"], &target).await?;
        if !validator.accept(200, &answer, question).map_err(trap)?.map_err(anyhow::Error::msg)? {
            return Ok(Box::new(validator));
        }
    }
}

impl Adapter {
    /// Whether the case can reach this gate: HTTP headers carry fewer values than a function call.
    pub fn carries(&self, case: &Case) -> bool {
        case.fits_http || !matches!(self, Self::Http(..))
    }

    /// Sends the case and returns what became of it.
    ///
    /// # Errors
    /// If the gate does not answer.
    pub async fn exchange(&mut self, case: &Case) -> Result<Exchange> {
        match self {
            Self::Native(gate, proxies) => native_exchange(gate, proxies, case),
            Self::Component(validator, proxies) => component_exchange(validator, proxies, case),
            Self::Http(edge, client) => http_exchange(edge, client, case).await,
        }
    }
}

/// Converts an error of wasmtime, which does not implement `std::error::Error`.
fn trap(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("the component trapped: {error:#}")
}

async fn fetch(origin: &str, target: &str) -> Result<Vec<u8>> {
    let answer = reqwest::get(format!("{origin}{target}")).await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

/// Decides without waiting for a sync.
fn native_exchange(gate: &Gate, proxies: &TrustedProxies, case: &Case) -> Result<Exchange> {
    let headers: Vec<(&str, &[u8])> = case.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let connection = Connection { is_from_trusted_proxy: proxies.contains(CLIENT), ..Connection::default() };
    let request = Request { method: case.method, target: &case.target, headers: &headers, connection };
    Ok(match gate.decide(&request, now_ms(), true) {
        Decision::Forward(forward) => {
            let text = |(name, value): Header| (name.into_owned(), value);
            let identity = forward.identity.into_iter().map(text).collect();
            let response_headers = forward.response_headers.into_iter().map(text).collect();
            forwarded_by_function(case, proxies, identity, &forward.removed_headers, response_headers)
        }
        Decision::Answer(answer) => answered(answer.status, joined(answer.headers), answer.body),
        Decision::Push | Decision::Wait | Decision::Introspect(_) => {
            anyhow::bail!("no case of the table pushes, waits or introspects")
        }
    })
}

fn component_exchange(validator: &mut Validator, proxies: &TrustedProxies, case: &Case) -> Result<Exchange> {
    let headers = case.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let is_from_trusted_proxy = proxies.contains(CLIENT);
    let connection = tollgate_edge::Connection { is_https: false, is_from_trusted_proxy, client_certificate: None };
    let (method, target) = (case.method.to_owned(), case.target.clone());
    let request = tollgate_edge::Request { method, target, headers, connection };
    Ok(match validator.decide(&request, now_ms(), true).map_err(trap)? {
        tollgate_edge::Decision::Forward(forward) => {
            let (identity, response_headers) =
                (text_headers(forward.identity)?, text_headers(forward.response_headers)?);
            forwarded_by_function(case, proxies, identity, &forward.removed_headers, response_headers)
        }
        tollgate_edge::Decision::Answer(answer) => {
            answered(answer.status, joined(text_headers(answer.headers)?), answer.body)
        }
        tollgate_edge::Decision::Push | tollgate_edge::Decision::Wait | tollgate_edge::Decision::Introspect(_) => {
            anyhow::bail!("no case of the table pushes, waits or introspects")
        }
    })
}

/// What a host makes of this decision: it sends the headers of the client that the gate's policy
/// passes and those that it adds, and the upstream answers.
fn forwarded_by_function(
    case: &Case,
    proxies: &TrustedProxies,
    identity: Vec<(String, String)>,
    removed_headers: &[String],
    response_headers: Vec<(String, String)>,
) -> Exchange {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = case.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    };
    let peer = Peer { address: Some(CLIENT), scheme: "http", host: Some(b"127.0.0.1") };
    let policy = RequestHeaderPolicy::new(peer, proxies, values("connection")).without(removed_headers);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let passed = case.headers.iter().filter(|(name, _)| policy.passes(name));
    let passed = passed.map(|(name, value)| (name.to_ascii_lowercase(), text(value)));
    let added = policy.forwarding_headers(values).into_iter().map(|(name, value)| (name.to_owned(), text(&value)));
    let upstream_headers = joined(passed.chain(added).chain(identity).collect::<Vec<_>>());
    let of_upstream = echo_upstream::answer_headers(values(ANSWER_WITH));
    let has = |name: &str| of_upstream.iter().any(|(known, _)| known == name);
    let added = added_response_headers(&response_headers, has).to_vec();
    forwarded(upstream_headers, joined(of_upstream.into_iter().chain(added)))
}

async fn http_exchange(edge: &TestEdge, client: &reqwest::Client, case: &Case) -> Result<Exchange> {
    let mut request =
        client.request(Method::from_bytes(case.method.as_bytes())?, format!("{}{}", edge.url, case.target));
    for (name, value) in &case.headers {
        request = request.header(*name, value.as_slice());
    }
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), joined(echo_upstream::text(answer.headers())));
    let body = answer.bytes().await?;
    if !headers.contains_key(ECHO) {
        return Ok(answered(status, headers, body.to_vec()));
    }
    let seen: Value = serde_json::from_slice(&body).context("the upstream answers in JSON")?;
    anyhow::ensure!(status == 200, "the upstream's status became {status}");
    anyhow::ensure!(seen["method"] == case.method && seen["target"] == case.target, "the upstream saw {seen}");
    Ok(forwarded(serde_json::from_value(seen["headers"].clone())?, headers))
}

/// The gate forwarded the request; the upstream received these headers.
fn forwarded(upstream_headers: BTreeMap<String, String>, response_headers: BTreeMap<String, String>) -> Exchange {
    let answer = Answer { status: 200, identity: Some(identity_headers(&upstream_headers)), ..Answer::default() };
    Exchange { answer, response_headers, upstream_headers: Some(upstream_headers), body: Vec::new() }
}

/// The gate answered by itself.
fn answered(status: u16, response_headers: BTreeMap<String, String>, body: Vec<u8>) -> Exchange {
    let error = serde_json::from_slice::<Value>(&body).ok().and_then(|body| body["error"].as_str().map(str::to_owned));
    let challenge = response_headers.get("www-authenticate").cloned();
    let identity = (status == 200).then(|| identity_headers(&response_headers));
    let answer = Answer { status, challenge, error, identity };
    Exchange { answer, response_headers, upstream_headers: None, body }
}

/// The headers by which the gate names the token's identity, in every spelling.
fn identity_headers(headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_identity = |name: &str| name.replace('_', "-").starts_with("x-tollgate-");
    headers.iter().filter(|(name, _)| is_identity(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn text_headers(headers: Vec<(String, Vec<u8>)>) -> Result<Vec<(String, String)>> {
    headers.into_iter().map(|(name, value)| Ok((name, String::from_utf8(value)?))).collect()
}
