//! The Tollgate validator as a WebAssembly component: implements `wit/validator.wit` by the gate.
//!
//! Never: this crate decides anything, or imports anything from its host. Clock, network and bytes
//! come in as arguments.

use std::cell::RefCell;

use tollgate_gate as gate;

#[expect(unsafe_code, reason = "generated: the canonical ABI passes raw pointers")]
mod bindings {
    use super::Component;

    wit_bindgen::generate!({ world: "tollgate", path: "../../wit" });
    export!(Component with_types_in self);
}

use bindings::exports::tollgate::validator::validator::{
    Activity, ConfigDigest, Connection, Decision, Forward, ForwardRoute, Gate, Guest, GuestGate, Header, IssuedTicket,
    Question, RateLimit, RateLimitKey, Refresh, RefusedRequest, Request, Response, SignatureCheck, StreamPolicy,
    StreamSchedule, StreamVerdict, Verdict,
};

/// Name under which the host passes 128 random bits to `open`, as 32 hexadecimal digits: others to
/// each gate.
const INSTANCE_SEED: &str = "TOLLGATE_EDGE_INSTANCE_SEED";

struct Component;

impl Guest for Component {
    type Gate = Instance;
}

/// A gate in a cell, because the methods of a resource get a shared reference. A component instance
/// has one thread, and no method calls another, so the borrow never fails.
struct Instance(RefCell<gate::Gate>);

impl GuestGate for Instance {
    fn open(settings: Vec<(String, String)>) -> Result<Gate, String> {
        let find = |name: &str| settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let seed = find(INSTANCE_SEED).and_then(|digits| gate::Nonce::from_hex(&digits));
        let settings = gate::Settings::from_lookup(find).map_err(|error| error.to_string())?;
        let gate = gate::Gate::new(settings).with_config_deltas();
        let gate = match seed {
            Some(seed) => gate.with_instance_seed(seed),
            None => gate,
        };
        Ok(Gate::new(Self(RefCell::new(gate))))
    }

    fn refresh(&self, now_ms: u64) -> Refresh {
        match self.0.borrow().freshness(now_ms) {
            gate::Freshness::Fresh => Refresh::Fresh,
            gate::Freshness::RefreshDue => Refresh::Background,
            gate::Freshness::Stale => Refresh::Required,
        }
    }

    fn next_fetch(&self, wait_ms: u64, question: Question) -> String {
        self.0.borrow().next_fetch(wait_ms, &gate_question(question))
    }

    fn next_fetch_reporting(&self, wait_ms: u64, question: Question, report: String) -> String {
        self.0.borrow().next_fetch_reporting(wait_ms, &gate_question(question), &report)
    }

    fn activity(&self, now_ms: u64) -> Activity {
        let gate = self.0.borrow();
        let routes = gate.route_totals().map(|(route, totals)| (route, totals.passed, totals.refused));
        Activity {
            totals: gate.counters().totals().to_string(),
            routes: routes.collect(),
            age_ms: gate.replica_age_ms(now_ms),
            sequence: gate.sequence(),
        }
    }

    fn accept(&self, status: u16, body: Vec<u8>, question: Question) -> Result<bool, String> {
        self.0.borrow_mut().accept(status, &body, &gate_question(question)).map_err(|error| error.to_string())
    }

    fn fetch_failed(&self, why: String, now_ms: u64) {
        self.0.borrow_mut().fetch_failed(&why, now_ms);
    }

    fn next_introspection(&self, token: String, question: Question) -> Option<String> {
        let token = gate::TokenReference::parse(&token)?;
        self.0.borrow().next_introspection(&token, &gate_question(question))
    }

    fn accept_introspection(
        &self,
        token: String,
        status: u16,
        body: Vec<u8>,
        question: Question,
    ) -> Result<(), String> {
        let token = gate::TokenReference::parse(&token).ok_or("the token reference is malformed")?;
        let accepted = self.0.borrow_mut().accept_introspection(&token, status, &body, &gate_question(question));
        accepted.map_err(|error| error.to_string())
    }

    fn introspection_failed(&self, token: String, now_ms: u64) {
        if let Some(token) = gate::TokenReference::parse(&token) {
            self.0.borrow_mut().introspection_failed(&token, now_ms);
        }
    }

    fn push(&self, body: Vec<u8>, now_ms: u64) -> Response {
        wit_response(self.0.borrow_mut().push(&body, now_ms))
    }

    fn decide(&self, request: Request, now_ms: u64, has_waited: bool) -> Decision {
        let headers = borrowed_headers(&request);
        let request = gate_request(&request, &headers);
        wit_decision(self.0.borrow().decide(&request, now_ms, has_waited))
    }

    fn decide_checked(
        &self,
        request: Request,
        now_ms: u64,
        has_waited: bool,
        checked_with: Option<ConfigDigest>,
    ) -> Result<Decision, SignatureCheck> {
        let headers = borrowed_headers(&request);
        let request = gate_request(&request, &headers);
        let gate = self.0.borrow();
        match checked_with {
            Some(keys) => {
                if let Ok(keys) = keys.try_into() {
                    gate.signature_is_good(&request, gate::ConfigDigest::from_bytes(keys));
                }
            }
            None => {
                if let Some(gate::SignatureCheck { token, allow_plain_jwt, keys }) = gate.signature_check(&request) {
                    let keys = keys.as_bytes().to_vec();
                    return Err(SignatureCheck { token: token.to_vec(), allow_plain_jwt, keys });
                }
            }
        }
        Ok(wit_decision(gate.decide(&request, now_ms, has_waited)))
    }

