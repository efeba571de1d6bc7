//! JSON Web Keys (RFC 7517), with sorted members and without white space, so that equal keys are
//! equal bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tollgate_model::encoding::base64url;

/// A JSON Web Key. All members that this server writes are strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk(BTreeMap<&'static str, String>);

impl Jwk {
    /// Encodes binary members in base64url.
    pub(super) fn new(kty: &str, texts: &[(&'static str, &str)], binaries: &[(&'static str, &[u8])]) -> Jwk {
        let mut members = BTreeMap::from([("kty", kty.to_owned())]);
        members.extend(texts.iter().map(|(name, text)| (*name, (*text).to_owned())));
        members.extend(binaries.iter().map(|(name, bytes)| (*name, base64url(bytes))));
        Jwk(members)
    }

    /// Reads a public key that was serialized; none if it has other members than one.
    pub(super) fn parse(json: &[u8]) -> Option<Jwk> {
        const NAMES: [&str; 6] = ["crv", "e", "kty", "n", "x", "y"];
        let members: BTreeMap<String, String> = serde_json::from_slice(json).ok()?;
        let member = |(name, value)| Some((*NAMES.iter().find(|known| **known == name)?, value));
        members.into_iter().map(member).collect::<Option<_>>().map(Jwk)
    }

    /// Thumbprint of a public key with its required members only (RFC 7638 §3): SHA-256 in
    /// base64url.
    pub(super) fn thumbprint(&self) -> Result<String, serde_json::Error> {
        Ok(base64url(&Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// Adds `kid`, `alg` and `use`.
    pub(super) fn describe(mut self, kid: &str, alg: &str) -> Jwk {
        self.0.extend([("kid", kid.to_owned()), ("alg", alg.to_owned()), ("use", "sig".to_owned())]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.3.
    #[test]
    fn thumbprint_matches_the_rfc_example() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let jwk = Jwk::new("OKP", &[("crv", "Ed25519"), ("x", x)], &[]);
        assert_eq!(jwk.thumbprint().expect("serialises"), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
