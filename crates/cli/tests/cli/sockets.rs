//! `connect`, `listen`, `resolve` and `http` from a command: denied, granted, denied again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;
use walnut_test_programs::{RUST_P2_SOCKETS, RUST_P3_SOCKETS};
use walnut_test_support::{RunOutput, TestEnv, guest, test_env};

fn programs() -> [String; 2] {
    [RUST_P2_SOCKETS, RUST_P3_SOCKETS].map(guest)
}

fn run(env: &TestEnv, program: &str, flags: &[&str], args: &[&str]) -> RunOutput {
    env.run(["run"].iter().chain(flags).chain(&[program]).chain(args))
}

#[test]
fn a_sealed_guest_opens_few_sockets() {
    let env = test_env!();
    for program in programs() {
        run(&env, &program, &[], &["sockets", "4"]).prints("1\n2\n3\n4\n");
        let refused = run(&env, &program, &[], &["sockets", "100"]).exits_with(1);
        assert_eq!(refused.stdout, "1\n2\n3\n4\n");
        let granted = run(&env, &program, &["--connect", "127.0.0.1:80"], &["sockets", "100"]).succeeds();
        assert_eq!(granted.stdout.lines().count(), 100);
    }
}

/// Echoes on each connection, for the life of the test.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text);
                let _ = stream.write_all(&text);
            });
        }
    });
    address
}

/// Answers each request with "answer".
fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    request.push(byte[0]);
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nanswer");
            });
        }
    });
    address
}

/// Returns the grant that an explanation suggests, as arguments.
fn shown_grant(output: &RunOutput) -> Vec<String> {
    let line = output.stderr.lines().find_map(|l| l.trim().strip_prefix("allow it: ")).expect("a grant is shown");
    let (flag, pattern) = line.split_once(' ').expect("a flag and a pattern");
    vec![flag.to_owned(), pattern.trim_matches('\'').to_owned()]
}

#[test]
fn connect() {
    let env = test_env!();
    let address = echo().to_string();
    let port = address.rsplit(':').next().expect("a port");
    for program in programs() {
        let args = ["tcp", address.as_str(), "ahoy"];
        let refused = run(&env, &program, &[], &args).exits_with(1).says("asked to connect to");
        assert!(refused.stderr.contains("error: access-denied"), "{refused}");
        let grant = shown_grant(&refused);
        run(&env, &program, &[&grant[0], &grant[1]], &args).prints("ahoy");
        for pattern in [format!("127.0.0.1:{port}"), "127.0.0.0/8:*".into(), "127.0.0.1:1024-65535".into()] {
            run(&env, &program, &["--connect", &pattern], &args).prints("ahoy");
            run(&env, &program, &["--connect", &pattern, "--deny-connect", &format!("*:{port}")], &args)
                .exits_with(1)
                .says("a denial beats every grant");
        }
        for pattern in ["127.0.0.1:1", "10.0.0.0/8:*", "udp:127.0.0.1:*", "example.com:*", "*:*"] {
            run(&env, &program, &["--connect", pattern], &args).exits_with(1).says("denied: ");
        }
    }
}

#[test]
fn connect_over_udp() {
    let env = test_env!();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it has an address").to_string();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    for program in programs() {
        let args = ["udp", address.as_str(), "ahoy"];
        run(&env, &program, &[], &args).exits_with(1).says("denied: ");
        run(&env, &program, &["--connect", &format!("tcp:{address}")], &args).exits_with(1).says("denied: ");
        run(&env, &program, &["--connect", &format!("udp:{address}")], &args).prints("ahoy");
        run(&env, &program, &["--connect", &address, "--deny-connect", &format!("udp:{address}")], &args)
            .exits_with(1)
            .says("denied: ");
    }
}

#[test]
fn resolve() {
    let env = test_env!();
    for program in programs() {
        let args = ["resolve", "localhost"];
        let refused = run(&env, &program, &[], &args).exits_with(1).says("asked to look up localhost");
        let grant = shown_grant(&refused);
        assert_eq!(grant, ["--resolve", "localhost"]);
        let allowed = run(&env, &program, &[&grant[0], &grant[1]], &args).succeeds();
        assert!(allowed.stdout.contains("127.0.0.1") || allowed.stdout.contains("::1"), "{allowed}");
        run(&env, &program, &["--resolve", "*", "--deny-resolve", "localhost"], &args)
            .exits_with(1)
            .says("deny-resolve");
        run(&env, &program, &["--resolve", "example.com"], &args).exits_with(1).says("denied: ");
    }
}