    fn signature_keys(&self) -> Option<(ConfigDigest, String)> {
        let gate = self.0.borrow();
        let (digest, jwks) = gate.signature_keys()?;
        Some((digest.as_bytes().to_vec(), jwks.to_owned()))
    }

    fn stream_ticket(&self, request: Request) -> Option<IssuedTicket> {
        let headers = borrowed_headers(&request);
        let request = gate_request(&request, &headers);
        let ticket = self.0.borrow().stream_ticket(&request)?;
        let expires_at_ms = ticket.expires_at().saturating_mul(1000);
        Some(IssuedTicket { ticket: ticket.to_bytes().to_vec(), expires_at_ms })
    }

    fn check_streams(&self, tickets: Vec<Vec<u8>>, now_ms: u64, has_waited: bool) -> Vec<StreamVerdict> {
        let instance = self.0.borrow();
        let check = |ticket: &Vec<u8>| match gate::StreamTicket::from_bytes(ticket) {
            Ok(ticket) => match instance.check_stream(&ticket, now_ms, has_waited) {
                gate::StreamVerdict::Keep => StreamVerdict::Keep,
                gate::StreamVerdict::Wait => StreamVerdict::Wait,
                gate::StreamVerdict::End(refusal) => StreamVerdict::End(refusal.code().to_owned()),
            },
            Err(_) => StreamVerdict::End("invalid_ticket".to_owned()),
        };
        tickets.iter().map(check).collect()
    }

    fn stream_schedule(&self) -> StreamSchedule {
        let gate::StreamSchedule { sequence, stale_at_ms } = self.0.borrow().stream_schedule();
        StreamSchedule { sequence, stale_at_ms }
    }

    fn verify(&self, token: Vec<u8>, scope: Vec<String>, now: u64) -> Verdict {
        verdict(&self.0.borrow().verify(&token, &scope, now))
    }

    fn verify_all(&self, tokens: Vec<Vec<u8>>, scope: Vec<String>, now: u64) -> Vec<Verdict> {
        let tokens: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
        self.0.borrow().verify_all(&tokens, &scope, now).iter().map(verdict).collect()
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        self.0.borrow().snapshot().map(<[u8]>::to_vec)
    }

    fn warm(&self, snapshot: Vec<u8>) -> Result<(), String> {
        self.0.borrow_mut().warm(&snapshot).map_err(|error| error.to_string())
    }
}

fn borrowed_headers(request: &Request) -> Vec<(&str, &[u8])> {
    request.headers.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn gate_request<'a>(request: &'a Request, headers: &'a [(&'a str, &'a [u8])]) -> gate::Request<'a> {
    let Connection { is_https, is_from_trusted_proxy, client_certificate } = &request.connection;
    gate::Request {
        method: &request.method,
        target: &request.target,
        headers,
        connection: gate::Connection {
            is_https: *is_https,
            is_from_trusted_proxy: *is_from_trusted_proxy,
            client_certificate: client_certificate.as_deref().and_then(|thumbprint| thumbprint.try_into().ok()),
        },
    }
}

fn gate_question(question: Question) -> gate::Question {
    let Question { asked_at_ms, nonce: (high, low) } = question;
    let nonce = u128::from(high) << 64 | u128::from(low);
    gate::Question { asked_at_ms, nonce: gate::Nonce::from_bytes(nonce.to_be_bytes()) }
}

fn verdict<T>(verdict: &Result<T, gate::Refusal>) -> Verdict {
    let reason = verdict.as_ref().err().map_or("valid", gate::Refusal::code);
    Verdict { allowed: verdict.is_ok(), reason: reason.to_owned() }
}

fn wit_forward(forward: gate::Forward) -> Forward {
    let gate::Forward { identity, removed_headers, response_headers, route } = forward;
    let gate::ForwardRoute { upstream, timeout_ms, max_body_bytes, rate_limit, streams } = route;
    let rate_limit = rate_limit.map(|gate::RouteRateLimit { rule, limit, holder }| RateLimit {
        rule,
        holder,
        requests: limit.requests,
        seconds: limit.seconds,
        by: match limit.by {
            gate::RateLimitKey::Client => RateLimitKey::Client,
            gate::RateLimitKey::Subject => RateLimitKey::Subject,
            gate::RateLimitKey::Address => RateLimitKey::Address,
        },
    });
    let streams = match streams {
        gate::StreamPolicy::End => StreamPolicy::End,
        gate::StreamPolicy::Continue => StreamPolicy::Continue,
    };
    let route = ForwardRoute { upstream, timeout_ms, max_body_bytes, rate_limit, streams };
    let (identity, response_headers) = (header_list(identity), header_list(response_headers));
    Forward { identity, removed_headers, response_headers, route }
}

fn wit_decision(decision: gate::Decision) -> Decision {
    match decision {
        gate::Decision::Forward(forward) => Decision::Forward(wit_forward(forward)),
        gate::Decision::Answer(response) => Decision::Answer(wit_response(response)),
        gate::Decision::Push => Decision::Push,
        gate::Decision::Wait => Decision::Wait,
        gate::Decision::Introspect(token) => Decision::Introspect(token.to_string()),
    }
}

fn wit_response(response: gate::Response) -> Response {
    let gate::Response { status, headers, body, refused, .. } = response;
    let refused = refused.map(|gate::RefusedRequest { reason, route, client }| RefusedRequest {
        reason: reason.to_owned(),
        route,
        client,
    });
    Response { status, headers: header_list(headers), body, refused }
}

fn header_list(headers: Vec<gate::Header>) -> Vec<Header> {
    headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_bytes())).collect()
}
