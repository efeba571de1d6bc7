//! jsonwebtoken, with each of its two backends.

use std::hint::black_box;
use std::str::FromStr as _;

use anyhow::{Result, bail};
use jsonwebtoken::crypto::{CryptoProvider, rust_crypto};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use crate::{Checks, Kit};

/// The claims that an application reads. The library checks the registered ones.
#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed as by an application, and not used here")]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    jti: String,
    client_id: String,
    scope: String,
}

/// The cryptographic backend of jsonwebtoken; one for each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// RustCrypto.
    RustCrypto,
    /// aws-lc: C and assembly.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Backend {
    /// The backend with this name.
    ///
    /// # Errors
    /// If this program was built without it.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "rust_crypto" => Ok(Self::RustCrypto),
            #[cfg(feature = "aws-lc")]
            "aws-lc" => Ok(Self::AwsLc),
            _ => bail!("this program has no backend {name}"),
        }
    }

    fn provider(self) -> &'static CryptoProvider {
        match self {
            Self::RustCrypto => &rust_crypto::DEFAULT_PROVIDER,
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER,
        }
    }
}

pub(crate) fn add(kit: &Kit, backend: Backend, checks: &mut Checks) -> Result<()> {
    if backend.provider().install_default().is_err() {
        bail!("jsonwebtoken has a backend already");
    }
    for (name, token) in &kit.tokens {
        let key = match name.as_str() {
            "HS256" => DecodingKey::from_base64_secret(&padded(token.member("k")?))?,
            "EdDSA" => DecodingKey::from_ed_components(token.member("x")?)?,
            "ES256" => DecodingKey::from_ec_components(token.member("x")?, token.member("y")?)?,
            _ => DecodingKey::from_rsa_components(token.member("n")?, token.member("e")?)?,
        };
        let mut validation = Validation::new(Algorithm::from_str(name)?);
        validation.set_issuer(&[&kit.issuer]);
        validation.set_audience(&[&kit.audience]);
        validation.validate_nbf = true;
        let text = token.text.clone();
        let check = move || decode::<Claims>(black_box(&text), &key, &validation).is_ok();
        checks.insert(format!("jsonwebtoken/{name}"), Box::new(check));
    }
    Ok(())
}

/// Converts base64url to base64 with padding, the format in which the library reads a secret.
fn padded(base64url: &str) -> String {
    let standard = base64url.replace('-', "+").replace('_', "/");
    let padding = "=".repeat((4 - standard.len() % 4) % 4);
    standard + &padding
}
