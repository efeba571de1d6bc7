//! Redis, in which origins share their rate limits.

use tollgate_services::rate_limit::ping_redis;

use super::{Deployment, Finding};

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let Some(url) = &deployment.settings.redis_url else {
        return vec![Finding::skipped("TOLLGATE_REDIS_URL is not set: each origin has its own rate limits")];
    };
    vec![match ping_redis(url).await {
        Ok(latency) => Finding::ok(format!("Redis answers in {:.1} ms", latency.as_secs_f64() * 1000.0)),
        Err(error) => Finding::fault(
            format!("Redis cannot be used: {error:#}"),
            "Each origin counts by itself, so with several origins every rate limit is that many times higher.",
            "Check TOLLGATE_REDIS_URL (host, port, password), whether Redis runs, and whether its user may run scripts.",
        ),
    }]
}
