//! Explains the settings of a client, and an authorization URL that its application sends users to:
//! what is right, what is wrong, and what is registered instead.

use serde::Serialize;
use tollgate_model::access::allowed_audiences;
use tollgate_model::authorization::{RequestParameters, response_uri};
use tollgate_model::{
    Audience, AuthMethod, AuthorizationError, AuthorizationRequest, Client, ClientMetadata, ClientStatus, GrantType,
    HttpRedirects, PkceRequirement, RedirectUri, RequestUri, Resource, Scope, StoredSecret, TokenAlg, TokenFormat,
};
use url::Url;

use super::has_secret;

/// Path of the authorization endpoint below the issuer.
const ENDPOINT: &str = "/oauth/authorize";
/// Prefix of the `request_uri` of a pushed request (RFC 9126 §2.2).
const PUSHED_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// Characters of a received value that a finding repeats.
const MAX_SHOWN_CHARS: usize = 200;

/// What the check thinks of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It works.
    Ok,
    /// It works, but is unsafe, unused, or refused by common programs.
    Warning,
    /// It does not work.
    Error,
}

/// One line of the explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it works.
    pub verdict: Verdict,
    /// A parameter or a member of the metadata.
    pub subject: &'static str,
    /// What is right, or what is wrong and what to do.
    pub text: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, verdict: Verdict, subject: &'static str, text: impl Into<String>) {
        self.0.push(Finding { verdict, subject, text: text.into() });
    }

    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Verdict::Ok, subject, text);
    }

    fn warn(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Verdict::Warning, subject, text);
    }

    fn wrong(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Verdict::Error, subject, text);
    }
}

/// Explains the settings of a client at the Unix second `now`.
#[must_use]
pub fn check_settings(client: &Client, now: u64, http: HttpRedirects) -> Vec<Finding> {
    let (metadata, mut findings) = (&client.metadata, Findings::default());
    match client.status {
        ClientStatus::Active => findings.ok("status", "active"),
        ClientStatus::Disabled { .. } => {
            findings.wrong("status", "disabled: every request is refused until `tollgate client enable`");
        }
        ClientStatus::Excluded { rule } => {
            findings.wrong("status", format!("every request is refused by the profile of this issuer: {rule}"));
        }
    }
    if let Err(error) = metadata.clone().checked() {
        findings.wrong("metadata", error.to_string());
    }
    check_secrets(client, now, &mut findings);
    check_grants(metadata, &mut findings);
    for uri in &metadata.redirect_uris {
        check_redirect_uri(metadata, uri, http, &mut findings);
    }
    check_pkce(metadata, &mut findings);
    check_rotation(metadata, &mut findings);
    check_algorithms(metadata, &mut findings);
    if metadata.scope.is_admin() {
        findings.warn("scope", "has tollgate:admin: its tokens may do everything in the admin API");
    }
    findings.0
}

fn check_secrets(client: &Client, now: u64, findings: &mut Findings) {
    const SUBJECT: &str = "token_endpoint_auth_method";
    if !has_secret(client) {
        return findings.ok(SUBJECT, client.metadata.auth_method.as_str());
    }
    let mut valid = client.secrets.iter().filter(|secret| secret.is_valid(now)).peekable();
    if valid.peek().is_none() {
        return findings.wrong(SUBJECT, "no secret is valid: create one with `tollgate client rotate-secret`");
    }
    let expiring = |secret: &StoredSecret| secret.expires_at.map(|at| at.saturating_sub(now));
    let (expiring, lasting): (Vec<_>, Vec<_>) = valid.map(expiring).partition(Option::is_some);
    for seconds in expiring.into_iter().flatten() {
        findings.warn(SUBJECT, format!("a secret expires in {seconds} s"));
    }
    if !lasting.is_empty() {
        findings.ok(SUBJECT, format!("{}, with a secret that does not expire", client.metadata.auth_method));
    }
}

