//! `GET /openapi.json`: this interface as OpenAPI 3.1, generated from the annotations of the
//! handlers.
//!
//! The router is built from the same annotations, so a path is served if and only if it is
//! described.

pub(super) mod console;
pub(super) mod forms;
pub(super) mod responses;

use std::sync::OnceLock;

use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, Server};

/// Describes all routes; set by the router, of which this endpoint is a part.
static DESCRIBE_ROUTES: OnceLock<fn() -> OpenApi> = OnceLock::new();
/// The serialized document, the same for all issuers of the process.
static DOCUMENT: OnceLock<Result<String, serde_json::Error>> = OnceLock::new();

/// Sets the function that describes all routes. It is called on the first request.
pub(crate) fn set_routes(describe: fn() -> OpenApi) {
    DESCRIBE_ROUTES.get_or_init(|| describe);
}

/// OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn get() -> axum::response::Response {
    let document = DESCRIBE_ROUTES.get().map(|describe| DOCUMENT.get_or_init(|| document(describe()).to_json()));
    let Some(Ok(document)) = document else {
        tracing::error!("the OpenAPI document cannot be serialized");
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, document.as_str()).into_response()
}

/// Completes the description of the routes.
pub(crate) fn document(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("Tollgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The origin: issues and revokes OAuth 2.0 tokens, and distributes revocations to the edges."))
        .build();
    // Relative to the URL of the document, so that it is right for an issuer with a path.
    document.servers = Some(vec![Server::new("./")]);
    add_security(document.components.get_or_insert_default());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id =
                Some(format!("{method} {path}").replace(|letter: char| !letter.is_alphanumeric(), "_"));
        }
    }
    document
}

/// Methods and operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let methods = [
        ("get", item.get.as_mut()),
        ("post", item.post.as_mut()),
        ("put", item.put.as_mut()),
        ("patch", item.patch.as_mut()),
        ("delete", item.delete.as_mut()),
    ];
    methods.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

/// Adds the security schemes. OpenAPI has no scheme for a secret or an assertion in a form: those
/// are parameters of the forms.
fn add_security(components: &mut Components) {
    let http = |scheme, description: &str| {
        let mut http = Http::new(scheme);
        http.description = Some(description.to_owned());
        SecurityScheme::Http(http)
    };
    let key = |key: ApiKey| SecurityScheme::ApiKey(key);
    let schemes = [
        (
            "client",
            http(HttpAuthScheme::Basic, "client_secret_basic: id and secret, each form-encoded (RFC 6749 §2.3.1)"),
        ),
        (
            "certificate",
            SecurityScheme::MutualTls { description: Some("RFC 8705".to_owned()), deprecated: None, extensions: None },
        ),
        ("bearer", http(HttpAuthScheme::Bearer, "access token of this server for the endpoint (RFC 6750)")),
        (
            "dpop",
            key(ApiKey::Header(ApiKeyValue::with_description(
                "DPoP",
                "proof of possession with Authorization: DPoP (RFC 9449)",
            ))),
        ),
        (
            "session",
            key(ApiKey::Cookie(ApiKeyValue::with_description("tollgate", "browser session; __Host-tollgate on HTTPS"))),
        ),
    ];
    components.security_schemes.extend(schemes.map(|(name, scheme)| (name.to_owned(), scheme.into())));
}
