//! A connection of HTTP/2: a task for each stream, under limits on what one client can make this server hold and do.
//!
//! Over h2 itself and not over hyper, which neither answers `expect: 100-continue` here, nor keeps bodies off the answers to
//! HEAD, nor lets go of a client that never opens its window or idles for ever.
//!
//! | attack | what bounds it |
//! |-|-|
//! | streams opened and reset (CVE-2023-44487) | `RESETS_AT_ONCE` before they are taken, `ABANDONED` after |
//! | streams broken so that this side resets them (CVE-2025-8671) | `OWN_RESETS` |
//! | heads of many CONTINUATION frames, or that unpack to too much | `MAX_HEAD_BYTES`, by h2: 431, and an end of the connection |
//! | floods of SETTINGS and PING | one answer is kept at a time; who does not read answers is cut by `StallTimeout` |
//! | floods of WINDOW_UPDATE, PRIORITY and unknown frames | nothing is kept or answered; they do not end the idling of a connection without requests, which `head_timeout` ends |
//! | many small DATA frames | h2's budget for what they cost beside their bytes |
//! | a window that never opens, or by a byte now and then | the body of the answer is not asked for more, and the stream is reset by its `ReadProgress` |
//! | a connection with nothing on it, or half a head | `head_timeout`, and sooner when its slot is needed |
//! | a peer that is gone | `PING_EVERY`, `PONG_WITHIN` |
//!
//! What is no request is counted and said when h2 ends the connection for it, since `accept` then fails. Of a head for which
//! it only resets the stream (malformed by RFC 9113 section 8, or larger than `MAX_HEAD_BYTES`, which it answers with 431) h2 tells
//! nobody: not `accept`, no counter, nothing but the text of a debug event. Nor does it tell that half a head is there
//! when the time for it is over, which looks like an idle connection.

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

/// Streams at once. Clients open as many before they are told, as RFC 9113 (section 5.1.2) recommends no fewer.
const STREAMS: u32 = 100;
/// What a client may send before somebody reads it, on one stream and on all of a connection. The second is what a
/// connection can make the server hold, so it is of a fixed size and does not grow with the client's speed.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// What waits to be sent on one stream.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that were reset before they were taken, and streams that this side reset for what was wrong with them.
const RESETS_AT_ONCE: usize = 20;
const OWN_RESETS: usize = 100;
/// Streams that were reset before their answer, more than were answered.
const ABANDONED: u64 = 100;
/// Whether the client is still there is asked so often, and has to be answered within this.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How long a client without streams may take to leave, once it was told to.
const GRACE: Duration = Duration::from_secs(2);

/// Serves a connection to its end.
pub(crate) async fn serve<I>(io: I, client: Client, context: Arc<ServerContext>, mut close: CloseSignal)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let patience = context.config.head_timeout;
    let handshake = timeout(patience, settings().handshake(io));
    let mut connection = match close.unless_closed(handshake).await {
        Ok(Ok(Ok(connection))) => connection,
        Ok(Ok(Err(error))) => return told(&context, client, &error),
        Ok(Err(_)) | Err(_) => return,
    };
    let Some(pings) = connection.ping_pong() else { return };
    let (mut is_lost, mut idle) = (pin!(is_lost(pings)), pin!(sleep(patience)));
    let mut streams = Streams::default();
    let slot = close.slot.clone();
    let mut closes = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => streams.start(client, &context, slot.busy(), request, respond),
                Some(Err(error)) => return told(&context, client, &error),
                None => return,
            },
            () = streams.one_ends() => {
                if streams.are_too_often_abandoned() {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                idle.as_mut().reset(Instant::now() + if closes { GRACE } else { patience });
            }
            why = close.asked(), if !closes => {
                match why {
                    CloseReason::Shutdown => connection.graceful_shutdown(),
                    CloseReason::SlotNeeded if slot.is_idle() => connection.abrupt_shutdown(Reason::NO_ERROR),
                    // It does not read.
                    CloseReason::SlotNeeded => return,
                }
                closes = true;
                idle.as_mut().reset(Instant::now() + GRACE);
            }
            () = &mut idle, if streams.are_none() => {
                if closes {
                    // It was told, and does not go.
                    return;
                }
                connection.graceful_shutdown();
                closes = true;
                idle.as_mut().reset(Instant::now() + GRACE);
            }
            () = slot.is_needed(), if closes => {
                if !slot.is_idle() {
                    return;
                }
            }
            () = &mut is_lost => return,
        }
    }
}

