//! OpenID Connect on top of [`oauth`](crate::oauth): discovery metadata and userinfo. ID
//! tokens are issued with the other tokens, in [`oauth::id_token`](crate::oauth::id_token).
//! RP-initiated logout is a page: [`pages::logout`](crate::pages::logout).

pub(super) mod metadata;
pub(super) mod userinfo;
