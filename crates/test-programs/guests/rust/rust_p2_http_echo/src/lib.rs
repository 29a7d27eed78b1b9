//! An echo server: sends back body, `x-*` headers and trailers as they come.
//!
//! Paths: `/echo` (and every other path), `/upper` (in capitals), `/hash` (the number of bytes),
//! `/method` (method and target). The last two respond once they have read everything. A gRPC call
//! gets its messages back and a status; `/walnut.Echo/Refuse` a status alone; `/walnut.Echo/Repeat`
//! several messages for each, and `/walnut.Echo/Join` a single message for several.

use std::io::{Read, Write};

use shared::{grpc_answer, split_path};
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam},
};

const GRPC: &[u8] = b"application/grpc";

struct Echo;
wasip2::http::proxy::export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let headers = Fields::new();
        let mut is_grpc = false;
        for (name, value) in request.headers().entries() {
            is_grpc |= name == "content-type" && value == GRPC;
            // HTTP/1.1 servers send only trailers that were announced.
            if name.starts_with("x-") || matches!(name.as_str(), "trailer" | "traceparent") {
                headers.append(&name, &value).expect("a header that came can go");
            }
        }
        if is_grpc {
            headers.append("content-type", GRPC).expect("a header that came can go");
        }
        let target = request.path_with_query().unwrap_or_default();
        let path = split_path(&target).0;
        if path == "/walnut.Echo/Refuse" {
            headers.append("grpc-status", b"12").expect("a fine header");
            let response = OutgoingResponse::new(headers);
            return ResponseOutparam::set(out, Ok(response));
        }
        let response = OutgoingResponse::new(headers);
        let answer = response.body().expect("the first body");
        let streams = !matches!(path, "/hash" | "/method" | "/walnut.Echo/Repeat" | "/walnut.Echo/Join");
        let mut begun = Some((out, response));
        if streams && let Some((out, response)) = begun.take() {
            ResponseOutparam::set(out, Ok(response));
        }

        let incoming = request.consume().expect("the first body");
        let mut input = incoming.stream().expect("the first stream");
        let mut output = answer.write().expect("the first stream");
        let mut count = 0;
        let mut messages = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = match Read::read(&mut input, &mut buffer) {
                Ok(length @ 1..) => length,
                // A failed body counts as an ended body: the response is cut short, and the host
                // knows why.
                Err(_) if !streams => return,
                _ => break,
            };
            let part = &mut buffer[..length];
            count += part.len();
            match path {
                _ if !streams && is_grpc => {
                    messages.extend_from_slice(part);
                    continue;
                }
                _ if !streams => continue,
                "/upper" => part.make_ascii_uppercase(),
                _ => {}
            }
            // The client may be gone, and nobody waits for the rest.
            if output.write_all(part).and_then(|()| Write::flush(&mut output)).is_err() {
                return;
            }
        }
        let rest = match path {
            "/hash" => format!("{count} bytes\n").into_bytes(),
            "/method" => format!("{} {target}\n", method_name(&request.method())).into_bytes(),
            _ => grpc_answer(path, &messages),
        };
        if let Some((out, response)) = begun {
            ResponseOutparam::set(out, Ok(response));
        }
        let _ = output.write_all(&rest).and_then(|()| Write::flush(&mut output));

        // Streams are children of their body, and only a body without children can be finished.
        drop((input, output));
        let trailers = IncomingBody::finish(incoming);
        trailers.subscribe().block();
        let trailers = match trailers.get() {
            Some(Ok(Ok(Some(trailers)))) => Some(trailers),
            _ if is_grpc => {
                Some(Fields::from_list(&[("grpc-status".to_owned(), b"0".to_vec())]).expect("fine trailers"))
            }
            _ => None,
        };
        let _ = OutgoingBody::finish(answer, trailers);
    }
}

fn method_name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}
