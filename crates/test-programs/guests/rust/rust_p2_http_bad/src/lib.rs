//! A server that misbehaves on request, each path in its own way. The response tells what the host
//! let pass.

use std::{
    hint::black_box,
    io::Write,
    mem,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use shared::{error_name, query_number, query_value, split_path, split_url};
use wasip2::{
    cli,
    clocks::monotonic_clock,
    exports::http::incoming_handler::Guest,
    filesystem::{
        preopens,
        types::{DescriptorFlags, OpenFlags, PathFlags},
    },
    http::{
        outgoing_handler,
        types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme},
    },
};

const MIB: usize = 1024 * 1024;

/// Requests of this sandbox.
static COUNT: AtomicU32 = AtomicU32::new(0);

struct Bad;
wasip2::http::proxy::export!(Bad);

impl Guest for Bad {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = split_path(&target);
        let count = COUNT.fetch_add(1, Relaxed) + 1;
        match path {
            "/count" => say(out, &count.to_string()),
            "/loop" => loop {
                black_box(0);
            },
            "/panic" => panic!("this panic is on purpose"),
            "/stack" => say(out, &recurse(0, black_box(u64::MAX)).to_string()),
            "/memory" => {
                let mut kept = Vec::new();
                let limit = query_number(query, "mib").unwrap_or(u64::MAX);
                while (kept.len() as u64) < limit {
                    kept.push(black_box(vec![1_u8; MIB]));
                }
                say(out, &format!("touched {} MiB", kept.len()));
            }
            // Only the host works here.
            "/storm" => loop {
                black_box(monotonic_clock::now());
            },
            "/handles" => {
                let mut kept = Vec::new();
                let limit = query_number(query, "count").unwrap_or(u64::MAX);
                while (kept.len() as u64) < limit {
                    kept.push(monotonic_clock::subscribe_duration(u64::MAX));
                }
                say(out, &format!("holding {} handles", kept.len()));
            }
            // A forgotten handle stays on the host for the life of the sandbox.
            "/forget" => {
                let handles = query_number(query, "count").unwrap_or(1);
                (0..handles).for_each(|_| mem::forget(monotonic_clock::subscribe_duration(u64::MAX)));
                say(out, &format!("{count}: forgot {handles} handles"));
            }
            // Memory of the host, behind handles.
            "/hoard-fields" => {
                let count = query_number(query, "count").unwrap_or(1000);
                (0..count).for_each(|_| mem::forget(large_fields()));
                say(out, &format!("hoards {count}"));
            }
            "/hoard-methods" => {
                let count = query_number(query, "count").unwrap_or(500);
                for _ in 0..count {
                    let request = OutgoingRequest::new(Fields::new());
                    let _ = request.set_method(&Method::Other("M".repeat(MIB)));
                    mem::forget(request);
                }
                say(out, &format!("hoards {count}"));
            }
            // More than fits through one call.
            "/huge-call" => {
                let mib = query_number(query, "mib").unwrap_or(8) as usize;
                let request = OutgoingRequest::new(Fields::new());
                let _ = request.set_method(&Method::Other("M".repeat(mib * MIB)));
                say(out, &format!("handed over {mib} MiB"));
            }
            "/random" => {
                let mib = query_number(query, "mib").unwrap_or(8);
                let bytes = wasip2::random::random::get_random_bytes(mib * MIB as u64);
                say(out, &format!("{} random bytes", bytes.len()));
            }
            "/forget-request" => {
                mem::forget(request);
                say(out, &format!("{count}: forgot the request"));
            }
            "/forget-body" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body().expect("the first body");
                ResponseOutparam::set(out, Ok(response));
                let mut stream = body.write().expect("the first stream");
                let _ = stream.write_all(format!("{count}: forgot the body\n").as_bytes());
                let _ = Write::flush(&mut stream);
                drop(stream);
                mem::forget(body);
            }
            // Computes so long that a second time would exceed the limit.
            "/compute" => {
                let until = monotonic_clock::now() + query_number(query, "ms").unwrap_or(100) * 1_000_000;
                while monotonic_clock::now() < until {
                    (0..100_000).for_each(|n| drop(black_box(n)));
                }
                say(out, &count.to_string());
            }
            "/log-bomb" => {
                let mib = query_number(query, "mib").unwrap_or(64);
                let line = format!("{}\n", "log ".repeat(255));
                let mut stderr = cli::stderr::get_stderr();
                for _ in 0..mib * 1024 {
                    let _ = stderr.write_all(line.as_bytes());
                }
                let _ = Write::flush(&mut stderr);
                say(out, &format!("logged {mib} MiB"));
            }
            "/split-header" => {
                let headers = Fields::new();
                let outcome = headers.append("x-split", b"one\r\nset-cookie: two=2");
                let text = match &outcome {
                    Ok(()) => "accepted".to_owned(),
                    Err(error) => format!("refused: {}", error_name(error)),
                };
                answer(out, OutgoingResponse::new(headers), text.as_bytes());
            }
            "/split-status" => {
                let response = OutgoingResponse::new(Fields::new());
                let code = query_number(query, "code").unwrap_or(1000) as u16;
                let text = match response.set_status_code(code) {
                    Ok(()) => "accepted",
                    Err(()) => "refused",
                };
                answer(out, response, text.as_bytes());
            }
            "/bad-trailer" => bad_trailer(out),
            "/sleep" => {
                let milliseconds = query_number(query, "ms").unwrap_or(1000);
                monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
                say(out, &format!("slept {milliseconds} ms"));
            }
            "/never" => loop {
                monotonic_clock::subscribe_duration(3_600_000_000_000).block();
            },
            "/drop-outparam" => drop(out),
            "/forget-outparam" => mem::forget(out),
            "/big" => big(out, query_number(query, "mib").unwrap_or(1) as usize),
            "/half" => {
                let headers = Fields::new();
                headers.append("content-length", b"1000").expect("a plain header");
                let response = OutgoingResponse::new(headers);
                let body = response.body().expect("the first body");
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().expect("the first stream");
                stream.blocking_write_and_flush(b"half of a body\n").expect("the client is there");
                if let Some(milliseconds) = query_number(query, "ms") {
                    monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
                }
                panic!("this panic comes after half of the body");
            }
            "/outbound" => {
                let url = query_value(query, "url").unwrap_or_default();
                say(out, &outbound(&url).unwrap_or_else(|error| format!("error: {error}")));
            }
            "/file" => {
                let path = query_value(query, "path").unwrap_or_default();
                match read_file(&path) {
                    Ok(bytes) => answer(out, OutgoingResponse::new(Fields::new()), &bytes),
                    Err(error) => say(out, &format!("error: {error}")),
                }
            }
            "/env" => {
                let mut variables = cli::environment::get_environment();
                variables.sort();
                let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
                say(out, &lines.join("\n"));
            }
            _ => say(out, "well behaved"),
        }
    }
}

