//! What the current request is about, as far as it is known: the client, and why its authentication
//! failed. Handlers note it, and the log of refused requests reads it. It decides nothing. Its ID
//! is in [`tollgate_system::current_request`], for all crates.

use std::cell::Cell;
use std::sync::Arc;

use tollgate_model::{AccessToken, Client, ClientId};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// Context of a request.
#[derive(Default)]
pub(crate) struct RequestContext {
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
    /// Runs `work` in this context. Also returns what was noted.
    pub(crate) async fn scope<F: Future>(self, work: F) -> (F::Output, Noted) {
        let work = async {
            let output = work.await;
            (output, CURRENT.with(RequestContext::take))
        };
        CURRENT.scope(self, work).await
    }

    fn take(&self) -> Noted {
        Noted { client: self.client.take(), failure: self.failure.take() }
    }
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
        let ((), noted) = RequestContext::default().scope(async { note_client_id(&id) }).await;
        assert_eq!(noted.client(), Some(&id));
        note_client_id(&id);
        let ((), other) = RequestContext::default().scope(async {}).await;
        assert!(other.client().is_none());
    }
}