fn check_grants(metadata: &ClientMetadata, findings: &mut Findings) {
    const SUBJECT: &str = "grant_types";
    let has_user = metadata.allows(GrantType::AuthorizationCode) || metadata.allows(GrantType::DeviceCode);
    for grant in &metadata.grant_types {
        match grant {
            GrantType::AuthorizationCode if metadata.redirect_uris.is_empty() => {
                findings.wrong(SUBJECT, "authorization_code needs a redirect URI: none is registered");
            }
            GrantType::RefreshToken if !has_user => {
                findings.warn(SUBJECT, "refresh_token is unused: no other grant gives refresh tokens");
            }
            GrantType::Password => {
                findings.warn(
                    SUBJECT,
                    "password gives users' passwords to the application: RFC 9700 section 2.4 forbids it",
                );
            }
            GrantType::Implicit => {
                findings.warn(SUBJECT, "implicit only says that the client is registered for such response_types");
            }
            grant => findings.ok(SUBJECT, grant.as_str()),
        }
    }
    let has_responses = metadata.allows(GrantType::AuthorizationCode) || !metadata.response_types.is_empty();
    if !metadata.redirect_uris.is_empty() && !has_responses {
        findings.warn("redirect_uris", "unused: the client may not use the grant authorization_code");
    }
    for response_type in metadata.response_types.iter().filter(|response_type| response_type.as_str() != "code") {
        findings.warn(
            "response_types",
            format!(
                "{} returns tokens through the browser: RFC 9700 section 2.1.2 advises against it",
                response_type.as_str()
            ),
        );
    }
}

fn check_redirect_uri(metadata: &ClientMetadata, uri: &RedirectUri, http: HttpRedirects, findings: &mut Findings) {
    const SUBJECT: &str = "redirect_uris";
    let is_public = metadata.auth_method == AuthMethod::None;
    match uri.check(http) {
        Err(error) => findings.wrong(SUBJECT, format!("{uri}: {error}")),
        Ok(()) if uri.is_insecure() || (uri.as_str().starts_with("http://") && !is_public) => findings
            .warn(SUBJECT, format!("{uri} is plain http: fine for development, not for an application on a server")),
        Ok(()) => findings.ok(SUBJECT, uri.as_str()),
    }
}

fn check_pkce(metadata: &ClientMetadata, findings: &mut Findings) {
    if !metadata.allows(GrantType::AuthorizationCode) {
        return;
    }
    match metadata.pkce_requirement() {
        PkceRequirement::Never => findings
            .warn("require_pkce", "never: without PKCE or a nonce, a stolen code can be used (RFC 9700 section 2.1.1)"),
        requirement => findings.ok("require_pkce", requirement.as_str()),
    }
}

fn check_rotation(metadata: &ClientMetadata, findings: &mut Findings) {
    const SUBJECT: &str = "rotate_refresh_tokens";
    if !metadata.allows(GrantType::RefreshToken) {
        return;
    }
    match metadata.rotates_refresh_tokens() {
        true => findings.ok(SUBJECT, "true: each use of a refresh token returns a new one"),
        false => findings.ok(SUBJECT, "false: a refresh token stays the same, protected by authentication or a key"),
    }
}

fn check_algorithms(metadata: &ClientMetadata, findings: &mut Findings) {
    const NOTE: &str = "several common verifiers do not know it; all know RS256, most ES256";
    if metadata.access_token_format == TokenFormat::Jwt {
        match metadata.alg {
            TokenAlg::EdDsa => {
                findings.warn(
                    "access_token_signed_response_alg",
                    format!("EdDSA: {NOTE}; a resource server can decide instead"),
                );
            }
            alg => findings.ok("access_token_signed_response_alg", alg.as_str()),
        }
    }
    match metadata.id_token_alg() {
        alg @ (TokenAlg::EdDsa | TokenAlg::Ed25519) if metadata.scope.has("openid") => {
            findings.warn("id_token_signed_response_alg", format!("{alg}: {NOTE}"));
        }
        alg => findings.ok("id_token_signed_response_alg", alg.as_str()),
    }
}

