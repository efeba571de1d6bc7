//! The `cnf` claim (RFC 7800 section 3.1): keys that the sender of a token must prove to have.

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::json::{JsonError, Reader};

/// SHA-256 of a key or a certificate, which identifies it.
pub type Thumbprint = [u8; 32];

/// Thumbprint of a certificate in DER, as in `x5t#S256` (RFC 8705 section 3.1).
pub fn certificate_thumbprint(certificate: &[u8]) -> Thumbprint {
    Sha256::digest(certificate).into()
}

/// The content of a `cnf` claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Confirmation {
    /// `jkt`: the key of DPoP proofs (RFC 9449 section 6.1).
    pub(crate) dpop_key: Option<Thumbprint>,
    /// `x5t#S256`: the client certificate (RFC 8705 section 3.1).
    pub(crate) certificate: Option<Thumbprint>,
    /// The claim is no object, or a thumbprint in it is malformed.
    is_malformed: bool,
}

impl Confirmation {
    /// Reads the claim's value. Members that are not understood are ignored (RFC 7800 section 3.1).
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut confirmation = Self::default();
        if !reader.is_object() {
            confirmation.is_malformed = true;
            return reader.skip().map(|()| confirmation);
        }
        reader.object(|name, reader| {
            let thumbprint = match name {
                "jkt" => &mut confirmation.dpop_key,
                "x5t#S256" => &mut confirmation.certificate,
                _ => return reader.skip(),
            };
            match reader.is_string() {
                true => *thumbprint = base64url::decode_array(reader.string()?.as_bytes()),
                false => reader.skip()?,
            }
            confirmation.is_malformed |= thumbprint.is_none();
            Ok(())
        })?;
        Ok(confirmation)
    }

    /// Whether a proof of possession can exist: the claim is well-formed and names a key in a way
    /// that is understood.
    pub(crate) fn can_be_proven(&self) -> bool {
        !self.is_malformed && (self.dpop_key.is_some() || self.certificate.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn read(cnf: &str) -> Result<Confirmation, JsonError> {
        let mut confirmation = Confirmation::default();
        json::object(alloc::format!(r#"{{"cnf":{cnf}}}"#).as_bytes(), |_, reader| {
            confirmation = Confirmation::read(reader)?;
            Ok(())
        })?;
        Ok(confirmation)
    }

    #[test]
    fn only_a_well_formed_claim_with_a_known_member_can_be_proven() {
        let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (cnf, key, certificate) in [
            (alloc::format!(r#"{{"jkt":"{zeros}"}}"#), true, false),
            (alloc::format!(r#"{{"x5t#S256":"{zeros}","kid":"unknown members are ignored"}}"#), false, true),
            (alloc::format!(r#"{{"jkt":"{zeros}","x5t#S256":"{zeros}"}}"#), true, true),
        ] {
            let confirmation = read(&cnf).expect("JSON");
            assert!(confirmation.can_be_proven(), "{cnf}");
            assert_eq!((confirmation.dpop_key.is_some(), confirmation.certificate.is_some()), (key, certificate));
        }
        for cnf in [
            "{}".into(),
            "null".into(),
            "true".into(),
            r#""jkt""#.into(),
            r#"{"kid":"a"}"#.into(),
            r#"{"jkt":1}"#.into(),
            r#"{"jkt":""}"#.into(),
            alloc::format!(r#"{{"jkt":"{zeros}="}}"#),
            alloc::format!(r#"{{"jkt":"{zeros}","x5t#S256":null}}"#),
            alloc::format!(r#"{{"JKT":"{zeros}"}}"#),
        ] {
            assert!(!read(&cnf).expect("JSON").can_be_proven(), "{cnf}");
        }
        let twice = alloc::format!(r#"{{"jkt":"{zeros}","jkt":"{zeros}"}}"#);
        assert_eq!(read(&twice), Err(JsonError::DuplicateName));
    }
}
