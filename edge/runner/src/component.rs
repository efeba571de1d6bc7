//! Component mode: a request goes to a free instance of the validator, and what it decides is done.

use crate::answer::{Body, BodyError, from_gate, json_error, now_ms};
use crate::feed::Feed;
use crate::forward::{self, Upstream};
use crate::pool::{Pool, Unavailable};
use crate::{Decision, OpenError, Program, Request, Response, Settings, StartError};
use http::StatusCode;
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Pushes that are read at a time.
const PUSHES: usize = 4;
/// How long the body of a push may take.
const PUSH_PATIENCE: Duration = Duration::from_secs(5);

/// The gate in its instances, what feeds them, and the way to the upstream.
pub(crate) struct ComponentGate {
    pool: Arc<Pool>,
    feed: Arc<Feed>,
    upstream: Upstream,
    pushes: Semaphore,
    _feeding: AbortOnDropHandle<()>,
}

impl ComponentGate {
    /// Opens the instances and starts feeding them.
    pub(crate) fn start(program: Program, settings: &Settings) -> Result<ComponentGate, StartError> {
        // One instance a core, and one that may be taking a message meanwhile.
        let size = available_parallelism().map_or(1, usize::from) + 1;
        let pool = Pool::open(program, settings.of_gate.clone(), size).map_err(|error| match error {
            OpenError::Setting(line) => StartError::Setting(crate::SettingError::line(line)),
            OpenError::Trap(error) => StartError::Failed(format!("the component does not run: {error:#}")),
        })?;
        let pool = Arc::new(pool);
        let feed = Arc::new(
            Feed::new(Arc::clone(&pool), settings).map_err(|error| StartError::Failed(forward::chain(&error)))?,
        );
        let feeder = Arc::clone(&feed);
        let feeding = AbortOnDropHandle::new(tokio::spawn(async move { feeder.run().await }));
        Ok(ComponentGate {
            pool,
            feed,
            upstream: Upstream::new(settings.upstream.clone(), settings.upstream_timeout, settings.proxies.clone()),
            pushes: Semaphore::new(PUSHES),
            _feeding: feeding,
        })
    }

    /// Answers a request.
    pub(crate) async fn handle(&self, request: http::Request<Body>, peer: SocketAddr) -> http::Response<Body> {
        match self.decide(&asked(&request)).await {
            Ok(Decision::Forward(identity)) => self.upstream.forward(request, &identity, peer).await,
            Ok(Decision::Answer(answer)) => from_gate(answer),
            Ok(Decision::Push) => self.push(request).await,
            // One that has waited is not told to wait.
            Ok(Decision::Wait) | Err(Unavailable) => unavailable(),
        }
    }

    async fn decide(&self, asked: &Request) -> Result<Decision, Unavailable> {
        let decision = self.pool.on_any(|validator| validator.decide(asked, now_ms(), false)).await?;
        if !matches!(decision, Decision::Wait) {
            return Ok(decision);
        }
        self.feed.next().await;
        self.pool.on_any(|validator| validator.decide(asked, now_ms(), true)).await
    }

    /// Takes a pushed message. Anybody can post one: so few are read at a time, none for long, and only what the first
    /// instance finds to be the origin's goes to the others. Real pushes are repeated, and never needed.
    async fn push(&self, request: http::Request<Body>) -> http::Response<Body> {
        let Ok(_one_of_few) = self.pushes.try_acquire() else {
            return unavailable();
        };
        let body: Pin<Box<dyn Future<Output = Result<Collected<bytes::Bytes>, BodyError>> + Send>> =
            Box::pin(Limited::new(request.into_body(), tollgate_gate::MAX_PUSH_BYTES).collect());
        let body = match timeout(PUSH_PATIENCE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return json_error(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    "the message is larger than any that an origin pushes",
                );
            }
            Ok(Err(_)) => return json_error(StatusCode::BAD_REQUEST, "invalid_request", "the body was cut off"),
            Err(_) => return json_error(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body came too slowly"),
        };
        let pool = Arc::clone(&self.pool);
        let given = tokio::task::spawn_blocking(move || give_push(&pool, &body));
        given.await.ok().flatten().map_or_else(unavailable, from_gate)
    }
}

/// The request as the gate sees it.
fn asked<B>(request: &http::Request<B>) -> Request {
    let header =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
    Request {
        method: request.method().as_str().to_owned(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: request.headers().iter().map(header).collect(),
    }
}

/// Gives the message to one instance after the other, while they find it to be the origin's. They are in step, so any
/// answer is the answer of all.
fn give_push(pool: &Pool, body: &[u8]) -> Option<Response> {
    let _alone = pool.feeding();
    let mut answer = None;
    for index in 0..pool.size() {
        if let Ok(given) = pool.on(index, |validator| validator.push(body, now_ms())) {
            let is_the_origins = matches!(given.status, 200 | 409);
            answer = Some(given);
            if !is_the_origins {
                break;
            }
        }
    }
    answer
}

fn unavailable() -> http::Response<Body> {
    json_error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the gate is restarting; try again")
}
