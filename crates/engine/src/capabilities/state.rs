//! The state of a store, as every capability sees it.

use crate::gate::gate::Gate;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiView;

/// State of a store. Each capability extends this trait by its own (`DirState`, `HttpState`, …),
/// which returns the state that the capability keeps for a guest. Capabilities thus do not depend
/// on the sandbox, which implements all of these traits.
pub(crate) trait HostState: WasiView + 'static {
    /// Returns the gate that decides each operation.
    fn gate(&self) -> &Gate;

    /// Returns the table of resources that the guest has handles to.
    fn table(&self) -> &ResourceTable;

    /// Returns the table, to change it.
    fn table_mut(&mut self) -> &mut ResourceTable;
}