/// The connection ended with `error`. If it is h2's own, the client broke the rules and was told so.
fn told(context: &ServerContext, client: Client, error: &h2::Error) {
    if error.is_library() {
        record_rejected(context, client.peer, None, Cause::ClientError);
    }
}

fn settings() -> Builder {
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_pending_accept_reset_streams(RESETS_AT_ONCE)
        .max_local_error_reset_streams(Some(OWN_RESETS));
    settings
}

/// Ends when the client does not answer any more.
async fn is_lost(mut pings: PingPong) {
    loop {
        sleep(PING_EVERY).await;
        if !matches!(timeout(PONG_WITHIN, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

/// The streams of a connection, which end with it.
#[derive(Default)]
struct Streams {
    tasks: JoinSet<StreamEnd>,
    answered: u64,
    abandoned: u64,
}

/// How a stream ended.
enum StreamEnd {
    /// There was an answer, if perhaps not all of it.
    Answered,
    /// The client did not wait for one.
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
        self.tasks.spawn(async move { stream(client, &context, busy, request, respond).await });
    }

    fn are_none(&self) -> bool {
        self.tasks.is_empty()
    }

    fn are_too_often_abandoned(&self) -> bool {
        self.abandoned > self.answered + ABANDONED
    }

    /// Waits for the end of one; for ever if there is none.
    async fn one_ends(&mut self) {
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

async fn stream(
    client: Client,
    context: &Arc<ServerContext>,
    busy: BusyGuard,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> StreamEnd {
    let is_head = *request.method() == Method::HEAD;
    let mut pace = ReadProgress::stream(context.config.stall_timeout, busy.slot().clone());
    let (request, mut wanted) = taken(client, request);
    let mut answer = pin!(handle(context, client.peer, busy, request));
    let response = poll_fn(|cx| {
        let answered = answer.as_mut().poll(cx);
        let goes_on = match &answered {
            Poll::Pending => is_wanted(&mut wanted, cx),
            // A guest may begin its answer before it reads.
            Poll::Ready(response) => wanted.is_some() && response.status().is_success(),
        };
        if goes_on {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            let _ = respond.send_informational(go_on);
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
    complete(&mut head, &body, has_body || is_head);
    let mut body = LookaheadBody::new(body);
    if has_body {
        // A call of gRPC may end with its head, which then has to say so.
        poll_fn(|cx| {
            body.look_ahead(cx);
            Poll::Ready(())
        })
        .await;
    }
    let is_over = !has_body || body.is_at_end();
    // An error is a client that left, here and further on.
    if let Ok(mut sends) = respond.send_response(head, is_over)
        && !is_over
        && let Err(StreamReset(reason)) = send(body, &mut sends, &mut pace).await
    {
        sends.send_reset(reason);
    }
    StreamEnd::Answered
}

/// The request as the rest of the server takes it, and who hears when the body is wanted of a client that waits for that.
fn taken(client: Client, request: Request<RecvStream>) -> (Request<RequestBody>, Option<oneshot::Receiver<()>>) {
    let headers = request.headers();
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let waits = headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let (wants, wanted) = (waits && !request.body().is_end_stream()).then(oneshot::channel).unzip();
    let mut request = request.map(|stream| RequestBody::Http2(Http2Body::new(stream, announced, wants)));
    head::set_scheme(&mut request, client.scheme());
    (request, wanted)
}

fn is_wanted(wanted: &mut Option<oneshot::Receiver<()>>, cx: &mut Context<'_>) -> bool {
    let Some(receiver) = wanted else { return false };
    let Poll::Ready(told) = Pin::new(receiver).poll(cx) else { return false };
    *wanted = None;
    told.is_ok()
}

/// Adds what hyper adds for HTTP/1.1.
fn complete(head: &mut Response<()>, body: &impl HttpBody, has_length: bool) {
    let headers = head.headers_mut();
    match body.size_hint().exact() {
        Some(length) if has_length => {
            headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        _ => {}
    }
    headers.entry(DATE).or_insert_with(date);
}

/// The time of day, written once in a second.
fn date() -> HeaderValue {
    thread_local! {
        static DATE_OF: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE_OF.with_borrow_mut(|kept| match kept {
        Some((of, date)) if *of == second => date.clone(),
        _ => {
            let date = HeaderValue::from_str(&httpdate::fmt_http_date(now)).unwrap_or(HeaderValue::from_static(""));
            kept.insert((second, date)).1.clone()
        }
    })
}
