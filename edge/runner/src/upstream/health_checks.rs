//! Health checks of an upstream's addresses.

use super::client::{Client, Clients};
use super::target::Target;
use crate::response::{Body, full};
use crate::settings::HealthCheckSettings;
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Checks the target until the handle is dropped.
pub(super) fn start(target: &Arc<Target>, clients: &Clients, settings: &HealthCheckSettings) -> AbortOnDropHandle<()> {
    let client = clients.pooled(target.url.versions).clone();
    AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(target), client, settings.clone())))
}

async fn run(target: Arc<Target>, client: Client, settings: HealthCheckSettings) {
    let mut ticks = interval(settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let has_passed = check(&client, &target.url.url, &settings).await;
        target.record_check(has_passed, &settings);
    }
}

/// Whether the response is a success or a redirect.
async fn check(client: &Client, url: &str, settings: &HealthCheckSettings) -> bool {
    let Ok(request) = request(&format!("{url}{}", settings.path)) else { return false };
    match timeout(settings.timeout, client.request(request)).await {
        Ok(Ok(response)) => response.status().is_success() || response.status().is_redirection(),
        Ok(Err(_)) | Err(_) => false,
    }
}

fn request(url: &str) -> Result<http::Request<Body>, http::Error> {
    http::Request::get(url).header("user-agent", "tollgate-edge health check").body(full(""))
}
