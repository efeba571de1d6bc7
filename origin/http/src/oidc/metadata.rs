//! `/.well-known/oauth-authorization-server` (RFC 8414) and `/.well-known/openid-configuration`
//! (OpenID Connect Discovery): exactly what this server supports. Both return the same document,
//! because each allows the members of the other.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tollgate_config::{GrantSettings, RegistrationMode, TlsSettings};
use tollgate_keys::jose::{SIGNING_ALGORITHMS, VERIFYING_ALGORITHMS};
use tollgate_model::key_schedule::ON_REQUEST;
use tollgate_model::user::PASSWORD_ACR;
use tollgate_model::{AuthMethod, ClientProfile, GrantType, ResponseMode, ResponseType, TokenAlg, UserClaims};
use tollgate_services::signing_keys::SigningKeys;

use crate::issuer::Issuer;
use crate::pages::brand::Appearance;

/// Settings that decide what this server supports.
pub(crate) struct ServerFeatures {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) grants: GrantSettings,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) appearance: Arc<Appearance>,
    pub(crate) keys: SigningKeys,
}

/// Returns the metadata of this server (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server",
    responses((status = 200, description = "Metadata", body = Object)),
)]
pub(crate) async fn get(State(features): State<Arc<ServerFeatures>>) -> Response {
    let mut metadata = endpoints(&features);
    if let (Some(members), Value::Object(abilities)) = (metadata.as_object_mut(), abilities(&features)) {
        members.extend(abilities);
    }
    // Clients in browsers read it cross-origin; nothing in it is secret.
    let headers = [(CACHE_CONTROL, "public, max-age=300"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, Json(metadata)).into_response()
}

/// Returns the metadata of this server (OpenID Connect Discovery).
#[utoipa::path(
    get, path = "/.well-known/openid-configuration",
    responses((status = 200, description = "Metadata", body = Object)),
)]
pub(crate) async fn openid(features: State<Arc<ServerFeatures>>) -> Response {
    get(features).await
}

fn endpoints(features: &ServerFeatures) -> Value {
    let at = |path: &str| format!("{}{path}", features.issuer.url);
    let mut endpoints = json!({
        "issuer": features.issuer.url,
        "authorization_endpoint": at("/oauth/authorize"),
        "token_endpoint": at("/oauth/token"),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/oauth/introspect"),
        "device_authorization_endpoint": at("/oauth/device/code"),
        "pushed_authorization_request_endpoint": at("/oauth/par"),
        "end_session_endpoint": at("/oauth/logout"),
        "jwks_uri": at("/.well-known/jwks.json"),
    });
    if features.issuer.status_claim {
        // draft-ietf-oauth-status-list, section 9.1
        endpoints["status_list_aggregation_endpoint"] = Value::from(at(tollgate_model::status_list::STATUS_LIST_PATH));
    }
    if features.grants.registration != RegistrationMode::Off {
        endpoints["registration_endpoint"] = Value::from(at("/oauth/register"));
    }
    endpoints
}

fn abilities(features: &ServerFeatures) -> Value {
    let legacy = features.grants.legacy;
    let grants: Vec<&str> = GrantType::ALL
        .iter()
        .filter(|grant| match grant {
            GrantType::Password => legacy.has_password_grant,
            GrantType::Implicit => legacy.has_front_channel_tokens,
            _ => true,
        })
        .map(|grant| grant.as_str())
        .collect();
    // Certificates come from proxies or from TLS that ends here, if it requests them; otherwise no
    // client can authenticate by one.
    let by_proxy = features.grants.certificate_header.is_some();
    let has_certificates = by_proxy || features.tls.as_ref().is_some_and(TlsSettings::requests_client_certificates);
    let has_authorities = by_proxy || features.tls.as_ref().is_some_and(TlsSettings::has_client_authorities);
    let is_possible = |method: &&AuthMethod| match method {
        AuthMethod::TlsClientAuth => has_authorities,
        AuthMethod::SelfSignedTlsClientAuth => has_certificates,
        _ => true,
    };
    let profile = features.grants.profile;
    let is_allowed = |method: &&AuthMethod| profile.is_none_or(|profile| profile.allows_auth_method(**method));
    let methods: Vec<&AuthMethod> = AuthMethod::ALL.iter().filter(is_possible).filter(is_allowed).collect();
    let confidential: Vec<&&AuthMethod> = methods.iter().filter(|method| ***method != AuthMethod::None).collect();
    let claims = ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid"];
    let claims: Vec<&str> = claims.into_iter().chain(UserClaims::names()).collect();
    let response_types: Vec<&str> = ResponseType::ALL
        .iter()
        .filter(|response_type| !response_type.is_legacy() || legacy.has_front_channel_tokens)
        .map(|response_type| response_type.as_str())
        .collect();
    let response_modes: Vec<&str> = ResponseMode::ALL
        .iter()
        .filter(|mode| !mode.is_fragment() || legacy.has_front_channel_tokens)
        .map(|mode| mode.as_str())
        .chain(["jwt"])
        .collect();
    let is_allowed = |alg: &str| profile.is_none_or(|profile| profile.allows_algorithm(alg));
    let ring = features.keys.current();
    let has_key = |alg: &TokenAlg| !ON_REQUEST.contains(alg) || ring.can_sign_statements(*alg);
    let signing_algorithms = SIGNING_ALGORITHMS.into_iter().filter(has_key).filter(|alg| is_allowed(alg.as_str()));
    let signing_algorithms: Vec<TokenAlg> = signing_algorithms.collect();
    let verifying_algorithms: Vec<&str> = VERIFYING_ALGORITHMS.into_iter().filter(|alg| is_allowed(alg)).collect();
    let languages: Vec<&str> = features.appearance.catalogue.languages().collect();
    json!({
        "response_types_supported": response_types,
        "response_modes_supported": response_modes,
        "grant_types_supported": grants,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": verifying_algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": verifying_algorithms,
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": verifying_algorithms,
        "introspection_signing_alg_values_supported": signing_algorithms,
        "authorization_signing_alg_values_supported": signing_algorithms,
        "tls_client_certificate_bound_access_tokens": has_certificates,
        "dpop_signing_alg_values_supported": verifying_algorithms,
        "request_parameter_supported": true,
        "request_uri_parameter_supported": true,
        "require_request_uri_registration": true,
        "request_object_signing_alg_values_supported": verifying_algorithms,
        "require_signed_request_object": false,
        "require_pushed_authorization_requests": profile == Some(ClientProfile::Fapi2),
        "scopes_supported": ["openid", "profile", "email", "address", "phone", "groups", "offline_access"],
        "claims_supported": claims,
        "ui_locales_supported": languages,
        "claims_parameter_supported": true,
        "claim_types_supported": ["normal"],
        "subject_types_supported": ["public", "pairwise"],
        "acr_values_supported": [PASSWORD_ACR],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "id_token_signing_alg_values_supported": signing_algorithms,
        "userinfo_signing_alg_values_supported": signing_algorithms,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })
}
