//! `wasi:http/client` 0.3, with two corrections of wasmtime 48.
//!
//! A request without a path goes to `/` instead of failing, and the guest's future for the outcome
//! of its request resolves when sending fails. The WASI test suite requires both
//! (`http-client-path-none`, `http-client-sent`).
//!
//! A sandbox answers many requests at once. The engine tells which of their tasks sends a request,
//! and so which trace the request continues.

use crate::capabilities::http::outbound::HttpState;
use crate::component::wasi::WASI_0_3;
use futures_channel::oneshot;
use http::uri::PathAndQuery;
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};

pub(crate) fn add_to_linker<T: HttpState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:http/client@{WASI_0_3}"))?.func_wrap_concurrent(
        "send",
        |accessor: &Accessor<T>, (request,): (Resource<Request>,)| {
            Box::pin(async move { Ok((send(accessor, request).await?,)) })
        },
    )
}

type SendOutcome = Result<Resource<Response>, ErrorCode>;

async fn send<T: HttpState>(accessor: &Accessor<T>, request: Resource<Request>) -> wasmtime::Result<SendOutcome> {
    let (sent, hears) = oneshot::channel::<Result<(), Error>>();
    let started = accessor.with(|mut access| {
        // The task that the host called, on whose behalf the sending task works.
        let task = access.as_context_mut().async_call_stack()?.last();
        let mut request = access.data_mut().table_mut().delete(request)?;
        request.path_with_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        let outcome = async { hears.await.unwrap_or(Ok(())) };
        match request.into_http_with_getter(&mut access, outcome, T::http) {
            Ok((mut request, options)) => {
                if let Some(trace) = task.and_then(|task| access.data_mut().outbound().trace_of(task)) {
                    trace.pass_on(request.headers_mut());
                }
                let done = Box::new(async { Ok(()) });
                Ok(Ok(access.data_mut().http().hooks.send_request(request, options.as_deref().copied(), done)))
            }
            Err(e) => e.downcast().map(Err),
        }
    })?;
    let sending = match started {
        Ok(sending) => sending,
        Err(code) => return Ok(Err(code)),
    };
    let (response, connection) = match Box::into_pin(sending).await {
        Ok(answer) => answer,
        Err(e) => {
            let code = code_of(&e);
            let _ = sent.send(Err(e));
            return Ok(Err(code));
        }
    };
    // Ends with the exchange, at the latest when the body is dropped.
    tokio::spawn(async move {
        let _ = sent.send(Box::into_pin(connection).await);
    });
    accessor.with(|mut access| {
        let state = access.data_mut();
        // The guest's opinion of the body is ignored: the exchange ends when the body is dropped.
        let (response, _) = Response::from_http(state.http().hooks, response);
        Ok(Ok(state.table_mut().push(response)?))
    })
}

/// Translates an error of an outbound request for the guest.
fn code_of(error: &Error) -> ErrorCode {
    use wasmtime_wasi_http::p3::bindings::http::types::DnsErrorPayload;
    match error {
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::HttpRequestUriInvalid => ErrorCode::HttpRequestUriInvalid,
        Error::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
        Error::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionRefused | Error::Connect(_) => ErrorCode::ConnectionRefused,
        Error::DnsError { .. } => ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None }),
        Error::DestinationNotFound => ErrorCode::DestinationNotFound,
        Error::DestinationIpProhibited => ErrorCode::DestinationIpProhibited,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::Tls(_) | Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::Hyper(_) => ErrorCode::HttpProtocolError,
        _ => ErrorCode::InternalError(None),
    }
}
