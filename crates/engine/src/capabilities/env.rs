//! The capability `env`: environment variables.

use crate::capabilities::state::HostState;
use walnut_policy::Request;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

/// State of this capability.
pub(crate) trait EnvState: HostState {
    /// Returns the values of all variables. The gate decides which of them the guest sees.
    fn env(&self) -> &[(String, String)];
}

pub(crate) fn add_to_linker<T: EnvState>(linker: &mut Linker<T>, version: &str) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:cli/environment@{version}"))?.func_wrap("get-environment", get_environment::<T>)
}

fn get_environment<T: EnvState>(cx: StoreContextMut<'_, T>, (): ()) -> wasmtime::Result<(Vec<(String, String)>,)> {
    let state = cx.data();
    let permitted = |(name, _): &&(String, String)| {
        state.gate().check("wasi:cli/environment.get-environment", Request::Env { name: name.clone() }).is_ok()
    };
    Ok((state.env().iter().filter(permitted).cloned().collect(),))
}
