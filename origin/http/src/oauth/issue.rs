//! Issuing, shared by all grant types: a token is prepared, recorded, and only then signed and
//! returned.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_keys::{IssueError, TokenOptions, UnsignedJwt};
use tollgate_model::{
    Access, AccessToken, AccessTokenType, ActorClaim, AuthorizationDetails, Client, ClientId, Confirmation, Grant,
    GrantError, Resource, Secret, SecretKind, TokenDetails, TokenDraft, TokenForm, TokenFormat, TokenId, UserId,
};
use tollgate_services::cache::RegistrationCache;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{IssueRequest, Store, Writer};
use tollgate_system::{Clock, rng};

use super::client_auth::AuthenticatedClient;
use super::error::OAuthError;
use crate::issuer::Issuer;

/// RFC 6749 §5.1, with RFC 8693 §2.2.1, RFC 9396 §7 and OpenID Connect Core §3.1.3.3
#[derive(Serialize, Default, utoipa::ToSchema)]
pub(crate) struct TokenAnswer {
    pub(super) access_token: String,
    #[schema(value_type = String)]
    pub(super) token_type: &'static str,
    pub(super) expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
    /// `sid` of the ID token, for clients with back-channel logout: Keycloak as a client finds the
    /// session of a logout token only by this member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) issued_token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "AuthorizationDetails::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub(super) authorization_details: AuthorizationDetails,
}

/// Subject of a token, and what the token inherits from it.
pub(super) struct TokenSubject {
    pub(super) subject: String,
    /// The grant (session) of the token.
    pub(super) session: Option<String>,
    pub(super) auth_time: Option<u64>,
    pub(super) acr: Option<String>,
    pub(super) act: Option<ActorClaim>,
    /// Tokens from which this one is exchanged.
    pub(super) exchanged_from: Vec<TokenId>,
    /// Latest expiry, Unix seconds.
    pub(super) ends_at: u64,
    /// The user, if the subject is one.
    pub(super) user: Option<UserId>,
}

impl TokenSubject {
    /// A subject without further information.
    pub(super) fn subject(subject: String) -> TokenSubject {
        let (session, auth_time, acr, act) = (None, None, None, None);
        TokenSubject {
            subject,
            session,
            auth_time,
            acr,
            act,
            exchanged_from: Vec::new(),
            ends_at: u64::MAX,
            user: None,
        }
    }

    /// A client acting for itself.
    pub(super) fn client(id: &ClientId) -> TokenSubject {
        TokenSubject::subject(id.to_string())
    }

    /// The user of a grant.
    pub(super) fn user(grant: &Grant) -> TokenSubject {
        TokenSubject {
            subject: grant.subject.clone(),
            session: Some(grant.id.to_string()),
            auth_time: Some(grant.terms.auth_time),
            acr: Some(grant.terms.acr.clone()),
            act: None,
            exchanged_from: Vec::new(),
            ends_at: grant.ends_at,
            user: Some(grant.user.clone()),
        }
    }
}

/// What the client receives for a recorded token.
pub(super) enum TokenText {
    /// A JWT of this type, with these claims of the user.
    Jwt { token_type: AccessTokenType, user_claims: Option<Map<String, Value>> },
    /// An opaque token.
    Opaque(Secret),
}

/// A token to be recorded.
pub(super) struct UnsignedToken {
    pub(super) draft: TokenDraft,
    text: TokenText,
    /// The user, where the token has no grant.
    pub(super) user: Option<UserId>,
}

/// The key or certificate to which the token will be bound, if the request proves one.
pub(super) fn confirmation(
    caller: &AuthenticatedClient,
    jkt: Option<String>,
) -> Result<Option<Confirmation>, OAuthError> {
    let metadata = &caller.client.metadata;
    if metadata.dpop_bound_access_tokens && jkt.is_none() {
        return Err(OAuthError::InvalidDpopProof("this client's tokens are bound by DPoP: send a proof"));
    }
    let certificate = metadata.tls_client_certificate_bound_access_tokens;
    match (jkt, &caller.certificate) {
        (Some(jkt), _) => Ok(Some(Confirmation::Key(jkt))),
        (None, Some(presented)) if certificate => Ok(Some(Confirmation::Certificate(presented.thumbprint()))),
        (None, None) if certificate => {
            Err(OAuthError::InvalidRequest("this client's tokens are bound to its certificate"))
        }
        (None, _) => Ok(None),
    }
}

impl UnsignedToken {
    /// Splits into the request to record, decided by the data that `caller` was authenticated by,
    /// and what the client receives.
    pub(super) fn parts(self, caller: &AuthenticatedClient) -> (IssueRequest, TokenText) {
        let registrations_version = caller.unconfirmed.then_some(caller.now.registrations);
        (IssueRequest { draft: self.draft, registrations_version, user: self.user }, self.text)
    }
}

/// Issues access tokens: drafts, records and signs them.
pub(crate) struct TokenIssuer {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) cache: RegistrationCache,
    pub(crate) keys: SigningKeys,
}

