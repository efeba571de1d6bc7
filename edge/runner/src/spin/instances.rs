//! Instances of the component: their lifetime and concurrency, as in Spin.

use super::host::{self, Host};
use super::shared::Shared;
use crate::Program;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep};
use wasmtime::component::{GuestTaskId, Linker};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

const MAX_REQUESTS: usize = 128;
const MAX_CONCURRENT_REQUESTS: usize = 16;
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit on the work of an instance after its last response: bodies and background fetches.
const POST_RETURN_TIMEOUT: Duration = Duration::from_secs(600);

/// Creates instances of the linked component.
pub(crate) struct Instances {
    pre: ProxyPre<Host>,
    shared: Arc<Shared>,
    program: Program,
}

impl Instances {
    /// Links the component with Spin's imports.
    pub(crate) fn link(program: Program, shared: Arc<Shared>) -> wasmtime::Result<Instances> {
        let mut linker = Linker::new(&program.engine);
        host::add_to_linker(&mut linker)?;
        let pre = ProxyPre::P3(ServicePre::new(linker.instantiate_pre(&program.component)?)?);
        Ok(Instances { pre, shared, program })
    }
}

impl HandlerState for Instances {
    type StoreData = Host;
    type WorkerExpiration = Expiration;
    type WorkerState = RequestLimits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Host, Expiration, RequestLimits>> {
        let mut store = Store::new(&self.program.engine, Host::new(Arc::clone(&self.shared)));
        store.limiter(|host| &mut host.limits);
        // A component that computes yields at every tick, so that its expiration is noticed.
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        let proxy = tokio::time::timeout(REQUEST_TIMEOUT, self.pre.instantiate_async(&mut store)).await??;
        tracing::debug!("instance created");
        let expiration = Expiration(Box::pin(sleep(IDLE_TIMEOUT)));
        Ok(Instance { store, proxy, view: Host::http, expiration, state: RequestLimits(Arc::clone(&self.shared)) })
    }
}

/// Time at which an instance ends.
pub(crate) struct Expiration(Pin<Box<Sleep>>);

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => IDLE_TIMEOUT,
            WorkerStatus::Requests => REQUEST_TIMEOUT,
            WorkerStatus::PostReturn => POST_RETURN_TIMEOUT,
        };
        let until = (since + limit).into();
        if self.0.deadline() != until {
            self.0.as_mut().reset(until);
        }
        self.0.as_mut().poll(context)
    }
}

/// Limits on the requests of an instance.
pub(crate) struct RequestLimits(Arc<Shared>);

impl WorkerState for RequestLimits {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= MAX_REQUESTS {
            ShouldAccept::Never
        } else if concurrent >= MAX_CONCURRENT_REQUESTS {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, Host>,
        _data: (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(sleep(REQUEST_TIMEOUT))
    }

    fn drop(&self, store: Store<Host>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result
            && !self.0.is_shutting_down.load(Ordering::Relaxed)
        {
            tracing::error!(error = format!("{error:#}"), "instance failed");
        }
        drop(store);
    }
}
