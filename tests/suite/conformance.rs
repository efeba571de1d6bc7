//! Runs the conformance table against every host of the gate: the answers are the same everywhere.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use tollgate_model::{AccessTokenType, Actor, NewRevocation, Resource, Route, RouteDocument, Target, TokenProfile};
use tollgate_tests::adapter::{Adapter, Host};
use tollgate_tests::conformance::{Case, REVOKED, SECTIONS, Section, Setup, Table};
use tollgate_tests::echo_upstream::EchoUpstream;
use tollgate_tests::edge::EdgeKind;
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::token_factory::TokenFactory;

/// Age at which cases are built again: less than the shortest validity of a token in them.
const MAX_CASE_AGE_SECONDS: u64 = 10;

/// Starts an origin with the table's routes and revoked token, and an upstream.
async fn prepare() -> Result<(TestOrigin, EchoUpstream, BTreeMap<&'static str, String>)> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let store = origin.server.store();
    for document in SECTIONS.iter().flat_map(|section| section.routes) {
        store.create_route(&route(document)?).await.with_context(|| (*document).to_owned())?;
    }
    let target = Target::Token(REVOKED.to_owned());
    assert!(store.revoke(NewRevocation::any(target, Actor::command_line(None), None, now())?).await?.is_new_to_edges);
    let upstream = EchoUpstream::start().await?;
    let settings = origin.edge_settings(&upstream.url).await?;
    Ok((origin, upstream, settings))
}

fn route(document: &str) -> Result<Route> {
    Ok(Route::try_from(serde_json::from_str::<RouteDocument>(document)?)?)
}

/// Runs every section on a host, prints the counts, and reports all differences together.
async fn conforms(host: Host) -> Result<()> {
    let (origin, _upstream, settings) = prepare().await?;
    let factory = origin.token_factory().await?;
    let (mut counts, mut not_carried, mut differences) = (BTreeMap::new(), 0, Vec::new());
    for setup in Setup::ALL {
        let mut settings = settings.clone();
        settings.extend(setup.settings().iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut adapter = warm(host, &settings, &Table { factory: &factory, now: now() }).await?;
        for section in SECTIONS.iter().filter(|section| section.setup == setup) {
            let (carried, others) = run_section(&mut adapter, section, &factory, &mut differences).await?;
            counts.insert(section.name, carried);
            not_carried += others;
        }
    }
    let total: usize = counts.values().sum();
    println!("{host:?}: {total} cases {counts:?}, {} wrong; {not_carried} not carried", differences.len());
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    let of_requests = total - counts["strict profile"];
    assert!(total >= 950 && of_requests >= 200 && not_carried <= 40, "the table has shrunk: {total}, {of_requests}");
    Ok(())
}

/// Starts a gate, and sends it a case: it may compile at its first request.
async fn warm(host: Host, settings: &BTreeMap<&'static str, String>, table: &Table<'_>) -> Result<Adapter> {
    let mut adapter = host.start(settings).await?;
    adapter.exchange(&(SECTIONS[0].cases)(table)[0]).await?;
    Ok(adapter)
}

/// Runs a section, and returns how many cases were carried, and how many were not. Each few seconds
/// the same cases are built again, because some of their tokens are valid for seconds.
async fn run_section(
    adapter: &mut Adapter,
    section: &Section,
    factory: &TokenFactory,
    differences: &mut Vec<String>,
) -> Result<(usize, usize)> {
    let build = || (now(), (section.cases)(&Table { factory, now: now() }));
    let (mut built_at, mut cases) = build();
    let mut carried = 0;
    for index in 0..cases.len() {
        if now() > built_at + MAX_CASE_AGE_SECONDS {
            (built_at, cases) = build();
        }
        let case = cases.get(index).context("each build has the same cases")?;
        if adapter.carries(case) {
            carried += 1;
            differences.extend(run(adapter, &[case]).await?);
        }
    }
    Ok((carried, cases.len() - carried))
}

/// Runs cases, and returns the differences.
async fn run(adapter: &mut Adapter, cases: &[&Case]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for case in cases {
        let exchange = adapter.exchange(case).await.with_context(|| case.name.clone())?;
        let differences = case.differences(&exchange);
        if !differences.is_empty() {
            all.push(format!("{}\n  {}", case.name, differences.join("\n  ")));
        }
    }
    Ok(all)
}

/// All hosts learn the type of the audience's tokens from the snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn every_host_accepts_plain_jwts_where_the_resource_server_has_that_type() -> Result<()> {
    let (origin, upstream, _) = prepare().await?;
    let resource = Resource {
        audience: AUDIENCE.parse()?,
        name: "The API".to_owned(),
        scopes: BTreeMap::new(),
        introspected_by: None,
        tokens: TokenProfile { token_type: Some(AccessTokenType::Jwt), ..TokenProfile::default() },
    };
    origin.server.store().save_resource(&resource).await?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let factory = origin.token_factory().await?;
    for host in Host::ALL {
        let mut adapter = warm(host, &settings, &Table { factory: &factory, now: now() }).await?;
        let cases = Table { factory: &factory, now: now() }.plain_jwt_cases();
        assert!(cases.len() >= 12, "the table has shrunk: {}", cases.len());
        let differences = run(&mut adapter, &cases.iter().collect::<Vec<_>>()).await?;
        assert!(differences.is_empty(), "{host:?}\n{}", differences.join("\n"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn native_gate_conforms() -> Result<()> {
    conforms(Host::Native).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wit_component_conforms() -> Result<()> {
    conforms(Host::Component).await
}

#[tokio::test(flavor = "multi_thread")]
async fn runner_conforms() -> Result<()> {
    conforms(Host::Edge(EdgeKind::Runner)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spin_component_under_wasmtime_conforms() -> Result<()> {
    conforms(Host::Edge(EdgeKind::Spin)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_under_workerd_conforms() -> Result<()> {
    conforms(Host::Edge(EdgeKind::Worker)).await
}

/// `verify-all` returns for each token what `verify` returns.
#[tokio::test(flavor = "multi_thread")]
async fn wit_component_verifies_many_tokens_as_one_by_one() -> Result<()> {
    let (origin, _upstream, settings) = prepare().await?;
    let Adapter::Component(mut validator, _) = Host::Component.start(&settings).await? else {
        bail!("another adapter");
    };
    let factory = origin.token_factory().await?;
    let table = Table { factory: &factory, now: now() };
    let cases: Vec<Case> = SECTIONS.iter().flat_map(|section| (section.cases)(&table)).collect();
    let credentials = cases.iter().flat_map(|case| &case.headers).map(|(_, value)| value.as_slice());
    let tokens: Vec<Vec<u8>> =
        credentials.filter_map(|value| value.strip_prefix(b"Bearer ")).map(<[u8]>::to_vec).collect();
    let trapped = |error| anyhow::anyhow!("the component trapped: {error:#}");
    let (at, scope) = (now(), ["reports:read".to_owned()]);
    let verdicts = validator.verify_all(&tokens, &scope, at).map_err(trapped)?;
    assert_eq!(verdicts.len(), tokens.len());
    let mut allowed = 0;
    for (token, verdict) in tokens.iter().zip(verdicts) {
        let alone = validator.verify(token, &scope, at).map_err(trapped)?;
        assert_eq!((verdict.allowed, &verdict.reason), (alone.allowed, &alone.reason));
        allowed += usize::from(verdict.allowed);
    }
    println!("{} tokens in one call, {allowed} allowed", tokens.len());
    assert!(allowed > 20 && tokens.len() - allowed > 500, "the table has accepted and refused tokens");
    Ok(())
}
