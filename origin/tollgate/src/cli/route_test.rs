//! `tollgate route test`: which rule applies to a request and why, and whether a token meets it,
//! check by check.

use std::io::Read as _;

use anyhow::Context as _;
use serde::Serialize;
use tollgate_core::{Config, TokenFacts, TokenRules};
use tollgate_gate::find_route_of_target;
use tollgate_keys::KeyRing;
use tollgate_model::encoding::from_base64url;
use tollgate_model::{AccessToken, Route, RouteDocument};
use tollgate_services::revocation_feed::edge_config;
use tollgate_system::Clock;

use super::Session;
use super::output::table;
use crate::issuers::default_audience;

/// Longest token that is read from standard input.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct RouteTest {
    /// Method of the request, such as GET
    method: String,
    /// URL of the request, or its path without host
    url: String,
    /// Access token of this origin; - reads it from standard input
    token: Option<String>,
}

/// What an edge does with the request.
#[derive(Debug, Serialize)]
struct RouteTestView {
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    path: String,
    /// The rule that applies; without one, a valid token is needed.
    rule: Option<RouteDocument>,
    /// Rules in the order of precedence, one entry for each of their hosts.
    rules: Vec<RuleView>,
    checks: Vec<CheckView>,
    #[serde(flatten)]
    decision: Decision,
}

/// Whether host, path and method of a rule match. The first rule that matches in all applies.
#[derive(Debug, Serialize)]
struct RuleView {
    rule: String,
    host: bool,
    path: bool,
    method: bool,
}

/// A requirement of the rule. Without a token it is neither met nor unmet.
#[derive(Debug, Serialize)]
struct CheckView {
    check: String,
    passed: Option<bool>,
    #[serde(skip)]
    refusal: Refused,
}

/// Status and OAuth error of a refused request.
#[derive(Debug, Clone, Copy, Serialize)]
struct Refused {
    status: u16,
    error: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
enum Decision {
    Forward,
    Refuse {
        #[serde(flatten)]
        refusal: Refused,
        reason: String,
    },
}

const AMBIGUOUS: Refused = Refused { status: 400, error: "invalid_request" };
const INVALID_TOKEN: Refused = Refused { status: 401, error: "invalid_token" };
const INSUFFICIENT_SCOPE: Refused = Refused { status: 403, error: "insufficient_scope" };
const INSUFFICIENT_AUTHENTICATION: Refused = Refused { status: 401, error: "insufficient_user_authentication" };

/// A token that is presented, with its claims as JSON if it is good.
struct Presented {
    token: AccessToken,
    claims: String,
}

impl RouteTest {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let issuer = session.issuer().await?;
        let audience = default_audience(&session.settings, &issuer)?;
        let (routes, resources) = (session.store.list_routes().await?, session.store.list_resources().await?);
        let document = edge_config::document(audience.as_str(), &[], &routes, &resources)?;
        let config = Config::read(&document).context("the rules cannot be read by edges")?;
        let token = self.token.as_deref().map(read_token).transpose()?;
        let presented = match &token {
            Some(token) => Some(verify(session, &session.keys().await?, token, &issuer).await?),
            None => None,
        };
        let view = self.view(&config, &routes, audience.as_str(), presented.as_ref().map(Option::as_ref));
        session.output.print(&view, RouteTestView::to_text)
    }

