//! Passes each request to the issuer that its host and path name.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch::{Receiver, Sender};
use tollgate_http::Problem;
use tollgate_model::IssuerUrl;
use tower::{Service, ServiceExt as _};

/// Passes requests to issuers. Clones share one table.
#[derive(Clone)]
pub(crate) struct Dispatcher(Receiver<Arc<IssuerTable>>);

pub(crate) struct IssuerTable {
    /// Issuer of the settings, which gets requests that match no other issuer.
    pub(crate) default: IssuerMount,
    pub(crate) registered: Vec<IssuerMount>,
}

/// An issuer URL and its router.
#[derive(Clone)]
pub(crate) struct IssuerMount {
    pub(crate) url: IssuerUrl,
    /// None while the issuer could not be started.
    pub(crate) router: Option<Router>,
}

impl Dispatcher {
    /// Returns a dispatcher and the sender that replaces its table.
    pub(crate) fn new(table: IssuerTable) -> (Dispatcher, Sender<Arc<IssuerTable>>) {
        let (sender, receiver) = tokio::sync::watch::channel(Arc::new(table));
        (Dispatcher(receiver), sender)
    }
}

impl Service<Request> for Dispatcher {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let table = Arc::clone(&self.0.borrow());
        // The authority of the request target takes precedence over `Host` (RFC 9112 §3.2.2, RFC
        // 9113 §8.3.1).
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = authority.or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()));
        let (mount, path) = table.find(host, request.uri().path());
        let router = mount.router.clone();
        if let Some(path) = path {
            *request.uri_mut() = with_path(request.uri(), &path);
        }
        Box::pin(async move {
            match router {
                Some(router) => router.oneshot(request).await,
                None => {
                    Ok(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this issuer is not available now")
                        .into_response())
                }
            }
        })
    }
}

impl IssuerTable {
    /// Finds the issuer of a request by `Host` and path. Also returns the path within the issuer,
    /// if it differs.
    ///
    /// An issuer on another host than the default issuer's is chosen by its host. The default
    /// issuer and those on its host accept any host, so a proxy may use any name for them. Among
    /// the candidates the one with the longest path is chosen.
    fn find(&self, host: Option<&str>, path: &str) -> (&IssuerMount, Option<String>) {
        let mut best: Option<((bool, usize), &IssuerMount, String)> = None;
        for mount in self.registered.iter().chain([&self.default]) {
            let has_host = host.is_some_and(|host| mount.url.has_host(host));
            let accepts_any_host = mount.url.authority() == self.default.url.authority();
            let rank = (has_host, mount.url.path().len());
            let is_better = best.as_ref().is_none_or(|(other, _, _)| rank > *other);
            if (has_host || accepts_any_host)
                && is_better
                && let Some(inner) = inner_path(mount.url.path(), path)
            {
                best = Some((rank, mount, inner));
            }
        }
        match best {
            Some((_, mount, inner)) if inner != path => (mount, Some(inner)),
            Some((_, mount, _)) => (mount, None),
            None => (&self.default, None),
        }
    }
}

/// The path of a request within the issuer with this path. Well-known documents have two URLs: RFC
/// 8414 §3.1 inserts the issuer's path after their name, OpenID Connect Discovery appends their
/// name to it.
fn inner_path(issuer: &str, path: &str) -> Option<String> {
    if issuer.is_empty() {
        return Some(path.to_owned());
    }
    if let Some(rest) = path.strip_prefix(issuer)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        return Some(if rest.is_empty() { "/".to_owned() } else { rest.to_owned() });
    }
    let document = path.strip_prefix("/.well-known/")?.strip_suffix(issuer)?;
    (!document.is_empty() && !document.contains('/')).then(|| format!("/.well-known/{document}"))
}

fn with_path(uri: &Uri, path: &str) -> Uri {
    let mut parts = uri.clone().into_parts();
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    // A suffix of a valid path is valid. Otherwise the path stays unchanged and matches no route.
    if let Ok(path_and_query) = path_and_query {
        parts.path_and_query = Some(path_and_query);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(url: &str) -> IssuerMount {
        IssuerMount { url: url.parse().expect("an issuer"), router: None }
    }

    #[test]
    fn issuers_are_distinguished_by_host_and_path() {
        let registered = [
            "https://auth.example/one",
            "https://auth.example/one/sub",
            "https://two.example",
            "https://two.example/x",
        ];
        let table = IssuerTable { default: mount("https://auth.example"), registered: registered.map(mount).to_vec() };
        for (host, path, issuer, inner) in [
            (Some("auth.example"), "/oauth/token", "https://auth.example", "/oauth/token"),
            (Some("auth.example"), "/one/oauth/token", "https://auth.example/one", "/oauth/token"),
            (None, "/one/oauth/token", "https://auth.example/one", "/oauth/token"),
            (Some("127.0.0.1:8080"), "/one", "https://auth.example/one", "/"),
            (Some("auth.example:443"), "/one/sub/token", "https://auth.example/one/sub", "/token"),
            (Some("auth.example"), "/oneself/token", "https://auth.example", "/oneself/token"),
            (Some("auth.example"), "/ONE/token", "https://auth.example", "/ONE/token"),
            (Some("TWO.example"), "/one/token", "https://two.example", "/one/token"),
            (Some("two.example"), "/x/token", "https://two.example/x", "/token"),
            (Some("auth.example"), "/x/token", "https://auth.example", "/x/token"),
            (Some("three.example"), "/token", "https://auth.example", "/token"),
        ] {
            let (mount, inner_path) = table.find(host, path);
            let inner_path = inner_path.as_deref().unwrap_or(path);
            assert_eq!((mount.url.as_str(), inner_path), (issuer, inner), "{host:?} {path}");
        }
    }

    #[test]
    fn well_known_documents_have_two_urls() {
        let documents = ["oauth-authorization-server", "openid-configuration", "ssf-configuration"];
        for document in documents.map(|document| format!("/.well-known/{document}")) {
            assert_eq!(inner_path("/a/b", &format!("{document}/a/b")), Some(document.clone()));
            assert_eq!(inner_path("/a/b", &format!("/a/b{document}")), Some(document.clone()));
            assert_eq!(inner_path("/a/b", &document), None);
            assert_eq!(inner_path("/b", &format!("{document}/a/b")), None, "of another issuer");
        }
    }

    #[test]
    fn query_is_kept() {
        let uri: Uri = "/one/oauth/authorize?a=b%20c".parse().expect("a URI");
        assert_eq!(with_path(&uri, "/oauth/authorize").to_string(), "/oauth/authorize?a=b%20c");
    }
}
