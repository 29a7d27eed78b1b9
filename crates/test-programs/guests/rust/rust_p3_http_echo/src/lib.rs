//! An echo server over WASI 0.3, with several requests at a time in one instance.
//!
//! Paths: `/echo` (and every other path: the request's stream itself is the response body),
//! `/upper` (each part in capitals), `/hash` (the number of bytes), `/sleep?ms=N`, `/count` (the
//! requests of this instance), `/loop`, `/panic`, `/split` (headers that would split the response),
//! `/handles?count=N` and `/log-bomb?mib=N` (without a number: without end), `/outbound?url=URL`
//! (the status of that URL; `ms=N` delays it, `trace=VALUE` makes it a part of that trace) and
//! `/outbound-after?url=URL` (the same, while the response is on its way). A gRPC call gets its
//! messages back and a status; `/walnut.Echo/Refuse` a status alone; `/walnut.Echo/Repeat` several
//! messages for each, and `/walnut.Echo/Join` a single message for several.

use std::{cell::Cell, hint::black_box};

use shared::{error_name, grpc_answer, query_number, query_value, split_path, split_url};
use wasip3::{
    cli::stdout,
    clocks::monotonic_clock,
    exports::http::handler::Guest,
    http::{
        client,
        types::{ErrorCode, Fields, Request, Response, Scheme},
    },
    wit_bindgen::{FutureReader, StreamReader, StreamResult, spawn_local},
    wit_future, wit_stream,
};

const GRPC: &[u8] = b"application/grpc";

type Trailers = FutureReader<Result<Option<Fields>, ErrorCode>>;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Echo;
wasip3::http::service::export!(Echo);

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        COUNT.set(COUNT.get() + 1);
        let headers = Fields::new();
        let mut is_grpc = false;
        for (name, value) in request.get_headers().copy_all() {
            is_grpc |= name == "content-type" && value == GRPC;
            // HTTP/1.1 servers send only trailers that were announced.
            if name.starts_with("x-") || name == "trailer" {
                headers.append(&name, &value).expect("a header that came can go");
            }
        }
        if is_grpc {
            headers.append("content-type", GRPC).expect("a header that came can go");
        }
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = split_path(&target);
        let (all_well, result) = wit_future::new(|| Ok(()));
        drop(all_well);
        let (mut body, trailers) = Request::consume_body(request, result);
        match path {
            "/loop" => loop {
                black_box(0);
            },
            "/panic" => panic!("this panic is on purpose"),
            "/count" => Ok(say(headers, format!("{}\n", COUNT.get()))),
            "/sleep" => {
                let milliseconds = query_number(query, "ms").unwrap_or(1000);
                monotonic_clock::wait_for(milliseconds * 1_000_000).await;
                Ok(say(headers, format!("slept {milliseconds} ms\n")))
            }
            "/hash" => {
                let count = body.collect().await.len();
                trailers.await?;
                Ok(say(headers, format!("{count} bytes\n")))
            }
            "/split" => Ok(split()),
            "/handles" => {
                let mut kept = Vec::new();
                let most = query_number(query, "count").unwrap_or(u64::MAX);
                while (kept.len() as u64) < most {
                    kept.push(Fields::new());
                }
                Ok(say(headers, format!("holding {} handles\n", kept.len())))
            }
            // Memory of the host, behind handles that are never given back.
            "/hoard-fields" => {
                let count = query_number(query, "count").unwrap_or(1000);
                for _ in 0..count {
                    let fields = Fields::new();
                    fields.append("large", &[b'x'; 60_000]).expect("it is not too large");
                    std::mem::forget(fields);
                }
                Ok(say(headers, format!("hoards {count}\n")))
            }
            "/outbound" => {
                monotonic_clock::wait_for(query_number(query, "ms").unwrap_or(0) * 1_000_000).await;
                let outcome = outbound(query).await;
                Ok(say(headers, outcome.unwrap_or_else(|error| format!("error: {error}\n"))))
            }
            "/outbound-after" => {
                let query = query.to_owned();
                spawn_local(async move {
                    monotonic_clock::wait_for(query_number(&query, "ms").unwrap_or(0) * 1_000_000).await;
                    let _ = outbound(&query).await;
                });
                Ok(say(headers, "afterwards\n".to_owned()))
            }
            "/log-bomb" => {
                let (mut writer, contents) = wit_stream::new();
                let written = stdout::write_via_stream(contents);
                let line = format!("{}\n", "x".repeat(1023));
                for _ in 0..query_number(query, "mib").unwrap_or(u64::MAX).saturating_mul(1024) {
                    if !writer.write_all(line.clone().into_bytes()).await.is_empty() {
                        break;
                    }
                }
                drop(writer);
                let _ = written.await;
                Ok(say(headers, "logged\n".to_owned()))
            }
            "/upper" => Ok(copied(headers, body, trailers, |part| part.make_ascii_uppercase(), || None)),
            "/walnut.Echo/Refuse" => {
                headers.append("grpc-status", b"12").expect("a fine header");
                let (no_trailers, trailers) = wit_future::new(|| Ok(None));
                drop(no_trailers);
                Ok(Response::new(headers, None, trailers).0)
            }
            "/walnut.Echo/Repeat" | "/walnut.Echo/Join" => {
                let messages = body.collect().await;
                trailers.await?;
                Ok(called(headers, grpc_answer(path, &messages)))
            }
            // With the request's stream as its body, the response would have the client's trailers
            // instead.
            _ if is_grpc => Ok(copied(headers, body, trailers, |_| (), status)),
            _ => Ok(Response::new(headers, Some(body), trailers).0),
        }
    }
}