/// The parameters of a URL.
struct QueryParameters(Vec<(String, String)>);

impl RequestParameters for QueryParameters {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, value)| own == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(own, value)| own == name && !value.is_empty()).map(|(_, value)| value.as_str()).collect()
    }
}

impl QueryParameters {
    /// A parameter that a request has twice, although it must not (RFC 6749 §3.1).
    fn repeated(&self) -> Option<&str> {
        let is_repeated = |name: &str| self.0.iter().filter(|(own, _)| own == name).count() > 1;
        let mut names = self.0.iter().map(|(name, _)| name.as_str());
        names.find(|name| !matches!(*name, "resource" | "audience") && is_repeated(name))
    }
}

/// Explains an authorization URL of a client, with the rules of the endpoint.
#[must_use]
pub fn check_authorization_url(
    client: &Client,
    url: &str,
    issuer: &str,
    default_audience: &Audience,
    resources: &[Resource],
    now: u64,
    http: HttpRedirects,
) -> Vec<Finding> {
    let mut findings = Findings::default();
    let Ok(url) = Url::parse(url) else {
        findings.wrong("url", "this is no absolute URL");
        return findings.0;
    };
    check_endpoint(&url, issuer, &mut findings);
    match client.status {
        ClientStatus::Active => {}
        ClientStatus::Disabled { .. } => findings.wrong("client_id", "the client is disabled"),
        ClientStatus::Excluded { rule } => findings.wrong("client_id", rule),
    }
    let parameters = QueryParameters(url.query_pairs().into_owned().collect());
    if let Some(name) = parameters.repeated() {
        findings.wrong("url", format!("has the parameter {} twice", shown(name)));
        return findings.0;
    }
    match parameters.get("client_id") {
        Some(id) if id == client.id.as_str() => findings.ok("client_id", id),
        Some(id) => findings.wrong("client_id", format!("{} is another client than {}", shown(id), client.id)),
        None => findings.wrong("client_id", "is missing"),
    }
    if let Some(uri) = parameters.get("request_uri").filter(|uri| uri.starts_with(PUSHED_PREFIX)) {
        findings
            .ok("request_uri", format!("{} names a pushed request, which was checked when it was pushed", shown(uri)));
        return findings.0;
    }
    if let Some(uri) = parameters.get("request_uri") {
        check_request_uri(&client.metadata, uri, &mut findings);
        return findings.0;
    }
    if parameters.get("request").is_some() {
        findings.warn("request", "the parameters are in the signed request object, which is not explained here");
        return findings.0;
    }
    let audiences = allowed_audiences(client, default_audience, resources);
    let response_uri = response_uri(client, parameters.get("redirect_uri"), http);
    check_parameters(client, &parameters, &audiences, &response_uri, &mut findings);
    let Ok(response_uri) = response_uri else {
        findings.wrong("request", "refused with a page, because there is no redirect URI to report the error to");
        return findings.0;
    };
    check_request(client, &parameters, &response_uri, default_audience, resources, now, &mut findings);
    findings.0
}

fn check_request_uri(metadata: &ClientMetadata, uri: &str, findings: &mut Findings) {
    const SUBJECT: &str = "request_uri";
    let named = uri.parse::<RequestUri>().ok();
    let is_registered = |named: &RequestUri| metadata.request_uris.iter().any(|registered| registered.matches(named));
    match named.as_ref().is_some_and(is_registered) {
        true => findings.warn(SUBJECT, "the parameters are in the request object there, which is not explained here"),
        false => {
            let registered: Vec<String> = metadata.request_uris.iter().map(ToString::to_string).collect();
            let registered: Vec<&str> = registered.iter().map(String::as_str).collect();
            findings.wrong(SUBJECT, format!("{} is not registered; registered: {}", shown(uri), list(&registered)));
        }
    }
}

