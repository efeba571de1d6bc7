//! OpenID Connect on top of [`oauth`](crate::oauth): discovery metadata, ID tokens, userinfo.
//! RP-initiated logout is a page: [`pages::logout`](crate::pages::logout).

pub(super) mod id_token;
pub(super) mod id_token_hint;
pub(super) mod metadata;
pub(super) mod userinfo;
