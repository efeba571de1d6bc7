//! `GET /openapi.json`: this interface as OpenAPI 3.1, generated from the annotations of the
//! handlers.
//!
//! The router is built from the same annotations, so a path is served if and only if it is
//! described.

pub(super) mod console;
pub(super) mod forms;
pub(super) mod responses;

use std::sync::LazyLock;

use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, Server};

/// The serialized document, the same for all issuers of the process.
static DOCUMENT: LazyLock<Result<String, serde_json::Error>> = LazyLock::new(|| document().to_json());

/// OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn get() -> axum::response::Response {
    let Ok(document) = DOCUMENT.as_deref() else {
        tracing::error!("the OpenAPI document cannot be serialized");
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, document).into_response()
}

fn document() -> OpenApi {
    let mut document = super::router::interface().into_openapi();
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::DOCUMENT;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT.as_deref().expect("written")).expect("JSON")
    }

    /// Visits all values of the document.
    fn visit<'a>(value: &'a Value, visitor: &mut impl FnMut(&'a Value)) {
        visitor(value);
        match value {
            Value::Object(members) => members.values().for_each(|member| visit(member, visitor)),
            Value::Array(values) => values.iter().for_each(|value| visit(value, visitor)),
            _ => {}
        }
    }

    /// The router takes routes from annotations only, so all routes are in the document.
    #[test]
    fn every_route_is_described() {
        let source = include_str!("../router.rs");
        assert!(!source.contains(".route("), "a route without a description");
        assert!(!source.contains("_service("), "a service without a description");
        let described = document()["paths"].as_object().expect("paths").len();
        assert!(described >= 40, "{described} paths");
        assert!(source.matches("routes!(").count() >= described, "each path once");
    }

    #[test]
    fn operations_have_names_answers_and_schemes_that_exist() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let mut names = HashSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let at = format!("{method} {path}");
                assert!(names.insert(operation["operationId"].as_str().expect("a name").to_owned()), "{at}");
                assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{at}");
                assert!(operation["responses"].as_object().is_some_and(|answers| !answers.is_empty()), "{at}");
                for scheme in operation["security"].as_array().into_iter().flatten() {
                    for name in scheme.as_object().expect("schemes").keys() {
                        assert!(document["components"]["securitySchemes"].get(name).is_some(), "{at}: {name}");
                    }
                }
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let in_path = parameters.filter(|parameter| parameter["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{at}");
            }
        }
    }

    #[test]
    fn references_have_targets() {
        let document = document();
        let mut references = Vec::new();
        visit(&document, &mut |value| references.extend(value.get("$ref").and_then(Value::as_str)));
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
