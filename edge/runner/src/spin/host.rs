//! The imports of an instance: WASI, Spin's variables, and Spin's key-value store by both
//! interfaces.

use super::key_value::{KeyValue, OpenStore};
use super::outbound::Outbound;
use super::shared::Shared;
use crate::wasm;
use bindings::spin::key_value::key_value;
use bindings::spin::variables::variables;
use bindings::wasi::keyvalue::{atomics, store};
use std::sync::Arc;
use wasmtime::StoreLimits;
use wasmtime::component::{Accessor, FutureReader, HasSelf, Linker, Resource, ResourceTable, StreamReader};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "spin-host",
        imports: { "wasi:keyvalue/atomics.swap": async | trappable, default: trappable },
        require_store_data_send: true,
        with: {
            "spin:key-value/key-value.store": crate::spin::key_value::OpenStore,
            "wasi:keyvalue/store.bucket": crate::spin::key_value::Bucket,
            "wasi:keyvalue/atomics.cas": crate::spin::key_value::Cas,
        },
    });
}

/// State of one instance.
pub(crate) struct Host {
    pub(super) shared: Arc<Shared>,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    pub(crate) limits: StoreLimits,
}

impl Host {
    /// The component may print to standard output and standard error. It has no files, environment
    /// or sockets.
    pub(crate) fn new(shared: Arc<Shared>) -> Host {
        Host {
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().inherit_stdout().inherit_stderr().build(),
            http: WasiHttpCtx::new(),
            outbound: Outbound::new(Arc::clone(&shared)),
            limits: wasm::limits(),
            shared,
        }
    }
}

/// Links everything that a Spin component may import.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    key_value::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    store::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    atomics::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    variables::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

impl variables::Host for Host {}

impl variables::HostWithStore<Host> for HasSelf<Host> {
    async fn get(accessor: &Accessor<Host, Self>, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        let value = accessor.with(|mut access| access.get().shared.variables.get(&name).cloned());
        Ok(value.ok_or(variables::Error::Undefined(name)))
    }
}

impl key_value::Host for Host {}

impl key_value::HostStore for Host {
    fn drop(&mut self, handle: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

type StoreResult<T> = wasmtime::Result<Result<T, key_value::Error>>;

/// The store of a handle. There is one store; a handle shows that it was opened.
fn store_of(accessor: &Accessor<Host, HasSelf<Host>>, handle: &Resource<OpenStore>) -> wasmtime::Result<KeyValue> {
    accessor.with(|mut access| {
        let host = access.get();
        host.table.get(handle)?;
        Ok(host.shared.key_value.clone())
    })
}

impl key_value::HostStoreWithStore<Host> for HasSelf<Host> {
    async fn open(accessor: &Accessor<Host, Self>, label: String) -> StoreResult<Resource<OpenStore>> {
        if label != "default" {
            return Ok(Err(key_value::Error::NoSuchStore));
        }
        Ok(Ok(accessor.with(|mut access| access.get().table.push(OpenStore))?))
    }

    async fn get(
        accessor: &Accessor<Host, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> StoreResult<Option<Vec<u8>>> {
        Ok(Ok(store_of(accessor, &handle)?.get(&key)))
    }

    async fn set(
        accessor: &Accessor<Host, Self>,
        handle: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> StoreResult<()> {
        Ok(store_of(accessor, &handle)?.set(key, value).await.map_err(key_value::Error::Other))
    }

    async fn delete(accessor: &Accessor<Host, Self>, handle: Resource<OpenStore>, key: String) -> StoreResult<()> {
        Ok(store_of(accessor, &handle)?.delete(&key).await.map_err(key_value::Error::Other))
    }

    async fn exists(accessor: &Accessor<Host, Self>, handle: Resource<OpenStore>, key: String) -> StoreResult<bool> {
        Ok(Ok(store_of(accessor, &handle)?.get(&key).is_some()))
    }

    async fn get_keys(
        accessor: &Accessor<Host, Self>,
        handle: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), key_value::Error>>)> {
        let keys = store_of(accessor, &handle)?.keys();
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let outcome = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
            Ok((keys, outcome))
        })
    }
}
