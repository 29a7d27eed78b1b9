//! The state of a sandbox: everything that ends with it.

use crate::capabilities::connection_limit::ConnectionLimit;
use crate::capabilities::dir::files::{DirState, Files};
use crate::capabilities::dns::learned_names::LearnedNames;
use crate::capabilities::dns::resolve::DnsState;
use crate::capabilities::dns::resolver::Resolver;
use crate::capabilities::env::EnvState;
use crate::capabilities::http::outbound::{HttpState, Outbound};
use crate::capabilities::sockets::{self, SocketConnections, SocketsState};
use crate::capabilities::state::HostState;
use crate::failure::error::LimitReached;
use crate::gate::gate::Gate;
use crate::sandbox::host_memory::HostMemoryMeter;
use crate::sandbox::memory::{GROWN, MemoryLimit};
use crate::sandbox::setup::Setup;
use crate::sandbox::stdio::GuestOutput;
use crate::scheduler::background_drop::drop_in_background;
use crate::scheduler::meter::Meter;
use crate::scheduler::turns;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use walnut_policy::Limit;
use wasmtime::component::{Instance, InstancePre, ResourceTable};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Bytes that a guest on a shared thread passes to the host, or asks of the random generator, in
/// one call. Nobody else has the thread meanwhile.
const MAX_AT_ONCE: usize = 4 << 20;

/// Bytes of one head or trailer that a guest makes. Each field counts about 70 bytes more than its
/// text, so that an inbound head (64 KiB, of which HTTP/2 counts 32 bytes per field) can be copied.
const MAX_FIELDS: usize = 192 << 10;

/// The data of a store. Host functions find all their state here.
pub(crate) struct Sandbox {
    pub table: ResourceTable,
    gate: Gate,
    names: LearnedNames,
    files: Files,
    pub meter: Arc<Meter>,
    connections: SocketConnections,
    pub setup: Arc<Setup>,
    pub output: GuestOutput,
    /// State of wasmtime's WASI, created on first use: many guests answer a request without it.
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    pub outbound: Outbound,
    memory: MemoryLimit,
    host_memory: HostMemoryMeter,
}

impl Sandbox {
    /// Creates a store with a new sandbox and its limits.
    pub fn store(engine: &wasmtime::Engine, setup: &Arc<Setup>) -> Store<Sandbox> {
        Self::store_with(engine, setup, setup.meter(), GuestOutput::new(&setup.stdio))
    }

    /// Like [`Sandbox::store`], with the caller's meter and output.
    pub fn store_with(
        engine: &wasmtime::Engine,
        setup: &Arc<Setup>,
        meter: Arc<Meter>,
        output: GuestOutput,
    ) -> Store<Sandbox> {
        let limits = &setup.limits;
        let mut store = Store::new(engine, Sandbox::new(setup, meter, output));
        store.limiter(|sandbox| sandbox);
        store.set_max_component_handles(count(limits.handles));
        if !setup.may_block {
            store.set_hostcall_fuel(MAX_AT_ONCE);
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut cx| {
            cx.data_mut().check_host_memory()?;
            let Sandbox { meter, setup, .. } = cx.data();
            meter.check()?;
            if meter.has_just_entered() {
                return Ok(UpdateDeadline::Continue(1));
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(turns::yield_turn(setup.flow, meter.must_queue()))))
        });
        store
    }

    /// Instantiates `pre`. A program of WASI 0.1 then gets its memory, apart from the adapter's.
    pub async fn instantiate(store: &mut Store<Sandbox>, pre: &InstancePre<Sandbox>) -> wasmtime::Result<Instance> {
        let instance = pre.instantiate_async(&mut *store).await?;
        if let Ok(reserve) = instance.get_typed_func::<(u32,), ()>(&mut *store, crate::component::memory_layout::EXPORT)
        {
            let pages = store.data().memory.left() >> 16;
            // The rest is for tables.
            let pages = u32::try_from(pages - pages / 64).unwrap_or(u32::MAX);
            reserve.call_async(&mut *store, (pages,)).await?;
        }
        Ok(instance)
    }

    /// Ends a sandbox, and drops `with` afterwards. A large one ends on the background thread.
    pub fn end(mut store: Store<Sandbox>, with: impl Send + 'static) {
        let sandbox = store.data_mut();
        if sandbox.has_grown() {
            // Connections end now, and so do the streams of WASI 0.2; those of 0.3 belong to the
            // store.
            sandbox.table = ResourceTable::new();
            drop_in_background((store, with));
        }
    }

    /// Returns whether unmapping the memory would take a while.
    fn has_grown(&self) -> bool {
        self.memory.grown > GROWN
    }

    /// Returns the bytes that the guest may still allocate.
    pub fn memory_left(&self) -> u64 {
        self.memory.most.saturating_sub(self.memory.used)
    }

    fn new(setup: &Arc<Setup>, meter: Arc<Meter>, output: GuestOutput) -> Self {
        let limits = &setup.limits;
        let names = LearnedNames::default();
        let connections = ConnectionLimit::new(limits.connections, setup.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(count(limits.handles));
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS);
        Sandbox {
            table,
            names: names.clone(),
            files: Files::new(setup.mounts.clone()),
            meter,
            wasi: None,
            http,
            outbound: Outbound::new(setup.clone(), setup.version, connections.clone()),
            connections: SocketConnections::new(connections, names, setup.version),
            memory: MemoryLimit::new(limits),
            host_memory: HostMemoryMeter::default(),
            gate: setup.gate.clone(),
            output,
            setup: setup.clone(),
        }
    }
}

