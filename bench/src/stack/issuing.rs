//! Tokens per second that an origin issues, each recorded durably before it is returned, compared
//! with the rate of a request without any work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tollgate_bench::figures::{Figure, Part, Table};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_keys::KeyRing;
use tollgate_model::{
    Access, Audience, AuthorizationCode, AuthorizationDetails, ClientId, Grant, GrantId, GrantTerms, Scope, Secret,
    SecretKind, TokenAlg, TokenDraft, TokenId, UserId,
};
use tollgate_storage::Writer;
use tollgate_system::{Clock, rng};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::now;
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

use super::http_connection::{HttpConnection, Requests, get, post, repeat, text};

/// Connections, each with one request at a time.
const CALLERS: usize = 256;
/// Number of different tokens that are introspected.
const INTROSPECTED_TOKENS: usize = 1000;
/// Concurrent tokens for the measurement without HTTP.
const CONCURRENT_TOKENS: usize = 4096;
/// Client credentials grants per second for which Keycloak's sizing guide plans one processor:
/// <https://www.keycloak.org/high-availability/concepts-memory-and-cpu-sizing>
const KEYCLOAK_GRANTS_PER_CORE: f64 = 120.0;
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://shop.example/cb";

/// Measured requests, with the targets on SQLite and on PostgreSQL as shares of the rate of
/// `/health/live`.
const REQUESTS: [(&str, Option<(f64, f64)>); 4] = [
    ("POST /oauth/token, client credentials", Some((1.0 / 3.0, 0.25))),
    ("POST /oauth/token, client credentials, EdDSA", None),
    ("POST /oauth/token, refresh", Some((0.25, 0.25))),
    ("POST /oauth/introspect", Some((2.0 / 3.0, 2.0 / 3.0))),
];

/// Measures on SQLite and on PostgreSQL.
pub(crate) async fn measure(quick: bool) -> Result<Part> {
    let (rounds, length) = if quick { (3, Duration::from_millis(400)) } else { (9, Duration::from_secs(1)) };
    let cores = std::thread::available_parallelism()?.get() as f64;
    let quick_note = if quick { "QUICK: fewer and shorter rounds. " } else { "" };
    let mut part = Part::new(
        "Tokens per second",
        format!(
            "{quick_note}{CALLERS} connections over HTTP with one request at a time each, clients and origin on the same {cores} cores; \
             each kind of request for {} ms, in alternation, {rounds} rounds, medians. Every token is committed before it is \
             returned, and is HS256 unless stated otherwise: on SQLite in WAL mode with `synchronous=FULL`, each commit synced to \
             disk, and on PostgreSQL with its defaults. Each refresh uses a refresh token and returns its successor; \
             {INTROSPECTED_TOKENS} tokens are introspected in turn. In process: {CONCURRENT_TOKENS} concurrent tokens are created, \
             recorded by the group commit and signed with HS256, on SQLite. Rate limits and log are off.",
            length.as_millis()
        ),
    );
    let mut table = Table::new(&["requests per second", "SQLite", "PostgreSQL"]);
    let sqlite = over_http(&TestDatabase::Sqlite, rounds, length).await?;
    let database = TestDatabase::postgres("bench_issuing").await?;
    let postgres = over_http(&database, rounds, length).await;
    database.delete().await?;
    let postgres = postgres?;
    let number = |value: f64| format!("{value:.0}");
    table.add_row("GET /health/live", [number(sqlite.live()), number(postgres.live())]);
    for (nth, (name, target)) in REQUESTS.into_iter().enumerate() {
        table.add_row(name, [number(sqlite.rate(nth)), number(postgres.rate(nth))]);
        let figure = |share: f64, database: &str, target: Option<f64>| {
            let figure = Figure::new(format!("{name}, compared with GET /health/live, {database}"), share, "");
            if let Some(target) = target { figure.at_least(target) } else { figure }
        };
        part.figures.push(figure(sqlite.share(nth), "on SQLite", target.map(|(sqlite, _)| sqlite)));
        part.figures.push(figure(postgres.share(nth), "on PostgreSQL", target.map(|(_, postgres)| postgres)));
    }
    let in_process = in_process(if quick { 100_000 } else { 1_000_000 }).await?;
    part.figures
        .push(Figure::new("issued and recorded in process, on SQLite", in_process, "per second").at_least(100_000.0));
    let compared = sqlite.rate(0) / cores / KEYCLOAK_GRANTS_PER_CORE;
    part.figures.push(Figure::new(
        "client credentials per second and core, compared with the 120 of Keycloak's sizing guide",
        compared,
        "",
    ));
    part.tables = vec![table];
    Ok(part)
}

