//! Password hashes of other systems: bcrypt, scrypt and PBKDF2. They are verified until the user
//! signs in, and then replaced by Argon2id.
//!
//! They are stored in one form each, whatever form the other system has:
//!
//! ```text
//! $2b$COST$…                              bcrypt, also $2a$ and $2y$
//! $scrypt$ln=…,r=…,p=…$SALT$HASH          PHC string
//! $pbkdf2-sha256$i=…$SALT$HASH            PHC string, also -sha1 and -sha512
//! $argon2id$v=19$m=…,t=…,p=…$SALT$HASH    PHC string, also argon2i and argon2d
//! ```
//!
//! Never: a hash that takes much longer or more memory than those that such systems make. It would
//! occupy a hashing thread at each attempt to sign in.

use argon2::password_hash::phc::PasswordHash;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::argon2id::cost_of;
use super::error::{PasswordHashingError, failed};

/// Upper bounds of imported hashes: each takes at most a few seconds and 256 MiB.
const MAX_BCRYPT_COST: u32 = 14;
const MAX_PBKDF2_ITERATIONS: u32 = 2_500_000;
const MAX_SCRYPT_BYTES: u64 = 128 * 1024 * 1024;
const MAX_SCRYPT_PARALLELISM: u32 = 16;
const MAX_SCRYPT_WORK: u64 = 1 << 22;
const MAX_ARGON2_MEMORY: u32 = 256 * 1024;
const MAX_ARGON2_WORK: u64 = 4 * 1024 * 1024;
/// Bytes. A hash shorter than this is guessed too easily by chance; longer ones are not in use.
const HASH_LENGTH: std::ops::RangeInclusive<usize> = 16..=64;
const MAX_SALT_BYTES: usize = 128;
/// Characters of a hash in any form.
const MAX_TEXT_LENGTH: usize = 512;

/// Why a hash of another system cannot be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportHashError {
    #[error(
        "the password hash has an unknown form: bcrypt ($2a$, $2b$, $2y$), Argon2, scrypt and PBKDF2 are known, \
         also in the forms of Django and passlib"
    )]
    UnknownForm,
    #[error("the password hash is malformed")]
    Malformed,
    #[error("the password hash costs more time or memory than is accepted: its user needs a new password")]
    TooExpensive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    const fn name(self) -> &'static str {
        match self {
            Digest::Sha1 => "pbkdf2-sha1",
            Digest::Sha256 => "pbkdf2-sha256",
            Digest::Sha512 => "pbkdf2-sha512",
        }
    }

    fn from_name(name: &str) -> Option<Digest> {
        match name {
            "pbkdf2" | "pbkdf2-sha1" => Some(Digest::Sha1),
            "pbkdf2-sha256" => Some(Digest::Sha256),
            "pbkdf2-sha512" => Some(Digest::Sha512),
            _ => None,
        }
    }
}

/// A hash whose parameters were read.
enum Imported {
    Argon2(String),
    Bcrypt(String),
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8>, hash: Vec<u8> },
    Pbkdf2 { digest: Digest, iterations: u32, salt: Vec<u8>, hash: Vec<u8> },
}

/// Checks a hash of another system, and returns the form in which it is stored.
///
/// # Errors
/// When it has an unknown form or costs too much.
pub fn import_hash(text: &str) -> Result<String, ImportHashError> {
    Ok(Imported::parse(text)?.to_stored())
}

/// The stored form of a PBKDF2 hash whose parts a system has one by one, as Keycloak. `algorithm`:
/// `pbkdf2`, `pbkdf2-sha256` or `pbkdf2-sha512`.
///
/// # Errors
/// When the algorithm is unknown, or the hash is malformed or costs too much.
pub fn import_pbkdf2(
    algorithm: &str,
    iterations: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
) -> Result<String, ImportHashError> {
    let digest = Digest::from_name(algorithm).ok_or(ImportHashError::UnknownForm)?;
    Ok(Imported::Pbkdf2 { digest, iterations, salt, hash }.checked()?.to_stored())
}

/// Whether a stored hash is one of another system than Argon2.
pub(super) fn is_foreign(stored: &str) -> bool {
    !stored.starts_with("$argon2")
}