fn large_fields() -> Fields {
    let fields = Fields::new();
    fields.append("large", &[b'x'; 60_000]).expect("it is not too large");
    fields
}

/// Responds with one line of text.
fn say(out: ResponseOutparam, text: &str) {
    answer(out, OutgoingResponse::new(Fields::new()), format!("{text}\n").as_bytes());
}

fn answer(out: ResponseOutparam, response: OutgoingResponse, bytes: &[u8]) {
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the first stream");
    // The client may be gone.
    let _ = stream.write_all(bytes).and_then(|()| Write::flush(&mut stream));
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn bad_trailer(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the first stream");
    // These headers would change the framing of the message.
    let trailers = Fields::new();
    for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked"), ("x-split", "a\r\nb: c")] {
        let text = match trailers.append(name, value.as_bytes()) {
            Ok(()) => format!("{name} accepted\n"),
            Err(error) => format!("{name} refused: {}\n", error_name(&error)),
        };
        let _ = stream.write_all(text.as_bytes());
    }
    let _ = Write::flush(&mut stream);
    drop(stream);
    let _ = OutgoingBody::finish(body, Some(trailers));
}

fn big(out: ResponseOutparam, mib: usize) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the first stream");
    let part = vec![b'x'; 64 * 1024];
    for _ in 0..mib * (MIB / part.len()) {
        if stream.write_all(&part).is_err() {
            return;
        }
    }
    let _ = Write::flush(&mut stream);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// Sends a request to another server, and returns the status or the name of the error.
fn outbound(url: &str) -> Result<String, String> {
    let (scheme, authority, target) = split_url(url).ok_or("not-a-url")?;
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| "bad-scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad-authority")?;
    request.set_path_with_query(Some(target)).map_err(|()| "bad-path")?;
    let coming = outgoing_handler::handle(request, None).map_err(|error| error_name(&error))?;
    coming.subscribe().block();
    let response =
        coming.get().ok_or("no-response")?.map_err(|()| "taken-twice")?.map_err(|error| error_name(&error))?;
    Ok(format!("status {}", response.status()))
}

fn read_file(path: &str) -> Result<Vec<u8>, String> {
    let name = |error: wasip2::filesystem::types::ErrorCode| error.name().to_owned();
    for (folder, preopen) in preopens::get_directories() {
        let Some(rest) = path.strip_prefix(&preopen) else { continue };
        let file = folder
            .open_at(PathFlags::SYMLINK_FOLLOW, rest.trim_start_matches('/'), OpenFlags::empty(), DescriptorFlags::READ)
            .map_err(name)?;
        let mut bytes = Vec::new();
        loop {
            let (part, end) = file.read(64 * 1024, bytes.len() as u64).map_err(name)?;
            bytes.extend(part);
            if end {
                return Ok(bytes);
            }
        }
    }
    Err("no-folder".to_owned())
}

/// Endless unless a limit is reached, which the compiler cannot know.
#[inline(never)]
fn recurse(depth: u64, limit: u64) -> u64 {
    if depth == limit {
        return depth;
    }
    let below = recurse(depth + 1, limit);
    below ^ (below << (depth & 7))
}
