//! Protected resource metadata (RFC 9728): by which a client learns from which authorization
//! server, and for which scope, it gets tokens for the resources behind an edge. Only an edge that
//! knows its public URL publishes it.
//!
//! An edge protects one or more resources. Each route rule belongs to one: to its audience, if that
//! is a URL below the edge's own, or else to the edge's resource.

use tollgate_core::{Config, PROOF_ALGORITHMS, Route};

use crate::json::JsonObject;
use crate::message::{Request, Response};
use crate::settings::Settings;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Most scope values that metadata lists.
const MAX_SCOPES: usize = 256;

/// The resources of an edge.
pub(crate) struct Resources<'a> {
    settings: &'a Settings,
    config: &'a Config,
    /// The edge's public URL.
    url: String,
}

/// Whether the path is that of a resource's metadata.
pub(crate) fn is_metadata_path(path: &str) -> bool {
    resource_path(path).is_some()
}

/// The path of the resource whose metadata this path names.
fn resource_path(path: &str) -> Option<&str> {
    path.strip_prefix(WELL_KNOWN).filter(|path| path.is_empty() || path.starts_with('/'))
}

impl<'a> Resources<'a> {
    /// The resources of an edge with a public URL.
    pub(crate) fn new(settings: &'a Settings, config: &'a Config) -> Option<Self> {
        Some(Self { settings, config, url: settings.public_url.as_ref()?.to_string() })
    }

    /// The answer to a request for metadata.
    pub(crate) fn answer(&self, request: &Request<'_>) -> Response {
        let response = match request.method {
            "GET" | "HEAD" => self.metadata(resource_path(request.path()).unwrap_or_default()),
            "OPTIONS" => Response::new(204)
                .with("access-control-allow-methods", "GET, HEAD")
                .with("access-control-allow-headers", "*"),
            _ => Response::error(405, "method_not_allowed", "metadata is read by GET").with("allow", "GET, HEAD"),
        };
        // Every page may read public documents.
        response.with("access-control-allow-origin", "*")
    }

    /// Adds metadata (RFC 9728 section 5.1) and scope (RFC 6750 section 3) of the route to each
    /// challenge of a refusal.
    pub(crate) fn extend_challenges(&self, response: &mut Response, route: &Route) {
        let path = self.path_of(self.resource_of(route));
        let mut parameters = ["resource_metadata=\"", &self.url, WELL_KNOWN, path, "\""].concat();
        let has_scope = response.error.as_ref().is_some_and(|error| error.code == "insufficient_scope");
        if !has_scope && !route.scope().is_empty() {
            parameters.push_str(&[", scope=\"", &route.scope().join(" "), "\""].concat());
        }
        for (name, challenge) in &mut response.headers {
            if name == "www-authenticate" {
                // A scheme, with or without parameters.
                challenge.push_str(if challenge.contains(' ') { ", " } else { " " });
                challenge.push_str(&parameters);
            }
        }
    }

    fn metadata(&self, path: &str) -> Response {
        let routes = self.config.routes();
        let mut resources = routes.iter().map(|route| self.resource_of(route)).chain([self.own()]);
        let Some(resource) = resources.find(|resource| self.path_of(resource) == path) else {
            return Response::error(404, "not_found", "this edge protects no resource at this path");
        };
        let mut scopes: Vec<&str> = Vec::new();
        for route in routes.iter().filter(|route| self.resource_of(route) == resource) {
            for value in route.scope().iter().chain(route.scope_any()) {
                if scopes.len() < MAX_SCOPES && !scopes.contains(&value.as_str()) {
                    scopes.push(value);
                }
            }
        }
        let body = JsonObject::new()
            .text("resource", resource)
            .texts("authorization_servers", [self.settings.issuer.as_str()])
            .texts("scopes_supported", scopes)
            .texts("bearer_methods_supported", ["header"])
            .texts("dpop_signing_alg_values_supported", PROOF_ALGORITHMS.split(' '));
        let headers = Response::new(200).with("content-type", "application/json").with("cache-control", "max-age=300");
        headers.with_body(body.into_text().into_bytes())
    }

    /// The resource of routes without an audience of their own: the edge's audience if it is a URL
    /// below the edge's, or else that URL.
    fn own(&self) -> &str {
        let audience = self.settings.audience.as_deref().unwrap_or(self.config.audience());
        if self.is_below_own_url(audience) { audience } else { &self.url }
    }

