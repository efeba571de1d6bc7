//! Which issuer a request is for.

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

/// Hands each request to its issuer. Clones are the same.
#[derive(Clone)]
pub(crate) struct Dispatcher(Receiver<Arc<Table>>);

/// Who is served.
pub(crate) struct Table {
    /// The one of the settings, for what is nobody else's.
    pub(crate) default: Place,
    /// The registered ones.
    pub(crate) others: Vec<Place>,
}

/// An issuer, and what answers for it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: IssuerUrl,
    /// None while it cannot be served.
    pub(crate) router: Option<Router>,
}

impl Dispatcher {
    /// A dispatcher, and what changes its table.
    pub(crate) fn new(table: Table) -> (Dispatcher, Sender<Arc<Table>>) {
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
        // What the request's target says goes before `Host` (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = authority.or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()));
        let (place, path) = table.choose(host, request.uri().path());
        let router = place.router.clone();
        if let Some(path) = path {
            *request.uri_mut() = with_path(request.uri(), &path);
        }
        Box::pin(async move {
            match router {
                Some(router) => router.oneshot(request).await,
                None => {
                    Ok(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this issuer cannot be served now")
                        .into_response())
                }
            }
        })
    }
}

impl Table {
    /// The issuer of a request with this `Host` for this path, and the path as the issuer knows it
    /// if that is another.
    ///
    /// An issuer on another host than the default's is told apart by the host; the default and
    /// those on its host answer whatever the host, so that a proxy may call them as it likes.
    /// Among those that remain the longest path decides.
    fn choose(&self, host: Option<&str>, path: &str) -> (&Place, Option<String>) {
        let mut best: Option<((bool, usize), &Place, String)> = None;
        for place in self.others.iter().chain([&self.default]) {
            let is_host = host.is_some_and(|host| place.url.has_host(host));
            let any_host = place.url.authority() == self.default.url.authority();
            let rank = (is_host, place.url.path().len());
            let is_better = best.as_ref().is_none_or(|(other, _, _)| rank > *other);
            if (is_host || any_host)
                && is_better
                && let Some(inner) = inner_path(place.url.path(), path)
            {
                best = Some((rank, place, inner));
            }
        }
        match best {
            Some((_, place, inner)) if inner != path => (place, Some(inner)),
            Some((_, place, _)) => (place, None),
            None => (&self.default, None),
        }
    }
}

/// A request's path as the issuer of this path knows it. Well-known documents stand in two places:
/// where RFC 8414 section 3.1 inserts the issuer's path after their name, and where OpenID Connect
/// Discovery appends their name to it.
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
    // A part of a good path is one; should it not be, the path stays and leads nowhere.
    if let Ok(path_and_query) = path_and_query {
        parts.path_and_query = Some(path_and_query);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        Place { url: url.parse().expect("an issuer"), router: None }
    }

    #[test]
    fn issuers_are_told_apart_by_host_and_path() {
        let others = [
            "https://auth.example/one",
            "https://auth.example/one/sub",
            "https://two.example",
            "https://two.example/x",
        ];
        let table = Table { default: place("https://auth.example"), others: others.map(place).to_vec() };
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
            let (place, path) = (table.choose(host, path), path);
            let known = place.1.as_deref().unwrap_or(path);
            assert_eq!((place.0.url.as_str(), known), (issuer, inner), "{host:?} {path}");
        }
    }

    #[test]
    fn well_known_documents_stand_in_both_places() {
        let documents = ["oauth-authorization-server", "openid-configuration", "ssf-configuration"];
        for document in documents.map(|document| format!("/.well-known/{document}")) {
            assert_eq!(inner_path("/a/b", &format!("{document}/a/b")), Some(document.clone()));
            assert_eq!(inner_path("/a/b", &format!("/a/b{document}")), Some(document.clone()));
            assert_eq!(inner_path("/a/b", &document), None);
            assert_eq!(inner_path("/b", &format!("{document}/a/b")), None, "another's");
        }
    }

    #[test]
    fn a_query_stays() {
        let uri: Uri = "/one/oauth/authorize?a=b%20c".parse().expect("a URI");
        assert_eq!(with_path(&uri, "/oauth/authorize").to_string(), "/oauth/authorize?a=b%20c");
    }
}
