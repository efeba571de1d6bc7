//! Dynamic client registration (RFC 7591): the metadata that a client can register without the
//! operator. It registers no authority, only an identifier; what it gets, a user must grant.

use serde_json::{Map, Value};

use super::client_lifetimes::ClientLifetimes;
use super::malformed::Malformed;
use super::metadata::{
    AuthMethod, ClientMetadata, ClientProfile, GrantType, MemberProblem, MetadataError, PkceRequirement, SubjectType,
};
use super::redirect::{HttpRedirects, OutboundUrl, RedirectUri};
use super::request_uri::RequestUri;
use super::resource::Resource;
use super::response_type::ResponseType;
use super::scope::{Scope, USER_SCOPES};
use super::text;

/// Grant types in which a user takes part.
const SELF_SERVICE_GRANTS: [GrantType; 3] =
    [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
const OPERATOR_GRANTS_ONLY: &str = "grant_types contains one that only the operator can allow";
pub const MAX_REGISTRATION_BYTES: usize = 48 * 1024;

/// What the server's settings let clients register.
#[derive(Debug, Clone, Default)]
pub struct RegistrationPolicy {
    /// Private-use schemes of redirect URIs that need no domain name in them.
    pub schemes: Vec<String>,
    /// Where `http` redirect URIs may lead.
    pub http_redirects: HttpRedirects,
    /// Whether clients may register the implicit grant and response types with tokens.
    pub has_front_channel_tokens: bool,
    /// Profile of all clients.
    pub profile: Option<ClientProfile>,
}

/// Parses a registration request. Unknown members (RFC 7591 §2) and empty ones are ignored; scope
/// values, grant types and response types that the client may not have are removed, and the
/// response contains the result (RFC 7591 §3.2.1). `operator_metadata` is the metadata of the
/// operator's latest change of this client, if any: it limits what the client can register.
///
/// # Errors
/// If the metadata cannot be registered.
pub fn parse_registration(
    body: &[u8],
    resources: &[Resource],
    operator_metadata: Option<&ClientMetadata>,
    policy: &RegistrationPolicy,
) -> Result<ClientMetadata, MetadataError> {
    let mut members: Map<String, Value> =
        text::json(body).map_err(|_| MetadataError::Metadata("the body is not a JSON object with storable strings"))?;
    members.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    for name in ["redirect_uris", "post_logout_redirect_uris"] {
        check_redirect_uris(name, members.get(name), policy)?;
    }
    check_response_types(&members, policy)?;
    let has_grant_types = members.contains_key("grant_types");
    let has_scope = members.contains_key("scope");
    // Clients that register themselves may omit the name.
    members.entry("client_name").or_insert_with(|| Value::from("An application without a name"));
    let mut requested: ClientMetadata =
        serde_json::from_value(Value::Object(members.clone())).map_err(|_| unreadable_member(&members))?;
    if !has_grant_types {
        requested.grant_types = vec![GrantType::AuthorizationCode];
    }
    if !has_scope {
        requested.scope = Scope::parse(&USER_SCOPES.join(" "))?;
    }
    let metadata = match operator_metadata {
        Some(limits) => limit_to_operator_metadata(requested, limits, policy)?,
        None => limit_to_self_service(requested, resources, policy)?,
    };
    if matches!(metadata.auth_method, AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth) {
        return Err(MetadataError::Metadata(
            "only the operator can register clients that authenticate by certificates",
        ));
    }
    let is_insecure = |url: &OutboundUrl| !url.as_str().starts_with("https://");
    let requested_urls = [&metadata.jwks_uri, &metadata.backchannel_logout_uri, &metadata.sector_identifier_uri];
    if requested_urls.into_iter().flatten().any(is_insecure)
        || metadata.request_uris.iter().map(RequestUri::url).any(is_insecure)
    {
        return Err(MetadataError::Metadata("URLs that this server requests must be https"));
    }
    check_shown_urls(&metadata)?;
    check_sector_membership(&metadata)?;
    metadata.under(policy.profile).map_err(MetadataError::Metadata)?.checked()
}

/// Whether a client may have this grant type without the operator.
fn is_self_service(grant: GrantType, policy: &RegistrationPolicy) -> bool {
    SELF_SERVICE_GRANTS.contains(&grant) || (grant == GrantType::Implicit && policy.has_front_channel_tokens)
}

/// Removes what only the operator can give.
fn limit_to_self_service(
    requested: ClientMetadata,
    resources: &[Resource],
    policy: &RegistrationPolicy,
) -> Result<ClientMetadata, MetadataError> {
    if !requested.grant_types.iter().all(|grant| is_self_service(*grant, policy)) {
        return Err(MetadataError::Metadata(OPERATOR_GRANTS_ONLY));
    }
    let scope = requested.scope.intersection(&grantable_scope(resources));
    if scope.is_empty() {
        let requested = Value::from(requested.scope.as_str());
        let problem = MemberProblem::new("scope", "has no value that a user can grant", &requested);
        return Err(MetadataError::Member(problem));
    }
    Ok(ClientMetadata {
        scope,
        audiences: Vec::new(),
        trusted_issuers: Vec::new(),
        authorization_details_types: Vec::new(),
        lifetimes: ClientLifetimes::default(),
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
    policy: &RegistrationPolicy,
) -> Result<ClientMetadata, MetadataError> {
    let may_have = |grant: &GrantType| limits.allows(*grant);
    if !requested.grant_types.iter().all(|grant| is_self_service(*grant, policy) || may_have(grant)) {
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
        response_types: requested
            .response_types
            .iter()
            .copied()
            .filter(|response_type| limits.allows_response(*response_type))
            .collect(),
        scope: requested.scope.intersection(&limits.scope),
        audiences: limits.audiences.clone(),
        trusted_issuers: limits.trusted_issuers.clone(),
        authorization_details_types: limits.authorization_details_types.clone(),
        lifetimes: limits.lifetimes.clone(),
        require_signed_request_object: requested.require_signed_request_object || limits.require_signed_request_object,
        require_pushed_authorization_requests: requested.require_pushed_authorization_requests
            || limits.require_pushed_authorization_requests,
        profile: limits.profile.or(requested.profile),
        require_pkce: PkceRequirement::limited(requested.require_pkce, limits.require_pkce),
        rotate_refresh_tokens: limits.rotate_refresh_tokens.or(requested.rotate_refresh_tokens),
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

/// Response types are needed only where a grant has the authorization endpoint. Those with tokens
/// are for clients that the operator registers, unless the server's setting offers them.
fn check_response_types(members: &Map<String, Value>, policy: &RegistrationPolicy) -> Result<(), MetadataError> {
    let Some(types) = members.get("response_types") else { return Ok(()) };
    let needs_code = match members.get("grant_types").and_then(Value::as_array) {
        None => true,
        Some(grants) => grants.iter().any(|grant| grant.as_str() == Some(GrantType::AuthorizationCode.as_str())),
    };
    let is_offered = |named: &Value| {
        let response_type = named.as_str().and_then(|named| named.parse::<ResponseType>().ok());
        response_type.is_some_and(|named| policy.has_front_channel_tokens || !named.is_legacy())
    };
    let problem = match types.as_array().map(Vec::as_slice) {
        Some([]) if !needs_code => return Ok(()),
        Some([]) => "must be code: the authorization code grant needs it",
        Some(named) if named.iter().all(is_offered) => return Ok(()),
        _ if policy.has_front_channel_tokens => "has one that is not supported",
        _ => "must be code, no other is supported",
    };
    Err(MetadataError::Member(MemberProblem::new("response_types", problem, types)))
}

/// Members that can have a value of the wrong form, as errors name them.
const MEMBERS: &[&str] = &[
    "access_token_format",
    "access_token_lifetime",
    "access_token_signed_response_alg",
    "audiences",
    "authorization_code_lifetime",
    "authorization_details_types",
    "authorization_signed_response_alg",
    "backchannel_logout_session_required",
    "backchannel_logout_uri",
    "client_name",
    "client_uri",
    "contacts",
    "default_max_age",
    "device_code_lifetime",
    "dpop_bound_access_tokens",
    "first_party",
    "grant_types",
    "id_token_lifetime",
    "id_token_signed_response_alg",
    "id_token_user_claims",
    "introspection_signed_response_alg",
    "jwks",
    "jwks_uri",
    "logo_uri",
    "owner",
    "policy_uri",
    "profile",
    "refresh_token_idle_lifetime",
    "refresh_token_lifetime",
    "request_object_signing_alg",
    "request_uris",
    "require_pkce",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "response_types",
    "rotate_refresh_tokens",
    "scope",
    "sector_identifier_uri",
    "subject_type",
    "tls_client_auth_san_dns",
    "tls_client_auth_subject_dn",
    "tls_client_certificate_bound_access_tokens",
    "token_endpoint_auth_method",
    "tos_uri",
    "trusted_issuers",
    "userinfo_signed_response_alg",
];

/// The error of metadata that cannot be read: the first member that cannot be read by itself.
fn unreadable_member(members: &Map<String, Value>) -> MetadataError {
    const PROBLEM: &str = "has an unsupported value or the wrong type";
    let is_unreadable = |name: &str, value: &Value| {
        let alone = Map::from_iter([(name.to_owned(), value.clone())]);
        serde_json::from_value::<ClientMetadata>(Value::Object(alone)).is_err()
    };
    let found = MEMBERS.iter().find_map(|name| {
        let value = members.get(*name).filter(|value| is_unreadable(name, value))?;
        Some(MemberProblem::new(name, PROBLEM, value))
    });
    found.map_or(MetadataError::Metadata("a member has an unsupported value or the wrong type"), MetadataError::Member)
}

/// Links that users are shown must be https.
fn check_shown_urls(metadata: &ClientMetadata) -> Result<(), MetadataError> {
    let shown = [
        ("logo_uri", &metadata.logo_uri),
        ("client_uri", &metadata.client_uri),
        ("policy_uri", &metadata.policy_uri),
        ("tos_uri", &metadata.tos_uri),
    ];
    let insecure = shown.into_iter().find_map(|(name, url)| {
        let url = url.as_ref().filter(|url| !url.is_https())?;
        Some(MemberProblem::new(name, "must be https", &Value::from(url.as_str())))
    });
    insecure.map_or(Ok(()), |problem| Err(MetadataError::Member(problem)))
}

/// RFC 7591 §3.2.2 has a separate error code for redirect URIs.
fn check_redirect_uris(
    member: &'static str,
    uris: Option<&Value>,
    policy: &RegistrationPolicy,
) -> Result<(), MetadataError> {
    let wrong = |problem, value: &Value| MetadataError::RedirectUriValue(MemberProblem::new(member, problem, value));
    let Some(uris) = uris else {
        return Ok(());
    };
    for uri in uris.as_array().ok_or_else(|| wrong("must be a list", uris))? {
        let text = uri.as_str().ok_or_else(|| wrong("must be a list of texts", uri))?;
        let parsed: RedirectUri = text.parse().map_err(|error: Malformed| wrong(error.problem, uri))?;
        parsed.check(policy.http_redirects).map_err(|error| wrong(error.problem, uri))?;
        if !parsed.may_be_self_registered(&policy.schemes) {
            return Err(wrong("must have a scheme that contains a domain name, such as com.example.app", uri));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<ClientMetadata, MetadataError> {
        read_within(json, None)
    }

    fn read_within(json: Value, operator_metadata: Option<&ClientMetadata>) -> Result<ClientMetadata, MetadataError> {
        let policy = RegistrationPolicy { schemes: vec!["cursor".to_owned()], ..RegistrationPolicy::default() };
        read_by(&policy, json, operator_metadata)
    }

    fn read_by(
        policy: &RegistrationPolicy,
        json: Value,
        operator_metadata: Option<&ClientMetadata>,
    ) -> Result<ClientMetadata, MetadataError> {
        let reports = Resource {
            audience: "https://api.example".parse().expect("an audience"),
            name: "Reports".to_owned(),
            scopes: [("reports".to_owned(), String::new()), ("tollgate:admin".to_owned(), String::new())].into(),
            introspected_by: None,
            tokens: Default::default(),
        };
        parse_registration(json.to_string().as_bytes(), &[reports], operator_metadata, policy)
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
            "access_token_lifetime": 86400,
            "trusted_issuers": [{ "issuer": "https://me.example" }],
        }));
        let metadata = metadata.expect("good");
        assert_eq!(metadata.scope.to_string(), "openid reports");
        assert_eq!(metadata.lifetimes, ClientLifetimes::default());
        assert!(metadata.audiences.is_empty() && metadata.trusted_issuers.is_empty() && !metadata.first_party);
        for (member, value) in [
            ("grant_types", serde_json::json!(["client_credentials"])),
            ("response_types", serde_json::json!(["token"])),
            ("token_endpoint_auth_method", serde_json::json!("tls_client_auth")),
            ("jwks_uri", serde_json::json!("http://127.0.0.1/keys")),
            ("request_uris", serde_json::json!(["http://127.0.0.1/request.jwt"])),
            ("scope", serde_json::json!(1)),
        ] {
            let mut json = serde_json::json!({ "redirect_uris": ["https://a.example/cb"] });
            json[member] = value;
            let error = read(json.clone()).expect_err("refused");
            assert!(matches!(error, MetadataError::Metadata(_) | MetadataError::Member(_)), "{json}");
        }
        for uris in
            [serde_json::json!(["http://a.example/cb"]), serde_json::json!("https://a.example"), serde_json::json!([])]
        {
            let error = read(serde_json::json!({ "redirect_uris": uris })).expect_err("refused");
            assert!(matches!(error, MetadataError::RedirectUri(_) | MetadataError::RedirectUriValue(_)), "{uris}");
        }
    }

    #[test]
    fn error_names_the_member_and_its_value() {
        let error = |member: &str, value: Value| {
            let mut json = serde_json::json!({ "redirect_uris": ["https://a.example/cb"] });
            json[member] = value;
            read(json).expect_err("refused").to_string()
        };
        for (member, value, shown) in [
            ("grant_types", serde_json::json!(["telepathy"]), "telepathy"),
            ("jwks_uri", serde_json::json!("ftp://a.example/"), "ftp://a.example/"),
            ("policy_uri", serde_json::json!("http://a.example/policy"), "http://a.example/policy"),
            ("logo_uri", serde_json::json!("javascript:alert(1)"), "javascript:alert(1)"),
            ("scope", serde_json::json!("secrets"), "secrets"),
            ("response_types", serde_json::json!(["token"]), "token"),
            (
                "redirect_uris",
                serde_json::json!(["https://a.example/cb", "http://b.example/cb"]),
                "http://b.example/cb",
            ),
            ("default_max_age", serde_json::json!("é\"\u{202e}"), "???"),
        ] {
            let message = error(member, value);
            assert!(message.starts_with(member) && message.contains(shown), "{message}");
        }
        let long = error("tos_uri", Value::from("x".repeat(5000)));
        assert!(long.len() < 250 && long.is_ascii(), "{long}");
    }

    #[test]
    fn scheme_without_a_domain_name_must_be_listed() {
        let register = |uri: &str| read(serde_json::json!({ "redirect_uris": [uri] }));
        assert!(register("cursor://callback").is_ok() && register("com.example.app:/cb").is_ok());
        assert!(matches!(register("app:/cb"), Err(MetadataError::RedirectUriValue(_))));
    }

    #[test]
    fn response_types_with_tokens_need_the_servers_setting() {
        let hybrid = serde_json::json!({
            "redirect_uris": ["https://a.example/cb"],
            "grant_types": ["authorization_code", "implicit"], "response_types": ["code", "token id_token"],
        });
        assert!(read(hybrid.clone()).is_err());
        let policy = RegistrationPolicy { has_front_channel_tokens: true, ..RegistrationPolicy::default() };
        let metadata = read_by(&policy, hybrid.clone(), None).expect("offered");
        assert_eq!(metadata.response_types, [ResponseType::Code, ResponseType::IdTokenToken]);
        assert!(metadata.allows(GrantType::Implicit));
        let limits = ClientMetadata { response_types: vec![ResponseType::Code], ..metadata };
        let limited = read_by(&policy, hybrid.clone(), Some(&limits)).expect("limited");
        assert_eq!(limited.response_types, [ResponseType::Code], "the operator took the other one away");
        for (member, value) in [
            ("response_types", serde_json::json!(["code magic"])),
            ("grant_types", serde_json::json!(["implicit", "password"])),
            ("redirect_uris", serde_json::json!([])),
        ] {
            let mut wrong = hybrid.clone();
            wrong[member] = value;
            assert!(read_by(&policy, wrong, None).is_err(), "{member}");
        }
    }

    #[test]
    fn http_redirect_uris_need_the_servers_setting() {
        let json = serde_json::json!({ "redirect_uris": ["http://dev.example:3000/cb"] });
        assert!(matches!(read(json.clone()), Err(MetadataError::RedirectUriValue(_))));
        let policy = RegistrationPolicy { http_redirects: HttpRedirects::AnyHost, ..RegistrationPolicy::default() };
        assert_eq!(read_by(&policy, json, None).expect("allowed").redirect_uris.len(), 1);
    }

    #[test]
    fn response_types_may_be_empty_where_no_grant_needs_one() {
        let device = "urn:ietf:params:oauth:grant-type:device_code";
        let empty = serde_json::json!({ "grant_types": [device], "response_types": [], "redirect_uris": [] });
        let metadata = read(empty).expect("good");
        assert_eq!((metadata.response_types.len(), metadata.redirect_uris.len()), (0, 0));
        let code = serde_json::json!({ "redirect_uris": ["https://a.example/cb"], "response_types": [] });
        assert!(matches!(read(code), Err(MetadataError::Member(_))));
    }

    #[test]
    fn what_a_client_says_about_itself_is_kept() {
        let json = serde_json::json!({
            "redirect_uris": ["https://a.example/cb"], "logo_uri": "https://a.example/logo.png",
            "client_uri": "https://a.example/", "policy_uri": "https://a.example/policy#cookies",
            "tos_uri": "https://a.example/terms", "contacts": ["ada@a.example"],
            "backchannel_logout_uri": "https://a.example/logout", "backchannel_logout_session_required": true,
        });
        let kept = serde_json::to_value(read(json.clone()).expect("good")).expect("JSON");
        for member in json.as_object().expect("an object").keys() {
            assert_eq!(kept[member], json[member], "{member}");
        }
        for contacts in [vec!["a"; 9], vec![""], vec!["a\u{202e}b"]] {
            let json = serde_json::json!({ "redirect_uris": ["https://a.example/cb"], "contacts": contacts });
            assert!(read(json).is_err(), "{contacts:?}");
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
            lifetimes: ClientLifetimes { access_token: Some(60), ..ClientLifetimes::default() },
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
        assert_eq!(metadata.lifetimes, limits.lifetimes);
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
