//! Signatures of tokens, checked in machine code: with RSA several times as fast as in the
//! component, which decides on everything else.

use std::sync::{Arc, PoisonError, RwLock};

use tollgate_core::{KeySet, TableSize, check_token_signature};

use crate::pool::{Pool, Unavailable};
use crate::validator::SignatureCheck;

/// The public keys that the instances have.
#[derive(Default)]
pub(crate) struct SignatureChecker(RwLock<Option<Arc<Keys>>>);

struct Keys {
    /// Digest of the configuration that the keys belong to.
    digest: Vec<u8>,
    keys: KeySet,
}

impl SignatureChecker {
    /// Whether the signature is good. It counts as not good if the instances have other keys by
    /// now: then the component checks it.
    pub(crate) async fn accept(&self, pool: &Pool, check: &SignatureCheck) -> Result<bool, Unavailable> {
        let keys = match self.known(&check.keys) {
            Some(keys) => keys,
            None => match self.load(pool).await? {
                Some(keys) if keys.digest == check.keys => keys,
                _ => return Ok(false),
            },
        };
        Ok(check_token_signature(&check.token, &keys.keys, check.allow_plain_jwt).is_ok())
    }

    fn known(&self, digest: &[u8]) -> Option<Arc<Keys>> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_ref().filter(|keys| keys.digest == digest).cloned()
    }

    async fn load(&self, pool: &Pool) -> Result<Option<Arc<Keys>>, Unavailable> {
        let Some((digest, jwks)) = pool.on_any(|validator| validator.signature_keys()).await? else { return Ok(None) };
        // The component has read the same document.
        let Ok(mut keys) = KeySet::from_jwks(jwks.as_bytes()) else { return Ok(None) };
        keys.prepare_tables(TableSize::Small);
        let keys = Arc::new(Keys { digest, keys });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
        Ok(Some(keys))
    }
}
