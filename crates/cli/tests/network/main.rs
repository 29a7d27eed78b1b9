//! Ways to an address that was not granted, each next to the way that was: by name, by number, by
//! range, by redirect.
//!
//! Tests of plain grants are in `tests/cli/sockets.rs`.

mod limits;
mod pool;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
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

/// Echoes on each connection to a port of `ip`.
fn echo_on(ip: &str) -> Option<SocketAddr> {
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let address = listener.local_addr().ok()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text);
                let _ = stream.write_all(&text);
            });
        }
    });
    Some(address)
}

fn echo() -> SocketAddr {
    echo_on("127.0.0.1").expect("a port is free")
}

/// Answers each request with `head` and no body, after `pause`.
fn web(head: &'static str, pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                thread::sleep(pause);
                let _ = stream.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
            });
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Writes a message about a skipped test to standard error, past the test harness.
fn not_tried(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "not tried: {what}: {}", why.trim());
}

/// Prepares a run of `walnut` that resolves names by `hosts`; `None` where the system gives no
/// process a hosts file of its own.
///
/// # Panics
/// When nothing may be skipped: with `CI=true`, on Linux.
fn with_hosts(env: &TestEnv, hosts: &str, args: &[&str]) -> Option<(i32, String, String)> {
    let hosts = env.file("hosts", hosts);
    let plain = env.command();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#]).arg(hosts);
    command.arg(plain.get_program()).args(args).current_dir(env.dir()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let must = cfg!(target_os = "linux") && std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let refused = |why: &str| {
        assert!(!must, "it needs `unshare` with a user namespace, or root: {why}");
        not_tried("names that lead inside", why);
    };
    let output = command.output().map_err(|e| refused(&format!("unshare: {e}"))).ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    let fails = stderr.starts_with("unshare:") || stderr.starts_with("mount:");
    if fails {
        refused(&stderr);
        return None;
    }
    Some((output.status.code()?, stdout, stderr))
}

const HOSTS: &str = "127.0.0.1 localhost inside.test\n169.254.169.254 metadata.test\n10.0.0.7 private.test\n\
                     ::ffff:127.0.0.1 mapped.test\n";

#[test]
fn a_name_that_leads_inside_needs_a_rule_for_the_address() {
    let (env, server) = (test_env!(), echo());
    let port = server.port().to_string();
    for program in programs() {
        let by_name = format!("inside.test:{port}");
        let args = ["run", "--connect", &by_name, &program, "tcp-name", "inside.test", &port, "ahoy"];
        let Some((code, stdout, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains("does not reach loopback addresses"), "{stderr}");
        let shown = stderr.lines().find_map(|line| line.trim().strip_prefix("allow it: --connect ")).expect("a grant");
        let shown = shown.trim_matches('\'');
        assert!(shown.starts_with("127.0.0.1:"), "{stderr}");
        let args = ["run", "--connect", &by_name, "--connect", shown, &program, "tcp-name", "inside.test", &port, "hi"];
        let Some((code, stdout, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
        assert_eq!((code, stdout.as_str()), (0, "hi"), "{stderr}");
    }
}

#[test]
fn metadata_and_private_addresses_are_not_even_learned_by_name() {
    let env = test_env!();
    for program in programs() {
        for (name, ip) in [("metadata.test", "169.254.169.254"), ("private.test", "10.0.0.7")] {
            let args = ["run", "--resolve", "*", &program, "resolve", name];
            let Some((_, stdout, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
            assert!(stdout.is_empty() && stderr.contains("denied: "), "{stdout}{stderr}");
            let rule = format!("{ip}:80");
            let args = ["run", "--resolve", "*", "--connect", &rule, &program, "resolve", name];
            let Some((code, stdout, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
            assert_eq!((code, stdout), (0, format!("{ip}\n")), "{stderr}");
        }
    }
}

#[test]
fn requests_by_a_name_that_leads_inside_need_a_rule_for_the_address() {
    let (env, server) = (test_env!(), web(OK, Duration::ZERO));
    for program in programs() {
        for name in ["inside.test", "mapped.test"] {
            let url = format!("http://{name}:{}/", server.port());
            let args = ["run", "--http", "http://*:*", "--http", &url, &program, "http", "GET", &url];
            let Some((code, stdout, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
            assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
            assert!(stderr.contains("error: destination-ip-prohibited"), "{stderr}");
            let rule = server.to_string();
            let args = ["run", "--http", &url, "--connect", &rule, &program, "http", "GET", &url];
            let Some((code, stdout, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
            assert_eq!((code, stdout.as_str()), (0, "status 200\n"), "{stderr}");
        }
        let args = ["run", "--http", "http://*", &program, "http", "GET", "http://metadata.test/latest"];
        let Some((code, _, stderr)) = with_hosts(&env, HOSTS, &args) else { return };
        assert!(code == 1 && stderr.contains("error: destination-ip-prohibited"), "{stderr}");
    }
}

/// Resolvers read all of these as 127.0.0.1.
#[test]
fn an_address_in_disguise_is_the_address() {
    let (env, server) = (test_env!(), web(OK, Duration::ZERO));
    let port = server.port();
    for program in programs() {
        for host in ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]"] {
            let url = format!("http://{host}:{port}/");
            let refused = run(&env, &program, &["--http", "http://*:*"], &["http", "GET", &url]).exits_with(1);
            assert!(!refused.stdout.contains("status"), "{refused}");
        }
        for host in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
            let url = format!("http://{host}:{port}/");
            let grant = format!("http://127.0.0.1:{port}");
            run(&env, &program, &["--http", &grant], &["http", "GET", &url]).prints("status 200\n");
        }
        for name in ["2130706433", "127.1", "0x7f000001"] {
            let refused = run(&env, &program, &["--resolve", "*"], &["resolve", name]);
            assert!(!refused.stdout.contains("127.0.0.1"), "{refused}");
        }
    }
}

#[test]
fn a_mapped_address_is_no_address_for_a_socket() {
    let (env, server) = (test_env!(), echo());
    let mapped = format!("[::ffff:127.0.0.1]:{}", server.port());
    for program in programs() {
        for flags in [&[][..], &["--connect", "*:*"], &["--connect", "127.0.0.1:*"], &["--allow-all"]] {
            let refused = run(&env, &program, flags, &["tcp", &mapped, "ahoy"]).exits_with(1);
            assert!(refused.stdout.is_empty(), "{refused}");
        }
    }
}

#[test]
fn loopback_of_ipv6_is_an_address_like_another() {
    let env = test_env!();
    let Some(server) = echo_on("::1").map(|server| server.to_string()) else {
        return not_tried("loopback of IPv6", "this system has none");
    };
    for program in programs() {
        let args = ["tcp", server.as_str(), "ahoy"];
        let refused = run(&env, &program, &[], &args).exits_with(1).says("error: access-denied");
        let _refused = refused.says(&format!("allow it: --connect '{server}'"));
        for grant in [server.as_str(), "[::1]:*", "[::/64]:*", "localhost:*"] {
            run(&env, &program, &["--connect", grant], &args).prints("ahoy");
        }
        for grant in ["127.0.0.1:*", "0.0.0.0/0:*", "*:*"] {
            run(&env, &program, &["--connect", grant], &args).exits_with(1).says("denied: ");
        }
        run(&env, &program, &["--connect", "[::1]:*", "--deny-connect", "localhost:*"], &args)
            .exits_with(1)
            .says("deny");
    }
}

#[test]
fn ranges_reach_their_edges_and_no_further() {
    let (env, server) = (test_env!(), echo());
    let (address, port) = (server.to_string(), u32::from(server.port()));
    let args = ["tcp", address.as_str(), "ahoy"];
    let program = guest(RUST_P2_SOCKETS);
    for (grant, works) in [
        (format!("127.0.0.1:{port}-{port}"), true),
        (format!("127.0.0.1:1-{port}"), true),
        (format!("127.0.0.1:{port}-65535"), true),
        (format!("127.0.0.1:1-{}", port - 1), false),
        (format!("127.0.0.1:{}-65535", port + 1), false),
        ("127.0.0.0/8:*".into(), true),
        ("127.0.0.1/32:*".into(), true),
        ("0.0.0.0/0:*".into(), true),
        ("127.0.0.2/31:*".into(), false),
        ("128.0.0.0/8:*".into(), false),
        ("tcp:127.0.0.1:*".into(), true),
        ("udp:127.0.0.1:*".into(), false),
        // A grant for everybody does not include loopback.
        ("*:*".into(), false),
    ] {
        let output = run(&env, &program, &["--connect", &grant], &args);
        assert_eq!(output.code(), i32::from(!works), "{grant}: {output}");
        let denied = run(&env, &program, &["--connect", "127.0.0.1:*", "--deny-connect", &grant], &args);
        // A denial of everybody includes it.
        let spared = !works && grant != "*:*";
        assert_eq!(denied.code(), i32::from(!spared), "denied {grant}: {denied}");
    }
    run(&env, &program, &["--allow-all"], &args).prints("ahoy");
    run(&env, &program, &["--allow-all", "--deny-connect", &address], &args).exits_with(1).says("deny-connect");
}

#[test]
fn a_redirect_is_the_guest_s_to_follow() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/secret\r\n";
    let (env, server) = (test_env!(), web(moved, Duration::ZERO));
    let url = format!("http://{server}/");
    for program in programs() {
        let output = run(&env, &program, &["--http", &url], &["http", "GET", &url]);
        assert!(!output.stderr.contains("denied"), "{output}");
        output.prints("status 302\nlocation: http://127.0.0.1:9/secret\n");
    }
}

#[test]
fn connections_at_once_are_bounded() {
    let (env, server) = (test_env!(), web(OK, Duration::from_secs(1)));
    let (url, program) = (format!("http://{server}/"), guest(RUST_P2_SOCKETS));
    let storm = |most: &str| {
        let flags = ["--http", url.as_str(), "--connections", most];
        run(&env, &program, &flags, &["http-storm", &url, "10"]).succeeds().stdout
    };
    assert_eq!(storm("4"), "6 x connection-limit-reached\n4 x status 200\n");
    assert_eq!(storm("10"), "10 x status 200\n");
}

#[test]
fn a_peer_that_speaks_no_tls_is_an_error_of_the_guest() {
    let (env, server) = (test_env!(), web(OK, Duration::ZERO));
    let url = format!("https://{server}/");
    for program in programs() {
        let output = run(&env, &program, &["--http", &url], &["http", "GET", &url]).exits_with(1);
        assert!(!output.stderr.contains("denied") && !output.stderr.contains("panicked"), "{output}");
    }
}