/// Requests per second of each round: `/health/live`, then each of [`REQUESTS`].
struct Rates(Vec<[f64; 1 + REQUESTS.len()]>);

impl Rates {
    fn live(&self) -> f64 {
        self.median(|round| round[0])
    }

    fn rate(&self, nth: usize) -> f64 {
        self.median(|round| round[1 + nth])
    }

    /// The median of the rounds' shares. Other load slows both requests of a round alike.
    fn share(&self, nth: usize) -> f64 {
        self.median(|round| round[1 + nth] / round[0])
    }

    fn median(&self, of: impl Fn(&[f64; 1 + REQUESTS.len()]) -> f64) -> f64 {
        percentile(&sorted(self.0.iter().map(of).collect()), 50.0)
    }
}

async fn over_http(database: &TestDatabase, rounds: usize, length: Duration) -> Result<Rates> {
    let folder = tempfile::tempdir()?;
    let url = database.url(folder.path())?;
    let origin = TestOrigin::start_with(&[("TOLLGATE_DATABASE_URL", &url), ("TOLLGATE_LIMITS", "off")]).await?;
    let grants = ["client_credentials", "authorization_code", "refresh_token"];
    let metadata = |alg: &str| {
        let (alg, redirects) = (("access_token_signed_response_alg", alg), [REDIRECT]);
        json!({ "grant_types": grants, "redirect_uris": redirects, "scope": "read", alg.0: alg.1 })
    };
    let secret = origin.client("bench", &metadata("HS256"))?.context("a client secret")?;
    let other_secret = origin.client("bench-eddsa", &metadata("EdDSA"))?.context("a client secret")?;
    let address = origin.server.url().trim_start_matches("http://").to_owned();
    let client: Arc<(String, String)> = Arc::new((address, secret));
    let mut refresh = refresh_tokens(&origin, &client).await?;
    let credentials = post("/oauth/token", "bench", &client.1, "grant_type=client_credentials");
    let (mut connection, mut introspect) =
        (HttpConnection::connect(&client.0).await?, Vec::with_capacity(INTROSPECTED_TOKENS));
    for _ in 0..INTROSPECTED_TOKENS {
        let token = text(connection.send(&credentials).await?, "access_token")?;
        introspect.push(post("/oauth/introspect", "bench", &client.1, &format!("token={token}")));
    }
    let eddsa =
        Requests::new(vec![post("/oauth/token", "bench-eddsa", &other_secret, "grant_type=client_credentials")]);
    let (live, credentials) = (Requests::new(vec![get("/health/live")]), Requests::new(vec![credentials]));
    let introspect = Requests::new(introspect);
    let mut rates = Vec::new();
    // The first round is the warm-up.
    for round in 0..=rounds {
        let live_rate = repeat(&client.0, &live, CALLERS, length).await?;
        let token_rate = repeat(&client.0, &credentials, CALLERS, length).await?;
        let eddsa_rate = repeat(&client.0, &eddsa, CALLERS, length).await?;
        let refresh_rate = refresh_repeatedly(&client, &mut refresh, length).await?;
        let introspection_rate = repeat(&client.0, &introspect, CALLERS, length).await?;
        if round > 0 {
            rates.push([live_rate, token_rate, eddsa_rate, refresh_rate, introspection_rate]);
        }
    }
    origin.server.shutdown().await;
    Ok(Rates(rates))
}

/// Each caller uses its refresh token and continues with the successor. Returns the refreshes per
/// second.
async fn refresh_repeatedly(client: &Arc<(String, String)>, tokens: &mut Vec<String>, length: Duration) -> Result<f64> {
    let mut callers = JoinSet::new();
    let started = Instant::now();
    for token in std::mem::take(tokens) {
        let client = Arc::clone(client);
        callers.spawn(async move {
            let (mut connection, mut count) = (HttpConnection::connect(&client.0).await?, 0_u64);
            let form = format!("grant_type=refresh_token&refresh_token={token}");
            let mut request = post("/oauth/token", "bench", &client.1, &form);
            let before = request.len() - token.len();
            while started.elapsed() < length {
                // The successor has the same length and replaces the token in the request.
                let answer = connection.send(&request).await?;
                request.truncate(before);
                request.extend_from_slice(unescaped_member(answer, "refresh_token")?);
                count += 1;
            }
            anyhow::Ok((count, String::from_utf8(request.split_off(before))?))
        });
    }
    let done = callers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let rate = done.iter().map(|(count, _)| *count as f64).sum::<f64>() / started.elapsed().as_secs_f64();
    tokens.extend(done.into_iter().map(|(_, token)| token));
    Ok(rate)
}