fn check_endpoint(url: &Url, issuer: &str, findings: &mut Findings) {
    let endpoint = format!("{}{ENDPOINT}", issuer.trim_end_matches('/'));
    let mut called = url.clone();
    called.set_query(None);
    called.set_fragment(None);
    match Url::parse(&endpoint).is_ok_and(|endpoint| endpoint == called) {
        true => findings.ok("url", endpoint),
        false => {
            findings.wrong("url", format!("the authorization endpoint is {endpoint}, not {}", shown(called.as_str())))
        }
    }
}

/// Compares the parameters that registration decides about with what is registered.
fn check_parameters(
    client: &Client,
    parameters: &QueryParameters,
    audiences: &[Audience],
    response_uri: &Result<String, AuthorizationError>,
    findings: &mut Findings,
) {
    let metadata = &client.metadata;
    match response_uri {
        Ok(uri) => findings.ok("redirect_uri", shown(uri)),
        Err(error) => {
            let registered: Vec<&str> = metadata.redirect_uris.iter().map(RedirectUri::as_str).collect();
            let received =
                parameters.get("redirect_uri").map_or_else(String::new, |uri| format!(" (received: {})", shown(uri)));
            findings.wrong("redirect_uri", format!("{error}{received}; registered: {}", list(&registered)));
        }
    }
    match parameters.get("scope").map(Scope::parse) {
        None => findings.ok("scope", format!("absent: the client's own is used: {}", metadata.scope)),
        Some(Err(error)) => findings.wrong("scope", error.to_string()),
        Some(Ok(scope)) if scope.is_within(&metadata.scope) => findings.ok("scope", scope.as_str()),
        Some(Ok(scope)) => {
            let unknown: Vec<&str> = scope.values().filter(|value| !metadata.scope.has(value)).collect();
            let registered: Vec<&str> = metadata.scope.values().collect();
            findings.warn("scope", format!("not registered: {}; registered: {}", list(&unknown), list(&registered)));
        }
    }
    for resource in parameters.all("resource") {
        match audiences.iter().any(|audience| audience.is_same_resource(resource)) {
            true => findings.ok("resource", shown(resource)),
            false => {
                let own: Vec<&str> = audiences.iter().map(Audience::as_str).collect();
                findings
                    .wrong("resource", format!("{} is not registered; registered: {}", shown(resource), list(&own)));
            }
        }
    }
}

/// Parses the request as the endpoint does, which stops at the first violated rule.
fn check_request(
    client: &Client,
    parameters: &QueryParameters,
    response_uri: &str,
    default_audience: &Audience,
    resources: &[Resource],
    now: u64,
    findings: &mut Findings,
) {
    const SUBJECT: &str = "request";
    let metadata = &client.metadata;
    if metadata.require_signed_request_object {
        return findings.wrong(SUBJECT, "this client's requests must be signed (RFC 9101)");
    }
    if metadata.require_pushed_authorization_requests {
        return findings.wrong(SUBJECT, "this client's requests must be pushed to /oauth/par first (RFC 9126)");
    }
    match AuthorizationRequest::read(client, response_uri, parameters, default_audience, resources, now) {
        Ok(request) => {
            let pkce = if request.challenge.is_some() { "with PKCE" } else { "without PKCE" };
            let id_token = if request.is_openid() { ", and an ID token" } else { "" };
            findings.ok(SUBJECT, format!("accepted {pkce}: the user signs in, and the client gets a code{id_token}"));
        }
        Err(error) => findings.wrong(SUBJECT, format!("refused with {}: {error}", error.code())),
    }
}

fn list(values: &[&str]) -> String {
    if values.is_empty() { "nothing".to_owned() } else { values.join(" ") }
}