    fn resource_of<'b>(&'b self, route: &'b Route) -> &'b str {
        route.audience().filter(|audience| self.is_below_own_url(audience)).unwrap_or_else(|| self.own())
    }

    fn is_below_own_url(&self, url: &str) -> bool {
        let path = url.strip_prefix(&*self.url);
        path.is_some_and(|path| {
            (path.is_empty() || path.starts_with('/')) && !path.contains(['?', '#', '"', '\\', ' '])
        })
    }

    /// The path that is inserted into the URL of a resource's metadata (RFC 9728 section 3.1).
    fn path_of<'b>(&self, resource: &'b str) -> &'b str {
        resource.strip_prefix(&*self.url).filter(|path| *path != "/").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(public_url: Option<&str>, audience: Option<&str>) -> Settings {
        let get = |name: &str| match name {
            "TOLLGATE_EDGE_ORIGIN" => Some("https://auth.example".to_owned()),
            "TOLLGATE_EDGE_UPSTREAM" => Some("http://127.0.0.1:5000".to_owned()),
            "TOLLGATE_EDGE_SNAPSHOT_KEY" => Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
            "TOLLGATE_EDGE_PUBLIC_URL" => public_url.map(str::to_owned),
            "TOLLGATE_EDGE_AUDIENCE" => audience.map(str::to_owned),
            _ => None,
        };
        Settings::from_lookup(get).expect("good settings")
    }

    fn config() -> Config {
        let routes = r#"{"path":"/orders/*","scope":["orders","read"]},{"path":"/items/*","scope_any":["items","read"]},
            {"path":"/mcp","scope":["tools"],"audience":"https://api.example/mcp"},
            {"path":"/other","scope":["x"],"audience":"https://api.example.evil.example"}"#;
        let text = format!(r#"{{"audience":"https://token.example","jwks":{{"keys":[]}},"routes":[{routes}]}}"#);
        Config::read(text.as_bytes()).expect("a valid configuration")
    }

    fn metadata(settings: &Settings, path: &str) -> Option<serde_json::Value> {
        let config = config();
        let response = Resources::new(settings, &config)?.metadata(path);
        (response.status == 200).then(|| serde_json::from_slice(&response.body).expect("JSON"))
    }

    #[test]
    fn edge_without_a_public_url_publishes_nothing() {
        assert_eq!(metadata(&settings(None, Some("https://api.example")), ""), None);
    }

    #[test]
    fn each_resource_has_the_scopes_of_its_routes() {
        let settings = settings(Some("https://api.example/"), None);
        let own = metadata(&settings, "").expect("metadata");
        assert_eq!(own["resource"], "https://api.example");
        assert_eq!(own["authorization_servers"], serde_json::json!(["https://auth.example"]));
        assert_eq!(own["scopes_supported"], serde_json::json!(["orders", "read", "items", "x"]));
        let tools = metadata(&settings, "/mcp").expect("metadata");
        assert_eq!(tools["resource"], "https://api.example/mcp");
        assert_eq!(tools["scopes_supported"], serde_json::json!(["tools"]));
        assert_eq!(metadata(&settings, "/mcp/"), None);
        assert_eq!(metadata(&settings, "/orders"), None);
    }

    #[test]
    fn audience_below_the_public_url_is_the_resource() {
        let settings = settings(Some("https://api.example"), Some("https://api.example/v1"));
        assert_eq!(metadata(&settings, "/v1").expect("metadata")["resource"], "https://api.example/v1");
        assert_eq!(metadata(&settings, ""), None);
    }

    #[test]
    fn challenges_name_metadata_and_scope() {
        let (settings, config) = (settings(Some("https://api.example"), None), config());
        let resources = Resources::new(&settings, &config).expect("resources");
        let mut response =
            Response::new(401).with("www-authenticate", "Bearer").with("www-authenticate", "DPoP algs=\"ES256\"");
        resources.extend_challenges(&mut response, &config.routes()[2]);
        let added =
            r#"resource_metadata="https://api.example/.well-known/oauth-protected-resource/mcp", scope="tools""#;
        assert_eq!(response.headers[0].1, format!("Bearer {added}"));
        assert_eq!(response.headers[1].1, format!("DPoP algs=\"ES256\", {added}"));
    }

    #[test]
    fn only_whole_segments_are_metadata_paths() {
        for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
            assert!(is_metadata_path(path), "{path}");
        }
        for path in ["/", "/.well-known/oauth-protected-resources", "/.well-known/openid-configuration"] {
            assert!(!is_metadata_path(path), "{path}");
        }
    }
}
