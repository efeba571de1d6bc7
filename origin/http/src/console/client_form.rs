//! The form of a client: fields for what most clients need, and a JSON object for other metadata.

use serde_json::{Map, Value};
use tollgate_model::{AuthMethod, Client, ClientId, ClientMetadata, GrantType, TokenAlg, TokenFormat, text};
use tollgate_services::admin::{AdminError, client_version, invalid_client, parse_client_metadata};

use super::admin_session::AdminSession;

/// The members of the metadata that have fields of their own.
const FIELD_MEMBERS: [&str; 12] = [
    "client_name",
    "owner",
    "first_party",
    "token_endpoint_auth_method",
    "grant_types",
    "rotate_refresh_tokens",
    "redirect_uris",
    "post_logout_redirect_uris",
    "scope",
    "audiences",
    "access_token_format",
    "access_token_signed_response_alg",
];

/// The form's content, as typed.
pub(super) struct ClientForm {
    /// The version of the client that the form shows; empty for a new one.
    pub(super) version: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) first_party: bool,
    pub(super) auth_method: String,
    pub(super) grants: Vec<&'static Grant>,
    /// Whether refresh tokens are rotated: `true`, `false`, or empty for the default.
    pub(super) rotation: String,
    pub(super) redirect_uris: String,
    pub(super) post_logout_redirect_uris: String,
    pub(super) scope: String,
    pub(super) audiences: String,
    pub(super) token_format: String,
    pub(super) alg: String,
    /// Other metadata, as a JSON object.
    pub(super) more: String,
}

/// A grant type with its checkbox. Label and hint are names of messages.
pub(super) struct Grant {
    grant: GrantType,
    pub(super) field: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
}

/// The grant types, in the order of the form.
pub(super) static GRANTS: [Grant; 8] = [
    Grant {
        grant: GrantType::ClientCredentials,
        field: "grant_client_credentials",
        label: "grant-client-credentials",
        hint: "grant-client-credentials-hint",
    },
    Grant {
        grant: GrantType::AuthorizationCode,
        field: "grant_authorization_code",
        label: "grant-authorization-code",
        hint: "grant-authorization-code-hint",
    },
    Grant {
        grant: GrantType::RefreshToken,
        field: "grant_refresh_token",
        label: "grant-refresh-token",
        hint: "grant-refresh-token-hint",
    },
    Grant {
        grant: GrantType::DeviceCode,
        field: "grant_device_code",
        label: "grant-device-code",
        hint: "grant-device-code-hint",
    },
    Grant {
        grant: GrantType::TokenExchange,
        field: "grant_token_exchange",
        label: "grant-token-exchange",
        hint: "grant-token-exchange-hint",
    },
    Grant {
        grant: GrantType::JwtBearer,
        field: "grant_jwt_bearer",
        label: "grant-jwt-bearer",
        hint: "grant-jwt-bearer-hint",
    },
    Grant { grant: GrantType::Password, field: "grant_password", label: "grant-password", hint: "grant-password-hint" },
    Grant { grant: GrantType::Implicit, field: "grant_implicit", label: "grant-implicit", hint: "grant-implicit-hint" },
];

impl ClientForm {
    /// The form of a new client.
    pub(super) fn empty() -> ClientForm {
        let metadata = ClientMetadata { grant_types: vec![GrantType::ClientCredentials], ..ClientMetadata::default() };
        ClientForm::from_metadata(String::new(), &metadata)
    }

    /// The form with a client's metadata.
    pub(super) fn from_client(client: &Client) -> ClientForm {
        let version = client_version(&client.metadata);
        ClientForm { version, ..ClientForm::from_metadata(client.id.to_string(), &client.metadata) }
    }

    fn from_metadata(id: String, metadata: &ClientMetadata) -> ClientForm {
        let lines = |texts: Vec<String>| texts.join("\n");
        let more = other_members(metadata);
        ClientForm {
            version: String::new(),
            id,
            name: metadata.name.clone(),
            owner: metadata.owner.clone().unwrap_or_default(),
            first_party: metadata.first_party,
            auth_method: metadata.auth_method.to_string(),
            grants: GRANTS.iter().filter(|grant| metadata.allows(grant.grant)).collect(),
            rotation: metadata.rotate_refresh_tokens.map(|rotates| rotates.to_string()).unwrap_or_default(),
            redirect_uris: lines(metadata.redirect_uris.iter().map(ToString::to_string).collect()),
            post_logout_redirect_uris: lines(
                metadata.post_logout_redirect_uris.iter().map(ToString::to_string).collect(),
            ),
            scope: metadata.scope.to_string(),
            audiences: lines(metadata.audiences.iter().map(ToString::to_string).collect()),
            token_format: metadata.access_token_format.to_string(),
            alg: metadata.alg.as_str().to_owned(),
            more: if more.is_empty() { String::new() } else { serde_json::to_string_pretty(&more).unwrap_or_default() },
        }
    }

