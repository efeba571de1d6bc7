//! `tollgate route add|list|remove|test`

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::json;
use tollgate_model::route::{
    Binding, ClaimRule, ClaimValue, Cors, EncodedSlash, RateLimit, StreamPolicy, TokenForwarding,
};
use tollgate_model::{OnStale, Route, RouteDocument, Scope};

use super::output::table;
use super::route_test::RouteTest;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum RouteCommand {
    /// Add a rule; the most specific one applies: by host, then by path, then by method
    Add(Box<NewRule>),
    /// List the rules
    List,
    /// Remove the rule with this path, these methods and these hosts
    Remove(RuleName),
    /// Show which rule applies to a request and why, and whether a token meets it
    Test(RouteTest),
}

/// What identifies a rule.
#[derive(Debug, clap::Args)]
pub(super) struct RuleName {
    /// Path: exact, everything below it if it ends with /*, or with parameters for one segment
    /// each, as in /orders/{id}
    #[arg(long)]
    path: String,
    /// Method of the rule; repeatable [default: all]
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// Host of the rule, such as api.example or *.example; repeatable [default: all]
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct NewRule {
    #[command(flatten)]
    name: RuleName,
    /// Scope value that the token must have; repeatable, or separate values by spaces
    #[arg(long)]
    scope: Vec<String>,
    /// Scope value of which the token must have one; repeatable
    #[arg(long, value_name = "SCOPE")]
    scope_any: Vec<String>,
    /// Allow requests without a token
    #[arg(long)]
    public: bool,
    /// Audience of tokens [default: that of the edge]
    #[arg(long)]
    audience: Option<String>,
    /// Client that may; repeatable [default: all]
    #[arg(long, value_name = "CLIENT_ID")]
    client: Vec<String>,
    /// Claim that must be this value; repeatable. true, false and whole numbers are such values,
    /// and texts if they are in quotation marks
    #[arg(long, value_name = "CLAIM=VALUE")]
    claim: Vec<String>,
    /// Claim that must be one of these values; repeatable
    #[arg(long, value_name = "CLAIM=VALUE,VALUE")]
    claim_one_of: Vec<String>,
    /// Claim that must contain this value, as an array or as a text with values separated by
    /// spaces; repeatable
    #[arg(long, value_name = "CLAIM=VALUE")]
    claim_contains: Vec<String>,
    /// Authentication context class of which the token must have one, in the order of preference;
    /// repeatable
    #[arg(long)]
    acr: Vec<String>,
    /// Seconds since the user's last active authentication, at most
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    /// Whether the token must be bound to a key, by DPoP or a certificate: required
    #[arg(long)]
    binding: Option<Binding>,
    /// What an edge does while its replica is older than the staleness bound: deny, allow or
    /// introspect
    #[arg(long, default_value = "deny")]
    on_stale: OnStale,
    /// What an edge then does with tokens issued after its replica: deny, allow or introspect
    #[arg(long, default_value = "deny")]
    on_not_covered: OnStale,
    /// Staleness bound [default: that of the edge]
    #[arg(long, value_name = "MILLISECONDS")]
    max_staleness_ms: Option<u64>,
    /// Name of the upstream [default: the edge's first]
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Most bytes of a request's body
    #[arg(long, value_name = "BYTES")]
    max_body_bytes: Option<u64>,
    /// Time until the upstream must begin its response
    #[arg(long, value_name = "MILLISECONDS")]
    timeout_ms: Option<u64>,
    /// Most requests in a period, counted by client, subject or address
    #[arg(long, value_name = "REQUESTS/SECONDS/BY", value_parser = parse_rate_limit)]
    rate_limit: Option<RateLimit>,
    /// What happens to an open stream when its token is revoked or expires: end or continue
    #[arg(long, default_value = "end")]
    streams: StreamPolicy,
    /// Origin whose pages may send requests, or * for all; repeatable
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// Method that such pages may use; repeatable [default: the methods of the rule]
    #[arg(long, value_name = "METHOD", requires = "cors_origin")]
    cors_method: Vec<String>,
    /// Request header that such pages may send; repeatable
    #[arg(long, value_name = "HEADER", requires = "cors_origin")]
    cors_header: Vec<String>,
    /// Response header that such pages may read; repeatable
    #[arg(long, value_name = "HEADER", requires = "cors_origin")]
    cors_expose: Vec<String>,
    /// Such pages may send credentials of the browser
    #[arg(long, requires = "cors_origin")]
    cors_credentials: bool,
    /// Time for which a browser may keep the answer to a preflight request
    #[arg(long, value_name = "SECONDS", requires = "cors_origin")]
    cors_max_age: Option<u64>,
    /// Whether paths may contain an encoded slash: allow
    #[arg(long)]
    encoded_slash: Option<EncodedSlash>,
    /// Header for the upstream with a claim; repeatable
    #[arg(long, value_name = "HEADER=CLAIM")]
    header: Vec<String>,
    /// Whether the upstream gets the request with its token: keep or remove
    #[arg(long, default_value = "keep")]
    token: TokenForwarding,
}

impl RuleName {
    fn into_document(self) -> RouteDocument {
        RouteDocument {
            path: self.path,
            methods: self.method.into_iter().collect(),
            hosts: self.host.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
            ..RouteDocument::default()
        }
    }
}

impl NewRule {
    fn into_route(self) -> anyhow::Result<Route> {
        let claims = self.claims()?;
        let cors = self.cors();
        let headers = self.header.iter().map(|pair| {
            let (header, claim) = pair.split_once('=').context("a header must be HEADER=CLAIM")?;
            Ok((header.to_owned(), claim.to_owned()))
        });
        let document = RouteDocument {
            headers: headers.collect::<anyhow::Result<BTreeMap<_, _>>>()?,
            scope: Scope::from_arguments(&self.scope)?,
            scope_any: self.scope_any.iter().flat_map(|values| values.split_whitespace()).map(str::to_owned).collect(),
            public: self.public,
            audience: self.audience,
            clients: self.client.into_iter().collect(),
            claims,
            acr: self.acr,
            max_age: self.max_age,
            binding: self.binding,
            on_stale: self.on_stale,
            on_not_covered: self.on_not_covered,
            max_staleness_ms: self.max_staleness_ms,
            upstream: self.upstream,
            max_body_bytes: self.max_body_bytes,
            timeout_ms: self.timeout_ms,
            rate_limit: self.rate_limit,
            streams: self.streams,
            cors,
            encoded_slash: self.encoded_slash,
            token: self.token,
            ..self.name.into_document()
        };
        Ok(Route::try_from(document)?)
    }