#[test]
fn http() {
    let env = test_env!();
    let address = web();
    let url = format!("http://{address}/a/b");
    for program in programs() {
        let args = ["http", "GET", url.as_str()];
        let refused = run(&env, &program, &[], &args).exits_with(1).says("asked to send GET");
        let grant = shown_grant(&refused);
        let allowed = run(&env, &program, &[&grant[0], &grant[1]], &args).succeeds();
        assert!(allowed.stdout.contains("answer"), "{allowed}");
        for (pattern, works) in [
            (format!("GET http://{address}/**"), true),
            (format!("GET,POST http://{address}/a/*"), true),
            (format!("POST http://{address}/**"), false),
            (format!("http://{address}/a/b/c"), false),
            (format!("https://{address}/**"), false),
        ] {
            let output = run(&env, &program, &["--http", &pattern], &args);
            output.exits_with(i32::from(!works));
            let deny = format!("http://{address}/a/**");
            run(&env, &program, &["--http", &pattern, "--deny-http", &deny], &args).exits_with(1).says("denied: ");
        }
    }
}

/// A guest that listens, and the address that it prints.
fn listening(env: &TestEnv, program: &str, flags: &[&str], args: &[&str]) -> (Child, SocketAddr) {
    let mut command = env.command();
    // The guest ends even if nobody connects.
    command.args(["run", "--deadline", "1m"]).args(flags).arg(program).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it speaks");
    let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
    (child, address.unwrap_or_else(|| panic!("it said {line:?}")))
}

#[test]
fn listen() {
    let env = test_env!();
    // A port that was free a moment ago.
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").to_string();
    for program in programs() {
        let address = free();
        let args = ["listen", address.as_str()];
        let refused = run(&env, &program, &[], &args).exits_with(1).says("asked to listen on");
        assert_eq!(shown_grant(&refused), ["--listen".to_owned(), address.clone()]);
        run(&env, &program, &["--listen", &address, "--deny-listen", "*:*"], &args).exits_with(1).says("deny-listen");
        run(&env, &program, &["--listen", "127.0.0.1:1"], &args).exits_with(1).says("denied: ");
    }
}

#[test]
fn listen_when_granted() {
    let env = test_env!();
    for program in programs() {
        // Port 0 is any free port, and needs a rule that has it.
        for pattern in ["127.0.0.1:0", "127.0.0.1:*", "*:0-65535", "tcp:127.0.0.0/8:0"] {
            let (mut child, address) = listening(&env, &program, &["--listen", pattern], &["listen", "127.0.0.1:0"]);
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(b"ahoy").expect("it reads");
            stream.shutdown(Shutdown::Write).expect("it is open");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers");
            assert_eq!(answer, "ahoy");
            assert!(child.wait().expect("it ends").success());
        }
        run(&env, &program, &["--listen", "udp:127.0.0.1:0"], &["listen", "127.0.0.1:0"])
            .exits_with(1)
            .says("denied: ");
    }
}

/// Sends datagrams from an address of its own, and waits for replies.
fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("it is a time");
    socket
}

fn next_datagram(socket: &UdpSocket) -> String {
    let mut buffer = [0; 2048];
    let (length, _) = socket.recv_from(&mut buffer).expect("an answer comes");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[track_caller]
fn hears_nothing(socket: &UdpSocket) {
    socket.set_nonblocking(true).expect("it is open");
    let heard = socket.recv_from(&mut [0; 2048]);
    assert!(heard.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "{heard:?}");
}

#[test]
fn listen_over_udp() {
    let env = test_env!();
    for program in programs() {
        // A port that was free a moment ago.
        let address = peer().local_addr().expect("it has an address").to_string();
        let granted = format!("udp:{address}");
        let args = ["listen-udp", address.as_str()];
        let refused = run(&env, &program, &[], &args).exits_with(1).says("error: access-denied");
        assert_eq!(shown_grant(&refused), ["--listen", granted.as_str()]);
        run(&env, &program, &["--listen", &format!("tcp:{address}")], &args).exits_with(1).says("denied: ");
        run(&env, &program, &["--listen", "udp:127.0.0.1:1"], &args).exits_with(1).says("denied: ");
        run(&env, &program, &["--listen", &granted, "--deny-listen", "udp:*:*"], &args)
            .exits_with(1)
            .says("deny-listen");
        for pattern in [granted.as_str(), &address, "udp:127.0.0.1:*"] {
            let (mut child, bound) = listening(&env, &program, &["--listen", pattern], &args);
            assert_eq!(bound.to_string(), address);
            let peer = peer();
            peer.send_to(b"ahoy", bound).expect("it is sent");
            assert_eq!(next_datagram(&peer), "ahoy");
            assert!(child.wait().expect("it ends").success());
        }
    }
}

#[test]
fn an_answer_over_udp_can_be_denied() {
    let env = test_env!();
    for program in programs() {
        let peer = peer();
        let (grant, denial) = (["--listen", "udp:127.0.0.1:0"], ["--deny-connect", "udp:127.0.0.1:*"]);
        let args = ["listen-udp", "127.0.0.1:0"];
        let (child, bound) = listening(&env, &program, &[grant, denial].concat(), &args);
        peer.send_to(b"ahoy", bound).expect("it is sent");
        let ended = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code() == Some(1) && said.contains("deny-connect"), "{said}");
        hears_nothing(&peer);
        let (mut child, bound) = listening(&env, &program, &grant, &args);
        peer.set_nonblocking(false).expect("it is open");
        peer.send_to(b"ahoy", bound).expect("it is sent");
        assert_eq!(next_datagram(&peer), "ahoy");
        assert!(child.wait().expect("it ends").success());
    }
}

