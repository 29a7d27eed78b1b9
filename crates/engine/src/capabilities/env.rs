//! `env`: a guest sees the variables that were granted, and no others.

use crate::sandbox::sandbox::Sandbox;
use walnut_policy::Request;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>, version: &str) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:cli/environment@{version}"))?.func_wrap("get-environment", get_environment)
}

fn get_environment(cx: StoreContextMut<'_, Sandbox>, (): ()) -> wasmtime::Result<(Vec<(String, String)>,)> {
    let sandbox = cx.data();
    let permitted = |(name, _): &&(String, String)| {
        sandbox.gate.check("wasi:cli/environment.get-environment", Request::Env { name: name.clone() }).is_ok()
    };
    Ok((sandbox.setup.env.iter().filter(permitted).cloned().collect(),))
}
