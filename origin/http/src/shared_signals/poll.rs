//! `POST /ssf/poll/{stream}`: a receiver acknowledges security events and requests more (RFC 8936).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tollgate_model::event_stream::Delivery;
use tollgate_model::text;
use tollgate_services::shared_signals::{PollAnswer, PollRequest, PollResponder};

use super::receivers::SignalReceivers;
use crate::long_polls;
use crate::oauth::caller::Caller;
use crate::openapi::responses::BadBody;
use crate::problem;
use crate::problem::Problem;
use crate::shared_signals::bearer::{BearerError, authenticate_receiver, find_own_stream};

/// Acknowledges security events and requests more (RFC 8936).
#[utoipa::path(
    post, path = "/ssf/poll/{stream}",
    params(("stream" = String, Path, description = "Name of the stream")),
    request_body = PollRequest,
    responses(
        (status = 200, description = "Security event tokens", body = PollAnswer),
        BadBody, BearerError,
        (
            status = 415,
            description = "The body is not JSON",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = ["ssf.read"])),
)]
pub(crate) async fn post(
    State(receivers): State<Arc<SignalReceivers>>,
    Path(name): Path<String>,
    version: Version,
    caller: Caller,
    body: Bytes,
) -> Result<Response, BearerError> {
    let headers = &caller.headers;
    let client = authenticate_receiver(&receivers, headers).await?;
    let stream = find_own_stream(&receivers, &client, &name).await?;
    if stream.delivery != Delivery::Poll {
        return Err(BearerError::NoStream);
    }
    if !is_json(headers) {
        let detail = "the body must be application/json";
        return Ok(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into_response());
    }
    let Ok(mut request) = text::json::<PollRequest>(&body) else {
        return Ok(Problem::bad_request("the body is not a poll request").into_response());
    };
    let poll = receivers.long_polls.begin(caller.address(&receivers.proxies)).filter(|_| !request.return_immediately);
    let has_no_permit = poll.is_none() && !request.return_immediately;
    request.return_immediately |= has_no_permit;
    let polling = PollResponder {
        store: receivers.store.clone(),
        transmitter: receivers.transmitter.clone(),
        clock: receivers.clock.clone(),
        changes: receivers.feed_changes.clone(),
        stop: receivers.stop.clone(),
    };
    match polling.respond(&stream, &request).await {
        Ok(answer) => {
            let mut response = ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response();
            if has_no_permit {
                long_polls::close_connection(version, &mut response);
            }
            Ok(response)
        }
        Err(error) => {
            tracing::error!(%error, stream = %stream.name, "poll for security events failed");
            Ok(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "events cannot be read now; try again").into_response())
        }
    }
}

/// Whether the media type is JSON. A cross-site form cannot send that type (RFC 8936 §2.2).
fn is_json(headers: &HeaderMap) -> bool {
    let essence =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
