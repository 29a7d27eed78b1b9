//! HttpClient slots, timeouts and malformed requests, on a server of files.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use walnut_host::{AccessFormat, AccessLog, App, Logs, Node, RouteTarget, Server, ServerConfig};
use walnut_manifest::Manifest;
use walnut_test_support::{Http2, HttpClient, request};

/// More bytes than the system buffers for a client that does not read.
const BIG: usize = 64 << 20;
const HOUR: Duration = Duration::from_secs(3600);
const MANIFEST: &str = "[app]\nname = \"a\"\n[[http]]\nroute = \"/**\"\ndir = \"public\"\n";

/// A server that runs until the end of the test.
struct Served {
    address: SocketAddr,
    /// Lines of its access log.
    log: Receiver<String>,
    _world: TempDir,
}

/// Sends each written line over a channel.
struct LineSender(Sender<String>);

impl Write for LineSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.lines().for_each(|line| self.0.send(line.to_owned()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a server with this many connection slots. `idle` is the head timeout; other timeouts are
/// an hour.
fn serve(slots: usize, idle: Duration) -> Served {
    serve_for(slots, idle, HOUR)
}

/// Starts such a server with a stall timeout.
fn serve_for(slots: usize, idle: Duration, stall: Duration) -> Served {
    let world = tempfile::tempdir().unwrap();
    let public = world.path().join("public");
    std::fs::create_dir(&public).unwrap();
    std::fs::write(public.join("small"), "small").unwrap();
    File::create(public.join("big")).unwrap().set_len(BIG as u64).unwrap();
    let (lines, log) = channel();
    let access = Some(AccessLog::start(AccessFormat::Human, LineSender(lines)).unwrap());
    let node = Node::new(1, Logs { access, ..Logs::default() }, None);
    let route = Manifest::parse(MANIFEST, "walnut.toml", world.path()).unwrap().http.routes.remove(0);
    let dir = node.open_dir("a", &route, &public, |_, _| {}).unwrap();
    node.replace(vec![App { components: Vec::new(), routes: vec![(route, RouteTarget::Dir(dir))] }]);
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    (config.workers, config.max_connections) = (2, slots);
    (config.head_timeout, config.stall_timeout) = (idle, stall);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind(config)).unwrap();
    let address = server.address().unwrap();
    thread::spawn(move || {
        runtime.block_on(walnut_host::run_triggers(vec![Box::new(server)], node, std::future::pending()))
    });
    Served { address, log, _world: world }
}

impl Served {
    fn connect(&self) -> HttpClient {
        HttpClient::open(self.address).unwrap()
    }

    /// Returns request, status, bytes and cause of the next line of the log.
    #[track_caller]
    fn next_entry(&self) -> String {
        let line = self.log.recv_timeout(Duration::from_secs(60)).expect("a line comes");
        let words: Vec<_> = line.split(' ').collect();
        let [_, _, request @ .., bytes, _, _, cause, _] = words.as_slice() else { panic!("{line}") };
        format!("{} {bytes} {cause}", request.join(" "))
    }

    /// Connects a client and answers a request of it.
    #[track_caller]
    fn answered(&self) -> HttpClient {
        let mut client = self.connect();
        client.get("/small").is(200, "small");
        client
    }

    /// Connects a client that has yet to read most of its response.
    #[track_caller]
    fn under_way(&self) -> HttpClient {
        let mut client = self.connect();
        client.send("GET /big HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
        client
    }
}

#[track_caller]
fn reads_to_the_end(client: &mut HttpClient) {
    assert_eq!(client.exactly(BIG).unwrap().len(), BIG);
}

#[test]
fn the_connection_that_idles_longest_gives_way_to_a_new_client() {
    let server = serve(5, HOUR);
    let mut silent = server.connect();
    let mut half_a_head = server.connect();
    half_a_head.send("GET /small HTTP/1.1\r\nhost: te").unwrap();
    let mut half_a_preface = server.connect();
    half_a_preface.send("PRI * HTTP/2.0\r\n").unwrap();
    let mut kept = server.answered();
    let mut http2 = Http2::open(server.address).unwrap();
    http2.get("/small").is(200, "small");
    // Each connection gives way in its turn, and later ones stay.
    let mut newer = vec![server.answered()];
    assert!(silent.is_closed());
    newer.push(server.answered());
    assert!(half_a_head.is_closed());
    newer.push(server.answered());
    assert!(half_a_preface.is_closed());
    http2.get("/small").is(200, "small");
    newer.iter_mut().for_each(|client| client.get("/small").is(200, "small"));
    newer.push(server.answered());
    assert!(kept.is_closed());
    newer.push(server.answered());
    assert!(http2.try_start(request("GET", "/small"), true).and_then(|mut exchange| exchange.head()).is_err());
    newer.iter_mut().for_each(|client| client.get("/small").is(200, "small"));
}

#[test]
fn a_client_that_waits_for_a_response_stays() {
    let server = serve(3, HOUR);
    let mut first = server.under_way();
    let mut client = Http2::open(server.address).unwrap();
    let mut second = client.start(request("GET", "/big"), true);
    assert_eq!(second.head().unwrap().status, 200);
    for _ in 0..10 {
        let _idle = server.answered();
        server.answered();
    }
    // Now no connection idles, and a new client waits until one does.
    let mut third = server.under_way();
    let mut next = server.connect();
    next.send("GET /small HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    reads_to_the_end(&mut first);
    next.response().is(200, "small");
    assert!(first.is_closed());
    let parts = std::iter::from_fn(|| Some(second.part().unwrap().len()).filter(|length| *length > 0));
    assert_eq!(parts.sum::<usize>(), BIG);
    reads_to_the_end(&mut third);
}

/// Such a client holds its slot for a quarter of the stall timeout.
#[test]
fn a_client_that_does_not_read_gives_way_when_none_idles() {
    let server = serve_for(2, HOUR, Duration::from_secs(30));
    let mut first = server.under_way();
    let mut client = Http2::open(server.address).unwrap();
    let mut second = client.start(request("GET", "/big"), true);
    assert_eq!(second.head().unwrap().status, 200);
    let mut newer = Vec::new();
    for _ in 0..2 {
        let mut next = server.connect();
        next.set_timeout(Duration::from_secs(20));
        next.send("GET /big HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(next.head().unwrap().status, 200);
        newer.push(next);
    }
    assert!(first.rest().len() < BIG);
    while second.part().is_ok_and(|part| !part.is_empty()) {}
    for line in [server.next_entry(), server.next_entry()] {
        assert!(line.starts_with("GET test/big 200 ") && line.ends_with(" abandoned"), "{line}");
    }
    newer.iter_mut().for_each(reads_to_the_end);
}

const SMALL: &str = "GET test/small 200 5 ok";

#[test]
fn half_a_head_is_logged_when_its_time_is_over() {
    let server = serve(10, Duration::from_millis(300));
    for half in ["GET /small HTTP/1.1\r\nhost: te", "P", "PRI * HTTP/2.0\r\n"] {
        // Connections that merely idle are not logged.
        let (mut silent, mut kept) = (server.connect(), server.answered());
        assert_eq!(server.next_entry(), SMALL);
        assert!(silent.is_closed() && kept.is_closed());
        let mut client = server.connect();
        client.send(half).unwrap();
        assert!(client.is_closed());
        assert_eq!(server.next_entry(), "- - 0 client_error");
    }
    // Also after a request.
    let mut client = server.answered();
    client.send("GET /small").unwrap();
    assert!(client.is_closed());
    assert_eq!([server.next_entry(), server.next_entry()], [SMALL, "- - 0 client_error"]);
}

#[test]
fn half_a_head_that_gives_way_is_logged() {
    let server = serve(1, HOUR);
    for half in ["GET /small HTTP/1.1\r\nhost: te", "P", "PRI * HTTP/2.0\r\n", ""] {
        let mut client = server.connect();
        client.send(half).unwrap();
        drop(server.answered());
        assert!(client.is_closed());
        if !half.is_empty() {
            assert_eq!(server.next_entry(), "- - 0 overloaded");
        }
        assert_eq!(server.next_entry(), SMALL);
    }
}

#[test]
fn a_protocol_error_of_http_2_is_logged() {
    let server = serve(10, HOUR);
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    // An HPACK index that does not exist, and a PING frame that is too short.
    for broken in [&[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x80][..], &[0, 0, 1, 6, 0, 0, 0, 0, 0, 0]] {
        let mut client = server.connect();
        client.send([&preface, broken].concat()).unwrap();
        client.rest();
        assert_eq!(server.next_entry(), "- - 0 client_error");
    }
    // A client that leaves commits no error.
    let mut client = server.connect();
    client.send(&preface).unwrap();
    client.finish();
    client.rest();
    Http2::open(server.address).unwrap().get("/small").is(200, "small");
    assert_eq!(server.next_entry(), SMALL);
}