impl TokenIssuer {
    /// Prepares an access token of the form that its resource servers require. Refuses it under
    /// overload, before anything is recorded or redeemed.
    pub(super) async fn draft(
        &self,
        caller: &AuthenticatedClient,
        subject: TokenSubject,
        access: Access,
        cnf: Option<Confirmation>,
    ) -> Result<UnsignedToken, OAuthError> {
        let client = &caller.client;
        let form = self.form(caller, &access).await?;
        if form.format == TokenFormat::Jwt {
            self.keys.check_signing_capacity(form.alg)?;
        }
        let keys = self.keys.wait_for_signing_key(form.alg).await;
        let now_ms = self.clock.now_ms();
        let now = now_ms / 1000;
        let text = match form.format {
            TokenFormat::Opaque => TokenText::Opaque(Secret::new(SecretKind::Access, &rng::random()?)),
            TokenFormat::Jwt => TokenText::Jwt {
                token_type: form.token_type,
                user_claims: self.user_claims(&form, subject.user.as_ref()).await?,
            },
        };
        let opaque = match &text {
            TokenText::Opaque(secret) => Some(secret.hash()),
            TokenText::Jwt { .. } => None,
        };
        let details = TokenDetails {
            cnf,
            act: subject.act,
            authorization_details: access.details,
            auth_time: subject.auth_time,
            acr: subject.acr,
            exchanged_from: subject.exchanged_from,
        };
        let longest = form.lifetime.unwrap_or(u64::MAX).min(self.issuer.token_lifetime);
        let lifetime = client.metadata.lifetimes.access_token_within(longest);
        let draft = TokenDraft {
            unique: TokenId::unique(now_ms, rng::random_id()?),
            client: client.id.clone(),
            subject: subject.subject,
            session: subject.session,
            key_id: keys.key_id(form.alg, &access.audience)?,
            scope: access.scope,
            audience: access.audience,
            details,
            opaque,
            issued_at: now,
            expires_at: now.saturating_add(lifetime).min(subject.ends_at),
        };
        Ok(UnsignedToken { draft, text, user: None })
    }

    /// The form of a token for these resource servers, as registered when the client was
    /// authenticated.
    async fn form(&self, caller: &AuthenticatedClient, access: &Access) -> Result<TokenForm, OAuthError> {
        let mut registered = Vec::new();
        for audience in access.audience.iter() {
            registered.push(self.cache.resource(audience, caller.now).await?);
        }
        let resources: Vec<&Resource> = registered.iter().filter_map(|resource| resource.as_ref().as_ref()).collect();
        Ok(TokenForm::decide(&caller.client.metadata, &access.audience, &resources)?)
    }

    /// The claims of the user that the resource servers receive.
    async fn user_claims(
        &self,
        form: &TokenForm,
        user: Option<&UserId>,
    ) -> Result<Option<Map<String, Value>>, OAuthError> {
        let Some(user) = user.filter(|_| !form.claims.is_empty()) else { return Ok(None) };
        let user = Box::pin(self.store.find_user(user)).await?.ok_or(GrantError::Ended)?;
        let claim = |name: &String| Some((name.clone(), user.claim(name)?));
        Ok(Some(form.claims.iter().filter_map(claim).collect()))
    }

    /// The response for a recorded token. Only a recorded token can be revoked, and the record
    /// determines the epoch in its `jti`, so it is signed after the commit.
    pub(super) async fn answer(
        &self,
        client: &Client,
        token: &AccessToken,
        text: TokenText,
    ) -> Result<TokenAnswer, OAuthError> {
        let access_token = match text {
            TokenText::Opaque(secret) => secret.reveal().to_owned(),
            TokenText::Jwt { token_type, user_claims } => {
                let unsigned = self.unsigned_jwt(token, token_type, user_claims.as_ref())?;
                self.keys.sign(unsigned).await?
            }
        };
        tracing::info!(client = %client.id, token = %token.id, audience = %token.audience, "issued a token");
        Ok(TokenAnswer {
            access_token,
            token_type: if matches!(token.details.cnf, Some(Confirmation::Key(_))) { "DPoP" } else { "Bearer" },
            expires_in: token.expires_at.saturating_sub(token.issued_at),
            scope: (!token.scope.is_empty()).then(|| token.scope.to_string()),
            authorization_details: token.details.authorization_details.clone(),
            ..TokenAnswer::default()
        })
    }

    fn unsigned_jwt(
        &self,
        token: &AccessToken,
        token_type: AccessTokenType,
        user_claims: Option<&Map<String, Value>>,
    ) -> Result<UnsignedJwt, IssueError> {
        let options = TokenOptions { token_type, has_status: self.issuer.status_claim, user_claims };
        self.keys.current().prepare_token_with(token, &self.issuer.url, &options)
    }

    /// Records a token that consumes nothing, and returns the response.
    pub(super) async fn issue(
        &self,
        caller: &AuthenticatedClient,
        drafted: UnsignedToken,
    ) -> Result<TokenAnswer, OAuthError> {
        let (issue, text) = drafted.parts(caller);
        let token = self.writer.issue(issue).await?;
        self.answer(&caller.client, &token, text).await
    }
}
