//! Argon2id hashes as PHC strings, and their cost.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tollgate_model::HashCost;

use super::error::{PasswordHashingError, failed};

/// Lanes of a hash. More lanes need more threads, and the pool has one thread per core already.
const LANES: u32 = 1;

/// The cost of a stored hash. None if it cannot be verified here.
pub(super) fn cost_of(hash: &str) -> Option<HashCost> {
    let params = Params::try_from(&PasswordHash::new(hash).ok()?).ok()?;
    HashCost::new(params.m_cost(), params.t_cost()).ok()
}

fn params(cost: HashCost) -> Result<Params, PasswordHashingError> {
    Params::new(cost.memory(), cost.iterations(), LANES, None).map_err(failed)
}

/// Memory of one thread, allocated at its first hash and reused, so that hashes cause no page
/// faults.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    fn blocks(&mut self, count: usize) -> Result<&mut [Block], PasswordHashingError> {
        if let Some(missing) = count.checked_sub(self.0.len()) {
            self.0.try_reserve_exact(missing).map_err(failed)?;
            self.0.resize(count, Block::new());
        }
        Ok(&mut self.0)
    }

    /// Frees memory that a stored hash needed in addition to that of `cost`.
    fn shrink_to(&mut self, cost: HashCost) {
        if self.0.len() > cost.memory() as usize {
            self.0.truncate(cost.memory() as usize);
            self.0.shrink_to_fit();
        }
    }
}

/// Hashes a password to a PHC string.
pub(super) fn hash(
    password: &[u8],
    salt: &[u8],
    cost: HashCost,
    memory: &mut Memory,
) -> Result<String, PasswordHashingError> {
    let params = params(cost)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let blocks = memory.blocks(params.block_count())?;
    argon2.hash_password_into_with_memory(password, salt, &mut output, blocks).map_err(failed)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(failed)?,
        salt: Some(Salt::new(salt).map_err(failed)?),
        hash: Some(Output::new(&output).map_err(failed)?),
    };
    Ok(hash.to_string())
}

/// Whether the password matches the PHC string. If the stored hash costs less than the `current`
/// cost, the difference is spent on dummy work, so that response times do not reveal accounts with
/// old hashes. A hash that costs more takes longer; only settings that never decrease avoid that.
pub(super) fn verify(
    password: &[u8],
    hash: &str,
    current: HashCost,
    memory: &mut Memory,
) -> Result<bool, PasswordHashingError> {
    let hash = PasswordHash::new(hash).map_err(failed)?;
    let params = Params::try_from(&hash).map_err(failed)?;
    let cost = HashCost::new(params.m_cost(), params.t_cost()).map_err(failed)?;
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
        return Err(PasswordHashingError::Failed("a stored hash has no salt or no output".to_owned()));
    };
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(failed)?;
    let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(failed)?;
    let argon2 = Argon2::new(algorithm, version, params.clone());
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..expected.as_bytes().len()).unwrap_or_default();
    let blocks = memory.blocks(params.block_count())?;
    argon2.hash_password_into_with_memory(password, salt, output, blocks).map_err(failed)?;
    // `Output` compares in constant time.
    let is_match = Output::new(output).map_err(failed)? == *expected;
    spend(current.work().saturating_sub(cost.work()), current, memory)?;
    memory.shrink_to(current);
    Ok(is_match)
}

/// Spends this amount of work, in KiB, on a hash that is discarded.
fn spend(mut missing: u64, current: HashCost, memory: &mut Memory) -> Result<(), PasswordHashingError> {
    while let Ok(kib) = u32::try_from(missing.min(u64::from(current.memory())))
        && kib >= Params::MIN_M_COST
    {
        let params = params(HashCost::new(kib, 1).map_err(failed)?)?;
        let blocks = memory.blocks(params.block_count())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.fill_memory(b"discarded", &[0; 16], blocks).map_err(failed)?;
        missing = missing.saturating_sub(u64::from(kib));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_equal_those_of_the_argon2_crate() {
        use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
        let (cost, mut memory) = (HashCost::new(64, 3).expect("a cost"), Memory::default());
        let actual = hash(b"correct horse", &[7; 16], cost, &mut memory).expect("hashed");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params(cost).expect("parameters"));
        let expected = argon2.hash_password_with_salt(b"correct horse", &[7; 16]).expect("hashed").to_string();
        assert_eq!(actual, expected);
        assert!(argon2.verify_password(b"correct horse", actual.as_str()).is_ok());
        assert_eq!(cost_of(&actual), Some(cost));
        for current in [cost, HashCost::new(8, 1).expect("a cost"), HashCost::new(128, 5).expect("a cost")] {
            assert!(verify(b"correct horse", &expected, current, &mut memory).expect("checked"));
            assert!(!verify(b"correct house", &expected, current, &mut memory).expect("checked"));
            assert!(memory.0.len() <= current.memory() as usize, "the rest is freed");
        }
    }

    #[test]
    fn memory_is_reused_without_affecting_the_next_hash() {
        let (cost, mut memory) = (HashCost::new(32, 1).expect("a cost"), Memory::default());
        let first = hash(b"first", &[1; 16], cost, &mut memory).expect("hashed");
        let address = memory.0.as_ptr();
        hash(b"second", &[2; 16], cost, &mut memory).expect("hashed");
        assert_eq!(hash(b"first", &[1; 16], cost, &mut memory).expect("hashed"), first);
        assert_eq!(memory.0.as_ptr(), address);
    }

    #[test]
    fn stored_hash_beyond_the_limits_is_refused() {
        let mut memory = Memory::default();
        for hash in
            ["$argon2id$v=19$m=2097152,t=1,p=1$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaA", "$argon2id$v=19$m=8,t=1,p=1", "x"]
        {
            assert!(verify(b"x", hash, HashCost::default(), &mut memory).is_err(), "{hash}");
        }
        assert!(HashCost::new(7, 1).is_err() && HashCost::new(8, 0).is_err() && HashCost::new(8, 65).is_err());
    }
}
