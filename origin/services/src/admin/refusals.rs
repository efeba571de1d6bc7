//! Refused requests of a client, with what it is registered for.

use serde::Serialize;
use tollgate_model::{Client, ClientMetadata};

use super::Administration;
use crate::refusals::RefusedRequest;

/// A refused request of a client.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Refusal)]
pub struct RefusalView {
    #[serde(flatten)]
    pub refused: RefusedRequest,
    /// What the client is registered for now, where that decides about the parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registered: Vec<String>,
}

impl Administration {
    /// The last refused requests of a client at this process, the newest first.
    #[must_use]
    pub fn list_refusals(&self, client: &Client) -> Vec<RefusalView> {
        let view = |refused: RefusedRequest| {
            let registered = refused.parameter.map(|name| registered(&client.metadata, name)).unwrap_or_default();
            RefusalView { refused, registered }
        };
        self.refusals.recent(&client.id).into_iter().map(view).collect()
    }
}

/// The registered values of a parameter.
fn registered(metadata: &ClientMetadata, parameter: &str) -> Vec<String> {
    fn texts<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }
    match parameter {
        "redirect_uri" | "redirect_uris" => texts(&metadata.redirect_uris),
        "post_logout_redirect_uri" => texts(&metadata.post_logout_redirect_uris),
        "request_uri" => texts(&metadata.request_uris),
        "scope" => metadata.scope.values().map(str::to_owned).collect(),
        "resource" | "audience" => texts(&metadata.audiences),
        "grant_type" => metadata.grant_types.iter().map(|grant| grant.as_str().to_owned()).collect(),
        "client_secret" | "client_assertion" => vec![metadata.auth_method.to_string()],
        _ => Vec::new(),
    }
}
