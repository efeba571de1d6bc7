//! Proof Key for Code Exchange (RFC 7636). Only S256 is supported: `plain` does not protect against
//! an attacker who reads the authorization request.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::encoding::{base64url, from_base64url};
use super::malformed::Malformed;

/// A `code_challenge` of the method S256: SHA-256 of the verifier in base64url, 43 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Whether `verifier` is well-formed (RFC 7636 §4.1) and the challenge was derived from it.
    #[must_use]
    pub fn is_satisfied_by(&self, verifier: &str) -> bool {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved);
        let hashed = base64url(&Sha256::digest(verifier.as_bytes()));
        well_formed && bool::from(hashed.as_bytes().ct_eq(self.0.as_bytes()))
    }
}

impl FromStr for CodeChallenge {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<CodeChallenge, Malformed> {
        match from_base64url(text) {
            Some(bytes) if bytes.len() == 32 => Ok(CodeChallenge(text.to_owned())),
            _ => Err(Malformed::new("code_challenge", "must be a SHA-256 in base64url, 43 characters")),
        }
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

json_as_text!(CodeChallenge);

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn example_of_the_rfc_verifies() {
        let challenge: CodeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge");
        assert!(challenge.is_satisfied_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        for verifier in
            ["", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"]
        {
            assert!(!challenge.is_satisfied_by(verifier), "{verifier}");
        }
        assert!("plain".parse::<CodeChallenge>().is_err());
    }

    #[test]
    fn short_and_long_verifiers_are_refused() {
        for length in [42, 129] {
            let verifier = "a".repeat(length);
            let challenge: CodeChallenge =
                base64url(&Sha256::digest(verifier.as_bytes())).parse().expect("a challenge");
            assert!(!challenge.is_satisfied_by(&verifier), "{length}");
        }
    }
}
