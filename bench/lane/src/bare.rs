//! Bare signature checks by the libraries that the core uses: the lower bound for the cost of a
//! token check.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Verifier as _;
use serde_json::Value;
use sha2::Sha256;

use crate::{Check, Checks, Kit, Token};

/// Adds `bare/ALGORITHM`: checks the signature over the token's bytes and nothing else, with the
/// key prepared and the signature decoded.
pub(crate) fn add(kit: &Kit, checks: &mut Checks) -> Result<()> {
    for (name, token) in &kit.tokens {
        let check = match name.as_str() {
            "HS256" => hs256(token)?,
            "EdDSA" => eddsa(token)?,
            "ES256" => es256(token)?,
            _ => rs256(token)?,
        };
        checks.insert(format!("bare/{name}"), check);
    }
    Ok(())
}

/// HMAC with the key's two hash states stored, so that only the token's blocks are hashed.
fn hs256(token: &Token) -> Result<Check> {
    let mac = Hmac::<Sha256>::new_from_slice(&member(token, "k")?)?;
    let (input, signature) = parts(token)?;
    Ok(Box::new(move || mac.clone().chain_update(black_box(&input)).finalize().into_bytes().as_slice() == signature))
}

fn eddsa(token: &Token) -> Result<Check> {
    let key = ed25519_dalek::VerifyingKey::try_from(member(token, "x")?.as_slice())?;
    let (input, signature) = parts(token)?;
    let signature = ed25519_dalek::Signature::from_slice(&signature)?;
    Ok(Box::new(move || key.verify_strict(black_box(&input), &signature).is_ok()))
}

fn es256(token: &Token) -> Result<Check> {
    let point = [vec![4], member(token, "x")?, member(token, "y")?].concat();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)?;
    let (input, signature) = parts(token)?;
    let signature = p256::ecdsa::Signature::from_slice(&signature)?;
    Ok(Box::new(move || key.verify(black_box(&input), &signature).is_ok()))
}

fn rs256(token: &Token) -> Result<Check> {
    let number = |name| -> Result<rsa::BoxedUint> { Ok(rsa::BoxedUint::from_be_slice_vartime(&member(token, name)?)) };
    let key = rsa::RsaPublicKey::new(number("n")?, number("e")?)?;
    let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key);
    let (input, signature) = parts(token)?;
    let signature = rsa::pkcs1v15::Signature::try_from(signature.as_slice())?;
    Ok(Box::new(move || key.verify(black_box(&input), &signature).is_ok()))
}

/// The signed bytes and the signature.
fn parts(token: &Token) -> Result<(Vec<u8>, Vec<u8>)> {
    let (input, signature) = token.text.rsplit_once('.').context("a token has a signature")?;
    Ok((input.as_bytes().to_vec(), decode(signature)?))
}

fn member(token: &Token, name: &str) -> Result<Vec<u8>> {
    decode(token.jwk.get(name).and_then(Value::as_str).with_context(|| format!("the key has no {name}"))?)
}

fn decode(text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| anyhow::anyhow!("not base64url: {error}"))
}
