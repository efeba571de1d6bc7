//! jwt-simple, built in pure Rust.

use std::collections::HashSet;
use std::hint::black_box;

use anyhow::Result;
use jwt_simple::prelude::*;

use crate::{Checks, Kit};

/// The claims that an application reads. The library checks the registered ones.
#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    client_id: String,
    scope: String,
}

/// Returns whether the token is accepted with these options.
type VerifyFn = Box<dyn Fn(&str, VerificationOptions) -> bool>;

pub(crate) fn add(kit: &Kit, checks: &mut Checks) -> Result<()> {
    let options = VerificationOptions {
        allowed_issuers: Some(HashSet::from([kit.issuer.clone()])),
        allowed_audiences: Some(HashSet::from([kit.audience.clone()])),
        ..VerificationOptions::default()
    };
    // The library takes the options by value, so an application clones them for each token.
    let mut add = |name: &str, verify: VerifyFn| -> Result<()> {
        let (text, options) = (kit.token(name)?.text.clone(), options.clone());
        checks.insert(format!("jwt-simple/{name}"), Box::new(move || verify(black_box(&text), options.clone())));
        Ok(())
    };
    let key = HS256Key::from_bytes(&kit.token("HS256")?.bytes("k")?);
    add("HS256", Box::new(move |text, options| key.verify_token::<Claims>(text, Some(options)).is_ok()))?;
    let key = Ed25519PublicKey::from_bytes(&kit.token("EdDSA")?.bytes("x")?)?;
    add("EdDSA", Box::new(move |text, options| key.verify_token::<Claims>(text, Some(options)).is_ok()))?;
    let token = kit.token("ES256")?;
    let key = ES256PublicKey::from_bytes(&[vec![4], token.bytes("x")?, token.bytes("y")?].concat())?;
    add("ES256", Box::new(move |text, options| key.verify_token::<Claims>(text, Some(options)).is_ok()))?;
    let token = kit.token("RS256")?;
    let key = RS256PublicKey::from_components(&token.bytes("n")?, &token.bytes("e")?)?;
    add("RS256", Box::new(move |text, options| key.verify_token::<Claims>(text, Some(options)).is_ok()))
}
