//! Clients of other systems.

use serde_json::{Map, Value, json};
use tollgate_model::client::checked_secret;
use tollgate_model::{Client, ClientId, ClientMetadata, ClientStatus, GrantType, StoredSecret};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{ImportedRow, Parsed, note_of_rest, read_objects, take_bool, take_text};
use crate::admin::clients::{NewSecret, has_secret, parse_client_metadata};
use crate::admin::{AdminError, Registry};
use crate::password_hashing::import_hash;

/// The format of a file with clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFormat {
    /// Metadata of RFC 7591 with `client_id`, and `client_secret` or `client_secret_hash`.
    Rfc7591,
    /// The output of `hydra list clients --format json`, or of `hydra get client`.
    Hydra,
    /// A realm export of Keycloak.
    Keycloak,
    /// The clients of Auth0's management API.
    Auth0,
}

/// A client that was read.
#[derive(Clone)]
pub(super) struct ReadClient {
    id: ClientId,
    metadata: ClientMetadata,
    secret: Option<ReadSecret>,
    is_disabled: bool,
}

/// The secret of a client in its file.
#[derive(Clone)]
enum ReadSecret {
    Plain(Zeroizing<String>),
    /// In the form in which it is stored.
    Hash(String),
}

/// A client before its metadata is checked.
#[derive(Default)]
struct Draft {
    id: Option<String>,
    /// Members of RFC 7591.
    metadata: Map<String, Value>,
    secret: Option<String>,
    secret_hash: Option<String>,
    is_disabled: bool,
    notes: Vec<String>,
}

/// Clients that every realm of Keycloak has for itself.
const KEYCLOAK_CLIENTS: [&str; 6] =
    ["account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"];
/// Members that Hydra and this origin have under the same name.
const HYDRA_MEMBERS: [&str; 18] = [
    "client_name",
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "response_types",
    "scope",
    "owner",
    "policy_uri",
    "tos_uri",
    "client_uri",
    "logo_uri",
    "contacts",
    "jwks_uri",
    "token_endpoint_auth_method",
    "subject_type",
    "sector_identifier_uri",
    "backchannel_logout_uri",
    "id_token_signed_response_alg",
];

/// Reads a file; an error is one of the whole file.
pub(super) fn parse(file: &[u8], format: ClientFormat, allows_admin: bool) -> Result<Vec<Parsed<ReadClient>>, String> {
    let draft = match format {
        ClientFormat::Rfc7591 => from_rfc7591,
        ClientFormat::Hydra => from_hydra,
        ClientFormat::Keycloak => from_keycloak,
        ClientFormat::Auth0 => from_auth0,
    };
    let parsed = |(index, row): (usize, Result<Map<String, Value>, String>)| {
        let id = row.as_ref().ok().and_then(client_id);
        let draft = row.and_then(draft);
        let name = draft.as_ref().ok().and_then(|draft| draft.id.clone()).or(id);
        Parsed::new(index + 1, name, draft.and_then(|draft| draft.read(allows_admin)))
    };
    // Hydra and Auth0 have their lists of clients under other names than Keycloak.
    let member = if format == ClientFormat::Hydra { "items" } else { "clients" };
    Ok(read_objects(file, member)?.into_iter().enumerate().map(parsed).collect())
}

impl Draft {
    fn read(self, allows_admin: bool) -> Result<(ReadClient, Vec<String>), String> {
        let Draft { id, mut metadata, secret, secret_hash, is_disabled, mut notes } = self;
        let id = id.ok_or("client_id is missing")?;
        let id = id.parse::<ClientId>().map_err(|error| error.to_string())?;
        keep_known(&mut metadata, "grant_types", |text| text.parse::<GrantType>().is_ok(), &mut notes);
        if metadata.get("client_name").is_none_or(|name| name.as_str().is_none_or(str::is_empty)) {
            metadata.insert("client_name".to_owned(), Value::from(id.as_str()));
        }
        let metadata = parse_client_metadata(Value::Object(metadata)).map_err(|error| error.to_string())?;
        if metadata.scope.is_admin() && !allows_admin {
            return Err(
                "the scope tollgate:admin allows everything in the admin API: add --admin to confirm".to_owned()
            );
        }
        let secret = match (secret, secret_hash) {
            (Some(secret), _) => Some(ReadSecret::Plain(Zeroizing::new(secret))),
            (None, Some(hash)) => Some(ReadSecret::Hash(import_hash(&hash).map_err(|error| error.to_string())?)),
            (None, None) => None,
        };
        Ok((ReadClient { id, metadata, secret, is_disabled }, notes))
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.metadata.insert(name.to_owned(), value.into());
    }
}

