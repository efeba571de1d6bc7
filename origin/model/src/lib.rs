//! Domain types and rules of the origin: clients, users, grants, tokens, revocations, edges,
//! routes.
//!
//! Never: a web framework, a database, a clock or a random source. Times and random bytes are
//! arguments. Times are Unix seconds unless a name ends in `_ms`.

#[macro_use]
pub mod text;

pub mod access;
mod audience;
pub mod audit;
pub mod authorization;
mod backchannel_logout;
mod claims_request;
pub mod client;
mod client_lifetimes;
mod client_profile;
mod consent;
pub mod device;
pub mod edge;
pub mod encoding;
pub mod error_chain;
pub mod event_stream;
pub mod grant;
mod hash_cost;
mod ids;
pub mod issuer;
pub mod jwks;
pub mod key_schedule;
pub mod log_limit;
mod malformed;
mod merge_patch;
pub mod metadata;
mod pkce;
pub mod rate_limit;
pub mod redirect;
pub mod refresh;
pub mod registration;
mod request_uri;
mod reserved_claims;
mod resource;
mod response_type;
pub mod revocation;
pub mod route;
pub mod scope;
pub mod secret;
mod sender;
mod signing_key;
pub mod status_list;
pub mod token;
mod token_alg;
pub mod token_form;
pub mod token_lifetime;
pub mod token_profile;
pub mod user;
mod views;

pub use access::{Access, AccessError, Audiences, AuthorizationDetails, RequestedAccess};
pub use audience::Audience;
pub use audit::{AuditAction, AuditEntry, AuditFilter, AuditKind, NewAuditEntry};
pub use authorization::{AuthorizationError, AuthorizationRequest, AuthorizationStep, Prompt};
pub use backchannel_logout::PendingLogout;
pub use claims_request::{ClaimsRequest, ParsedClaims};
pub use client::{Client, ClientStatus, Registrant, StoredSecret};
pub use client_lifetimes::ClientLifetimes;
pub use consent::{Consent, ConsentedAccess};
pub use device::{DeviceCode, DevicePollOutcome, DeviceStatus, UserCode};
pub use edge::{Edge, EdgeActivity, EdgeHeartbeat, EdgeName, EdgeUrl};
pub use grant::{AuthorizationCode, Grant, GrantError, GrantTerms, Redemption};
pub use hash_cost::HashCost;
pub use ids::{BrowserSessionId, ClientId, GrantId, UserId};
pub use issuer::{Issuer, IssuerName, IssuerUrl};
pub use key_schedule::{KeyPolicy, KeyState};
pub use malformed::{MAX_IDENTIFIER_BYTES, Malformed};
pub use merge_patch::merge_patch;
pub use metadata::{
    AccessTokenType, AuthMethod, ClientMetadata, ClientProfile, GrantType, MemberProblem, MetadataError,
    PkceRequirement, SubjectType, TokenFormat, TrustedIssuer, Verifier,
};
pub use pkce::CodeChallenge;
pub use redirect::{HttpRedirects, OutboundUrl, RedirectUri, WebUrl};
pub use refresh::{
    LateRetries, PresentedRefreshToken, RefreshFamily, RefreshKeys, RefreshState, RefreshToken, RefreshTokenGeneration,
    RefreshUse,
};
pub use request_uri::RequestUri;
pub use resource::Resource;
pub use response_type::{ResponseMode, ResponseType};
pub use revocation::{
    Actor, NewReinstatement, NewRevocation, Reason, Reinstatement, Revocation, RevocationSelector, Target,
};
pub use route::{OnStale, Route, RouteDocument};
pub use scope::Scope;
pub use secret::{Secret, SecretHash, SecretKind};
pub use sender::{Sender, SenderName};
pub use signing_key::{IMPORTED_PURPOSE, KeyPurpose, StoredKey};
pub use token::{AccessToken, ActorClaim, Claims, Confirmation, TokenDetails, TokenDraft, TokenId};
pub use token_alg::TokenAlg;
pub use token_form::TokenForm;
pub use token_lifetime::{MAX_TOKEN_LIFETIME, RefreshTokenPolicy};
pub use token_profile::TokenProfile;
pub use user::{AuthSource, BrowserSession, User, UserClaims, UserName};
pub use views::{AuditView, ClientView, EdgeActivityView, EdgeView, RevocationView, SecretView, UserView};