    fn claims(&self) -> anyhow::Result<Vec<ClaimRule>> {
        let parse = |pair: &str| {
            let (name, value) = pair.split_once('=').context("a condition on a claim must be CLAIM=VALUE")?;
            let rule = ClaimRule { name: name.to_owned(), equals: None, one_of: Vec::new(), contains: None };
            anyhow::Ok((rule, value.to_owned()))
        };
        let mut claims = Vec::new();
        for pair in &self.claim {
            let (rule, value) = parse(pair)?;
            claims.push(ClaimRule { equals: Some(ClaimValue::from_argument(&value)), ..rule });
        }
        for pair in &self.claim_one_of {
            let (rule, values) = parse(pair)?;
            claims.push(ClaimRule { one_of: values.split(',').map(ClaimValue::from_argument).collect(), ..rule });
        }
        for pair in &self.claim_contains {
            let (rule, value) = parse(pair)?;
            claims.push(ClaimRule { contains: Some(ClaimValue::from_argument(&value)), ..rule });
        }
        Ok(claims)
    }

    fn cors(&self) -> Option<Cors> {
        let set = |values: &[String]| values.iter().cloned().collect::<BTreeSet<_>>();
        (!self.cors_origin.is_empty()).then(|| Cors {
            origins: set(&self.cors_origin),
            methods: set(&self.cors_method),
            headers: set(&self.cors_header),
            expose: set(&self.cors_expose),
            credentials: self.cors_credentials,
            max_age: self.cors_max_age,
        })
    }
}

fn parse_rate_limit(text: &str) -> Result<RateLimit, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [requests, seconds, by] = parts[..] else {
        return Err("must be REQUESTS/SECONDS/BY, such as 100/60/client".to_owned());
    };
    let number = |text: &str| text.parse().map_err(|_| "must have whole numbers of requests and seconds".to_owned());
    let by = by.parse().map_err(|_| "must be by client, subject or address".to_owned())?;
    Ok(RateLimit { requests: number(requests)?, seconds: number(seconds)?, by })
}

impl RouteCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            RouteCommand::Add(rule) => {
                let route = rule.into_route()?;
                session.registry()?.create_route(&command_line_actor(), &route).await?;
                session.output.print(route.document(), |_| format!("added {route}"))
            }
            RouteCommand::List => {
                let routes = session.registry()?.list_routes().await?;
                let rules: Vec<&RouteDocument> = routes.iter().map(Route::document).collect();
                session.output.print(&rules, |rules| {
                    let row = |rule: &&RouteDocument| {
                        let all_or = |values: &BTreeSet<String>| match values.is_empty() {
                            true => "*".to_owned(),
                            false => values.iter().map(String::as_str).collect::<Vec<_>>().join(","),
                        };
                        let needs = if rule.public { "(public)".to_owned() } else { rule.scope.to_string() };
                        let policies = [rule.on_stale.to_string(), rule.on_not_covered.to_string()];
                        let [on_stale, on_not_covered] = policies;
                        let (hosts, methods) = (all_or(&rule.hosts), all_or(&rule.methods));
                        [rule.path.clone(), hosts, methods, needs, on_stale, on_not_covered, rule.details().join("; ")]
                    };
                    table(
                        ["PATH", "HOSTS", "METHODS", "SCOPE", "ON STALE", "ON NOT COVERED", "DETAILS"],
                        &rules.iter().map(row).collect::<Vec<_>>(),
                    )
                })
            }
            RouteCommand::Test(test) => test.run(session).await,
            RouteCommand::Remove(name) => {
                let route = Route::try_from(name.into_document())?;
                session.registry()?.delete_route(&command_line_actor(), &route).await?;
                let mut view = json!({ "path": route.path(), "methods": route.methods(), "removed": true });
                if !route.hosts().is_empty() {
                    view["hosts"] = json!(route.hosts());
                }
                session.output.print(&view, |_| format!("removed {route}"))
            }
        }
    }
}