/// A refresh token for each caller, each of its own grant.
async fn refresh_tokens(origin: &TestOrigin, client: &(String, String)) -> Result<Vec<String>> {
    origin.user("ada", "correct horse battery", &json!({}))?;
    let user = origin.server.store().find_user_by_name(&"ada".parse()?).await?.context("no user")?.id;
    let mut connection = HttpConnection::connect(&client.0).await?;
    let mut tokens = Vec::with_capacity(CALLERS);
    for _ in 0..CALLERS {
        let code = Secret::new(SecretKind::Code, &rng::random()?);
        let is_recorded = origin.server.store().create_code(&grant_code(&code, user.clone())?, None).await?;
        ensure!(is_recorded, "the grant was not recorded");
        let redirect = url_encoded(REDIRECT);
        let form = format!(
            "grant_type=authorization_code&code={}&redirect_uri={redirect}&code_verifier={VERIFIER}",
            code.reveal()
        );
        let answer = connection.send(&post("/oauth/token", "bench", &client.1, &form)).await?;
        tokens.push(text(answer, "refresh_token")?);
    }
    Ok(tokens)
}

fn grant_code(code: &Secret, user: UserId) -> Result<AuthorizationCode> {
    let at = now();
    let grant = Grant {
        id: GrantId::from_random(&rng::random()?),
        client: "bench".parse()?,
        subject: user.to_string(),
        user,
        browser_session: None,
        terms: serde_json::from_value::<GrantTerms>(json!({
            "access": access()?, "auth_time": at, "acr": "urn:tollgate:acr:password", "amr": ["pwd"],
        }))?,
        created_at: at,
        ends_at: at + 86_400,
        ended_at: None,
    };
    Ok(AuthorizationCode {
        hash: code.hash(),
        grant,
        redirect_uri: Some(REDIRECT.to_owned()),
        challenge: Some(CHALLENGE.parse()?),
        nonce: None,
        jkt: None,
        expires_at: at + 60,
        tokens_expire_at: None,
        redeemed_at: None,
    })
}

/// Access of the measured tokens.
pub(crate) fn access() -> Result<Access> {
    let audience: Audience = AUDIENCE.parse()?;
    Ok(Access { scope: Scope::parse("read")?, audience: audience.into(), details: AuthorizationDetails::default() })
}

/// Tokens per second, issued and recorded without HTTP: the work of the token endpoint between the
/// decision and the answer.
async fn in_process(count: usize) -> Result<f64> {
    let origin = TestOrigin::start().await?;
    origin.client("bench", &json!({ "grant_types": ["client_credentials"], "scope": "read" }))?;
    let settings = tollgate_config::Settings::from_pairs(origin.settings.clone())?;
    let keys = Arc::new(tollgate::open_keys(origin.server.store(), &settings).await?);
    let (writer, writing) = Writer::new(origin.server.store().clone());
    tokio::spawn(writing);
    let issuer: Arc<str> = origin.server.issuer().into();
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for _ in 0..CONCURRENT_TOKENS {
        let (writer, keys, issuer) = (writer.clone(), Arc::clone(&keys), Arc::clone(&issuer));
        tasks.spawn(async move {
            for _ in 0..count / CONCURRENT_TOKENS {
                issue(&writer, &keys, &issuer).await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect::<Result<()>>()?;
    let rate = (count / CONCURRENT_TOKENS * CONCURRENT_TOKENS) as f64 / started.elapsed().as_secs_f64();
    origin.server.shutdown().await;
    Ok(rate)
}

async fn issue(writer: &Writer, keys: &KeyRing, issuer: &str) -> Result<String> {
    let (client, access): (ClientId, Access) = ("bench".parse()?, access()?);
    let key_id = keys.key_id(TokenAlg::Hs256, &access.audience)?;
    let now_ms = Clock::system().now_ms();
    let unique = TokenId::unique(now_ms, rng::random_id()?);
    let draft = TokenDraft::for_client(unique, &client, access, key_id, now_ms / 1000, 3600);
    let token = writer.issue(draft).await?;
    Ok(keys.issue(&token, issuer)?)
}

/// A member of an answer that contains no escapes, found without parsing the JSON.
fn unescaped_member<'a>(body: &'a [u8], member: &str) -> Result<&'a [u8]> {
    let name = format!("\"{member}\":\"");
    let at = body.windows(name.len()).rposition(|window| window == name.as_bytes());
    let value = at.and_then(|at| body.get(at + name.len()..)).with_context(|| format!("the answer has no {member}"))?;
    Ok(value.split(|byte| *byte == b'"').next().unwrap_or_default())
}

fn url_encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}
