//! A case of the table: a request and what must become of it.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, SigningKey};
use serde_json::Value;

use super::IDENTITY_KEY;
use crate::token_builder::{TokenBuilder, decode};

/// Header with the identity token, under the prefix of [`Setup::Gateway`](super::Setup::Gateway).
const IDENTITY_TOKEN: &str = "x-auth-identity";

/// A request and the expected answer.
#[derive(Clone)]
pub struct Case {
    /// Name of the case.
    pub name: String,
    pub method: &'static str,
    /// Path and query, in the form in which the URL standard writes them.
    pub target: String,
    /// The headers in order.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The answer.
    pub expected: Answer,
    /// Whether an HTTP header can carry the values. If not, only the gates called as functions get
    /// the case.
    pub fits_http: bool,
    pub(super) checks: Vec<Check>,
}

/// The gate's decision as the client sees it, and the identity as the upstream sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Status; 200 where the upstream or `validate` answered.
    pub status: u16,
    /// `WWW-Authenticate`, verbatim; several joined by a comma and a space.
    pub challenge: Option<String>,
    /// `error` of the JSON body.
    pub error: Option<String>,
    /// Every `x-tollgate-*` header that the upstream received, or that `validate` returned to the
    /// proxy.
    pub identity: Option<BTreeMap<String, String>>,
}

/// What became of a case's request. Headers have lower-case names; repeated ones are joined by a
/// comma and a space.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    pub answer: Answer,
    /// Headers of the response to the client. If the gate is called as a function and forwards,
    /// only those that it adds.
    pub response_headers: BTreeMap<String, String>,
    /// Headers that the upstream received; none if it got no request.
    pub upstream_headers: Option<BTreeMap<String, String>>,
    /// Body of the gate's response; empty if the upstream answered.
    pub body: Vec<u8>,
}

