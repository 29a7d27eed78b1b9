//! The state of a store, as far as every capability needs it.

use crate::gate::gate::Gate;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiView;

/// The state of a store. Each capability extends it by a trait of its own (`DirState`, `HttpState`, …) with what that
/// capability keeps for a guest, so that none of them knows the sandbox that implements them all.
pub(crate) trait HostState: WasiView + 'static {
    /// Decides each operation.
    fn gate(&self) -> &Gate;

    /// Resources that the guest has handles to.
    fn table(&self) -> &ResourceTable;

    /// The same, to change it.
    fn table_mut(&mut self) -> &mut ResourceTable;
}
