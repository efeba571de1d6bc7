//! What a client that registers itself may have (RFC 7591): what a user must agree to, and nothing that the operator alone can
//! give. It asks for no authority by registering; it only gets a name to ask under.

use serde_json::{Map, Value};

use super::text;
use super::{AuthMethod, ClientMetadata, GrantType, MetadataError, RedirectUri, Resource, Scope, SubjectType};

/// The grants of which a user is part.
const GRANTS: [GrantType; 3] = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
/// The scope values that are about the user alone.
const OF_USERS: &str = "openid profile email address phone offline_access";
const ONLY_BY_OPERATOR: &str = "grant_types has one that only the operator can give";
/// Bytes of a registration at most.
pub const MAX_REGISTRATION_BYTES: usize = 48 * 1024;

/// Reads what a client registers of itself. Members that are not known are passed over (RFC 7591 §2), and so are empty ones; scope
/// values and grants that it may not have are left out, as RFC 7591 §3.2.1 allows: the answer says what is registered.
/// `operator_metadata`: what the operator left it when it changed the client last, if it ever did; then it may have no more than that.
///
/// # Errors
/// When it cannot be registered.
pub fn registered(
    body: &[u8],
    resources: &[Resource],
    operator_metadata: Option<&ClientMetadata>,
) -> Result<ClientMetadata, MetadataError> {
    let mut members: Map<String, Value> =
        text::json(body).map_err(|_| MetadataError::Metadata("the body is not a JSON object of good texts"))?;
    members.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
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
    let mut asked: ClientMetadata = serde_json::from_value(Value::Object(members))
        .map_err(|_| MetadataError::Metadata("a member has a value that is not known here, or the wrong type"))?;
    if !names_grants {
        asked.grant_types = vec![GrantType::AuthorizationCode];
    }
    if !names_scope {
        asked.scope = Scope::parse(OF_USERS)?;
    }
    let metadata = match operator_metadata {
        Some(limits) => within(asked, limits)?,
        None => without_authority(asked, resources)?,
    };
    if matches!(metadata.auth_method, AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth) {
        return Err(MetadataError::Metadata("clients with certificates are registered by the operator"));
    }
    let loopback = [&metadata.jwks_uri, &metadata.backchannel_logout_uri, &metadata.sector_identifier_uri];
    if loopback.into_iter().flatten().any(|url| !url.as_str().starts_with("https://")) {
        return Err(MetadataError::Metadata("URLs that this server asks must be https"));
    }
    check_sector_membership(&metadata)?;
    metadata.checked()
}

/// What a client may have that nobody gave anything.
fn without_authority(asked: ClientMetadata, resources: &[Resource]) -> Result<ClientMetadata, MetadataError> {
    if !asked.grant_types.iter().all(|grant| GRANTS.contains(grant)) {
        return Err(MetadataError::Metadata(ONLY_BY_OPERATOR));
    }
    Ok(ClientMetadata {
        scope: asked.scope.common(&scope_of(resources)),
        audiences: Vec::new(),
        trusted_issuers: Vec::new(),
        authorization_details_types: Vec::new(),
        first_party: false,
        owner: None,
        ..asked
    })
}

/// What of it a client may have that the operator limited to this: what the operator alone gives stays as it is, what the client
/// chooses gets no wider. `owner` and `first_party` vouch for what the operator saw, and end when the client changes it.
fn within(asked: ClientMetadata, limits: &ClientMetadata) -> Result<ClientMetadata, MetadataError> {
    let may_have = |grant: &GrantType| limits.allows(*grant);
    if !asked.grant_types.iter().all(|grant| GRANTS.contains(grant) || may_have(grant)) {
        return Err(MetadataError::Metadata(ONLY_BY_OPERATOR));
    }
    let has_weaker_authentication = match limits.auth_method {
        AuthMethod::None => false,
        AuthMethod::PrivateKeyJwt => asked.auth_method != AuthMethod::PrivateKeyJwt,
        _ => asked.auth_method == AuthMethod::None,
    };
    if has_weaker_authentication {
        return Err(MetadataError::Metadata("token_endpoint_auth_method is weaker than the operator's"));
    }
    let subject_type = match limits.subject_type {
        SubjectType::Pairwise => SubjectType::Pairwise,
        SubjectType::Public => asked.subject_type,
    };
    Ok(ClientMetadata {
        grant_types: asked.grant_types.iter().copied().filter(may_have).collect(),
        scope: asked.scope.common(&limits.scope),
        audiences: limits.audiences.clone(),
        trusted_issuers: limits.trusted_issuers.clone(),
        authorization_details_types: limits.authorization_details_types.clone(),
        require_signed_request_object: asked.require_signed_request_object || limits.require_signed_request_object,
        require_pushed_authorization_requests: asked.require_pushed_authorization_requests
            || limits.require_pushed_authorization_requests,
        dpop_bound_access_tokens: asked.dpop_bound_access_tokens || limits.dpop_bound_access_tokens,
        tls_client_certificate_bound_access_tokens: asked.tls_client_certificate_bound_access_tokens
            || limits.tls_client_certificate_bound_access_tokens,
        subject_type,
        first_party: false,
        owner: None,
        ..asked
    })
}

/// A client is of the sector to which its redirect URIs belong, because codes go there and nowhere else. That proves nothing of a
/// client that gets tokens without a redirect, or by one that any app on a user's machine can have: it could join anybody's sector and
/// know its users.
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

/// The scope values that a user can be asked for: those about the user, and those of registered resource servers, as many as a scope may
/// have.
fn scope_of(resources: &[Resource]) -> Scope {
    let of_users = Scope::parse(OF_USERS).unwrap_or_default();
    let values = resources.iter().flat_map(|resource| resource.scopes.keys());
    let own = values.filter(|value| !value.starts_with("tollgate:")).filter_map(|value| Scope::parse(value).ok());
    own.fold(of_users, |all, value| all.joined(&value).unwrap_or(all))
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
        read_within(json, None)
    }

    fn read_within(json: Value, operator_metadata: Option<&ClientMetadata>) -> Result<ClientMetadata, MetadataError> {
        let reports = Resource {
            audience: "https://api.example".parse().expect("an audience"),
            name: "Reports".to_owned(),
            scopes: [("reports".to_owned(), String::new()), ("tollgate:admin".to_owned(), String::new())].into(),
            introspected_by: None,
        };
        registered(json.to_string().as_bytes(), &[reports], operator_metadata)
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

    #[test]
    fn empty_members_are_as_left_out() {
        let metadata = read(serde_json::json!({
            "redirect_uris": ["https://a.example/cb"], "scope": "", "client_name": "", "jwks_uri": "",
        }));
        let metadata = metadata.expect("good");
        assert!(metadata.scope.has("openid") && metadata.scope.has("offline_access"));
        assert!(!metadata.name.is_empty() && metadata.jwks_uri.is_none());
    }

    #[test]
    fn a_client_does_not_undo_what_the_operator_narrowed() {
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
        assert!(metadata.owner.is_none() && !metadata.first_party, "nobody vouches for what it says now");
        // What the operator gave, it keeps.
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
    fn nobody_joins_a_foreign_sector() {
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