/// Whether the password matches a stored hash.
pub(super) fn verify(password: &[u8], stored: &str) -> Result<bool, PasswordHashingError> {
    match Imported::parse(stored).map_err(failed)? {
        Imported::Argon2(_) => Err(failed("not a hash of another system")),
        Imported::Bcrypt(text) => bcrypt::verify(password, &text).map_err(failed),
        Imported::Scrypt { log_n, r, p, salt, hash } => {
            let params = scrypt::Params::new(log_n, r, p).map_err(failed)?;
            let mut output = vec![0; hash.len()];
            scrypt::scrypt(password, &salt, &params, &mut output).map_err(failed)?;
            Ok(output.ct_eq(&hash).into())
        }
        Imported::Pbkdf2 { digest, iterations, salt, hash } => {
            let mut output = vec![0; hash.len()];
            match digest {
                Digest::Sha1 => pbkdf2_hmac::<Sha1>(password, &salt, iterations, &mut output),
                Digest::Sha256 => pbkdf2_hmac::<Sha256>(password, &salt, iterations, &mut output),
                Digest::Sha512 => pbkdf2_hmac::<Sha512>(password, &salt, iterations, &mut output),
            }
            Ok(output.ct_eq(&hash).into())
        }
    }
}

impl Imported {
    fn parse(text: &str) -> Result<Imported, ImportHashError> {
        if text.len() > MAX_TEXT_LENGTH {
            return Err(ImportHashError::Malformed);
        }
        // Django's name of the algorithm before a modular string.
        let text = text.strip_prefix("bcrypt$").filter(|rest| rest.starts_with("$2")).unwrap_or(text);
        let text = match text.strip_prefix("argon2$") {
            Some(rest) => format!("${rest}"),
            None => text.to_owned(),
        };
        let parts: Vec<&str> = text.split('$').collect();
        let imported = match parts.as_slice() {
            ["", "argon2id" | "argon2i" | "argon2d", ..] => Imported::Argon2(text.clone()),
            ["", "2a" | "2b" | "2y", _, _] => Imported::Bcrypt(text.clone()),
            ["", "scrypt", cost, salt, hash] => {
                let [log_n, r, p] = parameters(cost, ["ln", "r", "p"])?;
                let log_n = u8::try_from(log_n).map_err(|_| ImportHashError::TooExpensive)?;
                Imported::Scrypt { log_n, r, p, salt: decode_base64(salt)?, hash: decode_base64(hash)? }
            }
            // Django: N in full, and the salt as text.
            ["scrypt", salt, n, r, p, hash] => {
                let n: u64 = number(n)?;
                let log_n = u8::try_from(n.ilog2()).map_err(|_| ImportHashError::Malformed)?;
                if !n.is_power_of_two() {
                    return Err(ImportHashError::Malformed);
                }
                Imported::Scrypt {
                    log_n,
                    r: number(r)?,
                    p: number(p)?,
                    salt: salt.as_bytes().to_vec(),
                    hash: decode_base64(hash)?,
                }
            }
            ["", name, cost, salt, hash] if name.starts_with("pbkdf2") => {
                let digest = Digest::from_name(name).ok_or(ImportHashError::UnknownForm)?;
                // passlib has the number alone, PHC strings name it and may add the length.
                let iterations = match cost.contains('=') {
                    true => parameters(cost.split(",l=").next().unwrap_or_default(), ["i"])?[0],
                    false => number(cost)?,
                };
                Imported::Pbkdf2 { digest, iterations, salt: decode_base64(salt)?, hash: decode_base64(hash)? }
            }
            // Django: the salt as text.
            [name @ ("pbkdf2_sha256" | "pbkdf2_sha1"), iterations, salt, hash] => {
                let digest = Digest::from_name(&name.replace('_', "-")).ok_or(ImportHashError::UnknownForm)?;
                let salt = salt.as_bytes().to_vec();
                Imported::Pbkdf2 { digest, iterations: number(iterations)?, salt, hash: decode_base64(hash)? }
            }
            _ => return Err(ImportHashError::UnknownForm),
        };
        imported.checked()
    }

