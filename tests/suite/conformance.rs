//! Runs the conformance table against every host of the gate: the answers are the same everywhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use tollgate_edge::Program;
use tollgate_model::{AccessTokenType, Actor, NewRevocation, OnStale, Resource, Route, Scope, Target, TokenProfile};
use tollgate_tests::adapter::Adapter;
use tollgate_tests::conformance::{Case, REVOKED, ROUTES, cases, plain_jwt_cases};
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, now, required_env};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::token_factory::TokenFactory;

/// Starts an origin with the table's routes and revoked token, and an upstream.
async fn prepare() -> Result<(TestOrigin, Upstream, BTreeMap<&'static str, String>)> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let store = origin.server.store();
    for (path, methods, scope, public) in ROUTES {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        store
            .create_route(&Route::new(path, &methods, Scope::parse(&scope.join(" "))?, public, OnStale::Deny)?)
            .await?;
    }
    let target = Target::Token(REVOKED.to_owned());
    assert!(store.revoke(NewRevocation::any(target, Actor::command_line(None), None, now())?).await?.is_new_to_edges);
    let upstream = Upstream::start()?;
    let settings = origin.edge_settings(&upstream.url).await?;
    Ok((origin, upstream, settings))
}

/// Runs every case and reports all differences together.
async fn conforms(adapter: Adapter, origin: &TestOrigin) -> Result<()> {
    let (count, left) = answers_as(adapter, origin, cases).await?;
    assert!(count >= 800 && left <= 40, "the table has shrunk: {count} cases, {left} not carried");
    Ok(())
}

/// Runs a table, and returns the numbers of cases that ran, and of those that no HTTP header can
/// carry.
async fn answers_as(
    mut adapter: Adapter,
    origin: &TestOrigin,
    build: fn(&TokenFactory, u64) -> Vec<Case>,
) -> Result<(usize, usize)> {
    let factory = origin.token_factory().await?;
    // A host may compile at its first request. The table is built afterwards, because some of its
    // tokens are valid for seconds.
    adapter.answer(&build(&factory, now())[0]).await?;
    let table = build(&factory, now());
    let (carried, left): (Vec<_>, Vec<_>) = table.iter().partition(|case| adapter.carries(case));
    let mut wrong = Vec::new();
    for case in &carried {
        let answer = adapter.answer(case).await?;
        if answer != case.expected {
            wrong.push(format!("{}\n  expected {:?}\n  answered {answer:?}", case.name, case.expected));
        }
    }
    let attacks = carried.iter().filter(|case| case.name.starts_with("CVE-")).count();
    let (count, left) = (carried.len(), left.len());
    println!("{count} cases ({attacks} after CVEs), {} wrong; {left} that no HTTP header can carry", wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok((count, left))
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
    let mut settings = origin.edge_settings(&upstream.url).await?;
    let program =
        Program::load(&PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    let mut adapters = Vec::new();
    for kind in EdgeKind::ALL {
        adapters.push(Adapter::http(TestEdge::start(kind, &settings).await?)?);
    }
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
    adapters.push(Adapter::native(&settings).await?);
    adapters.push(Adapter::component(&program, &settings).await?);
    for adapter in adapters {
        let (count, left) = answers_as(adapter, &origin, plain_jwt_cases).await?;
        assert!(count >= 12 && left == 0, "the table has shrunk: {count} cases, {left} not carried");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn native_gate_conforms() -> Result<()> {
    let (origin, _upstream, mut settings) = prepare().await?;
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned()); // nothing syncs it while the table runs
    conforms(Adapter::native(&settings).await?, &origin).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wit_component_conforms() -> Result<()> {
    let (origin, _upstream, mut settings) = prepare().await?;
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
    let program =
        Program::load(&PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    conforms(Adapter::component(&program, &settings).await?, &origin).await
}

/// `verify-all` returns for each token what `verify` returns.
#[tokio::test(flavor = "multi_thread")]
async fn wit_component_verifies_many_tokens_as_one_by_one() -> Result<()> {
    let (origin, _upstream, mut settings) = prepare().await?;
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned());
    let program =
        Program::load(&PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    let Adapter::Component(mut validator) = Adapter::component(&program, &settings).await? else {
        anyhow::bail!("another adapter");
    };
    let factory = origin.token_factory().await?;
    let table = cases(&factory, now());
    let credentials = table.iter().flat_map(|case| &case.headers).map(|(_, value)| value.as_slice());
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

async fn over_http(kind: EdgeKind) -> Result<()> {
    let (origin, _upstream, settings) = prepare().await?;
    conforms(Adapter::http(TestEdge::start(kind, &settings).await?)?, &origin).await
}

#[tokio::test(flavor = "multi_thread")]
async fn runner_conforms() -> Result<()> {
    over_http(EdgeKind::Runner).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spin_component_under_wasmtime_conforms() -> Result<()> {
    over_http(EdgeKind::Spin).await
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_under_workerd_conforms() -> Result<()> {
    over_http(EdgeKind::Worker).await
}
