//! Adapters that send a case of the conformance table to a gate and return its answer. An adapter
//! may skip only the cases that no HTTP header can carry.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use tollgate_edge::{Program, Validator};
use tollgate_gate::{Decision, Gate, Nonce, Question, Request, Settings};

use crate::conformance::{Answer, Case};
use crate::edge::TestEdge;
use crate::environment::now_ms;

/// A gate that answers cases.
pub enum Adapter {
    /// The gate, called as a Rust function.
    Native(Box<Gate>),
    /// The gate in the WIT component, called through wasmtime.
    Component(Box<Validator>),
    /// An edge over HTTP, with an upstream behind it.
    Http(TestEdge, reqwest::Client),
}

impl Adapter {
    /// Starts a gate in this process and feeds it from the origin.
    pub async fn native(settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let settings = Settings::from_lookup(|name| settings.get(name).cloned())?;
        let mut gate = Gate::new(settings);
        loop {
            let question = Question { asked_at_ms: now_ms(), nonce: Nonce::from_bytes([1; Nonce::LEN]) };
            let answer = fetch(&gate.settings().origin, &gate.next_fetch(0, &question)).await?;
            if !gate.accept(200, &answer, &question)? {
                return Ok(Self::Native(Box::new(gate)));
            }
        }
    }

    /// Instantiates the WIT component and feeds it from the origin.
    pub async fn component(program: &Program, settings: &BTreeMap<&'static str, String>) -> Result<Self> {
        let pairs: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut validator = Validator::open(program, &pairs)?;
        loop {
            let question = tollgate_edge::Question { asked_at_ms: now_ms(), nonce: (now_ms(), 1) };
            let target = validator.next_fetch(0, question).map_err(trap)?;
            let answer = fetch(&settings["TOLLGATE_EDGE_ORIGIN"], &target).await?;
            if !validator.accept(200, &answer, question).map_err(trap)?.map_err(anyhow::Error::msg)? {
                return Ok(Self::Component(Box::new(validator)));
            }
        }
    }

    /// Sends cases to an edge over HTTP.
    pub fn http(edge: TestEdge) -> Result<Self> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self::Http(edge, client))
    }

    /// Whether the case can reach this gate: HTTP headers carry fewer values than a function call.
    pub fn carries(&self, case: &Case) -> bool {
        case.fits_http || !matches!(self, Self::Http(..))
    }

    /// Sends the case and returns the answer.
    pub async fn answer(&mut self, case: &Case) -> Result<Answer> {
        match self {
            Self::Native(gate) => native_answer(gate, case),
            Self::Component(validator) => component_answer(validator, case),
            Self::Http(edge, client) => http_answer(edge, client, case).await,
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

/// Decides without waiting for a sync: nothing refreshes this gate while the table runs.
fn native_answer(gate: &Gate, case: &Case) -> Result<Answer> {
    let headers: Vec<(&str, &[u8])> = case.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let request = Request { method: case.method, target: case.target, headers: &headers };
    Ok(match gate.decide(&request, now_ms(), true) {
        Decision::Forward(forward) => forwarded(forward.identity),
        Decision::Answer(answer) => answered(answer.status, answer.headers, &answer.body),
        Decision::Push | Decision::Wait => anyhow::bail!("no case of the table pushes or waits"),
    })
}

fn component_answer(validator: &mut Validator, case: &Case) -> Result<Answer> {
    let headers = case.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let request = tollgate_edge::Request { method: case.method.to_owned(), target: case.target.to_owned(), headers };
    Ok(match validator.decide(&request, now_ms(), true).map_err(trap)? {
        tollgate_edge::Decision::Forward(forward) => forwarded(text_headers(forward.identity)?),
        tollgate_edge::Decision::Answer(answer) => answered(answer.status, text_headers(answer.headers)?, &answer.body),
        tollgate_edge::Decision::Push | tollgate_edge::Decision::Wait => {
            anyhow::bail!("no case of the table pushes or waits")
        }
    })
}

async fn http_answer(edge: &TestEdge, client: &reqwest::Client, case: &Case) -> Result<Answer> {
    let mut request =
        client.request(Method::from_bytes(case.method.as_bytes())?, format!("{}{}", edge.url, case.target));
    for (name, value) in &case.headers {
        request = request.header(*name, value.as_slice());
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let headers: Vec<(String, String)> = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = answer.bytes().await?;
    if status == 200 && !case.target.starts_with("/_tollgate/") {
        let seen: Value = serde_json::from_slice(&body).context("the upstream answers in JSON")?;
        anyhow::ensure!(seen["method"] == case.method, "the upstream saw {seen}");
        anyhow::ensure!(seen["path"] == case.target, "the upstream saw {seen}");
        return Ok(forwarded(serde_json::from_value::<BTreeMap<String, String>>(seen["identity"].clone())?));
    }
    Ok(answered(status, headers, &body))
}

/// The gate forwarded the request; the upstream saw this identity.
fn forwarded(identity: impl IntoIterator<Item = (impl Into<String>, String)>) -> Answer {
    let identity = identity.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Answer { status: 200, identity: Some(identity), ..Answer::default() }
}

/// The gate answered by itself.
fn answered(status: u16, headers: impl IntoIterator<Item = (impl Into<String>, String)>, body: &[u8]) -> Answer {
    let headers: BTreeMap<String, String> = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let error = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["error"].as_str().map(str::to_owned));
    let challenge = headers.get("www-authenticate").cloned();
    let identity = headers.into_iter().filter(|(name, _)| name.starts_with("x-tollgate-")).collect();
    Answer { status, challenge, error, identity: (status == 200).then_some(identity) }
}

fn text_headers(headers: Vec<(String, Vec<u8>)>) -> Result<Vec<(String, String)>> {
    headers.into_iter().map(|(name, value)| Ok((name, String::from_utf8(value)?))).collect()
}
