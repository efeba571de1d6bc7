//! What one hash costs, and the hash itself.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tollgate_model::HashCost;

use super::{PasswordHashingError, failed};

/// The lanes of a hash. More would need more threads for one hash, and there are as many threads as
/// cores already.
const LANES: u32 = 1;
/// The cost of a stored hash; none when it is no hash that could be checked here.
pub(super) fn cost_of(hash: &str) -> Option<HashCost> {
    let params = Params::try_from(&PasswordHash::new(hash).ok()?).ok()?;
    HashCost::new(params.m_cost(), params.t_cost()).ok()
}

fn params(cost: HashCost) -> Result<Params, PasswordHashingError> {
    Params::new(cost.memory(), cost.iterations(), LANES, None).map_err(failed)
}

/// The memory that a thread hashes in. Allocated at its first hash and kept, so that a hash costs
/// no page faults.
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

    /// Gives back what a stored hash needed beyond what `cost` does.
    fn shrink_to(&mut self, cost: HashCost) {
        if self.0.len() > cost.memory() as usize {
            self.0.truncate(cost.memory() as usize);
            self.0.shrink_to_fit();
        }
    }
}

/// The PHC string of a password.
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

/// Whether this is the password of the PHC string. A hash that costs less than one would `today` is
/// made up for with work that leads nowhere, so that the time does not tell whose password is old.
/// One that costs more takes longer: nothing helps that but settings that only grow.
pub(super) fn verify(
    password: &[u8],
    hash: &str,
    today: HashCost,
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
    let fits = Output::new(output).map_err(failed)? == *expected;
    make_up(today.work().saturating_sub(cost.work()), today, memory)?;
    memory.shrink_to(today);
    Ok(fits)
}

/// Does so much work, in KiB, for nothing.
fn make_up(mut missing: u64, today: HashCost, memory: &mut Memory) -> Result<(), PasswordHashingError> {
    while let Ok(kib) = u32::try_from(missing.min(u64::from(today.memory())))
        && kib >= Params::MIN_M_COST
    {
        let params = params(HashCost::new(kib, 1).map_err(failed)?)?;
        let blocks = memory.blocks(params.block_count())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.fill_memory(b"nothing", &[0; 16], blocks).map_err(failed)?;
        missing = missing.saturating_sub(u64::from(kib));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_one_that_others_make() {
        use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
        let (cost, mut memory) = (HashCost::new(64, 3).expect("a cost"), Memory::default());
        let own = hash(b"correct horse", &[7; 16], cost, &mut memory).expect("hashed");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params(cost).expect("parameters"));
        let others = argon2.hash_password_with_salt(b"correct horse", &[7; 16]).expect("hashed").to_string();
        assert_eq!(own, others);
        assert!(argon2.verify_password(b"correct horse", own.as_str()).is_ok());
        assert_eq!(cost_of(&own), Some(cost));
        for today in [cost, HashCost::new(8, 1).expect("a cost"), HashCost::new(128, 5).expect("a cost")] {
            assert!(verify(b"correct horse", &others, today, &mut memory).expect("checked"));
            assert!(!verify(b"correct house", &others, today, &mut memory).expect("checked"));
            assert!(memory.0.len() <= today.memory() as usize, "kept no more than is used today");
        }
    }

    #[test]
    fn memory_is_used_again_and_nothing_of_it_is_left_to_the_next() {
        let (cost, mut memory) = (HashCost::new(32, 1).expect("a cost"), Memory::default());
        let first = hash(b"first", &[1; 16], cost, &mut memory).expect("hashed");
        let place = memory.0.as_ptr();
        hash(b"second", &[2; 16], cost, &mut memory).expect("hashed");
        assert_eq!(hash(b"first", &[1; 16], cost, &mut memory).expect("hashed"), first);
        assert_eq!(memory.0.as_ptr(), place);
    }

    #[test]
    fn what_a_stored_hash_may_ask_for_has_an_end() {
        let mut memory = Memory::default();
        for hash in
            ["$argon2id$v=19$m=2097152,t=1,p=1$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaA", "$argon2id$v=19$m=8,t=1,p=1", "x"]
        {
            assert!(verify(b"x", hash, HashCost::default(), &mut memory).is_err(), "{hash}");
        }
        assert!(HashCost::new(7, 1).is_err() && HashCost::new(8, 0).is_err() && HashCost::new(8, 65).is_err());
    }
}