    /// `presented` is the token, if there is one: none inside if it is not good.
    fn view(
        &self,
        config: &Config,
        routes: &[Route],
        audience: &str,
        presented: Option<Option<&Presented>>,
    ) -> RouteTestView {
        let (host, target) = split_url(&self.url);
        let found = find_route_of_target(config, host, &self.method, target);
        let decoded = found.as_ref().map_or(target, |(_, path)| path.as_str());
        let rules = config.rule_matches(host, &self.method, decoded).map(|one| RuleView {
            rule: routes.get(one.index).map(Route::to_string).unwrap_or_default(),
            host: one.host,
            path: one.path,
            method: one.method,
        });
        let mut view = RouteTestView {
            method: self.method.clone(),
            host: host.map(str::to_owned),
            path: target.split('?').next().unwrap_or_default().to_owned(),
            rules: rules.collect(),
            rule: None,
            checks: Vec::new(),
            decision: Decision::Forward,
        };
        let route = match found {
            Ok((route, _)) => route.index().and_then(|index| routes.get(index)),
            Err(reason) => {
                view.decision = Decision::Refuse { refusal: AMBIGUOUS, reason };
                return view;
            }
        };
        view.rule = route.map(|route| route.document().clone());
        if view.rule.as_ref().is_some_and(|rule| rule.public) {
            return view;
        }
        let rule = view.rule.clone().unwrap_or_default();
        let edge_route = route.and_then(|route| route.to_edge_route().ok()).unwrap_or_default();
        view.checks = checks(&rule, edge_route.token_rules(), audience, presented);
        let refused = match presented {
            None => Some((Refused { error: "missing_token", ..INVALID_TOKEN }, "the request has no token".to_owned())),
            Some(_) => {
                let failed = view.checks.iter().find(|check| check.passed == Some(false));
                failed.map(|check| (check.refusal, format!("not met: {}", check.check)))
            }
        };
        if let Some((refusal, reason)) = refused {
            view.decision = Decision::Refuse { refusal, reason };
        }
        view
    }
}

/// The token on the command line or, for `-`, on standard input.
fn read_token(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut token = String::new();
    std::io::stdin().take(MAX_TOKEN_BYTES).read_to_string(&mut token).context("cannot read the token")?;
    Ok(token.trim().to_owned())
}

/// The token, if this origin issued it and it is neither revoked nor expired.
async fn verify(session: &Session, keys: &KeyRing, token: &str, issuer: &str) -> anyhow::Result<Option<Presented>> {
    let Some(recognised) = keys.verify_token(token, issuer) else { return Ok(None) };
    let Some(record) = session.store.find_unrevoked_token(&recognised).await? else { return Ok(None) };
    if record.expires_at <= Clock::system().now() {
        return Ok(None);
    }
    let payload = || String::from_utf8(from_base64url(token.split('.').nth(1)?)?).ok();
    let claims = match record.opaque {
        Some(_) => serde_json::to_string(&record.claims(issuer))?,
        None => payload().context("the token's claims cannot be read")?,
    };
    Ok(Some(Presented { token: record, claims }))
}

/// Host and target of a URL; a path has no host.
fn split_url(url: &str) -> (Option<&str>, &str) {
    match url.split_once("://") {
        None => (None, url),
        Some((_, rest)) => match rest.find('/') {
            Some(at) => (rest.get(..at), rest.get(at..).unwrap_or("/")),
            None => (Some(rest), "/"),
        },
    }
}

/// The requirements of the rule, in the order in which an edge checks them.
fn checks(
    rule: &RouteDocument,
    token_rules: Option<&TokenRules>,
    audience: &str,
    presented: Option<Option<&Presented>>,
) -> Vec<CheckView> {
    let good = presented.flatten();
    let mut checks = Vec::new();
    let mut add = |check: String, refusal: Refused, is_met: &dyn Fn(&Presented) -> bool| {
        checks.push(CheckView { check, passed: good.map(is_met), refusal });
    };
    let audience = rule.audience.as_deref().unwrap_or(audience);
    add(format!("audience {audience}"), INVALID_TOKEN, &|presented| presented.token.audience.has(audience));
    if rule.binding.is_some() {
        let check = "binding to a key, which the request must prove".to_owned();
        add(check, INVALID_TOKEN, &|presented| presented.token.details.cnf.is_some());
    }
    if !rule.scope.is_empty() {
        let is_met = |presented: &Presented| rule.scope.is_within(&presented.token.scope);
        add(format!("scope {}", rule.scope), INSUFFICIENT_SCOPE, &is_met);
    }
    let now = Clock::system().now();
    for (check, refusal, rules) in token_rules.map(|rules| single_rules(rule, rules)).unwrap_or_default() {
        add(check, refusal, &|presented| {
            let (scope, client_id) = (presented.token.scope.as_str(), presented.token.client.as_str());
            rules.check(&TokenFacts { scope, client_id, claims: &presented.claims }, 0, now).is_ok()
        });
    }
    let validity = CheckView {
        check: "a token of this origin that is neither expired nor revoked".to_owned(),
        passed: presented.map(|token| token.is_some()),
        refusal: INVALID_TOKEN,
    };
    checks.insert(0, validity);
    checks
}

