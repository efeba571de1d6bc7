//! Issuing, shared by all grant types: a token is prepared, recorded, and only then signed and
//! returned.

use std::sync::Arc;

use serde::Serialize;
use tollgate_keys::{IssueError, KeyRing, UnsignedJwt};
use tollgate_model::{
    Access, AccessToken, ActorClaim, AuthorizationDetails, Client, ClientId, Confirmation, Grant, Secret, SecretKind,
    TokenDetails, TokenDraft, TokenFormat, TokenId, UserId,
};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{IssueRequest, Writer};
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
}

impl TokenSubject {
    /// A subject without further information.
    pub(super) fn subject(subject: String) -> TokenSubject {
        let (session, auth_time, acr, act) = (None, None, None, None);
        TokenSubject { subject, session, auth_time, acr, act, exchanged_from: Vec::new(), ends_at: u64::MAX }
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
        }
    }
}

/// A token to be recorded. `opaque` is its text if the client gets opaque tokens.
pub(super) struct UnsignedToken {
    pub(super) draft: TokenDraft,
    opaque: Option<Secret>,
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
    /// and the text of an opaque token.
    pub(super) fn parts(self, caller: &AuthenticatedClient) -> (IssueRequest, Option<Secret>) {
        let registrations_version = caller.unconfirmed.then_some(caller.now.registrations);
        (IssueRequest { draft: self.draft, registrations_version, user: self.user }, self.opaque)
    }
}

/// Issues access tokens: drafts, records and signs them.
pub(crate) struct TokenIssuer {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) writer: Writer,
    pub(crate) keys: SigningKeys,
}

impl TokenIssuer {
    /// Prepares an access token, to be signed by one of these keys. Refuses it under overload,
    /// before anything is recorded or redeemed.
    pub(super) fn draft(
        &self,
        keys: &KeyRing,
        client: &Client,
        subject: TokenSubject,
        access: Access,
        cnf: Option<Confirmation>,
    ) -> Result<UnsignedToken, OAuthError> {
        let now_ms = self.clock.now_ms();
        let now = now_ms / 1000;
        let is_opaque = client.metadata.access_token_format == TokenFormat::Opaque;
        let opaque = if is_opaque { Some(Secret::new(SecretKind::Access, &rng::random()?)) } else { None };
        if !is_opaque {
            self.keys.check_signing_capacity(client.metadata.alg)?;
        }
        let details = TokenDetails {
            cnf,
            act: subject.act,
            authorization_details: access.details,
            auth_time: subject.auth_time,
            acr: subject.acr,
            exchanged_from: subject.exchanged_from,
        };
        let draft = TokenDraft {
            unique: TokenId::unique(now_ms, rng::random_id()?),
            client: client.id.clone(),
            subject: subject.subject,
            session: subject.session,
            key_id: keys.key_id(client.metadata.alg, &access.audience)?,
            scope: access.scope,
            audience: access.audience,
            details,
            opaque: opaque.as_ref().map(Secret::hash),
            issued_at: now,
            expires_at: now.saturating_add(self.issuer.token_lifetime).min(subject.ends_at),
        };
        Ok(UnsignedToken { draft, opaque, user: None })
    }

    /// The response for a recorded token. Only a recorded token can be revoked, and the record
    /// determines the epoch in its `jti`, so it is signed after the commit.
    pub(super) async fn answer(
        &self,
        client: &Client,
        token: &AccessToken,
        opaque: Option<Secret>,
    ) -> Result<TokenAnswer, OAuthError> {
        let access_token = match opaque {
            Some(secret) => secret.reveal().to_owned(),
            None => self.keys.sign(self.unsigned_jwt(token)?).await?,
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

    fn unsigned_jwt(&self, token: &AccessToken) -> Result<UnsignedJwt, IssueError> {
        let (keys, issuer) = (self.keys.current(), &self.issuer.url);
        if self.issuer.status_claim {
            keys.prepare_token_with_status(token, issuer)
        } else {
            keys.prepare_token(token, issuer)
        }
    }

    /// Records a token that consumes nothing, and returns the response.
    pub(super) async fn issue(
        &self,
        caller: &AuthenticatedClient,
        drafted: UnsignedToken,
    ) -> Result<TokenAnswer, OAuthError> {
        let (issue, opaque) = drafted.parts(caller);
        let token = self.writer.issue(issue).await?;
        self.answer(&caller.client, &token, opaque).await
    }
}
