//! A connection of HTTP/2: a task for each stream, with limits on the memory and the work that a
//! client can cause.
//!
//! Built on h2 and not on hyper, which does not answer `expect: 100-continue` here, does not keep
//! bodies off responses to HEAD, and waits for ever for a client that never opens its window or
//! idles.
//!
//! Bounds on attacks:
//! * streams opened and reset (CVE-2023-44487): `MAX_PENDING_RESETS` before they are accepted,
//!   `MAX_ABANDONED` after;
//! * streams broken so that this side resets them (CVE-2025-8671): `MAX_LOCAL_RESETS`;
//! * heads of many CONTINUATION frames, or that decompress to too much: `MAX_HEAD_BYTES`, by h2,
//!   which answers 431 and ends the connection;
//! * floods of SETTINGS and PING: h2 keeps one answer at a time, and `StallTimeout` disconnects a
//!   client that does not read the answers;
//! * floods of WINDOW_UPDATE, PRIORITY and unknown frames: nothing is kept or answered, and a
//!   connection without requests stays idle, so that `head_timeout` ends it;
//! * many small DATA frames: h2's budget for their overhead;
//! * a window that never opens, or by a byte now and then: the response's body is not polled
//!   further, and its `ReadProgress` resets the stream;
//! * a connection with nothing on it, or half a head: `head_timeout`, and sooner when its slot is
//!   needed;
//! * a peer that is gone: `PING_INTERVAL`, `PONG_TIMEOUT`.
//!
//! A protocol error is recorded when h2 ends the connection for it, since `accept` then fails. A
//! head for which h2 only resets the stream (malformed by RFC 9113 section 8, or larger than
//! `MAX_HEAD_BYTES`, which it answers with 431) is not recorded: h2 reports it nowhere but in the
//! text of a debug event. Nor does h2 report that half a head is there when its time is over, which
//! looks like an idle connection.

use super::send::{LookaheadBody, StreamReset, send};
use crate::http::client::Client;
use crate::http::context::ServerContext;
use crate::http::exchange::record_rejected;
use crate::http::handler::handle;
use crate::http::head::{self, MAX_HEAD_BYTES};
use crate::http::request_body::{Http2Body, RequestBody};
use crate::http::slots::{BusyGuard, CloseReason, CloseSignal};
use crate::http::slow_client::ReadProgress;
use crate::telemetry::Cause;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::header::{CONTENT_LENGTH, DATE, EXPECT, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use walnut_engine::content_length;

/// Concurrent streams. RFC 9113 section 5.1.2 recommends no fewer, so clients open as many before
/// they know the limit.
const MAX_STREAMS: u32 = 100;
/// Bytes that a client may send before they are read, on a stream and on the whole connection. The
/// second bounds the memory that a connection can take, so its size is fixed and does not grow with
/// the client's speed.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Bytes that may wait to be sent on a stream.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that the client may reset before they are accepted, and streams that this side may reset
/// for an error.
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 100;
/// Streams that the client may reset before their response, in excess of the answered ones.
const MAX_ABANDONED: u64 = 100;
/// Interval of pings to the client, and the time within which it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a client without streams to close the connection after GOAWAY.
const GOAWAY_GRACE: Duration = Duration::from_secs(2);

/// Serves a connection to its end.
pub(crate) async fn serve<I>(io: I, client: Client, context: Arc<ServerContext>, mut close: CloseSignal)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let head_timeout = context.config.head_timeout;
    let handshake = timeout(head_timeout, settings().handshake(io));
    let mut connection = match close.unless_closed(handshake).await {
        Ok(Ok(Ok(connection))) => connection,
        Ok(Ok(Err(error))) => return record_error(&context, client, &error),
        Ok(Err(_)) | Err(_) => return,
    };
    let Some(pings) = connection.ping_pong() else { return };
    let (mut is_lost, mut idle) = (pin!(is_lost(pings)), pin!(sleep(head_timeout)));
    let mut streams = Streams::default();
    let slot = close.slot.clone();
    let mut is_closing = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => streams.start(client, &context, slot.busy(), request, respond),
                Some(Err(error)) => return record_error(&context, client, &error),
                None => return,
            },
            () = streams.next_end() => {
                if streams.exceed_abandoned() {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                idle.as_mut().reset(Instant::now() + if is_closing { GOAWAY_GRACE } else { head_timeout });
            }
            reason = close.wait(), if !is_closing => {
                match reason {
                    CloseReason::Shutdown => connection.graceful_shutdown(),
                    CloseReason::SlotNeeded if slot.is_idle() => connection.abrupt_shutdown(Reason::NO_ERROR),
                    // The client does not read.
                    CloseReason::SlotNeeded => return,
                }
                is_closing = true;
                idle.as_mut().reset(Instant::now() + GOAWAY_GRACE);
            }
            () = &mut idle, if streams.are_empty() => {
                if is_closing {
                    // The client had its grace after GOAWAY.
                    return;
                }
                connection.graceful_shutdown();
                is_closing = true;
                idle.as_mut().reset(Instant::now() + GOAWAY_GRACE);
            }
            () = slot.wait_until_needed(), if is_closing => {
                if !slot.is_idle() {
                    return;
                }
            }
            () = &mut is_lost => return,
        }
    }
}

