//! What all grants have in common: a token is drafted, recorded, and only then signed and handed
//! out.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use tollgate_keys::KeyRing;
use tollgate_model::encoding::base64url;
use tollgate_model::{
    Access, AccessToken, ActorClaim, AuthorizationDetails, Client, ClientId, Confirmation, Grant, Scope, Secret,
    SecretKind, TokenAlg, TokenDetails, TokenDraft, TokenFormat, TokenId, User, UserId,
};
use tollgate_storage::IssueRequest;
use tollgate_system::rng;

use super::client_auth::AuthenticatedClient;
use super::error::OAuthError;
use crate::App;

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

/// Whom a token is about.
pub(super) struct About {
    pub(super) subject: String,
    /// The grant it comes of, if it does.
    pub(super) session: Option<String>,
    pub(super) auth_time: Option<u64>,
    pub(super) acr: Option<String>,
    pub(super) act: Option<ActorClaim>,
    /// The tokens that it is exchanged from.
    pub(super) exchanged_from: Vec<TokenId>,
    /// When it must end at the latest, Unix seconds.
    pub(super) ends_at: u64,
}

impl About {
    /// Somebody of whom nothing else is said.
    pub(super) fn subject(subject: String) -> About {
        let (session, auth_time, acr, act) = (None, None, None, None);
        About { subject, session, auth_time, acr, act, exchanged_from: Vec::new(), ends_at: u64::MAX }
    }

    /// A client in its own name.
    pub(super) fn client(id: &ClientId) -> About {
        About::subject(id.to_string())
    }

    /// The user who gave a grant.
    pub(super) fn user(grant: &Grant) -> About {
        About {
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

/// A token that is about to be recorded, with its text if that says nothing by itself.
pub(super) struct Drafted {
    pub(super) draft: TokenDraft,
    opaque: Option<Secret>,
    /// The user whom it is about, where no grant stands for them.
    pub(super) user: Option<UserId>,
}

/// The key that the token will be bound to, if the request proves one.
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

/// Drafts an access token, to be signed by one of these keys.
pub(super) fn draft(
    app: &App,
    keys: &KeyRing,
    client: &Client,
    about: About,
    access: Access,
    cnf: Option<Confirmation>,
) -> Result<Drafted, OAuthError> {
    let now_ms = app.clock.now_ms();
    let now = now_ms / 1000;
    let is_opaque = client.metadata.access_token_format == TokenFormat::Opaque;
    let opaque = if is_opaque { Some(Secret::new(SecretKind::Access, &rng::random()?)) } else { None };
    let details = TokenDetails {
        cnf,
        act: about.act,
        authorization_details: access.details,
        auth_time: about.auth_time,
        acr: about.acr,
        exchanged_from: about.exchanged_from,
    };
    let draft = TokenDraft {
        unique: TokenId::unique(now_ms, rng::random_id()?),
        client: client.id.clone(),
        subject: about.subject,
        session: about.session,
        key_id: keys.key_id(client.metadata.alg, &access.audience)?,
        scope: access.scope,
        audience: access.audience,
        details,
        opaque: opaque.as_ref().map(Secret::hash),
        issued_at: now,
        expires_at: now.saturating_add(app.token_lifetime).min(about.ends_at),
    };
    Ok(Drafted { draft, opaque, user: None })
}

/// What the client gets of a recorded token. Only a recorded token can be revoked, and its record
/// decides the epoch in its `jti`: so it is signed after the commit.
pub(super) fn answer(
    app: &App,
    client: &Client,
    token: &AccessToken,
    opaque: Option<Secret>,
) -> Result<TokenAnswer, OAuthError> {
    let access_token = match opaque {
        Some(secret) => secret.reveal().to_owned(),
        None if app.status_claim => app.keys.current().issue_with_status(token, &app.issuer)?,
        None => app.keys.current().issue(token, &app.issuer)?,
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

impl Drafted {
    /// What is to be recorded, as it was decided on for `caller`, and the text to be handed out in
    /// place of a signed one.
    pub(super) fn parts(self, caller: &AuthenticatedClient) -> (IssueRequest, Option<Secret>) {
        let registrations_version = caller.unconfirmed.then_some(caller.now.registrations);
        (IssueRequest { draft: self.draft, registrations_version, user: self.user }, self.opaque)
    }
}

/// Records a token that needs nothing but that, and answers with it.
pub(super) async fn issue(
    app: &App,
    caller: &AuthenticatedClient,
    drafted: Drafted,
) -> Result<TokenAnswer, OAuthError> {
    let (issue, opaque) = drafted.parts(caller);
    let token = app.writer.issue(issue).await?;
    answer(app, &caller.client, &token, opaque)
}

/// What an ID token is about.
pub(super) struct IdToken<'a> {
    pub(super) client: &'a Client,
    pub(super) user: &'a User,
    pub(super) grant: &'a Grant,
    /// Which of the user's claims it has.
    pub(super) scope: &'a Scope,
    pub(super) nonce: Option<&'a str>,
    pub(super) access_token: &'a str,
}

/// Signs an ID token (OpenID Connect Core §2).
pub(super) async fn id_token(app: &App, about: &IdToken<'_>) -> Result<String, OAuthError> {
    let (client, grant, now) = (about.client, about.grant, app.clock.now());
    let alg = client.metadata.id_token_alg();
    let mut claims: Map<String, Value> = about.user.claims.in_scope(about.scope);
    let own = json!({
        "iss": app.issuer,
        "sub": grant.subject,
        "aud": client.id,
        "azp": client.id,
        "iat": now,
        "exp": now.saturating_add(app.token_lifetime),
        "auth_time": grant.terms.auth_time,
        "acr": grant.terms.acr,
        "amr": grant.terms.amr,
        "sid": grant.id,
        "at_hash": half_hash(alg, about.access_token),
    });
    if let Value::Object(own) = own {
        claims.extend(own);
    }
    if let Some(nonce) = about.nonce {
        claims.insert("nonce".to_owned(), Value::from(nonce));
    }
    Ok(app.keys.wait_for_signing_key(alg).await.sign_statement_with(alg, "JWT", &claims)?)
}

/// The left half of the hash that goes with an algorithm (OpenID Connect Core §3.1.3.6); Ed25519's
/// is SHA-512.
fn half_hash(alg: TokenAlg, access_token: &str) -> String {
    match alg {
        TokenAlg::EdDsa => base64url(&Sha512::digest(access_token.as_bytes())[..32]),
        TokenAlg::Es256 | TokenAlg::Rs256 | TokenAlg::Hs256 => {
            base64url(&Sha256::digest(access_token.as_bytes())[..16])
        }
    }
}
