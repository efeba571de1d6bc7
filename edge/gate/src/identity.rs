//! The verified identity for the upstream: which headers carry it.

use std::borrow::Cow;

use tollgate_core::{Route, VerifiedToken, may_carry_identity};

use crate::message::Header;
use crate::path::encode_header_value;

/// Names of the identity headers without their prefix, each with the claim that it carries.
const HEADERS: [(&str, &str); 6] = [
    ("issuer", "iss"),
    ("subject", "sub"),
    ("client-id", "client_id"),
    ("scope", "scope"),
    ("token-id", "jti"),
    ("expires-at", "exp"),
];
const DEFAULT_NAMES: [&str; 6] = [
    "x-tollgate-issuer",
    "x-tollgate-subject",
    "x-tollgate-client-id",
    "x-tollgate-scope",
    "x-tollgate-token-id",
    "x-tollgate-expires-at",
];
const MAX_PREFIX_BYTES: usize = 64;

/// Name of the header with the signed identity, without its prefix.
const SIGNED_HEADER: &str = "identity";
const DEFAULT_SIGNED_NAME: &str = "x-tollgate-identity";

/// The names of the identity headers, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeaders {
    names: [Cow<'static, str>; 6],
    signed: Cow<'static, str>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self { names: DEFAULT_NAMES.map(Cow::Borrowed), signed: DEFAULT_SIGNED_NAME.into() }
    }
}

impl IdentityHeaders {
    /// Names with this prefix, such as `X-Auth-`.
    ///
    /// # Errors
    /// Says why the prefix cannot be used.
    pub(crate) fn with_prefix(prefix: &str) -> Result<Self, String> {
        let prefix = prefix.to_ascii_lowercase();
        let names = HEADERS.map(|(name, _)| [&*prefix, name].concat());
        if !prefix.ends_with('-')
            || prefix.len() > MAX_PREFIX_BYTES
            || !names.iter().all(|name| may_carry_identity(name))
        {
            return Err(
                "must begin with X- and end in a hyphen, as X-Auth-, and make no other header's name".to_owned()
            );
        }
        if names == DEFAULT_NAMES {
            return Ok(Self::default());
        }
        Ok(Self { names: names.map(Cow::Owned), signed: [&*prefix, SIGNED_HEADER].concat().into() })
    }

    /// The name of the header with the signed identity.
    pub(crate) fn signed(&self) -> &Cow<'static, str> {
        &self.signed
    }

    /// All names.
    pub(crate) fn names(&self) -> &[Cow<'static, str>] {
        &self.names
    }

    /// The names that [`RequestHeaderPolicy`](crate::RequestHeaderPolicy) does not remove by itself
    /// from the headers of a client.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = String> {
        let names = self.names.iter().chain([&self.signed]);
        names.filter(|name| matches!(name, Cow::Owned(_))).map(|name| name.clone().into_owned())
    }

    /// The headers with the identity of a token.
    pub(crate) fn of(&self, verified: &VerifiedToken, route: &Route) -> Vec<Header> {
        let value = |claim: &str| claim_text(verified, claim).map(|text| encode_header_value(&text));
        // One more for the signed identity.
        let mut headers = Vec::with_capacity(HEADERS.len() + route.headers().len() + 1);
        let mut push = |name: Cow<'static, str>, claim: &str| headers.extend(value(claim).map(|value| (name, value)));
        self.names.iter().zip(HEADERS).for_each(|(name, (_, claim))| push(name.clone(), claim));
        route.headers().iter().for_each(|(name, claim)| push(name.to_ascii_lowercase().into(), claim));
        headers
    }
}

/// The value of a claim as text; none if the token does not have it.
#[inline(never)]
fn claim_text<'a>(verified: &'a VerifiedToken, claim: &str) -> Option<Cow<'a, str>> {
    Some(match claim {
        "iss" => verified.issuer().into(),
        "sub" => verified.subject().into(),
        "client_id" => verified.client_id().into(),
        "scope" => verified.scope().into(),
        "jti" => verified.token_id().into(),
        "exp" => verified.expires_at().to_string().into(),
        _ => return verified.claim_text(claim),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_names_all_identity_headers() {
        let names = |prefix| IdentityHeaders::with_prefix(prefix).map(|headers| headers.names().join(" "));
        let custom = "x-auth-issuer x-auth-subject x-auth-client-id x-auth-scope x-auth-token-id x-auth-expires-at";
        assert_eq!(names("X-Auth-"), Ok(custom.to_owned()));
        assert_eq!(IdentityHeaders::with_prefix("x-tollgate-"), Ok(IdentityHeaders::default()));
        assert_eq!(IdentityHeaders::default().own_names().count(), 0);
        for prefix in
            ["", "X-Auth", "X Auth-", "x_auth-", "Auth-", "x-é-", "x-real-", &format!("x-{}-", "x".repeat(70))]
        {
            assert!(names(prefix).is_err(), "{prefix}");
        }
    }
}
