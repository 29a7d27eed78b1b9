//! Memory that the host keeps for a guest: the fields, requests and responses behind its handles.
//!
//! The limit `handles` bounds their number, but each may be as long as the guest likes. Measuring
//! them as they are made would cost every request. They are measured at the ticks that interrupt a
//! guest instead: a guest that makes many is interrupted.

use http::HeaderMap;
use std::any::Any;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse};
use wasmtime_wasi_http::p3::{Request, Response};

/// Bytes for which a guest is not charged: more than all heads that clients send to one sandbox at
/// once.
const FREE_ALLOWANCE: u64 = 4 << 20;

/// Approximate bytes of a handle, or of a field of a head, beside its text.
const ENTRY: usize = 64;

/// Ratio of rest to measurement: at most a tenth of the time is spent measuring.
const REST_FACTOR: u32 = 9;

/// Measures the memory behind a guest's handles.
#[derive(Default)]
pub(crate) struct HostMemoryMeter {
    /// Earliest time of the next measurement, as the latest took long.
    rests: Option<Instant>,
}

impl HostMemoryMeter {
    /// Returns the bytes behind the handles in `table` for which the guest is charged. Stops
    /// counting beyond `most`. Returns 0 right after an expensive measurement.
    pub fn measure(&mut self, table: &mut ResourceTable, most: u64) -> u64 {
        let began = Instant::now();
        if self.rests.is_some_and(|until| began < until) {
            return 0;
        }
        let (mut sum, mut seen) = (0_u64, HashSet::new());
        for held in table.iter_mut() {
            sum = sum.saturating_add((ENTRY + size_of_held(held, &mut seen)) as u64);
            if sum > most.saturating_add(FREE_ALLOWANCE) {
                break;
            }
        }
        let took = began.elapsed();
        self.rests = (took > Duration::from_micros(10)).then(|| began + took * (REST_FACTOR + 1));
        sum.saturating_sub(FREE_ALLOWANCE)
    }
}

/// Returns the bytes behind a handle; values without a length of their own count as 0.
fn size_of_held(held: &(dyn Any + Send), seen: &mut CountedHeads) -> usize {
    let mut size_of_fields = |fields: &FieldMap| size_of_fields(fields, seen);
    if let Some(fields) = held.downcast_ref::<FieldMap>() {
        size_of_fields(fields)
    } else if let Some(request) = held.downcast_ref::<HostOutgoingRequest>() {
        let method = if let Method::Other(method) = &request.method { method.len() } else { 0 };
        let scheme = if let Some(Scheme::Other(scheme)) = &request.scheme { scheme.len() } else { 0 };
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        method
            + scheme
            + length(&request.authority)
            + length(&request.path_with_query)
            + size_of_fields(&request.headers)
    } else if let Some(request) = held.downcast_ref::<Request>() {
        let authority = request.authority.as_ref().map_or(0, |authority| authority.as_str().len());
        let path = request.path_with_query.as_ref().map_or(0, |path| path.as_str().len());
        let scheme = request.scheme.as_ref().map_or(0, |scheme| scheme.as_str().len());
        request.method.as_str().len() + scheme + authority + path + size_of_fields(&request.headers)
    } else if let Some(response) = held.downcast_ref::<HostOutgoingResponse>() {
        size_of_fields(&response.headers)
    } else if let Some(response) = held.downcast_ref::<HostIncomingResponse>() {
        size_of_fields(&response.headers)
    } else if let Some(response) = held.downcast_ref::<Response>() {
        size_of_fields(&response.headers)
    } else {
        0
    }
}

/// Addresses of the heads that were counted: several handles may share one.
type CountedHeads = HashSet<*const HeaderMap>;

fn size_of_fields(fields: &FieldMap, seen: &mut CountedHeads) -> usize {
    if !seen.insert(std::ptr::from_ref::<HeaderMap>(fields)) {
        return 0;
    }
    fields.iter().map(|(name, value)| ENTRY + name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::connection_limit::ConnectionLimit;
    use crate::capabilities::http::outbound::Outbound;
    use crate::{Gate, Setup, Stdio};
    use http::HeaderValue;
    use std::sync::Arc;
    use walnut_policy::{Limits, Policy};

    fn fields(bytes: usize) -> FieldMap {
        let gate = Gate::new("it", Policy::sealed(), Vec::new());
        let setup = Arc::new(Setup::new(gate, Limits::for_service(), Stdio::Inherit, false).unwrap());
        let mut hooks = Outbound::new(setup.clone(), setup.version, ConnectionLimit::new(1, setup.clone()));
        let value = HeaderValue::from_bytes(&vec![b'a'; bytes]).unwrap();
        FieldMap::new_immutable(&mut hooks, HeaderMap::from_iter([(http::header::COOKIE, value)]))
    }

    #[test]
    fn memory_of_fields_and_requests_is_measured() {
        let mut table = ResourceTable::new();
        for _ in 0..10 {
            table.push(fields(100_000)).unwrap();
        }
        assert_eq!(HostMemoryMeter::default().measure(&mut table, u64::MAX), 0);
        let request = HostOutgoingRequest {
            method: Method::Other("m".repeat(1_000_000)),
            scheme: Some(Scheme::Other("s".repeat(1_000_000))),
            authority: Some("a".repeat(1_000_000)),
            path_with_query: Some("p".repeat(1_000_000)),
            headers: fields(1_000_000),
            body: None,
        };
        table.push(request).unwrap();
        let measured = HostMemoryMeter::default().measure(&mut table, u64::MAX);
        assert!((6_000_000 - FREE_ALLOWANCE..6_010_000 - FREE_ALLOWANCE).contains(&measured), "{measured}");
    }

    #[test]
    fn fields_with_several_handles_are_measured_once() {
        let mut table = ResourceTable::new();
        let one = fields(5_000_000);
        for _ in 0..10 {
            table.push(one.clone()).unwrap();
        }
        let measured = HostMemoryMeter::default().measure(&mut table, u64::MAX);
        assert!((5_000_000 - FREE_ALLOWANCE..5_010_000 - FREE_ALLOWANCE).contains(&measured), "{measured}");
    }

    #[test]
    fn counting_stops_beyond_the_limit() {
        let mut table = ResourceTable::new();
        for _ in 0..1000 {
            table.push(fields(10_000)).unwrap();
        }
        let measured = HostMemoryMeter::default().measure(&mut table, 1_000_000);
        assert!((1_000_001..1_020_000).contains(&measured), "{measured}");
    }
}
