//! Sends authorization responses to clients, in the mode that the request names: by a redirect, by
//! a form that the browser posts (OAuth 2.0 Form Post Response Mode), and as a signed JWT (JWT
//! Secured Authorization Response Mode, JARM).

use std::sync::Arc;

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use tollgate_model::{AuthorizationError, AuthorizationRequest, Client, ResponseMode};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_system::Clock;
use url::form_urlencoded;

use crate::issuer::Issuer;
use crate::pages::brand::Appearance;
use crate::pages::browser::Browser;
use crate::pages::error::WebError;
use crate::pages::form_post;
use crate::pages::page::Layout;
use crate::refused_request::RefusedRequest;

/// Seconds in which a client must read a response as JWT (JARM §2.1: ten minutes at most).
const RESPONSE_JWT_LIFETIME: u64 = 300;

/// Where a response goes, and how.
#[derive(Debug, Clone)]
pub(crate) struct ReturnTo {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) mode: ResponseMode,
    /// Preferred languages of the user, for the page that posts the response.
    pub(crate) ui_locales: Option<String>,
}

impl ReturnTo {
    /// Where the response to a request goes.
    pub(crate) fn of(request: &AuthorizationRequest) -> ReturnTo {
        ReturnTo {
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
            mode: request.response_mode,
            ui_locales: request.ui_locales.clone(),
        }
    }
}

/// Sends authorization responses.
pub(crate) struct AuthorizationResponses {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    /// Sign the responses that are JWTs.
    pub(crate) keys: SigningKeys,
    /// Of the page that posts a response.
    pub(crate) appearance: Arc<Appearance>,
}

impl AuthorizationResponses {
    /// Sends an error.
    pub(crate) async fn send_error(
        &self,
        client: &Client,
        browser: &Browser,
        to: &ReturnTo,
        error: &AuthorizationError,
    ) -> Result<Response, WebError> {
        let parameters = [("error", error.code().to_owned()), ("error_description", error.to_string())];
        let mut response = self.send(client, browser, to, &parameters).await?;
        // The others are steps of the protocol or a user's decision.
        let is_mistake = !matches!(
            error,
            AuthorizationError::LoginRequired | AuthorizationError::ConsentRequired | AuthorizationError::Denied
        );
        if is_mistake {
            response.extensions_mut().insert(RefusedRequest::new(error.code(), error.to_string()));
        }
        Ok(response)
    }

    /// Sends these parameters, with `state` and `iss`. `iss` names this server, so that a client of
    /// several servers cannot be made to confuse them (RFC 9207).
    pub(crate) async fn send(
        &self,
        client: &Client,
        browser: &Browser,
        to: &ReturnTo,
        parameters: &[(&'static str, String)],
    ) -> Result<Response, WebError> {
        let mut parameters = parameters.to_vec();
        parameters.extend(to.state.iter().map(|state| ("state", state.clone())));
        parameters.push(("iss", self.issuer.url.clone()));
        if to.mode.is_signed() {
            parameters = vec![("response", self.sign(client, &parameters).await?)];
        }
        match to.mode {
            ResponseMode::Query | ResponseMode::QueryJwt => {
                let join = if to.redirect_uri.contains('?') { '&' } else { '?' };
                Ok(see_other(&format!("{}{join}{}", to.redirect_uri, encode(&parameters))))
            }
            ResponseMode::Fragment | ResponseMode::FragmentJwt => {
                Ok(see_other(&format!("{}#{}", to.redirect_uri, encode(&parameters))))
            }
            ResponseMode::FormPost | ResponseMode::FormPostJwt => {
                let messages = browser.messages(&self.appearance, to.ui_locales.as_deref().unwrap_or_default());
                let layout = Layout::new(&self.issuer, &self.appearance, messages);
                Ok(form_post::page(layout, client, &to.redirect_uri, &parameters))
            }
        }
    }

    /// The response as a JWT (JARM §2.1): its parameters are claims.
    async fn sign(&self, client: &Client, parameters: &[(&'static str, String)]) -> Result<String, WebError> {
        let alg = client.metadata.authorization_response_alg();
        let mut claims: Map<String, Value> = Map::new();
        claims.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))));
        claims.insert("aud".to_owned(), Value::from(client.id.as_str()));
        claims.insert("exp".to_owned(), Value::from(self.clock.now().saturating_add(RESPONSE_JWT_LIFETIME)));
        Ok(self.keys.sign_statement(alg, "JWT", &claims).await?)
    }
}

fn encode(parameters: &[(&'static str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// Redirects the browser by 303, which turns any request into a GET: 307 would forward a password
/// (RFC 9700 §4.12).
pub(crate) fn see_other(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
