//! What the current request is about, as far as it is known: its ID, the client, and why its
//! authentication failed. Handlers note it, and the log of refused requests reads it. It decides
//! nothing.

use std::cell::Cell;
use std::sync::Arc;

use axum::http::HeaderValue;
use tollgate_model::{AccessToken, Client, ClientId};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// Context of a request.
pub(crate) struct RequestContext {
    id: Cell<HeaderValue>,
    client: Cell<Option<NotedClient>>,
    failure: Cell<Option<AuthenticationFailure>>,
}

/// The registered client of a request. Noting it allocates nothing.
enum NotedClient {
    Client(Arc<Client>),
    Token(Arc<AccessToken>),
    Id(ClientId),
}

/// Why the authentication of a client failed. The client itself is not told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthenticationFailure {
    pub(crate) reason: &'static str,
    /// The parameter with the credential, if there is one.
    pub(crate) parameter: Option<&'static str>,
}

/// What was noted during a request.
pub(crate) struct Noted {
    /// ID of the request.
    pub(crate) id: HeaderValue,
    client: Option<NotedClient>,
    pub(crate) failure: Option<AuthenticationFailure>,
}

impl Noted {
    pub(crate) fn client(&self) -> Option<&ClientId> {
        self.client.as_ref().map(|noted| match noted {
            NotedClient::Client(client) => &client.id,
            NotedClient::Token(token) => &token.client,
            NotedClient::Id(id) => id,
        })
    }
}

impl RequestContext {
    pub(crate) fn new(id: HeaderValue) -> RequestContext {
        RequestContext { id: Cell::new(id), client: Cell::new(None), failure: Cell::new(None) }
    }

    /// Runs `work` in this context. Also returns what was noted. Clones no ID, which would
    /// allocate.
    pub(crate) async fn scope<F: Future>(self, work: F) -> (F::Output, Noted) {
        let work = async {
            let output = work.await;
            (output, CURRENT.with(RequestContext::take))
        };
        CURRENT.scope(self, work).await
    }

    fn take(&self) -> Noted {
        Noted { id: self.id.replace(no_id()), client: self.client.take(), failure: self.failure.take() }
    }

    /// ID of the current request; empty outside of one.
    pub(crate) fn current_id() -> String {
        let read = |context: &RequestContext| {
            let id = context.id.replace(no_id());
            let text = id.to_str().unwrap_or_default().to_owned();
            context.id.set(id);
            text
        };
        CURRENT.try_with(read).unwrap_or_default()
    }
}

fn no_id() -> HeaderValue {
    HeaderValue::from_static("")
}

/// Notes the client that the current request names.
pub(crate) fn note_client(client: &Arc<Client>) {
    note(NotedClient::Client(Arc::clone(client)));
}

/// Notes the client of the current request by its ID.
pub(crate) fn note_client_id(id: &ClientId) {
    note(NotedClient::Id(id.clone()));
}

/// Notes the client of the access token of the current request.
pub(crate) fn note_token(token: &Arc<AccessToken>) {
    note(NotedClient::Token(Arc::clone(token)));
}

/// Notes why the client could not be authenticated.
pub(crate) fn note_failure(failure: AuthenticationFailure) {
    // Outside of a request there is nobody to tell.
    let _ = CURRENT.try_with(|context| context.failure.set(Some(failure)));
}

fn note(client: NotedClient) {
    let _ = CURRENT.try_with(|context| context.client.set(Some(client)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_belongs_to_its_request() {
        let id: ClientId = "shop".parse().expect("an id");
        let context = RequestContext::new(HeaderValue::from_static("1a"));
        let (seen, noted) = context
            .scope(async {
                note_client_id(&id);
                RequestContext::current_id()
            })
            .await;
        assert_eq!((seen.as_str(), noted.client()), ("1a", Some(&id)));
        note_client_id(&id);
        let (_, other) = RequestContext::new(HeaderValue::from_static("2b")).scope(async {}).await;
        assert!(other.client().is_none() && RequestContext::current_id().is_empty());
    }
}