    fn checked(self) -> Result<Imported, ImportHashError> {
        let is_cheap = match &self {
            Imported::Argon2(text) => {
                let parsed = PasswordHash::new(text).map_err(|_| ImportHashError::Malformed)?;
                if parsed.salt.is_none() || parsed.hash.is_none() {
                    return Err(ImportHashError::Malformed);
                }
                let cost = cost_of(text).ok_or(ImportHashError::TooExpensive)?;
                cost.memory() <= MAX_ARGON2_MEMORY && cost.work() <= MAX_ARGON2_WORK
            }
            Imported::Bcrypt(text) => {
                let parts: bcrypt::HashParts = text.parse().map_err(|_| ImportHashError::Malformed)?;
                if parts.get_cost() < 4 {
                    return Err(ImportHashError::Malformed);
                }
                parts.get_cost() <= MAX_BCRYPT_COST
            }
            Imported::Scrypt { log_n, r, p, salt, hash } => {
                check_lengths(salt, hash)?;
                let n = 1_u64.checked_shl(u32::from(*log_n)).ok_or(ImportHashError::TooExpensive)?;
                let blocks = n.saturating_mul(u64::from(*r));
                if *log_n == 0 || *r == 0 || *p == 0 {
                    return Err(ImportHashError::Malformed);
                }
                blocks.saturating_mul(128) <= MAX_SCRYPT_BYTES
                    && *p <= MAX_SCRYPT_PARALLELISM
                    && blocks.saturating_mul(u64::from(*p)) <= MAX_SCRYPT_WORK
            }
            Imported::Pbkdf2 { iterations, salt, hash, .. } => {
                check_lengths(salt, hash)?;
                if *iterations == 0 {
                    return Err(ImportHashError::Malformed);
                }
                *iterations <= MAX_PBKDF2_ITERATIONS
            }
        };
        if is_cheap { Ok(self) } else { Err(ImportHashError::TooExpensive) }
    }

    fn to_stored(&self) -> String {
        let base64 = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        match self {
            Imported::Argon2(text) | Imported::Bcrypt(text) => text.clone(),
            Imported::Scrypt { log_n, r, p, salt, hash } => {
                format!("$scrypt$ln={log_n},r={r},p={p}${}${}", base64(salt), base64(hash))
            }
            Imported::Pbkdf2 { digest, iterations, salt, hash } => {
                format!("${}$i={iterations}${}${}", digest.name(), base64(salt), base64(hash))
            }
        }
    }
}

fn check_lengths(salt: &[u8], hash: &[u8]) -> Result<(), ImportHashError> {
    match salt.len() <= MAX_SALT_BYTES && HASH_LENGTH.contains(&hash.len()) {
        true => Ok(()),
        false => Err(ImportHashError::Malformed),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, ImportHashError> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits || text.bytes().all(|byte| byte == b'0') {
        return Err(ImportHashError::Malformed);
    }
    // Out of range: more than any bound here.
    text.parse().map_err(|_| ImportHashError::TooExpensive)
}

/// Reads `name=number` for each name, in this order.
fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], ImportHashError> {
    let mut parts = text.split(',');
    let mut numbers = [0; N];
    for (slot, name) in numbers.iter_mut().zip(names) {
        let value = parts.next().and_then(|part| part.strip_prefix(name)?.strip_prefix('='));
        *slot = number(value.ok_or(ImportHashError::Malformed)?)?;
    }
    match parts.next() {
        None => Ok(numbers),
        Some(_) => Err(ImportHashError::Malformed),
    }
}