/// Sends a request to the URL of `query`.
async fn outbound(query: &str) -> Result<String, String> {
    let url = query_value(query, "url").unwrap_or_default();
    let (scheme, authority, target) = split_url(&url).ok_or("not-a-url")?;
    let headers = Fields::new();
    if let Some(trace) = query_value(query, "trace") {
        headers.append("traceparent", trace.as_bytes()).map_err(|_| "bad-trace")?;
    }
    let (no_trailers, trailers) = wit_future::new(|| Ok(None));
    drop(no_trailers);
    let (request, _sent) = Request::new(headers, None, trailers, None);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| "bad-scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad-authority")?;
    request.set_path_with_query(Some(target)).map_err(|()| "bad-path")?;
    let response = client::send(request).await.map_err(|error| error_name(&error))?;
    Ok(format!("status {}\n", response.get_status_code()))
}

/// Tries to set headers that only the host may set, and describes the result.
fn split() -> Response {
    let (headers, trailers) = (Fields::new(), Fields::new());
    let mut said = String::new();
    for fields in [&headers, &trailers] {
        for (name, value) in [
            ("x-split", "one\r\nset-cookie: two=2"),
            ("x-split\r\nset-cookie", "two=2"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
        ] {
            let outcome = fields.append(name, value.as_bytes());
            said +=
                &format!("{name:?} {}\n", outcome.map_or_else(|error| error_name(&error), |()| "accepted".to_owned()));
        }
    }
    // Fields that frame a body are not allowed in its trailers.
    let _ = trailers.append("content-length", b"5");
    let _ = trailers.append("x-good", b"yes");
    let (trailers_writer, answer_trailers) = wit_future::new(|| Ok(None));
    let (mut writer, contents) = wit_stream::new();
    let response = Response::new(headers, Some(contents), answer_trailers).0;
    for code in [0, 1, 99, 1000, 65535] {
        said += &format!("{code} {}\n", if response.set_status_code(code).is_ok() { "accepted" } else { "refused" });
    }
    spawn_local(async move {
        writer.write_all(said.into_bytes()).await;
        drop(writer);
        let _ = trailers_writer.write(Ok(Some(trailers))).await;
    });
    response
}

/// Creates a response of the same parts, each `changed`, with the client's trailers, or with
/// `others` if it sent none.
fn copied(
    headers: Fields,
    mut body: StreamReader<u8>,
    of_client: Trailers,
    changed: fn(&mut [u8]),
    others: fn() -> Option<Fields>,
) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        loop {
            let (result, mut part) = body.read(Vec::with_capacity(64 * 1024)).await;
            changed(&mut part);
            let rest = writer.write_all(part).await;
            // Nobody reads any more, or nothing more comes.
            if !rest.is_empty() || !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        // Trailers come after the end of the body.
        drop(writer);
        let _ = trailers_writer.write(of_client.await.map(|trailers| trailers.or_else(others))).await;
    });
    Response::new(headers, Some(contents), trailers).0
}

/// Trailers of a successful gRPC call.
fn status() -> Option<Fields> {
    Some(Fields::from_list(&[("grpc-status".to_owned(), b"0".to_vec())]).expect("fine trailers"))
}

/// Response of a successful gRPC call.
fn called(headers: Fields, messages: Vec<u8>) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        writer.write_all(messages).await;
        drop(writer);
        let _ = trailers_writer.write(Ok(status())).await;
    });
    Response::new(headers, Some(contents), trailers).0
}

fn say(headers: Fields, text: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (no_trailers, trailers) = wit_future::new(|| Ok(None));
    drop(no_trailers);
    spawn_local(async move {
        writer.write_all(text.into_bytes()).await;
    });
    Response::new(headers, Some(contents), trailers).0
}