/// A sending socket has a port too; datagrams to it from others are not delivered.
#[test]
fn who_may_only_send_over_udp_hears_no_strangers() {
    let env = test_env!();
    for program in programs() {
        let (peer, stranger) = (peer(), peer());
        let grant = format!("udp:{}", peer.local_addr().expect("it has an address"));
        let (mut child, bound) = listening(&env, &program, &["--connect", &grant], &["listen-udp", "127.0.0.1:0"]);
        stranger.send_to(b"a stranger", bound).expect("it is sent");
        peer.send_to(b"a peer", bound).expect("it is sent");
        assert_eq!(next_datagram(&peer), "a peer");
        assert!(child.wait().expect("it ends").success());
        hears_nothing(&stranger);
    }
}

/// The right to receive belongs to the socket that was bound with it.
#[test]
fn a_socket_that_may_receive_gives_no_right_to_another() {
    let env = test_env!();
    let (peer, stranger) = (peer(), peer());
    let granted = peer_address_that_was_free();
    let args = ["listen-udp-two", granted.as_str(), "127.0.0.1:0"];
    let grants = ["--listen", &format!("udp:{granted}"), "--connect", "udp:127.0.0.1:1"];
    let (mut child, other) = listening(&env, &guest(RUST_P2_SOCKETS), &grants, &args);
    stranger.send_to(b"a stranger", other).expect("it is sent");
    peer.send_to(b"a peer", &granted).expect("it is sent");
    assert_eq!(next_datagram(&peer), "a peer");
    assert!(child.wait().expect("it ends").success());
    hears_nothing(&stranger);
}

fn peer_address_that_was_free() -> String {
    peer().local_addr().expect("it has an address").to_string()
}

/// Every decision, granted or denied, is a line of the audit.
#[test]
fn the_audit_tells_of_every_capability() {
    let env = test_env!();
    let server = web();
    let (connect, listen) = (echo().to_string(), "127.0.0.1:0");
    let url = format!("http://{server}/a");
    for (version, program) in programs().iter().enumerate() {
        let audit = format!("{version}.jsonl");
        let all: [(&str, &str, &[&str]); 4] = [
            ("connect", &connect, &["tcp", &connect, "ahoy"]),
            ("listen", listen, &["listen", listen]),
            ("resolve", "localhost", &["resolve", "localhost"]),
            ("http", &url, &["http", "GET", &url]),
        ];
        let flags = ["--quiet", "--audit", &audit];
        for (capability, grant, args) in all {
            run(&env, program, &flags, args).exits_with(1);
            // Nobody sends to the listening guest.
            let flag = format!("--{capability}");
            let flags = [&flags[..], &[&flag, grant, "--deadline", "1s"]].concat();
            let _ = run(&env, program, &flags, args);
        }
        let lines = env.read(&audit);
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("it is JSON"));
        let told: BTreeSet<_> = lines
            .map(|line| {
                assert!(line["v"] == 1 && line["import"].as_str().is_some_and(|i| i.starts_with("wasi:")), "{line}");
                format!("{} {}", line["capability"], line["decision"]).replace('"', "")
            })
            .collect();
        let expected = all.map(|(capability, ..)| [format!("{capability} allowed"), format!("{capability} denied")]);
        let missing: Vec<_> = expected.iter().flatten().filter(|line| !told.contains(*line)).collect();
        assert!(missing.is_empty(), "no line says {missing:?}, only {told:?}");
    }
    // Variables are recorded when they are read; `dir` has a test of its own.
    let flags = ["--quiet", "--audit", "env.jsonl", "--env", "A=1", "--env", "B=2", "--deny-env", "B"];
    run(&env, &guest(walnut_test_programs::RUST_P2_HELLO), &flags, &["--env"]).prints("A=1\n");
    let lines = env.read("env.jsonl");
    assert!(lines.contains(r#""request":"see the variable A","decision":"allowed","because":"env A""#), "{lines}");
    assert!(lines.contains(r#""request":"see the variable B","decision":"denied""#), "{lines}");
}