/// Standard base64 with or without padding; passlib writes `.` for `+`.
fn decode_base64(text: &str) -> Result<Vec<u8>, ImportHashError> {
    let text = text.replace('.', "+");
    let decoded = if text.ends_with('=') { STANDARD.decode(&text) } else { STANDARD_NO_PAD.decode(&text) };
    decoded.map_err(|_| ImportHashError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt's test vectors, and the forms of passlib and Django.
    const HASHES: [(&str, &str); 9] = [
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U*U", "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
        ("lètmein", "bcrypt$$2b$05$abcdefghijklmnopqrstuu2c1e4vZoCxDVRU9N6VCSSmNg4cQa1Ve"),
        ("password", "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdeQ$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo"),
        ("password", "$pbkdf2-sha256$i=6400$0ZrzXitFSGltTQnBWOsdeQ$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo"),
        ("password", "$pbkdf2-sha256$i=6400,l=32$0ZrzXitFSGltTQnBWOsdeQ$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo"),
        ("lètmein", "pbkdf2_sha256$10000$seasalt$CWWFdHOWwPnki7HvkcqN9iA2T3KLW1cf2uZ5kvArtVY="),
        ("lètmein", "pbkdf2_sha1$10000$seasalt$oAfF6vgs95ncksAhGXOWf4Okq7o="),
        (
            "lètmein",
            "scrypt$seasalt$16384$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw==",
        ),
    ];

    #[test]
    fn hashes_of_other_systems_match_their_passwords_only() {
        for (password, text) in HASHES {
            let Ok(stored) = import_hash(text) else { panic!("{text} is known") };
            assert_eq!(import_hash(&stored).as_ref(), Ok(&stored), "the stored form is stable");
            assert!(is_foreign(&stored));
            assert!(verify(password.as_bytes(), &stored).expect("checked"), "{text}");
            assert!(!verify(b"another password", &stored).expect("checked"), "{text}");
        }
    }

    /// RFC 7914 section 12, and RFC 6070.
    #[test]
    fn vectors_of_the_specifications_match() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex")).collect()
        };
        let hash = hex(concat!(
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
            "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
        ));
        let stored = Imported::Scrypt { log_n: 14, r: 8, p: 1, salt: b"SodiumChloride".to_vec(), hash }.to_stored();
        assert!(verify(b"pleaseletmein", &stored).expect("checked"));
        let hash = hex("4b007901b765489abead49d926f721d065a429c1");
        let stored = import_pbkdf2("pbkdf2", 4096, b"salt".to_vec(), hash).expect("known");
        assert!(stored.starts_with("$pbkdf2-sha1$i=4096$"), "{stored}");
        assert!(verify(b"password", &stored).expect("checked"));
    }

    #[test]
    fn hostile_costs_are_refused_without_hashing() {
        let hash = "Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo";
        for text in [
            "$2b$15$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a".to_owned(),
            "$2b$31$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a".to_owned(),
            format!("$pbkdf2-sha256$i=4294967295$c2FsdA${hash}"),
            format!("$pbkdf2-sha256$i=99999999999999999999$c2FsdA${hash}"),
            format!("$scrypt$ln=63,r=8,p=1$c2FsdA${hash}"),
            format!("$scrypt$ln=14,r=8,p=4000000000$c2FsdA${hash}"),
            format!("$scrypt$ln=14,r=1024,p=1$c2FsdA${hash}"),
            format!("$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=65536,t=65,p=1$c29tZXNhbHQ${hash}"),
        ] {
            assert_eq!(import_hash(&text), Err(ImportHashError::TooExpensive), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_hashes() {
        for text in
            ["", "password", "5f4dcc3b5aa765d61d8327deb882cf99", "$1$salt$hash", "$2x$05$x", "sha1$salt$hash", "$"]
        {
            assert_eq!(import_hash(text), Err(ImportHashError::UnknownForm), "{text:?}");
        }
        for text in [
            "$2b$05$short",
            "$pbkdf2-sha256$i=1$c2FsdA$c2hvcnQ",
            "$pbkdf2-sha256$i=0$c2FsdA$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo",
            "$scrypt$ln=14,r=8$c2FsdA$Sp20x5wpuCixpuQuZe13JQeklhyyGBTT3BBxGW3Dojo",
            "$argon2id$v=19$m=8,t=1,p=1",
        ] {
            assert_eq!(import_hash(text), Err(ImportHashError::Malformed), "{text:?}");
        }
        assert_eq!(import_hash(&"$2b$".repeat(200)), Err(ImportHashError::Malformed));
    }

    #[test]
    fn argon2_hashes_of_other_systems_are_kept() {
        let text = "$argon2i$v=19$m=512,t=2,p=2$c29tZXNhbHQ$xu60xG+6vNTTqNKUoIjnxkSgsAuqsXXk7+3z8e5MkxE";
        assert_eq!(import_hash(text).as_deref(), Ok(text));
        assert_eq!(import_hash(&format!("argon2{text}")).as_deref(), Ok(text), "Django's form");
    }
}
