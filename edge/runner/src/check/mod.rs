//! `tollgate-edge check`: validates settings and files, tries the origin, the snapshot and the
//! upstreams, and says what the edge would do.

mod origin;
mod report;

pub use report::{Finding, Outcome, Report};

use crate::edge::open_tls_files;
use crate::error_chain::error_chain;
use crate::response::full;
use crate::settings::UpstreamUrl;
use crate::upstream::Clients;
use crate::{ComponentSource, GateKind, Program, Settings, Validator};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Checks what the edge would use with these settings, which are valid by themselves.
pub async fn check(settings: &Settings) -> Report {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut report = Report::default();
    report.add("component", component(settings));
    if let Some(tls) = &settings.listener.tls {
        report.add(
            "certificate",
            match open_tls_files(tls) {
                Ok(_) => Finding::ok(format!("{} and its key", tls.paths.certificate.display())),
                Err(error) => Finding::failed(error.to_string()),
            },
        );
    }
    let scheme = if settings.listener.tls.is_some() { "https" } else { "http" };
    report.add("listen", listen(scheme, settings.listen).await);
    if let Some(address) = settings.listener.admin_listen {
        report.add("admin listener", listen("http", address).await);
    }
    if let Some(folder) = &settings.store {
        report.add("store", store(folder).await);
    }
    let routes = Box::pin(origin::check(settings, &mut report)).await;
    upstreams(settings, &mut report).await;
    for (route, upstream) in routes {
        if !settings.upstreams.named.contains_key(&upstream) {
            report.add("routes", Finding::failed(format!("{route} names the upstream {upstream}, which is not set")));
        }
    }
    report
}

fn component(settings: &Settings) -> Finding {
    let opened = settings.component_source().map_err(|error| error.to_string()).and_then(|source| {
        let program = Program::from_source(&source).map_err(|error| error.to_string())?;
        if settings.gate == GateKind::Component {
            Validator::open(&program, &settings.gate_settings).map_err(|error| error.to_string())?;
        }
        Ok(match source {
            ComponentSource::Embedded(_) => "in this program".to_owned(),
            ComponentSource::File(path) => path.display().to_string(),
        })
    });
    opened.map_or_else(Finding::failed, Finding::ok)
}

async fn listen(scheme: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::ok(format!("{scheme}://{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Finding::warning(format!("{scheme}://{address} is in use, maybe by the running edge"))
        }
        Err(error) => Finding::failed(format!("{scheme}://{address} cannot be bound: {error}")),
    }
}

/// Writes a file to the folder, and removes it.
async fn store(folder: &std::path::Path) -> Finding {
    let file = folder.join(format!(".check.{}", std::process::id()));
    let written = async {
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::write(&file, "").await?;
        tokio::fs::remove_file(&file).await
    };
    match written.await {
        Ok(()) => Finding::ok(folder.display().to_string()),
        Err(error) => Finding::failed(format!("{} is not writable: {error}", folder.display())),
    }
}

/// Sends a GET to each address: that of the health checks, or else one for the root, whose response
/// may have any status.
async fn upstreams(settings: &Settings, report: &mut Report) {
    let clients = Clients::new(&settings.upstreams.timeouts);
    let default = [("upstream".to_owned(), &settings.upstreams.default)];
    let named = settings.upstreams.named.iter().map(|(name, urls)| (format!("upstream {name}"), urls));
    for (name, urls) in default.into_iter().chain(named) {
        for url in urls {
            report.add(&name, upstream(settings, &clients, url).await);
        }
    }
}

async fn upstream(settings: &Settings, clients: &Clients, url: &UpstreamUrl) -> Finding {
    let checks = settings.upstreams.health_checks.as_ref();
    let path = checks.map_or("/", |checks| checks.path.as_str());
    let full_url = format!("{}{path}", url.url);
    let request = match http::Request::get(&full_url).header("user-agent", "tollgate-edge check").body(full("")) {
        Ok(request) => request,
        Err(error) => return Finding::failed(format!("{full_url}: {error}")),
    };
    let limit = checks.map_or(settings.upstreams.timeouts.connect, |checks| checks.timeout);
    match timeout(limit, clients.unpooled(url.versions).request(request)).await {
        Ok(Ok(response)) => {
            let (status, version) = (response.status(), response.version());
            let is_healthy = checks.is_none() || status.is_success() || status.is_redirection();
            let detail = format!("{full_url} responded with {status} by {version:?}");
            if is_healthy { Finding::ok(detail) } else { Finding::failed(detail) }
        }
        Ok(Err(error)) => Finding::failed(format!("{full_url} cannot be reached: {}", error_chain(&error))),
        Err(_) => Finding::failed(format!("{full_url} did not answer in {} s", limit.as_secs())),
    }
}
