//! What a client that registers itself may have (RFC 7591): what a user must agree to, and nothing that the operator alone can
//! give. It asks for no authority by registering; it only gets a name to ask under.

use serde_json::{Map, Value};

use super::text;
use super::{AuthMethod, ClientMetadata, GrantType, MetadataError, RedirectUri, Resource, Scope};

/// The grants of which a user is part.
const GRANTS: [GrantType; 3] = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
/// The scope values that are about the user alone.
const OF_USERS: &str = "openid profile email address phone offline_access";
/// Bytes of a registration at most.
pub const MAX_REGISTRATION_BYTES: usize = 48 * 1024;

/// Reads what a client registers of itself. Members that are not known are passed over (RFC 7591 §2); scope values that nobody
/// could grant it are left out, as RFC 7591 §3.2.1 allows: the answer says what is registered.
///
/// # Errors
/// When it cannot be registered.
pub fn registered(body: &[u8], resources: &[Resource]) -> Result<ClientMetadata, MetadataError> {
    let mut members: Map<String, Value> =
        text::json(body).map_err(|_| MetadataError::Metadata("the body is not a JSON object of good texts"))?;
    members.retain(|_, value| !value.is_null());
    for name in ["redirect_uris", "post_logout_redirect_uris"] {
        check_uris(members.get(name))?;
    }
    if members.get("response_types").is_some_and(|types| *types != serde_json::json!(["code"])) {
        return Err(MetadataError::Metadata("the only response_type here is code"));
    }
    let names_grants = members.contains_key("grant_types");
    let names_scope = members.contains_key("scope");
    // A name for people is not required of those who register themselves.
    members.entry("client_name").or_insert_with(|| Value::from("An application without a name"));
    let asked: ClientMetadata = serde_json::from_value(Value::Object(members))
        .map_err(|_| MetadataError::Metadata("a member has a value that is not known here, or the wrong type"))?;
    if !asked.grant_types.iter().all(|grant| GRANTS.contains(grant)) {
        return Err(MetadataError::Metadata("grant_types has one that only the operator can give"));
    }
    if matches!(asked.auth_method, AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth) {
        return Err(MetadataError::Metadata("clients with certificates are registered by the operator"));
    }
    let allowed = scope_of(resources);
    let metadata = ClientMetadata {
        grant_types: if names_grants { asked.grant_types.clone() } else { vec![GrantType::AuthorizationCode] },
        scope: if names_scope { asked.scope.common(&allowed) } else { Scope::parse(OF_USERS)? },
        audiences: Vec::new(),
        trusted_issuers: Vec::new(),
        authorization_details_types: Vec::new(),
        first_party: false,
        owner: None,
        ..asked
    };
    let loopback = [&metadata.jwks_uri, &metadata.backchannel_logout_uri, &metadata.sector_identifier_uri];
    if loopback.into_iter().flatten().any(|url| !url.as_str().starts_with("https://")) {
        return Err(MetadataError::Metadata("URLs that this server asks must be https"));
    }
    metadata.checked()
}

/// The scope values that a user can be asked for: those about the user, and those of registered resource servers.
fn scope_of(resources: &[Resource]) -> Scope {
    let of_users = Scope::parse(OF_USERS).unwrap_or_default();
    let values = resources.iter().flat_map(|resource| resource.scopes.keys());
    let own = values.filter(|value| !value.starts_with("tollgate:")).filter_map(|value| Scope::parse(value).ok());
    own.fold(of_users, |all, value| all.joined(&value))
}

/// RFC 7591 §3.2.2 has an error of its own for redirect URIs.
fn check_uris(uris: Option<&Value>) -> Result<(), MetadataError> {
    let wrong =
        MetadataError::RedirectUri("redirect URIs must be a list of https, loopback or app URIs without a fragment");
    let Some(uris) = uris else {
        return Ok(());
    };
    let good = |uri: &Value| uri.as_str().is_some_and(|text| text.parse::<RedirectUri>().is_ok());
    match uris.as_array() {
        Some(uris) if uris.iter().all(good) => Ok(()),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<ClientMetadata, MetadataError> {
        let reports = Resource {
            audience: "https://api.example".parse().expect("an audience"),
            name: "Reports".to_owned(),
            scopes: [("reports".to_owned(), String::new()), ("tollgate:admin".to_owned(), String::new())].into(),
            introspected_by: None,
        };
        registered(json.to_string().as_bytes(), &[reports])
    }

    #[test]
    fn defaults_are_the_rfcs() {
        let metadata =
            read(serde_json::json!({ "redirect_uris": ["https://a.example/cb"], "jwks": null })).expect("good");
        assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
        assert_eq!(metadata.auth_method, AuthMethod::ClientSecretBasic);
        assert!(metadata.scope.has("openid") && !metadata.scope.has("reports"));
    }

    #[test]
    fn nobody_gives_himself_what_the_operator_gives() {
        let metadata = read(serde_json::json!({
            "redirect_uris": ["https://a.example/cb"],
            "scope": "openid reports tollgate:admin secrets",
            "audiences": ["https://bank.example"],
            "first_party": true,
            "trusted_issuers": [{ "issuer": "https://me.example" }],
        }));
        let metadata = metadata.expect("good");
        assert_eq!(metadata.scope.to_string(), "openid reports");
        assert!(metadata.audiences.is_empty() && metadata.trusted_issuers.is_empty() && !metadata.first_party);
        for (member, value) in [
            ("grant_types", serde_json::json!(["client_credentials"])),
            ("response_types", serde_json::json!(["token"])),
            ("token_endpoint_auth_method", serde_json::json!("tls_client_auth")),
            ("jwks_uri", serde_json::json!("http://127.0.0.1/keys")),
            ("scope", serde_json::json!(1)),
        ] {
            let mut json = serde_json::json!({ "redirect_uris": ["https://a.example/cb"] });
            json[member] = value;
            assert!(matches!(read(json.clone()), Err(MetadataError::Metadata(_))), "{json}");
        }
        for uris in
            [serde_json::json!(["http://a.example/cb"]), serde_json::json!("https://a.example"), serde_json::json!([])]
        {
            assert!(matches!(read(serde_json::json!({ "redirect_uris": uris })), Err(MetadataError::RedirectUri(_))));
        }
    }
}