/// Each requirement as rules of its own.
fn single_rules(rule: &RouteDocument, rules: &TokenRules) -> Vec<(String, Refused, TokenRules)> {
    let mut single = Vec::new();
    let none = TokenRules::default;
    if !rules.scope_any.is_empty() {
        let check = format!("one of scope {}", rules.scope_any.join(" "));
        single.push((check, INSUFFICIENT_SCOPE, TokenRules { scope_any: rules.scope_any.clone(), ..none() }));
    }
    if !rules.clients.is_empty() {
        let check = format!("one of clients {}", rules.clients.join(" "));
        single.push((check, INSUFFICIENT_SCOPE, TokenRules { clients: rules.clients.clone(), ..none() }));
    }
    for (shown, claim) in rule.claims.iter().zip(&rules.claims) {
        let rules = TokenRules { claims: vec![claim.clone()], ..none() };
        single.push((format!("claim {shown}"), INSUFFICIENT_SCOPE, rules));
    }
    if !rules.acr.is_empty() {
        let check = format!("one of acr {}", rules.acr.join(" "));
        single.push((check, INSUFFICIENT_AUTHENTICATION, TokenRules { acr: rules.acr.clone(), ..none() }));
    }
    if let Some(max_age) = rules.max_age {
        let check = format!("user authenticated at most {max_age} seconds ago");
        single.push((check, INSUFFICIENT_AUTHENTICATION, TokenRules { max_age: Some(max_age), ..none() }));
    }
    single
}

impl RouteTestView {
    fn to_text(&self) -> String {
        let rule = match &self.rule {
            Some(rule) if rule.public => "public: no token is needed".to_owned(),
            Some(_) => "needs a token".to_owned(),
            None => "no rule applies: a valid token is needed".to_owned(),
        };
        let decision = match &self.decision {
            Decision::Forward => "the request is forwarded".to_owned(),
            Decision::Refuse { refusal, reason } => format!("{} {}: {reason}", refusal.status, refusal.error),
        };
        let mark = |is_match: bool| if is_match { "yes" } else { "no" }.to_owned();
        let applies = self.rules.iter().position(|rule| rule.host && rule.path && rule.method);
        let rules = self.rules.iter().enumerate().map(|(index, rule)| {
            let arrow = if Some(index) == applies { "->" } else { "" };
            [arrow.to_owned(), rule.rule.clone(), mark(rule.host), mark(rule.path), mark(rule.method)]
        });
        let rules = table(["", "RULE, BY PRECEDENCE", "HOST", "PATH", "METHOD"], &rules.collect::<Vec<_>>());
        let checks = self.checks.iter().map(|check| {
            let passed = check.passed.map_or("not checked", |passed| if passed { "ok" } else { "FAILED" });
            [passed.to_owned(), check.check.clone()]
        });
        let checks = match self.checks.is_empty() {
            true => String::new(),
            false => format!("\n\n{}", table(["CHECK", ""], &checks.collect::<Vec<_>>())),
        };
        format!("{rules}\n\n{rule}{checks}\n\n{decision}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_as_sent() {
        for (url, split) in [
            ("https://api.example/a/b?c=d", (Some("api.example"), "/a/b?c=d")),
            ("http://api.example:8080", (Some("api.example:8080"), "/")),
            ("/a//b/..", (None, "/a//b/..")),
        ] {
            assert_eq!(split_url(url), split, "{url}");
        }
    }
}
