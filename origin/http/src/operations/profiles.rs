//! `GET /debug/pprof/{profile,heap,allocs,contention,requests,tasks}` on the metrics listener, if
//! `TOLLGATE_PROFILES` is on.

use std::time::Duration;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tollgate_services::telemetry::{ProfileError, ProfileKind, Profiler};

use crate::problem::Problem;

const FOLDER: &str = "/debug/pprof/";

/// The response to a request for a profile; none if the path is not that of a profile.
pub(super) async fn respond(profiler: &Profiler, method: &Method, uri: &Uri) -> Option<Response> {
    let name = uri.path().strip_prefix(FOLDER)?;
    let kind = ProfileKind::ALL.into_iter().find(|kind| kind.name() == name)?;
    if *method != Method::GET {
        return Some(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "use GET").into_response());
    }
    let Ok(seconds) = seconds(uri.query()) else {
        return Some(Problem::bad_request("seconds must be a whole number from 1 to 120").into_response());
    };
    Some(match profiler.take(kind, seconds).await {
        Ok(profile) => {
            let file = format!("attachment; filename=\"{name}.pb.gz\"");
            ([(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_DISPOSITION, file)], profile)
                .into_response()
        }
        Err(error) => {
            let status = match error {
                ProfileError::Busy => StatusCode::CONFLICT,
                ProfileError::NoHeapProfiles => StatusCode::NOT_IMPLEMENTED,
                ProfileError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            Problem::new(status, &error.to_string()).into_response()
        }
    })
}

/// The parameter `seconds`, as Go's profiles have it.
fn seconds(query: Option<&str>) -> Result<Option<Duration>, ()> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let Some((_, value)) = pairs.find(|(name, _)| name == "seconds") else { return Ok(None) };
    let seconds = value.parse().ok().filter(|seconds| (1..=120).contains(seconds)).ok_or(())?;
    Ok(Some(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_bounded() {
        assert_eq!(seconds(None), Ok(None));
        assert_eq!(seconds(Some("debug=0&seconds=5")), Ok(Some(Duration::from_secs(5))));
        for query in ["seconds=0", "seconds=121", "seconds=-1", "seconds=x", "seconds="] {
            assert_eq!(seconds(Some(query)), Err(()), "{query}");
        }
    }
}