/// Removes the texts of a list that are unknown here, and says so.
fn keep_known(metadata: &mut Map<String, Value>, name: &str, is_known: impl Fn(&str) -> bool, notes: &mut Vec<String>) {
    let Some(Value::Array(values)) = metadata.get_mut(name) else { return };
    values.retain(|value| {
        let is_known = value.as_str().is_none_or(&is_known);
        if !is_known {
            notes.push(format!("without a counterpart here: {name} {value}"));
        }
        is_known
    });
}

impl Registry {
    /// Hashes the secret of a client that was read, or makes a new one.
    pub(super) async fn complete_client(&self, row: Parsed<ReadClient>) -> Result<Parsed<Client>, AdminError> {
        let Parsed { mut report, object } = row;
        let Some(read) = object else { return Ok(Parsed { report, object: None }) };
        let now = self.clock.now();
        let metadata = match self.checked_new_client(read.metadata).await {
            Ok(metadata) => metadata,
            Err(AdminError::Invalid(problem)) => {
                return Ok(Parsed { report: ImportedRow { problem: Some(problem), ..report }, object: None });
            }
            Err(error) => return Err(error),
        };
        let mut client = Client::new(read.id, metadata, now);
        if read.is_disabled {
            client.status = ClientStatus::Disabled { at: now };
        }
        if has_secret(&client) {
            let stored = match read.secret {
                Some(ReadSecret::Hash(hash)) => Some(StoredSecret::chosen(hash, rng::random()?, now)),
                Some(ReadSecret::Plain(secret)) if checked_secret(&secret).is_ok() => {
                    Some(self.store_form(NewSecret::Chosen(secret), now).await?.0)
                }
                Some(ReadSecret::Plain(_)) => {
                    report.notes.push("its secret has fewer than 16 or more than 256 printable characters".to_owned());
                    None
                }
                None => None,
            };
            let stored = match stored {
                Some(stored) => stored,
                None => {
                    let (stored, secret) = self.store_form(NewSecret::Generated, now).await?;
                    report.client_secret = secret.map(|secret| secret.reveal().to_owned());
                    report.notes.push("it has a new secret: give it to the client".to_owned());
                    stored
                }
            };
            client.secrets.push(stored);
        }
        Ok(Parsed { report, object: Some(client) })
    }
}

fn from_rfc7591(mut members: Map<String, Value>) -> Result<Draft, String> {
    let draft = Draft {
        id: take_text(&mut members, "client_id"),
        secret: take_text(&mut members, "client_secret"),
        secret_hash: take_text(&mut members, "client_secret_hash"),
        is_disabled: take_bool(&mut members, "disabled") == Some(true),
        ..Draft::default()
    };
    for issued in
        ["client_id_issued_at", "client_secret_expires_at", "registration_access_token", "registration_client_uri"]
    {
        members.remove(issued);
    }
    let unknown = unknown_members(&members);
    Ok(Draft { notes: unknown.into_iter().collect(), metadata: members, ..draft })
}

