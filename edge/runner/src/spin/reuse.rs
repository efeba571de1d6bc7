//! How long an instance lives and what it takes on, as Spin has it.

use super::host::{self, Host, Shared};
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

/// Requests that one instance answers before it is replaced.
const REUSE: usize = 128;
/// Requests that one instance answers at once.
const CONCURRENT_REUSE: usize = 16;
/// How long an idle instance is kept.
const IDLE: Duration = Duration::from_secs(1);
/// How long an instance may take until it answers.
const REQUEST: Duration = Duration::from_secs(60);
/// How long an instance may go on after its last answer, with bodies on their way and fetches it started.
const AFTER: Duration = Duration::from_secs(600);

/// Makes instances of the linked component.
pub(crate) struct Instances {
    pre: ProxyPre<Host>,
    shared: Arc<Shared>,
    program: Program,
}

impl Instances {
    /// Links the component against what Spin offers.
    pub(crate) fn link(program: Program, shared: Arc<Shared>) -> wasmtime::Result<Instances> {
        let mut linker = Linker::new(&program.engine);
        host::link(&mut linker)?;
        let pre = ProxyPre::P3(ServicePre::new(linker.instantiate_pre(&program.component)?)?);
        Ok(Instances { pre, shared, program })
    }
}

impl HandlerState for Instances {
    type StoreData = Host;
    type WorkerExpiration = Expiration;
    type WorkerState = Reuse;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Host, Expiration, Reuse>> {
        let mut store = Store::new(&self.program.engine, Host::new(Arc::clone(&self.shared)));
        store.limiter(|host| &mut host.limits);
        // A component that computes gives way at every tick, so that its expiry is noticed.
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        let proxy = tokio::time::timeout(REQUEST, self.pre.instantiate_async(&mut store)).await??;
        tracing::debug!("a new instance");
        let expiration = Expiration(Box::pin(sleep(IDLE)));
        Ok(Instance { store, proxy, view: Host::http, expiration, state: Reuse(Arc::clone(&self.shared)) })
    }
}

/// When an instance goes.
pub(crate) struct Expiration(Pin<Box<Sleep>>);

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => IDLE,
            WorkerStatus::Requests => REQUEST,
            WorkerStatus::PostReturn => AFTER,
        };
        let until = (since + limit).into();
        if self.0.deadline() != until {
            self.0.as_mut().reset(until);
        }
        self.0.as_mut().poll(context)
    }
}

/// What an instance takes on.
pub(crate) struct Reuse(Arc<Shared>);

impl WorkerState for Reuse {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= REUSE {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT_REUSE {
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
        Box::pin(sleep(REQUEST))
    }

    fn drop(&self, store: Store<Host>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result
            && !self.0.ending.load(Ordering::Relaxed)
        {
            tracing::error!(error = format!("{error:#}"), "an instance failed");
        }
        drop(store);
    }
}