fn new_wasi(setup: &Setup, output: &GuestOutput, gate: &Gate, names: &LearnedNames) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    output.connect(&mut wasi);
    wasi.args(&setup.args).allow_blocking_current_thread(setup.may_block);
    if !setup.may_block {
        wasi.max_random_size(MAX_AT_ONCE as u64);
    }
    sockets::connect(&mut wasi, gate, names, setup.version);
    wasi.build()
}

/// Waits a moment if a sandbox could not start because the engine's pools are full. Idle and
/// replaced sandboxes leave their places as soon as their threads run. Returns any other error.
pub(crate) async fn wait_for_room(error: wasmtime::Error, room_needed: &Notify) -> wasmtime::Result<()> {
    if !error.is::<PoolConcurrencyLimitError>() {
        return Err(error);
    }
    room_needed.notify_waiters();
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(())
}

fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Sandbox { wasi, table, setup, output, gate, names, .. } = self;
        let ctx = wasi.get_or_insert_with(|| Box::new(new_wasi(setup, output, gate, names)));
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Bytes of a table element on the host.
const TABLE_ELEMENT: u64 = 16;

impl Sandbox {
    /// Charges the memory that the host keeps for the guest.
    fn check_host_memory(&mut self) -> Result<(), LimitReached> {
        let MemoryLimit { used, most, .. } = self.memory;
        let left = most.saturating_sub(used);
        let held = self.host_memory.measure(&mut self.table, left);
        if let (true, Some(usage)) = (held > 0, &self.setup.usage_observer) {
            usage.memory_grown(used.saturating_add(held));
        }
        if held > left { Err(LimitReached(Limit::Memory)) } else { Ok(()) }
    }

    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, size: u64) -> wasmtime::Result<bool> {
        let may = self.memory.grow(current, desired, maximum, size)?;
        if let (true, Some(usage)) = (may, &self.setup.usage_observer) {
            usage.memory_grown(self.memory.used);
        }
        Ok(may)
    }
}

impl HostState for Sandbox {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn table(&self) -> &ResourceTable {
        &self.table
    }

    fn table_mut(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl DirState for Sandbox {
    fn files(&self) -> &Files {
        &self.files
    }

    fn files_mut(&mut self) -> &mut Files {
        &mut self.files
    }
}

impl EnvState for Sandbox {
    fn env(&self) -> &[(String, String)] {
        &self.setup.env
    }
}

impl SocketsState for Sandbox {
    fn connections(&mut self) -> &mut SocketConnections {
        &mut self.connections
    }
}

impl DnsState for Sandbox {
    fn resolver(&self) -> &Arc<Resolver> {
        &self.setup.resolver
    }

    fn learned_names(&self) -> &LearnedNames {
        &self.names
    }
}

impl HttpState for Sandbox {
    fn outbound(&self) -> &Outbound {
        &self.outbound
    }
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, 1)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, TABLE_ELEMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::stdio::Stdio;
    use walnut_policy::{Limits, Policy};

    #[test]
    fn the_state_of_wasi_is_made_on_demand() {
        let gate = Gate::new("it", Policy::sealed(), Vec::new());
        let setup = Arc::new(Setup::new(gate, Limits::for_service(), Stdio::Inherit, false).unwrap());
        let mut store = Sandbox::store(&wasmtime::Engine::default(), &setup);
        assert!(store.data().wasi.is_none());
        assert!(WasiHttpView::http(store.data_mut()).table.is_empty() && store.data().wasi.is_none());
        assert!(store.data_mut().ctx().table.is_empty() && store.data().wasi.is_some());
    }
}
