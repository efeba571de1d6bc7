//! `GET /ssf/streams` and `GET /ssf/status`: a receiver reads its streams (SSF §8.1.1.2, §8.1.2.1).
//! Streams are created, changed and deleted with the CLI.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tollgate_model::event_stream::{Delivery, EventType, Stream};
use tollgate_services::shared_signals::{POLL, PUSH};

use super::receivers::SignalReceivers;
use crate::oauth::parameters::Parameters;
use crate::openapi::responses::BadRequest;
use crate::problem::Problem;
use crate::shared_signals::bearer::{BearerError, authenticate_receiver, find_own_stream};

/// The response is specific to the client (RFC 9111 §3.5).
const NO_STORE: [(axum::http::HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// Configuration of all streams of the client, or of one (SSF §8.1.1.2).
#[utoipa::path(
    get, path = "/ssf/streams",
    params(("stream_id" = Option<String>, Query, description = "Name of a stream")),
    responses(
        (status = 200, description = "Configuration, or an array of all", body = Value),
        BadRequest, BearerError,
    ),
    security(("bearer" = ["ssf.read"])),
)]
pub(crate) async fn get(
    State(receivers): State<Arc<SignalReceivers>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, BearerError> {
    let client = authenticate_receiver(&receivers, &headers).await?;
    let Ok(query) = Parameters::from_form(query.as_deref().unwrap_or_default()) else {
        return Ok(Problem::bad_request("the parameters are not well-formed").into_response());
    };
    let answer = match query.get("stream_id") {
        Some(name) => configuration(&receivers.issuer.url, &find_own_stream(&receivers, &client, name).await?),
        None => {
            let streams = receivers.store.list_streams().await?;
            let own_streams = streams.iter().filter(|stream| stream.client.as_ref() == Some(&client));
            own_streams.map(|stream| configuration(&receivers.issuer.url, stream)).collect()
        }
    };
    Ok((NO_STORE, Json(answer)).into_response())
}

/// Status of a stream (SSF §8.1.2.1).
#[utoipa::path(
    get, path = "/ssf/status",
    params(("stream_id" = String, Query, description = "Name of a stream")),
    responses((status = 200, description = "Status", body = Object), BadRequest, BearerError),
    security(("bearer" = ["ssf.read"])),
)]
pub(crate) async fn status(
    State(receivers): State<Arc<SignalReceivers>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, BearerError> {
    let client = authenticate_receiver(&receivers, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let Some(name) = query.as_ref().ok().and_then(|query| query.get("stream_id")) else {
        return Ok(Problem::bad_request("stream_id is missing").into_response());
    };
    let stream = find_own_stream(&receivers, &client, name).await?;
    // A registered stream is always enabled.
    let answer = json!({ "stream_id": stream.name.as_str(), "status": "enabled" });
    Ok((NO_STORE, Json(answer)).into_response())
}

/// Configuration of a stream (SSF §8.1.1), without the receiver's credentials.
fn configuration(issuer: &str, stream: &Stream) -> Value {
    let uris = |events: &[EventType]| events.iter().map(|event| event.uri()).collect::<Vec<_>>();
    let delivery = match &stream.delivery {
        Delivery::Push { url, .. } => json!({ "method": PUSH, "endpoint_url": url.as_str() }),
        Delivery::Poll => json!({ "method": POLL, "endpoint_url": format!("{issuer}/ssf/poll/{}", stream.name) }),
    };
    json!({
        "stream_id": stream.name.as_str(),
        "iss": issuer,
        "aud": stream.audience.as_str(),
        "events_supported": uris(&EventType::ALL),
        "events_requested": uris(&stream.events),
        "events_delivered": uris(&stream.events),
        "delivery": delivery,
    })
}