/// A received value, shortened, without characters that could change the line.
fn shown(value: &str) -> String {
    tollgate_model::text::displayable(value).chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://auth.example";

    fn client() -> Client {
        let metadata = ClientMetadata {
            name: "Shop".to_owned(),
            auth_method: AuthMethod::None,
            grant_types: vec![GrantType::AuthorizationCode],
            redirect_uris: vec!["https://shop.example/cb".parse().expect("a URI")],
            scope: Scope::parse("openid orders").expect("a scope"),
            ..ClientMetadata::default()
        };
        Client::new("shop".parse().expect("an id"), metadata, 0)
    }

    fn explain(client: &Client, url: &str) -> Vec<Finding> {
        let audience = "https://api.example".parse().expect("an audience");
        check_authorization_url(client, url, ISSUER, &audience, &[], 0, HttpRedirects::LoopbackOnly)
    }

    fn wrong(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().filter(|finding| finding.verdict == Verdict::Error).map(|finding| finding.subject).collect()
    }

    const GOOD: &str = "https://auth.example/oauth/authorize?client_id=shop&response_type=code&scope=openid&nonce=n\
        &redirect_uri=https%3A%2F%2Fshop.example%2Fcb&code_challenge_method=S256\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn right_url_has_no_error() {
        let findings = explain(&client(), GOOD);
        assert_eq!(wrong(&findings), [""; 0], "{findings:?}");
    }

    #[test]
    fn each_mistake_is_named_with_what_is_registered() {
        for (change, to, subject, says) in [
            ("shop.example%2Fcb", "shop.example%2Fcb%2F", "redirect_uri", "https://shop.example/cb"),
            ("client_id=shop", "client_id=shopp", "client_id", "shopp"),
            ("auth.example", "other.example", "url", "https://auth.example/oauth/authorize"),
            ("response_type=code", "x=y", "request", "response_type"),
            ("S256", "plain", "request", "S256"),
            ("scope=openid", "scope=openid&resource=https%3A%2F%2Fother.example", "resource", "https://api.example"),
            ("scope=openid", "scope=openid&scope=orders", "url", "scope"),
        ] {
            let url = GOOD.replacen(change, to, 1);
            let findings = explain(&client(), &url);
            let finding =
                findings.iter().find(|finding| finding.verdict == Verdict::Error && finding.subject == subject);
            assert!(finding.is_some_and(|finding| finding.text.contains(says)), "{to}: {findings:?}");
        }
    }

    #[test]
    fn risky_settings_are_warned_of() {
        let warned = |change: fn(&mut Client), subject: &str| {
            let mut client = client();
            change(&mut client);
            let findings = check_settings(&client, 10, HttpRedirects::LoopbackOnly);
            let is_named = |finding: &Finding| finding.subject == subject && finding.verdict != Verdict::Ok;
            assert!(findings.iter().any(is_named), "{subject}: {findings:?}");
        };
        warned(|client| client.metadata.grant_types.push(GrantType::ClientCredentials), "metadata");
        warned(|client| client.metadata.redirect_uris.clear(), "grant_types");
        warned(|client| client.metadata.grant_types = vec![GrantType::RefreshToken], "grant_types");
        warned(|client| client.metadata.auth_method = AuthMethod::ClientSecretBasic, "token_endpoint_auth_method");
        warned(
            |client| {
                client.metadata.auth_method = AuthMethod::ClientSecretBasic;
                client.metadata.redirect_uris = vec!["http://127.0.0.1/cb".parse().expect("a URI")];
            },
            "redirect_uris",
        );
        warned(
            |client| {
                client.metadata.auth_method = AuthMethod::ClientSecretBasic;
                client.metadata.require_pkce = Some(PkceRequirement::Never);
            },
            "require_pkce",
        );
        warned(|client| client.metadata.alg = TokenAlg::EdDsa, "access_token_signed_response_alg");
        warned(|client| client.status = tollgate_model::ClientStatus::Disabled { at: 1 }, "status");
    }
}