    /// The form as sent.
    pub(super) fn from_request(admin: &AdminSession) -> ClientForm {
        let trimmed = |name: &str| admin.param(name).trim().to_owned();
        ClientForm {
            version: trimmed("version"),
            id: trimmed("client_id"),
            name: trimmed("name"),
            owner: trimmed("owner"),
            first_party: admin.is_checked("first_party"),
            auth_method: trimmed("auth_method"),
            grants: GRANTS.iter().filter(|grant| admin.is_checked(grant.field)).collect(),
            rotation: trimmed("rotation"),
            redirect_uris: trimmed("redirect_uris"),
            post_logout_redirect_uris: trimmed("post_logout_redirect_uris"),
            scope: trimmed("scope"),
            audiences: trimmed("audiences"),
            token_format: trimmed("token_format"),
            alg: trimmed("alg"),
            more: trimmed("more"),
        }
    }

    /// The form's fields by name, to be carried by a confirmation page.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("version", &self.version),
            ("client_id", &self.id),
            ("name", &self.name),
            ("owner", &self.owner),
            ("auth_method", &self.auth_method),
            ("rotation", &self.rotation),
            ("redirect_uris", &self.redirect_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
            ("scope", &self.scope),
            ("audiences", &self.audiences),
            ("token_format", &self.token_format),
            ("alg", &self.alg),
            ("more", &self.more),
        ];
        let texts = texts.into_iter().map(|(name, text)| (name, text.clone()));
        let checked = self.grants.iter().map(|grant| grant.field).chain(self.first_party.then_some("first_party"));
        texts.chain(checked.map(|name| (name, "on".to_owned()))).collect()
    }

    /// Checks that the client is still as the form shows it.
    pub(super) fn check_version(&self, current: &ClientMetadata) -> Result<(), AdminError> {
        match client_version(current) == self.version {
            true => Ok(()),
            false => Err(AdminError::Conflict("the client was changed meanwhile: open the form again".to_owned())),
        }
    }

    /// Whether a grant type is checked.
    pub(super) fn has(&self, grant: &Grant) -> bool {
        self.grants.iter().any(|checked| checked.field == grant.field)
    }

    pub(super) fn auth_methods() -> &'static [AuthMethod] {
        AuthMethod::ALL
    }

    /// The choices of rotation: values and names of messages.
    pub(super) fn rotations() -> [(&'static str, &'static str); 3] {
        [("", "client-rotation-default"), ("true", "client-rotation-on"), ("false", "client-rotation-off")]
    }

    pub(super) fn token_formats() -> &'static [TokenFormat] {
        TokenFormat::ALL
    }

    pub(super) fn algs() -> [&'static str; 4] {
        TokenAlg::OF_ACCESS_TOKENS.map(TokenAlg::as_str)
    }

    /// The requested client ID, if there is one.
    pub(super) fn id(&self) -> Result<Option<ClientId>, AdminError> {
        let requested = Some(self.id.as_str()).filter(|id| !id.is_empty());
        requested.map(str::parse).transpose().map_err(|error: tollgate_model::Malformed| invalid_client(&error))
    }

    /// The client's metadata, checked as the admin API checks a body.
    pub(super) fn metadata(&self) -> Result<ClientMetadata, AdminError> {
        let more = if self.more.is_empty() { "{}" } else { &self.more };
        let mut members: Map<String, Value> = text::json(more.as_bytes())
            .map_err(|error| invalid_client(&format_args!("other metadata must be a JSON object: {error}")))?;
        if let Some(name) = FIELD_MEMBERS.iter().find(|name| members.contains_key(**name)) {
            return Err(invalid_client(&format_args!(
                "{name} has a field of its own: remove it from the other metadata"
            )));
        }
        let words = |text: &str| Value::from(text.split_whitespace().collect::<Vec<_>>());
        let scope = self.scope.split_whitespace().collect::<Vec<_>>().join(" ");
        let grants: Vec<&str> = self.grants.iter().map(|grant| grant.grant.as_str()).collect();
        let rotation: Option<bool> = match self.rotation.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| invalid_client(&"rotation must be true, false or empty"))?),
        };
        let own: [Value; FIELD_MEMBERS.len()] = [
            self.name.as_str().into(),
            Some(self.owner.as_str()).filter(|owner| !owner.is_empty()).into(),
            self.first_party.into(),
            self.auth_method.as_str().into(),
            grants.into(),
            rotation.into(),
            words(&self.redirect_uris),
            words(&self.post_logout_redirect_uris),
            scope.into(),
            words(&self.audiences),
            self.token_format.as_str().into(),
            self.alg.as_str().into(),
        ];
        members.extend(FIELD_MEMBERS.iter().map(|name| (*name).to_owned()).zip(own));
        parse_client_metadata(Value::Object(members))
    }
}

/// The metadata without a field of its own, by name, as far as it differs from the default.
pub(super) fn other_members(metadata: &ClientMetadata) -> Map<String, Value> {
    let defaults = members(&ClientMetadata::default());
    let mut members = members(metadata);
    members.retain(|name, value| !FIELD_MEMBERS.contains(&name.as_str()) && defaults.get(name) != Some(value));
    members
}

fn members(metadata: &ClientMetadata) -> Map<String, Value> {
    match serde_json::to_value(metadata) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}
