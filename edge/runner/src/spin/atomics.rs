//! Compare-and-swap of `wasi:keyvalue`, over the store of Spin's own key-value interface, as in
//! Spin.

use super::host::Host;
use super::host::bindings::wasi::keyvalue::atomics::{self, CasError};
use super::host::bindings::wasi::keyvalue::store::{self, Error};
use super::key_value::{Bucket, Cas};
use wasmtime::component::Resource;

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
        Ok(Ok(self.table.push(Cas { key, expected: None })?))
    }

    fn current(&mut self, handle: Resource<Cas>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let cas = self.table.get_mut(&handle)?;
        cas.expected = self.shared.key_value.get(&cas.key);
        Ok(Ok(cas.expected.clone()))
    }

    fn drop(&mut self, handle: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::Host for Host {
    async fn swap(&mut self, handle: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let Cas { key, expected } = self.table.delete(handle)?;
        Ok(match self.shared.key_value.swap(key.clone(), expected.as_deref(), value).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let expected = self.shared.key_value.get(&key);
                Err(CasError::CasFailed(self.table.push(Cas { key, expected })?))
            }
            Err(why) => Err(CasError::StoreError(Error::Other(why))),
        })
    }
}
