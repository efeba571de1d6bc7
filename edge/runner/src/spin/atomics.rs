//! `wasi:keyvalue` over the same store as Spin's own key-value interface, as Spin has it; of it, compare-and-swap.

use super::host::Host;
use super::host::bindings::wasi::keyvalue::atomics::{self, CasError};
use super::host::bindings::wasi::keyvalue::store::{self, Error};
use wasmtime::component::Resource;

/// The default store, opened; there is no other.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct Bucket;

/// A value that is to be replaced if it is still the one that was seen.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct Cas {
    key: String,
    seen: Option<Vec<u8>>,
}

impl store::Host for Host {
    fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        if identifier != "default" {
            return Ok(Err(Error::NoSuchStore));
        }
        Ok(Ok(self.table.push(Bucket)?))
    }
}

impl store::HostBucket for Host {
    fn drop(&mut self, handle: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::HostCas for Host {
    fn new(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Resource<Cas>, Error>> {
        self.table.get(&bucket)?;
        Ok(Ok(self.table.push(Cas { key, seen: None })?))
    }

    fn current(&mut self, handle: Resource<Cas>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let cas = self.table.get_mut(&handle)?;
        cas.seen = self.shared.key_value.get(&cas.key);
        Ok(Ok(cas.seen.clone()))
    }

    fn drop(&mut self, handle: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::Host for Host {
    async fn swap(&mut self, handle: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let Cas { key, seen } = self.table.delete(handle)?;
        Ok(match self.shared.key_value.swap(key.clone(), seen.as_deref(), value).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let seen = self.shared.key_value.get(&key);
                Err(CasError::CasFailed(self.table.push(Cas { key, seen })?))
            }
            Err(why) => Err(CasError::StoreError(Error::Other(why))),
        })
    }
}
