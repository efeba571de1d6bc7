//! Dynamic client registration (RFC 7591): the metadata that a client can register without the
//! operator. It registers no authority, only an identifier; what it gets, a user must grant.

use serde_json::{Map, Value};

use super::metadata::{AuthMethod, ClientMetadata, GrantType, MetadataError, PkceRequirement, SubjectType};
use super::redirect::RedirectUri;
use super::resource::Resource;
use super::scope::{Scope, USER_SCOPES};
use super::text;

/// Grant types in which a user takes part.
const SELF_SERVICE_GRANTS: [GrantType; 3] =
    [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
const OPERATOR_GRANTS_ONLY: &str = "grant_types contains one that only the operator can allow";
pub const MAX_REGISTRATION_BYTES: usize = 48 * 1024;

/// Parses a registration request. Unknown members (RFC 7591 §2) and empty ones are ignored; scope
/// values and grant types that the client may not have are removed, and the response contains the
/// result (RFC 7591 §3.2.1). `operator_metadata` is the metadata of the operator's latest change of
/// this client, if any: it limits what the client can register.
///
/// # Errors
/// If the metadata cannot be registered.
pub fn parse_registration(
    body: &[u8],
    resources: &[Resource],
    operator_metadata: Option<&ClientMetadata>,
) -> Result<ClientMetadata, MetadataError> {
    let mut members: Map<String, Value> =
        text::json(body).map_err(|_| MetadataError::Metadata("the body is not a JSON object with storable strings"))?;
    members.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    for name in ["redirect_uris", "post_logout_redirect_uris"] {
        check_redirect_uris(members.get(name))?;
    }
    if members.get("response_types").is_some_and(|types| *types != serde_json::json!(["code"])) {
        return Err(MetadataError::Metadata("response_types: only code is supported"));
    }
    let has_grant_types = members.contains_key("grant_types");
    let has_scope = members.contains_key("scope");
    // Clients that register themselves may omit the name.
    members.entry("client_name").or_insert_with(|| Value::from("An application without a name"));
    let mut requested: ClientMetadata = serde_json::from_value(Value::Object(members))
        .map_err(|_| MetadataError::Metadata("a member has an unsupported value or the wrong type"))?;
    if !has_grant_types {
        requested.grant_types = vec![GrantType::AuthorizationCode];
    }
    if !has_scope {
        requested.scope = Scope::parse(&USER_SCOPES.join(" "))?;
    }
    let metadata = match operator_metadata {
        Some(limits) => limit_to_operator_metadata(requested, limits)?,
        None => limit_to_self_service(requested, resources)?,
    };
    if matches!(metadata.auth_method, AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth) {
        return Err(MetadataError::Metadata(
            "only the operator can register clients that authenticate by certificates",
        ));
    }
    let requested_urls = [&metadata.jwks_uri, &metadata.backchannel_logout_uri, &metadata.sector_identifier_uri];
    if requested_urls.into_iter().flatten().any(|url| !url.as_str().starts_with("https://")) {
        return Err(MetadataError::Metadata("URLs that this server requests must be https"));
    }
    check_sector_membership(&metadata)?;
    metadata.checked()
}

/// Removes what only the operator can give.
fn limit_to_self_service(requested: ClientMetadata, resources: &[Resource]) -> Result<ClientMetadata, MetadataError> {
    if !requested.grant_types.iter().all(|grant| SELF_SERVICE_GRANTS.contains(grant)) {
        return Err(MetadataError::Metadata(OPERATOR_GRANTS_ONLY));
    }
    Ok(ClientMetadata {
        scope: requested.scope.intersection(&grantable_scope(resources)),
        audiences: Vec::new(),
        trusted_issuers: Vec::new(),
        authorization_details_types: Vec::new(),
        require_pkce: PkceRequirement::limited(requested.require_pkce, None),
        first_party: false,
        owner: None,
        ..requested
    })
}

/// Restricts the requested metadata to the operator's: what only the operator gives stays
/// unchanged, what the client chooses cannot become wider. `owner` and `first_party` are statements
/// about what the operator checked; they end when the client changes its metadata.
fn limit_to_operator_metadata(
    requested: ClientMetadata,
    limits: &ClientMetadata,
) -> Result<ClientMetadata, MetadataError> {
    let may_have = |grant: &GrantType| limits.allows(*grant);
    if !requested.grant_types.iter().all(|grant| SELF_SERVICE_GRANTS.contains(grant) || may_have(grant)) {
        return Err(MetadataError::Metadata(OPERATOR_GRANTS_ONLY));
    }
    let has_weaker_authentication = match limits.auth_method {
        AuthMethod::None => false,
        AuthMethod::PrivateKeyJwt => requested.auth_method != AuthMethod::PrivateKeyJwt,
        _ => requested.auth_method == AuthMethod::None,
    };
    if has_weaker_authentication {
        return Err(MetadataError::Metadata(
            "token_endpoint_auth_method is weaker than the method that the operator set",
        ));
    }
    let subject_type = match limits.subject_type {
        SubjectType::Pairwise => SubjectType::Pairwise,
        SubjectType::Public => requested.subject_type,
    };
    Ok(ClientMetadata {
        grant_types: requested.grant_types.iter().copied().filter(may_have).collect(),
        scope: requested.scope.intersection(&limits.scope),
        audiences: limits.audiences.clone(),
        trusted_issuers: limits.trusted_issuers.clone(),
        authorization_details_types: limits.authorization_details_types.clone(),
        require_signed_request_object: requested.require_signed_request_object || limits.require_signed_request_object,
        require_pushed_authorization_requests: requested.require_pushed_authorization_requests
            || limits.require_pushed_authorization_requests,
        profile: limits.profile.or(requested.profile),
        require_pkce: PkceRequirement::limited(requested.require_pkce, limits.require_pkce),
        dpop_bound_access_tokens: requested.dpop_bound_access_tokens || limits.dpop_bound_access_tokens,
        tls_client_certificate_bound_access_tokens: requested.tls_client_certificate_bound_access_tokens
            || limits.tls_client_certificate_bound_access_tokens,
        subject_type,
        first_party: false,
        owner: None,
        ..requested
    })
}

/// A pairwise client belongs to the sector of its redirect URIs, because codes are sent only there.
/// This proves nothing about a client that gets tokens without a redirect, or by a redirect URI
/// that any application on the user's machine can have: it could join another sector and learn the
/// identifiers of its users.
fn check_sector_membership(metadata: &ClientMetadata) -> Result<(), MetadataError> {
    if metadata.subject_type != SubjectType::Pairwise {
        return Ok(());
    }
    if metadata.redirect_uris.iter().any(RedirectUri::is_native) {
        return Err(MetadataError::Metadata("pairwise subjects need https redirect URIs"));
    }
    let has_published_keys = metadata.auth_method == AuthMethod::PrivateKeyJwt && metadata.jwks_uri.is_some();
    if metadata.allows(GrantType::DeviceCode) && !(has_published_keys && metadata.sector_identifier_uri.is_some()) {
        return Err(MetadataError::Metadata(
            "pairwise subjects with the device grant need private_key_jwt and a jwks_uri that sector_identifier_uri lists",
        ));
    }
    Ok(())
}

/// The scope values that a user can be asked for: those about the user and those of registered
/// resource servers, up to the limit of a scope.
fn grantable_scope(resources: &[Resource]) -> Scope {
    let user_scopes = Scope::parse(&USER_SCOPES.join(" ")).unwrap_or_default();
    let values = resources.iter().flat_map(|resource| resource.scopes.keys());
    let own = values.filter(|value| !value.starts_with("tollgate:")).filter_map(|value| Scope::parse(value).ok());
    own.fold(user_scopes, |all, value| all.union(&value).unwrap_or(all))
}

/// RFC 7591 §3.2.2 has a separate error code for redirect URIs.
fn check_redirect_uris(uris: Option<&Value>) -> Result<(), MetadataError> {
    let wrong =
        MetadataError::RedirectUri("redirect URIs must be a list of https, loopback or app URIs without a fragment");
    let Some(uris) = uris else {
        return Ok(());
    };
    let is_valid = |uri: &Value| uri.as_str().is_some_and(|text| text.parse::<RedirectUri>().is_ok());
    match uris.as_array() {
        Some(uris) if uris.iter().all(is_valid) => Ok(()),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<ClientMetadata, MetadataError> {
        read_within(json, None)
    }

    fn read_within(json: Value, operator_metadata: Option<&ClientMetadata>) -> Result<ClientMetadata, MetadataError> {
        let reports = Resource {
            audience: "https://api.example".parse().expect("an audience"),
            name: "Reports".to_owned(),
            scopes: [("reports".to_owned(), String::new()), ("tollgate:admin".to_owned(), String::new())].into(),
            introspected_by: None,
            tokens: Default::default(),
        };
        parse_registration(json.to_string().as_bytes(), &[reports], operator_metadata)
    }

    #[test]
    fn defaults_are_those_of_the_rfc() {
        let metadata =
            read(serde_json::json!({ "redirect_uris": ["https://a.example/cb"], "jwks": null })).expect("good");
        assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
        assert_eq!(metadata.auth_method, AuthMethod::ClientSecretBasic);
        assert!(metadata.scope.has("openid") && !metadata.scope.has("reports"));
    }

    #[test]
    fn self_registration_gives_no_authority() {
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

    #[test]
    fn empty_members_count_as_absent() {
        let metadata = read(serde_json::json!({
            "redirect_uris": ["https://a.example/cb"], "scope": "", "client_name": "", "jwks_uri": "",
        }));
        let metadata = metadata.expect("good");
        assert!(metadata.scope.has("openid") && metadata.scope.has("offline_access"));
        assert!(!metadata.name.is_empty() && metadata.jwks_uri.is_none());
    }

    #[test]
    fn client_cannot_widen_what_the_operator_restricted() {
        let wide = serde_json::json!({
            "redirect_uris": ["https://a.example/cb"],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile reports",
        });
        let limits = ClientMetadata {
            grant_types: vec![GrantType::AuthorizationCode, GrantType::ClientCredentials],
            scope: Scope::parse("openid secrets").expect("a scope"),
            audiences: vec!["https://narrow.example".parse().expect("an audience")],
            dpop_bound_access_tokens: true,
            require_pushed_authorization_requests: true,
            subject_type: SubjectType::Pairwise,
            owner: Some("Somebody".to_owned()),
            first_party: true,
            ..read(wide.clone()).expect("good")
        };
        let metadata = read_within(wide.clone(), Some(&limits)).expect("good");
        assert_eq!(
            (metadata.grant_types.as_slice(), metadata.scope.to_string().as_str()),
            (&[GrantType::AuthorizationCode][..], "openid")
        );
        assert_eq!((metadata.audiences, metadata.subject_type), (limits.audiences.clone(), SubjectType::Pairwise));
        assert!(metadata.dpop_bound_access_tokens && metadata.require_pushed_authorization_requests);
        assert!(metadata.owner.is_none() && !metadata.first_party, "the operator has not checked the new metadata");
        // What the operator gave is kept.
        let mut given = wide.clone();
        given["grant_types"] = serde_json::json!(["client_credentials"]);
        given["scope"] = serde_json::json!("secrets reports");
        let metadata = read_within(given, Some(&limits)).expect("good");
        assert_eq!(metadata.grant_types, [GrantType::ClientCredentials]);
        assert_eq!(metadata.scope.to_string(), "secrets");
        let mut none = wide;
        none["grant_types"] = serde_json::json!(["refresh_token"]);
        assert!(read_within(none, Some(&limits)).is_err(), "no grant is left");
    }

    #[test]
    fn client_cannot_join_another_sector() {
        let victim = "https://victim.example/cb";
        let pairwise = |more: Value| {
            let mut json = serde_json::json!({ "redirect_uris": [victim], "subject_type": "pairwise" });
            json.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            read(json)
        };
        let (code, device) = ("authorization_code", "urn:ietf:params:oauth:grant-type:device_code");
        assert!(pairwise(serde_json::json!({})).is_ok(), "codes go to the victim alone");
        let sector = "https://victim.example/sector";
        let keys = "https://me.example/keys";
        for more in [
            serde_json::json!({ "grant_types": [code, device] }),
            serde_json::json!({ "grant_types": [device], "redirect_uris": [], "sector_identifier_uri": sector }),
            serde_json::json!({ "grant_types": [code, device], "sector_identifier_uri": sector, "jwks_uri": keys }),
            serde_json::json!({ "redirect_uris": ["http://127.0.0.1/cb"], "sector_identifier_uri": sector }),
        ] {
            assert!(matches!(pairwise(more.clone()), Err(MetadataError::Metadata(_))), "{more}");
        }
        let own = pairwise(serde_json::json!({
            "grant_types": [code, device], "sector_identifier_uri": sector, "jwks_uri": keys,
            "token_endpoint_auth_method": "private_key_jwt",
        }));
        let own = own.expect("its keys must be listed");
        let listed = |uris: &[&str]| own.check_sector(serde_json::json!(uris).to_string().as_bytes()).is_ok();
        assert!(!listed(&[victim]) && listed(&[victim, keys]));
    }
}