/// A note about members that are no client metadata here.
fn unknown_members(members: &Map<String, Value>) -> Option<String> {
    let parsed: Option<ClientMetadata> = serde_json::from_value(Value::Object(members.clone())).ok();
    let known = serde_json::to_value(parsed?).ok()?;
    let rest = members.iter().filter(|(name, _)| known.get(name.as_str()).is_none());
    note_of_rest(&rest.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn from_hydra(mut members: Map<String, Value>) -> Result<Draft, String> {
    let mut draft = Draft {
        id: take_text(&mut members, "client_id"),
        secret: take_text(&mut members, "client_secret"),
        secret_hash: take_text(&mut members, "client_secret_hash"),
        ..Draft::default()
    };
    for name in HYDRA_MEMBERS {
        match members.remove(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::Array(values)) if values.is_empty() => {}
            Some(value) => draft.set(name, value),
        }
    }
    if let Some(Value::Array(audiences)) = members.remove("audience") {
        draft.set("audiences", audiences);
    }
    if let Some(jwks) = members.remove("jwks")
        && jwks["keys"].as_array().is_some_and(|keys| !keys.is_empty())
    {
        draft.set("jwks", jwks);
    }
    match take_text(&mut members, "access_token_strategy").as_deref() {
        Some("opaque") => draft.set("access_token_format", "opaque"),
        Some("jwt") => draft.set("access_token_format", "jwt"),
        _ => draft.notes.push("its access tokens are JWTs here; opaque ones: --token-format opaque".to_owned()),
    }
    if take_bool(&mut members, "skip_consent") == Some(true) {
        draft.set("first_party", true);
    }
    if take_text(&mut members, "userinfo_signed_response_alg").is_some_and(|alg| alg == "RS256") {
        draft.set("userinfo_signed_response_alg", "RS256");
    }
    for ignored in
        ["created_at", "updated_at", "client_secret_expires_at", "registration_client_uri", "registration_access_token"]
    {
        members.remove(ignored);
    }
    draft.notes.extend(note_of_rest(&members));
    Ok(draft)
}

/// The client id of a row in any format, for the report of a row that is left out.
fn client_id(members: &Map<String, Value>) -> Option<String> {
    let id = ["client_id", "clientId"].into_iter().find_map(|name| members.get(name)?.as_str());
    id.map(str::to_owned)
}

fn from_keycloak(mut members: Map<String, Value>) -> Result<Draft, String> {
    let id = take_text(&mut members, "clientId");
    if id.as_deref().is_some_and(|id| KEYCLOAK_CLIENTS.contains(&id)) {
        return Err("a client of Keycloak itself: not needed here".to_owned());
    }
    if take_text(&mut members, "protocol").is_some_and(|protocol| protocol != "openid-connect") {
        return Err("not a client of OpenID Connect: only those can be imported".to_owned());
    }
    if take_bool(&mut members, "bearerOnly") == Some(true) {
        return Err("a resource server: register it with `tollgate resource create`".to_owned());
    }
    let mut flag = |name: &str| take_bool(&mut members, name) == Some(true);
    let (is_public, standard, implicit) =
        (flag("publicClient"), flag("standardFlowEnabled"), flag("implicitFlowEnabled"));
    let (direct, service, consent) =
        (flag("directAccessGrantsEnabled"), flag("serviceAccountsEnabled"), flag("consentRequired"));
    let is_enabled = take_bool(&mut members, "enabled") != Some(false);
    let mut attributes = match members.remove("attributes") {
        Some(Value::Object(attributes)) => attributes,
        _ => Map::new(),
    };
    let secret = take_text(&mut members, "secret").filter(|secret| !secret.starts_with("**"));
    let mut draft = Draft { id, secret, is_disabled: !is_enabled, ..Draft::default() };
    let is_device =
        take_text(&mut attributes, "oauth2.device.authorization.grant.enabled").is_some_and(|is| is == "true");
    let grants = [
        (standard, "authorization_code"),
        (standard || is_device, "refresh_token"),
        (service && !is_public, "client_credentials"),
        (is_device, "urn:ietf:params:oauth:grant-type:device_code"),
    ];
    let grants: Vec<&str> = grants.into_iter().filter(|(is_on, _)| *is_on).map(|(_, grant)| grant).collect();
    draft.set("grant_types", grants);
    for (is_on, what) in [(implicit, "the implicit flow"), (direct, "direct access grants (password)")] {
        if is_on {
            draft.notes.push(format!("{what} is off here; see TOLLGATE_LEGACY_GRANTS"));
        }
    }
    if let Some(name) = take_text(&mut members, "name").filter(|name| !name.starts_with("${")) {
        draft.set("client_name", name);
    }
    let method = match (is_public, take_text(&mut members, "clientAuthenticatorType").as_deref()) {
        (true, _) => "none",
        (false, Some("client-jwt")) => "private_key_jwt",
        (false, Some("client-x509")) => "tls_client_auth",
        (false, _) => "client_secret_basic",
    };
    draft.set("token_endpoint_auth_method", method);
    draft.set("first_party", !consent);
    set_keycloak_redirects(&mut draft, &mut members, &mut attributes);
    for (from, to) in [("backchannel.logout.url", "backchannel_logout_uri"), ("jwks.url", "jwks_uri")] {
        if let Some(url) = take_text(&mut attributes, from) {
            draft.set(to, url);
        }
    }
    if let Some(seconds) = take_text(&mut attributes, "access.token.lifespan").and_then(|text| text.parse::<u64>().ok())
    {
        draft.set("access_token_lifetime", seconds);
    }
    if take_text(&mut attributes, "pkce.code.challenge.method").is_some() {
        draft.set("require_pkce", "always");
    }
    let scopes =
        [take_texts(&mut members, "defaultClientScopes"), take_texts(&mut members, "optionalClientScopes")].concat();
    // Scopes of Keycloak without a scope value of their own.
    let values = scopes
        .iter()
        .filter(|scope| !["basic", "acr", "web-origins", "roles", "microprofile-jwt"].contains(&scope.as_str()));
    let values: Vec<&str> = std::iter::once("openid").chain(values.map(String::as_str)).collect();
    draft.set("scope", values.join(" "));
    for ignored in [
        "id",
        "webOrigins",
        "surrogateAuthRequired",
        "alwaysDisplayInConsole",
        "notBefore",
        "frontchannelLogout",
        "fullScopeAllowed",
        "nodeReRegistrationTimeout",
        "access",
        "origin",
        "baseUrl",
        "adminUrl",
        "description",
    ] {
        members.remove(ignored);
    }
    attributes.retain(|name, _| name.contains("mapper") || name.contains("role"));
    draft.notes.extend(note_of_rest(&members));
    draft.notes.extend(note_of_rest(&attributes));
    Ok(draft)
}

/// Keeps the exact redirect URIs of a client.
fn set_keycloak_redirects(draft: &mut Draft, members: &mut Map<String, Value>, attributes: &mut Map<String, Value>) {
    let root = take_text(members, "rootUrl").unwrap_or_default();
    let redirects = take_texts(members, "redirectUris").into_iter().map(|uri| absolute(&root, &uri)).collect();
    let redirects = without_wildcards(redirects, "redirect URI", &mut draft.notes);
    draft.set("redirect_uris", redirects);
    if let Some(uris) = take_text(attributes, "post.logout.redirect.uris") {
        // "+" stands for the redirect URIs.
        let uris =
            uris.split("##").filter(|uri| *uri != "+" && !uri.is_empty()).map(|uri| absolute(&root, uri)).collect();
        let uris = without_wildcards(uris, "post-logout redirect URI", &mut draft.notes);
        draft.set("post_logout_redirect_uris", uris);
    }
}

fn from_auth0(mut members: Map<String, Value>) -> Result<Draft, String> {
    if take_bool(&mut members, "global") == Some(true) {
        return Err("the global client of Auth0 itself: not needed here".to_owned());
    }
    let mut draft = Draft {
        id: take_text(&mut members, "client_id"),
        secret: take_text(&mut members, "client_secret"),
        ..Draft::default()
    };
    let (name, method) = (take_text(&mut members, "name"), take_text(&mut members, "token_endpoint_auth_method"));
    let kind = take_text(&mut members, "app_type");
    let is_public = matches!(kind.as_deref(), Some("spa" | "native"));
    draft.set("client_name", name.unwrap_or_default());
    draft.set(
        "token_endpoint_auth_method",
        method.unwrap_or_else(|| if is_public { "none" } else { "client_secret_post" }.to_owned()),
    );
    let callbacks = without_wildcards(take_texts(&mut members, "callbacks"), "callback", &mut draft.notes);
    draft.set("redirect_uris", callbacks);
    let logouts = without_wildcards(take_texts(&mut members, "allowed_logout_urls"), "logout URL", &mut draft.notes);
    draft.set("post_logout_redirect_uris", logouts);
    let mut grants = take_texts(&mut members, "grant_types");
    if grants.iter().any(|grant| grant == "implicit") {
        grants.retain(|grant| grant != "implicit");
        draft.notes.push("the implicit flow is off here; see TOLLGATE_LEGACY_GRANTS".to_owned());
    }
    draft.set("grant_types", grants);
    draft.set("first_party", take_bool(&mut members, "is_first_party") == Some(true));
    if let Some(uri) = take_text(&mut members, "logo_uri") {
        draft.set("logo_uri", uri);
    }
    if let Some(Value::Object(jwt)) = members.remove("jwt_configuration")
        && let Some(seconds) = jwt.get("lifetime_in_seconds").and_then(Value::as_u64)
    {
        draft.set("id_token_lifetime", seconds.min(24 * 60 * 60));
    }
    // Auth0 has no list of scope values by client.
    let scope =
        if is_public || kind.as_deref() == Some("regular_web") { "openid profile email offline_access" } else { "" };
    draft.set("scope", json!(scope));
    draft.notes.push("scope and audiences by client are new: see `tollgate client update`".to_owned());
    for ignored in [
        "tenant",
        "signing_keys",
        "oidc_conformant",
        "web_origins",
        "allowed_origins",
        "cross_origin_authentication",
        "sso_disabled",
        "custom_login_page_on",
        "is_token_endpoint_ip_header_trusted",
        "callback_url_template",
        "client_aliases",
        "refresh_token",
        "cross_origin_auth",
        "sso",
        "description",
        "native_social_login",
        "organization_usage",
    ] {
        members.remove(ignored);
    }
    draft.notes.extend(note_of_rest(&members));
    Ok(draft)
}

fn take_texts(members: &mut Map<String, Value>, name: &str) -> Vec<String> {
    match members.remove(name) {
        Some(Value::Array(values)) => values
            .into_iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .filter(|text| !text.is_empty())
            .collect(),
        _ => Vec::new(),
    }
}

/// A URI of Keycloak, which may be relative to the client's root URL.
fn absolute(root: &str, uri: &str) -> String {
    if uri.starts_with('/') { format!("{}{uri}", root.trim_end_matches('/')) } else { uri.to_owned() }
}

/// Redirect URIs are compared exactly (RFC 9700 section 2.1): those with wildcards cannot be kept.
fn without_wildcards(uris: Vec<String>, what: &str, notes: &mut Vec<String>) -> Vec<String> {
    let (wild, exact): (Vec<String>, Vec<String>) = uris.into_iter().partition(|uri| uri.contains('*'));
    for uri in wild {
        notes.push(format!("the {what} {uri} has a wildcard: register the exact ones"));
    }
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value, format: ClientFormat) -> Vec<Parsed<ReadClient>> {
        parse(value.to_string().as_bytes(), format, false).expect("a file of this format")
    }

    fn client(parsed: &Parsed<ReadClient>) -> &ReadClient {
        parsed.object.as_ref().unwrap_or_else(|| panic!("{:?}", parsed.report.problem))
    }

    #[test]
    fn metadata_of_rfc7591_is_read_with_a_secret_or_its_hash() {
        let hash = "$2b$05$abcdefghijklmnopqrstuu2c1e4vZoCxDVRU9N6VCSSmNg4cQa1Ve";
        let rows = read(
            &json!([
                { "client_id": "one", "client_name": "One", "redirect_uris": ["https://one.example/cb"],
                  "grant_types": ["authorization_code"], "client_secret": "a secret of some length", "software_id": "x" },
                { "client_id": "two", "grant_types": ["client_credentials"], "client_secret_hash": hash },
                { "client_name": "no id" },
            ]),
            ClientFormat::Rfc7591,
        );
        assert!(matches!(client(&rows[0]).secret, Some(ReadSecret::Plain(_))));
        assert!(rows[0].report.notes[0].contains("software_id"), "{:?}", rows[0].report.notes);
        assert!(matches!(&client(&rows[1]).secret, Some(ReadSecret::Hash(stored)) if stored == hash));
        assert_eq!(client(&rows[1]).metadata.name, "two", "a name is made of the id");
        assert!(rows[2].report.problem.as_ref().is_some_and(|problem| problem.contains("client_id")));
    }

    #[test]
    fn client_gets_the_admin_scope_only_if_that_is_confirmed() {
        for (format, file) in [
            (
                ClientFormat::Rfc7591,
                json!([{ "client_id": "a", "grant_types": ["client_credentials"], "scope": "x tollgate:admin" }]),
            ),
            (
                ClientFormat::Hydra,
                json!([{ "client_id": "a", "grant_types": ["client_credentials"], "scope": "x tollgate:admin" }]),
            ),
            (
                ClientFormat::Keycloak,
                json!({ "clients": [{ "clientId": "a", "serviceAccountsEnabled": true, "defaultClientScopes": ["tollgate:admin"] }] }),
            ),
        ] {
            let rows = read(&file, format);
            let problem = rows[0].report.problem.as_ref();
            assert!(problem.is_some_and(|problem| problem.contains("--admin")), "{format:?}: {problem:?}");
            let rows = parse(file.to_string().as_bytes(), format, true).expect("a file of this format");
            assert!(client(&rows[0]).metadata.scope.is_admin(), "{format:?}");
        }
    }

    #[test]
    fn clients_of_hydra_are_read() {
        let rows = read(
            &json!({ "items": [{
                "client_id": "9b9d", "client_name": "Shop", "redirect_uris": ["https://shop.example/cb"],
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "scope": "openid offline_access", "audience": ["https://api.example"], "owner": "", "policy_uri": "",
                "token_endpoint_auth_method": "client_secret_post", "skip_consent": true, "jwks": {},
                "access_token_strategy": "opaque", "created_at": "2024-01-01T00:00:00Z", "metadata": { "team": 1 },
                "client_secret_hash": "$pbkdf2-sha256$i=25000,l=32$c2FsdHNhbHRzYWx0c2FsdA$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo",
            }], "next_page_token": "" }),
            ClientFormat::Hydra,
        );
        let shop = client(&rows[0]);
        assert_eq!((shop.id.as_str(), shop.metadata.first_party), ("9b9d", true));
        assert_eq!(shop.metadata.audiences.len(), 1);
        assert_eq!(shop.metadata.access_token_format.as_str(), "opaque");
        assert!(matches!(&shop.secret, Some(ReadSecret::Hash(hash)) if hash.starts_with("$pbkdf2-sha256$i=25000$")));
        assert!(rows[0].report.notes.iter().any(|note| note.contains("metadata")), "{:?}", rows[0].report.notes);
    }

    #[test]
    fn clients_of_keycloak_are_read_without_its_own() {
        let rows = read(
            &json!({ "realm": "r", "clients": [
                { "clientId": "account", "protocol": "openid-connect" },
                { "clientId": "saml", "protocol": "saml" },
                { "clientId": "shop", "name": "Shop", "protocol": "openid-connect", "enabled": true, "publicClient": false,
                  "secret": "0123456789abcdef0123", "clientAuthenticatorType": "client-secret", "rootUrl": "https://shop.example",
                  "redirectUris": ["/cb", "https://shop.example/*"], "standardFlowEnabled": true, "implicitFlowEnabled": true,
                  "serviceAccountsEnabled": true, "consentRequired": true, "webOrigins": ["+"],
                  "attributes": { "post.logout.redirect.uris": "https://shop.example/bye##+", "access.token.lifespan": "300",
                                  "backchannel.logout.url": "https://shop.example/logout" },
                  "defaultClientScopes": ["web-origins", "profile", "roles"], "optionalClientScopes": ["offline_access"],
                  "protocolMappers": [{ "name": "x" }] },
                { "clientId": "app", "publicClient": true, "standardFlowEnabled": true, "redirectUris": ["https://app.example/cb"],
                  "enabled": false },
            ] }),
            ClientFormat::Keycloak,
        );
        assert!(rows[0].report.problem.as_ref().is_some_and(|problem| problem.contains("itself")));
        assert!(rows[1].report.problem.as_ref().is_some_and(|problem| problem.contains("OpenID Connect")));
        let shop = serde_json::to_value(&client(&rows[2]).metadata).expect("JSON");
        assert_eq!(shop["redirect_uris"], json!(["https://shop.example/cb"]));
        assert_eq!(shop["post_logout_redirect_uris"], json!(["https://shop.example/bye"]));
        assert_eq!(shop["grant_types"], json!(["authorization_code", "refresh_token", "client_credentials"]));
        assert_eq!((&shop["access_token_lifetime"], &shop["first_party"]), (&json!(300), &json!(false)));
        assert_eq!(shop["scope"], "offline_access openid profile");
        let notes = rows[2].report.notes.join("; ");
        assert!(["wildcard", "implicit", "protocolMappers"].iter().all(|what| notes.contains(what)), "{notes}");
        let app = client(&rows[3]);
        assert!(app.is_disabled && app.secret.is_none() && app.metadata.auth_method.as_str() == "none");
    }

    #[test]
    fn clients_of_auth0_are_read() {
        let rows = read(
            &json!([
                { "client_id": "a1", "name": "Shop", "app_type": "spa", "callbacks": ["https://shop.example/cb"],
                  "grant_types": ["authorization_code", "implicit", "http://auth0.com/oauth/grant-type/password-realm"],
                  "is_first_party": true, "signing_keys": [{}], "jwt_configuration": { "lifetime_in_seconds": 36000 } },
                { "client_id": "a2", "global": true },
            ]),
            ClientFormat::Auth0,
        );
        let shop = client(&rows[0]);
        assert_eq!(shop.metadata.grant_types, [GrantType::AuthorizationCode]);
        assert!(shop.metadata.first_party && shop.metadata.auth_method.as_str() == "none");
        let notes = rows[0].report.notes.join("; ");
        assert!(notes.contains("password-realm") && notes.contains("implicit"), "{notes}");
        assert!(rows[1].report.problem.is_some());
    }
}
