//! RS256: tokens per second compared with oidc-provider, a server for Node, and a token's signature
//! compared with the library's alone.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[expect(clippy::disallowed_types, reason = "the bench generates its RSA key with the system's random source")]
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::json;
use tollgate_bench::figures::{Figure, Part, Table, number};
use tollgate_bench::measure::{alternating_medians, percentile, sorted};
use tollgate_bench::tokens::ISSUER;
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::{ClientId, TokenAlg, TokenDraft, TokenId};
use tollgate_services::signing_keys::SigningPool;
use tollgate_system::rng;
use tollgate_tests::environment::{now, required_env};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

use super::http_connection::{HttpConnection, Requests, post, repeat, text};
use super::issuing::access;

/// Connections, each with one request at a time.
const CALLERS: usize = 64;
/// Client id in both servers.
const CLIENT: &str = "bench";
/// The client's secret in `bench/js/oidc_provider.mjs`.
const OIDC_PROVIDER_SECRET: &str = "bench-secret";
const FORM: &str = "grant_type=client_credentials&scope=read";
/// Number of hand-overs to a signing thread that are timed.
const HAND_OVERS: usize = 10_000;
const RSA_BITS: usize = 2048;

/// Measures both servers in alternation, then the signature alone.
pub(crate) async fn measure(quick: bool) -> Result<Part> {
    let (rounds, length) = if quick { (3, Duration::from_millis(400)) } else { (9, Duration::from_secs(1)) };
    let quick_note = if quick { "QUICK: fewer and shorter rounds. " } else { "" };
    let mut part = Part::new(
        "RS256",
        format!(
            "{quick_note}{CALLERS} connections over HTTP with one request at a time each, clients and servers on the same cores; JWT \
             access tokens by client credentials, signed with RS256 and {RSA_BITS} bits; each server for {} ms, in alternation, \
             {rounds} rounds, medians. The origin commits every token on SQLite with `synchronous=FULL`; oidc-provider keeps \
             nothing of a token. The signature: creating, serializing and signing a token on one thread, compared with ring's \
             signature of as many bytes.",
            length.as_millis()
        ),
    );
    let origin = TestOrigin::start_with(&[("TOLLGATE_LIMITS", "off")]).await?;
    let metadata = json!({
        "grant_types": ["client_credentials"], "scope": "read", "access_token_signed_response_alg": "RS256",
    });
    let secret = origin.client(CLIENT, &metadata)?.context("a client secret")?;
    let oidc_provider = OidcProvider::start()?;
    let address = origin.server.url().trim_start_matches("http://").to_owned();
    let own = Requests::new(vec![post("/oauth/token", CLIENT, &secret, FORM)]);
    let others = Requests::new(vec![post("/token", CLIENT, OIDC_PROVIDER_SECRET, FORM)]);
    check_algorithm(&address, &own).await?;
    check_algorithm(&oidc_provider.address, &others).await?;
    let mut rates = Vec::new();
    // The first round is the warm-up.
    for round in 0..=rounds {
        let own_rate = repeat(&address, &own, CALLERS, length).await?;
        let other_rate = repeat(&oidc_provider.address, &others, CALLERS, length).await?;
        if round > 0 {
            rates.push((own_rate, other_rate));
        }
    }
    drop(oidc_provider);
    let hand_over = time_hand_over(origin.server.signing_pool()).await?;
    origin.server.shutdown().await;
    let (token, signature) = tokio::task::block_in_place(time_signature)?;
    let median = |of: fn(&(f64, f64)) -> f64| percentile(&sorted(rates.iter().map(of).collect()), 50.0);
    part.figures = vec![
        Figure::new(
            "client credentials, RS256: times as many as oidc-provider",
            median(|(own, other)| own / other),
            "",
        )
        .at_least(2.0),
        Figure::new("RS256 token, times ring's bare signature", token / signature, "").at_most(1.1),
        Figure::new("ring's bare signature", signature / 1e3, "µs"),
        Figure::new("handing work to a signing thread, and back", hand_over / 1e3, "µs"),
    ];
    let mut table = Table::new(&["client credentials per second, RS256", ""]);
    table.add_row("Tollgate on SQLite", [number(median(|(own, _)| *own), "")]);
    table.add_row("oidc-provider", [number(median(|(_, other)| *other), "")]);
    part.tables = vec![table];
    Ok(part)
}

/// A running oidc-provider. Dropping it ends the program.
struct OidcProvider {
    program: Child,
    address: String,
}

impl OidcProvider {
    fn start() -> Result<OidcProvider> {
        let mut node = Command::new(required_env("TOLLGATE_TEST_NODE"));
        node.args(["bench/js/oidc_provider.mjs", &required_env("TOLLGATE_TEST_NODE_MODULES"), AUDIENCE]);
        let mut program = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start Node")?;
        let mut port = String::new();
        BufReader::new(program.stdout.take().context("its standard output")?).read_line(&mut port)?;
        let port: u16 = port.trim().parse().context("oidc-provider did not start")?;
        Ok(OidcProvider { program, address: format!("127.0.0.1:{port}") })
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Checks that a server does what is measured.
async fn check_algorithm(address: &str, requests: &Requests) -> Result<()> {
    let token = text(HttpConnection::connect(address).await?.send(requests.next()).await?, "access_token")?;
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap_or_default())?;
    let header: serde_json::Value = serde_json::from_slice(&header)?;
    ensure!(header["alg"] == "RS256", "{address} signs with {header}");
    Ok(())
}

/// The median time, in nanoseconds, in which a signing thread gets work and its caller the result.
async fn time_hand_over(pool: &SigningPool) -> Result<f64> {
    let mut times = Vec::with_capacity(HAND_OVERS);
    for _ in 0..HAND_OVERS {
        let started = Instant::now();
        pool.run(|| ()).await?;
        times.push(started.elapsed().as_nanos() as f64);
    }
    Ok(percentile(&sorted(times), 50.0))
}

/// Nanoseconds to create and sign a token as the origin does, and for ring's signature alone.
fn time_signature() -> Result<(f64, f64)> {
    let (master, at) = (MasterKey::from_random([1; 32]), now());
    let keys = KeyRing::open(&master, &KeyRing::generate(&master, at)?, BTreeSet::new(), at)?;
    let (client, access): (ClientId, _) = (CLIENT.parse()?, access()?);
    let key_id = keys.key_id(TokenAlg::Rs256, &access.audience)?;
    let unique = TokenId::unique(at * 1000, rng::random_id()?);
    let token = TokenDraft::for_client(unique, &client, access, key_id, at, 3600).issued(1, 1);
    let text = keys.issue(&token, ISSUER)?;
    let (message, _) = text.rsplit_once('.').context("a signature")?;

    let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(SysRng), RSA_BITS)?;
    let der = key.to_pkcs1_der().map_err(|error| anyhow!("{error}"))?;
    let key = RsaKeyPair::from_der(der.as_bytes()).map_err(|error| anyhow!("{error}"))?;
    let (random, mut signature) = (SystemRandom::new(), vec![0_u8; key.public().modulus_len()]);
    let mut sign = || key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).is_ok();
    ensure!(sign(), "ring does not sign");
    let [token, signature] = alternating_medians([
        &mut || {
            black_box(keys.issue(&token, ISSUER).is_ok());
        },
        &mut || {
            black_box(sign());
        },
    ]);
    Ok((token, signature))
}