/// Records the end of a connection with `error`, if the client violated the protocol.
fn record_error(context: &ServerContext, client: Client, error: &h2::Error) {
    if error.is_library() {
        record_rejected(context, client.peer, None, Cause::ClientError);
    }
}

fn settings() -> Builder {
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_LOCAL_RESETS));
    settings
}

/// Waits until the client does not answer pings any more.
async fn is_lost(mut pings: PingPong) {
    loop {
        sleep(PING_INTERVAL).await;
        if !matches!(timeout(PONG_TIMEOUT, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

/// Tasks of a connection's streams, which end with it.
#[derive(Default)]
struct Streams {
    tasks: JoinSet<StreamEnd>,
    answered: u64,
    abandoned: u64,
}

/// End of a stream.
enum StreamEnd {
    /// The response was sent, perhaps not completely.
    Answered,
    /// The client reset the stream before the response.
    Abandoned,
}

impl Streams {
    fn start(
        &mut self,
        client: Client,
        context: &Arc<ServerContext>,
        busy: BusyGuard,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        let context = context.clone();
        self.tasks.spawn(async move { serve_stream(client, &context, busy, request, respond).await });
    }

    fn are_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn exceed_abandoned(&self) -> bool {
        self.abandoned > self.answered + MAX_ABANDONED
    }

    /// Waits for the end of a stream; for ever if there is none.
    async fn next_end(&mut self) {
        match poll_fn(|cx| match self.tasks.poll_join_next(cx) {
            Poll::Ready(None) => Poll::Pending,
            ended => ended,
        })
        .await
        {
            Some(Ok(StreamEnd::Abandoned)) => self.abandoned += 1,
            _ => self.answered += 1,
        }
    }
}

async fn serve_stream(
    client: Client,
    context: &Arc<ServerContext>,
    busy: BusyGuard,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> StreamEnd {
    let is_head = *request.method() == Method::HEAD;
    let mut progress = ReadProgress::of_stream(context.config.stall_timeout, busy.slot().clone());
    let (request, mut body_wanted) = prepare(client, request);
    let mut handling = pin!(handle(context, client.peer, busy, request));
    let response = poll_fn(|cx| {
        let answered = handling.as_mut().poll(cx);
        let sends_continue = match &answered {
            Poll::Pending => is_body_wanted(&mut body_wanted, cx),
            // A guest may begin its response before it reads.
            Poll::Ready(response) => body_wanted.is_some() && response.status().is_success(),
        };
        if sends_continue {
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            let _ = respond.send_informational(interim);
        }
        match answered {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    });
    let Some(response) = response.await else { return StreamEnd::Abandoned };
    let (head, body) = response.into_parts();
    let mut head = Response::from_parts(head, ());
    let has_body = !is_head && !matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    add_length_and_date(&mut head, &body, has_body || is_head);
    let mut body = LookaheadBody::new(body);
    if has_body {
        // A gRPC call may end with its head, which then has to carry END_STREAM.
        poll_fn(|cx| {
            body.look_ahead(cx);
            Poll::Ready(())
        })
        .await;
    }
    let is_complete = !has_body || body.is_at_end();
    // Errors from here on mean that the client left.
    if let Ok(mut sends) = respond.send_response(head, is_complete)
        && !is_complete
        && let Err(StreamReset(reason)) = send(body, &mut sends, &mut progress).await
    {
        sends.send_reset(reason);
    }
    StreamEnd::Answered
}

/// Converts the request for the handler. For a client that waits for `100 Continue`, also returns a
/// receiver that hears when the body is first polled.
fn prepare(client: Client, request: Request<RecvStream>) -> (Request<RequestBody>, Option<oneshot::Receiver<()>>) {
    let headers = request.headers();
    let length = content_length(headers);
    let waits = headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let (wants_body, body_wanted) = (waits && !request.body().is_end_stream()).then(oneshot::channel).unzip();
    let mut request = request.map(|stream| RequestBody::Http2(Http2Body::new(stream, length, wants_body)));
    head::set_scheme(&mut request, client.scheme());
    (request, body_wanted)
}

fn is_body_wanted(wanted: &mut Option<oneshot::Receiver<()>>, cx: &mut Context<'_>) -> bool {
    let Some(receiver) = wanted else { return false };
    let Poll::Ready(received) = Pin::new(receiver).poll(cx) else { return false };
    *wanted = None;
    received.is_ok()
}

/// Adds the fields that hyper adds for HTTP/1.1.
fn add_length_and_date(head: &mut Response<()>, body: &impl HttpBody, has_length: bool) {
    let headers = head.headers_mut();
    match body.size_hint().exact() {
        Some(length) if has_length => {
            headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        _ => {}
    }
    headers.entry(DATE).or_insert_with(date);
}

/// Returns the current date, formatted once a second.
fn date() -> HeaderValue {
    thread_local! {
        static CACHED: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    CACHED.with_borrow_mut(|cached| match cached {
        Some((cached_second, date)) if *cached_second == second => date.clone(),
        _ => {
            let date = HeaderValue::from_str(&httpdate::fmt_http_date(now)).unwrap_or(HeaderValue::from_static(""));
            cached.insert((second, date)).1.clone()
        }
    })
}
