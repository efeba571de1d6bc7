//! Component mode: a free instance of the validator decides on each request, and the runner acts on
//! the decision.

use crate::error_chain::error_chain;
use crate::introspector::Introspector;
use crate::listener::ClientInfo;
use crate::metrics::RunnerMetrics;
use crate::origin_client::OriginClient;
use crate::pool::{Pool, Unavailable};
use crate::rate_limits::RateLimits;
use crate::request_id;
use crate::response::{Body, BodyError, MadeByRunner, from_gate, json_error, now_ms, with_headers};
use crate::signatures::SignatureChecker;
use crate::streams::{Exchange, StreamWatcher, Streams};
use crate::sync::ReplicaSync;
use crate::upstream::Upstreams;
use crate::{
    Connection, Decision, Forward, OpenError, Program, RefusedRequest, Request, Response, Settings, StartError,
    StreamPolicy,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tollgate_gate::TrustedProxies;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const MAX_CONCURRENT_PUSHES: usize = 4;
const PUSH_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The gate in a pool of instances, the sync of their replicas, and the client of the upstream.
pub(crate) struct ComponentGate {
    pool: Arc<Pool>,
    sync: Arc<ReplicaSync>,
    introspector: Introspector,
    signatures: SignatureChecker,
    upstreams: Upstreams,
    rate_limits: RateLimits,
    trusted_proxies: TrustedProxies,
    pub(crate) metrics: Arc<RunnerMetrics>,
    /// Whether responses have `Server-Timing`.
    server_timing: bool,
    /// Whether a trace begins here for requests without one.
    starts_traces: bool,
    pushes: Semaphore,
    streams: Arc<Streams>,
    /// Spreads requests with DPoP proofs over the instances.
    proof_hash: RandomState,
    _sync_task: AbortOnDropHandle<()>,
    _stream_watcher: AbortOnDropHandle<()>,
}

impl ComponentGate {
    /// Opens the instances and starts their sync.
    pub(crate) fn start(program: Program, settings: &Settings) -> Result<ComponentGate, StartError> {
        // One instance per core, and one more while an instance applies a message.
        let size = available_parallelism().map_or(1, usize::from) + 1;
        let pool = Pool::open(program, settings.gate_settings.clone(), size).map_err(|error| match error {
            OpenError::Setting(line) => StartError::Setting(crate::SettingError::from_line(line)),
            OpenError::Trap(error) => StartError::Failed(format!("the component cannot run: {error:#}")),
        })?;
        let pool = Arc::new(pool);
        let metrics = Arc::new(RunnerMetrics::new());
        let sync = ReplicaSync::new(Arc::clone(&pool), Arc::clone(&metrics), settings);
        let sync = Arc::new(sync.map_err(|error| StartError::Failed(error_chain(&error)))?);
        let introspection_client =
            OriginClient::new(&settings.origin).map_err(|error| StartError::Failed(error_chain(&error)))?;
        let sync_of_task = Arc::clone(&sync);
        let sync_task = AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::join!(sync_of_task.run(), sync_of_task.replace_trapped());
        }));
        let streams = Streams::new(settings.streams.max, Arc::clone(&metrics));
        let watcher = StreamWatcher::new(Arc::clone(&streams), Arc::clone(&pool), Arc::clone(&sync));
        let stream_watcher = AbortOnDropHandle::new(tokio::spawn(async move { watcher.run().await }));
        Ok(ComponentGate {
            introspector: Introspector::new(Arc::clone(&pool), introspection_client),
            pool,
            sync,
            signatures: SignatureChecker::default(),
            upstreams: Upstreams::new(settings),
            rate_limits: RateLimits::default(),
            trusted_proxies: settings.trusted_proxies.clone(),
            metrics,
            server_timing: settings.server_timing,
            starts_traces: settings.starts_traces,
            pushes: Semaphore::new(MAX_CONCURRENT_PUSHES),
            streams,
            proof_hash: RandomState::new(),
            _sync_task: sync_task,
            _stream_watcher: stream_watcher,
        })
    }

    pub(crate) async fn handle(&self, mut request: http::Request<Body>, client: &ClientInfo) -> http::Response<Body> {
        let trace = request_id::continue_trace(request.headers_mut(), self.starts_traces);
        let connection = Connection {
            is_https: client.scheme == "https",
            is_from_trusted_proxy: self.trusted_proxies.contains(client.address.ip()),
            client_certificate: client.certificate.map(Vec::from),
        };
        let started = Instant::now();
        let gate_request = gate_request(&request, connection);
        let decision = self.decide(&gate_request).await;
        let (decided, mut upstream_time) = (started.elapsed(), None);
        let mut response = match decision {
            Ok(Decision::Forward(allowed)) => {
                let with_token = (allowed.route.streams == StreamPolicy::End).then_some(gate_request);
                let exchange = Exchange::begin(&self.streams, with_token);
                let response = match self.exceeded_limit(&allowed, request.headers(), client) {
                    Some(response) => response,
                    None => self.upstreams.forward(request, &allowed, client, exchange).await,
                };
                upstream_time = Some(started.elapsed().saturating_sub(decided));
                self.count_forwarded(&response, upstream_time.unwrap_or_default());
                with_headers(response, &allowed.response_headers)
            }
            Ok(Decision::Answer(answer)) => {
                if let Some(refused) = &answer.refused {
                    self.log_refusal(refused, answer.status, request.headers(), trace.as_deref());
                }
                from_gate(answer)
            }
            Ok(Decision::Push) => self.push(request).await,
            // A request that has waited gets another decision.
            Ok(Decision::Wait | Decision::Introspect(_)) | Err(Unavailable) => unavailable(),
        };
        if self.server_timing
            && let Ok(timing) = HeaderValue::try_from(tollgate_gate::server_timing(decided, upstream_time))
        {
            response.headers_mut().append(SERVER_TIMING, timing);
        }
        response
    }

    /// Sends further requests to the upstreams of these settings.
    pub(crate) fn reload(&self, settings: &Settings) {
        self.upstreams.reload(&settings.upstreams);
    }

    /// All metrics in the text format of Prometheus.
    pub(crate) async fn metrics_text(&self) -> Option<String> {
        let (metrics, pool) = (Arc::clone(&self.metrics), Arc::clone(&self.pool));
        tokio::task::spawn_blocking(move || metrics.prometheus_text(&pool)).await.ok()
    }

    /// The response to a request that exceeds the rate limit of its route.
    fn exceeded_limit(
        &self,
        allowed: &Forward,
        headers: &HeaderMap,
        client: &ClientInfo,
    ) -> Option<http::Response<Body>> {
        let limit = allowed.route.rate_limit.as_ref()?;
        let forwarded_for = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        let address = self.trusted_proxies.client_address(client.address.ip(), forwarded_for);
        self.rate_limits.refuse(limit, address)
    }

    /// Counts the outcome of a request that passed.
    fn count_forwarded(&self, response: &http::Response<Body>, took: Duration) {
        let counters = &self.metrics.counters;
        match (response.extensions().get::<MadeByRunner>(), response.status()) {
            (None, _) => counters.upstream_responded(took),
            (Some(_), StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => counters.upstream_failed(),
            (Some(_), StatusCode::TOO_MANY_REQUESTS) => counters.refused("rate_limited", None),
            (Some(_), StatusCode::PAYLOAD_TOO_LARGE) => counters.refused("body_too_large", None),
            (Some(_), _) => {}
        }
    }

    /// Writes one line about a refused request, unless there were many for this reason lately.
    fn log_refusal(&self, refused: &RefusedRequest, status: u16, headers: &HeaderMap, trace: Option<&str>) {
        if let Some(omitted) = self.metrics.acquire_refusal_line(&refused.reason) {
            let request_id = request_id::for_log(headers);
            let RefusedRequest { reason, route, client } = refused;
            let client_id = client.as_deref();
            let route = route.as_deref();
            tracing::info!(reason, status, request_id, route, client_id, trace_id = trace, omitted, "request refused");
        }
    }

    /// Ends the tunnels, of which the server knows nothing, and waits until they have closed.
    pub(crate) async fn end_tunnels(&self) {
        self.streams.end_tunnels().await;
    }

    async fn decide(&self, request: &Request) -> Result<Decision, Unavailable> {
        let mut decision = self.decide_now(request, false).await?;
        if let Decision::Wait = decision {
            self.sync.wait_for_fetch().await;
            decision = self.decide_now(request, true).await?;
        }
        if let Decision::Introspect(token) = decision {
            self.introspector.introspect(&token).await;
            decision = self.decide_now(request, true).await?;
        }
        Ok(decision)
    }

    /// Decides, and checks the token's signature outside of the component if there is one to check.
    async fn decide_now(&self, request: &Request, has_waited: bool) -> Result<Decision, Unavailable> {
        if let Some(key) = self.proof_key(request) {
            return self.pool.on_pinned(key, |validator| validator.decide(request, now_ms(), has_waited)).await;
        }
        let decide = async |checked_with: Option<&Vec<u8>>| {
            self.pool.on_any(|validator| validator.decide_checked(request, now_ms(), has_waited, checked_with)).await
        };
        let check = match decide(None).await? {
            Ok(decision) => return Ok(decision),
            Err(check) => check,
        };
        if self.signatures.accept(&self.pool, &check).await?
            && let Ok(decision) = decide(Some(&check.keys)).await?
        {
            return Ok(decision);
        }
        self.pool.on_any(|validator| validator.decide(request, now_ms(), has_waited)).await
    }

    /// Selects the instance for a request with a DPoP proof: a proof that is used twice must meet
    /// the instance that remembers its first use. The signature is left out, because ECDSA has two
    /// for each proof.
    fn proof_key(&self, request: &Request) -> Option<u64> {
        let (_, proof) = request.headers.iter().find(|(name, _)| name == "dpop")?;
        let signed = proof.iter().rposition(|byte| *byte == b'.').unwrap_or_default();
        Some(self.proof_hash.hash_one(proof.get(..signed)))
    }

    /// Applies a push to all instances. The path is public: so the runner reads few pushes at a
    /// time, limits their time, and passes only what the first instance accepts to the others. The
    /// origin repeats its pushes, and sync does not depend on them.
    async fn push(&self, request: http::Request<Body>) -> http::Response<Body> {
        let Ok(_permit) = self.pushes.try_acquire() else {
            return unavailable();
        };
        let body: Pin<Box<dyn Future<Output = Result<Collected<bytes::Bytes>, BodyError>> + Send>> =
            Box::pin(Limited::new(request.into_body(), tollgate_gate::MAX_PUSH_BYTES).collect());
        let body = match timeout(PUSH_BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return json_error(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    "the message is larger than an origin sends",
                );
            }
            Ok(Err(_)) => return json_error(StatusCode::BAD_REQUEST, "invalid_request", "the body ended early"),
            Err(_) => return json_error(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body arrived too slowly"),
        };
        let pool = Arc::clone(&self.pool);
        let applied = tokio::task::spawn_blocking(move || apply_push(&pool, &body));
        applied.await.ok().flatten().map_or_else(unavailable, from_gate)
    }
}

/// The request in the gate's types.
fn gate_request<B>(request: &http::Request<B>, connection: Connection) -> Request {
    let header =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
    Request {
        method: request.method().as_str().to_owned(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: request.headers().iter().map(header).collect(),
        connection,
    }
}

/// Applies the message to one instance after the other, and stops if it is not the origin's. All
/// replicas are equal, so each response is that of all instances.
fn apply_push(pool: &Pool, body: &[u8]) -> Option<Response> {
    let _lock = pool.lock_messages();
    let mut response = None;
    for index in 0..pool.size() {
        if let Ok(answer) = pool.on(index, |validator| validator.push(body, now_ms())) {
            let is_from_origin = matches!(answer.status, 200 | 409);
            response = Some(answer);
            if !is_from_origin {
                break;
            }
        }
    }
    pool.announce_sequence();
    response
}

fn unavailable() -> http::Response<Body> {
    json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the gate is restarting; try again")
}
