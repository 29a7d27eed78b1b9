//! `connect`, `listen`, `resolve` and `http` from a command: refused, granted, denied again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::thread;
use walnut_test_programs::{RUST_P2_SOCKETS, RUST_P3_SOCKETS};
use walnut_test_support::{Output, TestEnv, guest, test_env};

fn programs() -> [String; 2] {
    [RUST_P2_SOCKETS, RUST_P3_SOCKETS].map(guest)
}

fn run(env: &TestEnv, program: &str, flags: &[&str], args: &[&str]) -> Output {
    env.run(["run"].iter().chain(flags).chain(&[program]).chain(args))
}

/// Answers each connection with what comes, as long as the test runs.
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

/// The grant that an explanation shows, as arguments.
fn shown_grant(output: &Output) -> Vec<String> {
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
            let mut child = env
                .command()
                .args(["run", "--listen", pattern, &program, "listen", "127.0.0.1:0"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the binary starts");
            let mut line = String::new();
            BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it speaks");
            let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
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