/// A further expectation.
#[derive(Debug, Clone)]
pub(super) enum Check {
    /// The response has this header with this value, or lacks it.
    Response(&'static str, Option<String>),
    /// The response's `Vary` lists this header.
    Varies(&'static str),
    /// The upstream received an identity token of the edge with these claims.
    IdentityToken(Value),
    /// The upstream received this header with this value, or did not receive it.
    Upstream(&'static str, Option<String>),
    /// The JSON body has these members.
    Body(Value),
}

impl Case {
    /// Adds a request header.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn with_method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// The client sends forged identity headers.
    pub(super) fn with_forged_identity(self) -> Self {
        self.with("x-tollgate-subject", "root")
            .with("X-Tollgate-Role", "admin")
            .with("x_tollgate_subject", "root")
            .with("x-tollgate-scope", "root")
    }

    /// The response has this header.
    pub(super) fn response_has(self, name: &'static str, value: &str) -> Self {
        self.check(Check::Response(name, Some(value.to_owned())))
    }

    /// The response does not have this header.
    pub(super) fn response_lacks(self, name: &'static str) -> Self {
        self.check(Check::Response(name, None))
    }

    /// The upstream receives this header.
    pub(super) fn upstream_gets(self, name: &'static str, value: &str) -> Self {
        self.check(Check::Upstream(name, Some(value.to_owned())))
    }

    /// The upstream receives an identity token of the edge with these claims, among others.
    pub(super) fn upstream_gets_identity_token(self, claims: Value) -> Self {
        self.check(Check::IdentityToken(claims))
    }

    /// The response's `Vary` lists this header.
    pub(super) fn varies_by(self, name: &'static str) -> Self {
        self.check(Check::Varies(name))
    }

    /// The upstream receives the request without this header.
    pub(super) fn upstream_lacks(self, name: &'static str) -> Self {
        self.check(Check::Upstream(name, None))
    }

    /// The gate's JSON body has these members, among others.
    pub(super) fn body_has(self, members: Value) -> Self {
        self.check(Check::Body(members))
    }

    fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// How the exchange differs from the case; empty if it does not.
    pub fn differences(&self, exchange: &Exchange) -> Vec<String> {
        let mut differences = Vec::new();
        if exchange.answer != self.expected {
            differences.push(format!("expected {:?}\n  answered {:?}", self.expected, exchange.answer));
        }
        differences.extend(self.checks.iter().filter_map(|check| check.difference(exchange)));
        differences
    }
}

impl Check {
    fn difference(&self, exchange: &Exchange) -> Option<String> {
        let absent = BTreeMap::new();
        let (is_met, found) = match self {
            Self::Response(name, expected) => {
                let found = exchange.response_headers.get(*name);
                (found == expected.as_ref(), format!("{found:?}"))
            }
            Self::Varies(name) => {
                let vary = exchange.response_headers.get("vary").cloned().unwrap_or_default();
                (vary.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(name)), vary)
            }
            Self::IdentityToken(expected) => {
                let token = exchange.upstream_headers.as_ref().and_then(|headers| headers.get(IDENTITY_TOKEN));
                let claims = token.and_then(|token| identity_claims(token));
                (claims.as_ref().is_some_and(|claims| has_members(claims, expected)), format!("{token:?}"))
            }
            Self::Upstream(name, expected) => {
                let found = exchange.upstream_headers.as_ref().unwrap_or(&absent).get(*name);
                (exchange.upstream_headers.is_some() && found == expected.as_ref(), format!("{found:?}"))
            }
            Self::Body(expected) => {
                let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
                (has_members(&body, expected), body.to_string())
            }
        };
        (!is_met).then(|| format!("expected {self:?}\n  found {found}"))
    }
}

fn has_members(found: &Value, expected: &Value) -> bool {
    let expected = expected.as_object().expect("the expected members are an object");
    expected.iter().all(|(name, value)| found.get(name) == Some(value))
}

/// The claims of an identity token, if the edge's key has signed it, and its lifetime is at most a
/// minute.
fn identity_claims(token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let seed: [u8; 32] = decode(IDENTITY_KEY).try_into().expect("32 bytes");
    let signature = Signature::from_slice(&decode(signature)).ok()?;
    SigningKey::from_bytes(&seed).verifying_key().verify_strict(signed.as_bytes(), &signature).ok()?;
    let (header, claims): (Value, Value) =
        (serde_json::from_slice(&decode(header)).ok()?, serde_json::from_slice(&decode(claims)).ok()?);
    let lifetime = claims["exp"].as_u64()?.checked_sub(claims["iat"].as_u64()?)?;
    let is_typed = header["typ"] == "tollgate-identity+jwt" && header["alg"] == "EdDSA";
    (is_typed && (1..=60).contains(&lifetime) && claims["jti"].as_str()?.len() == 22).then_some(claims)
}

/// A GET with these `Authorization` headers.
pub(super) fn get(name: &str, target: impl Into<String>, credentials: &[&str], expected: Answer) -> Case {
    let headers = credentials.iter().map(|value| ("Authorization", (*value).into())).collect();
    let (name, target) = (name.to_owned(), target.into());
    Case { name, method: "GET", target, headers, expected, fits_http: true, checks: Vec::new() }
}

/// 401 to a request without a token.
pub(super) fn challenged() -> Answer {
    Answer { status: 401, challenge: Some("Bearer".into()), ..Answer::default() }
}

/// The scheme of a challenge.
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

/// A refusal with an error code.
pub(super) fn refused(status: u16, error: &str, description: &str) -> Answer {
    refused_by(Scheme::Bearer, status, error, description)
}

/// A refusal whose challenge has this scheme.
pub(super) fn refused_by(scheme: Scheme, status: u16, error: &str, description: &str) -> Answer {
    let scheme = match scheme {
        Scheme::Bearer => "Bearer",
        Scheme::Dpop => "DPoP algs=\"ES256 EdDSA Ed25519 RS256\",",
    };
    let challenge = format!("{scheme} error=\"{error}\", error_description=\"{description}\"");
    Answer { status, challenge: Some(challenge), error: Some(error.to_owned()), identity: None }
}

/// 403 to a token without these scope values.
pub(super) fn insufficient(scope: &str) -> Answer {
    let mut answer = refused(403, "insufficient_scope", &format!("the scope {scope} is needed"));
    answer.challenge = answer.challenge.map(|challenge| format!("{challenge}, scope=\"{scope}\""));
    answer
}

/// The upstream answers and receives no identity.
pub(super) fn anonymous() -> Answer {
    Answer { status: 200, identity: Some(BTreeMap::new()), ..Answer::default() }
}

/// The `Authorization` header of a token.
pub(super) fn bearer(draft: &TokenBuilder<'_>) -> String {
    format!("Bearer {}", draft.sign())
}
